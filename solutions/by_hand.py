# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A network by hand
#
# You will write a whole neural network with nothing but matrix products: the prediction, the loss, the gradients and the training loop. No autograd, no `torch.nn`. At the end it learns to tell two rings of points apart, which no straight line can do.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. A check says what is right, or names what is wrong; `hint("by_hand.forward")` in a cell of your own helps you on, a little more at each call. An answer that is not written yet is *not attempted*, which is not the same as wrong. The functions are graded one by one with inputs of our own, so a mistake in one of them does not spoil the others; `train` alone calls the rest.
#
# It takes about two hours. It goes with the first four chapters of Part 1.

# %%
import torch

from mlcourse import data, plotting

torch.set_num_threads(1)  # matrices this small are fastest on one thread

# %% [markdown]
# ## 1. Before you write anything
#
# ### What the data are for
#
# You have labelled points. Some are for fitting the weights, some for choosing what is not fitted, such as the number of hidden neurons, and some for one last estimate of how good the result is.
#
# **Question.** You train networks with $n_h = 2, 4, 8, 16$ hidden neurons and keep one of them. Which data should choose it? Answer with a letter, as a string: `splits = "a"`.

# %% question="splits"
### BEGIN SOLUTION
splits = "b"
### END SOLUTION

# %% [markdown]
# **Question.** There are only thirty training points. Which of two models overfits them the more?

# %% question="few_examples"
### BEGIN SOLUTION
few_examples = "c"
### END SOLUTION

# %% [markdown]
# **Question.** There are only thirty *test* points, which were used for nothing else. What is true of the accuracy that they give?

# %% question="small_test_set"
### BEGIN SOLUTION
small_test_set = "a"
### END SOLUTION

# %% [markdown]
# ### The network
#
# ```text
#        inputs          hidden neurons        outputs
#
#                             ( h1 )
#        ( x1 )               ( h2 )           ( y1 )
#        ( x2 )               ( h3 )           ( y2 )
#                             ( h4 )
#
#            every x reaches        every h reaches
#            every h: W_h, b_h      every y: W_y, b_y
# ```
#
# An example is a row $x$ of $n_x$ numbers. A batch of $N$ of them is a matrix $X$ of shape $(N, n_x)$: **the batch comes first**. The network computes
#
# $$\tilde h = X W_h^\top + b_h, \qquad h = \tanh(\tilde h), \qquad \tilde y = h W_y^\top + b_y, \qquad \hat y = \mathrm{softmax}(\tilde y).$$
#
# | name | shape | what it is |
# |---|---|---|
# | $X$ | $(N, n_x)$ | the inputs, one example a row |
# | $W_h$, $b_h$ | $(n_h, n_x)$, $(n_h,)$ | the hidden layer: one row a neuron |
# | $\tilde h$, $h$ | $(N, n_h)$ | before and after $\tanh$ |
# | $W_y$, $b_y$ | $(n_y, n_h)$, $(n_y,)$ | the output layer: one row a class |
# | $\tilde y$ | $(N, n_y)$ | the *logits*: any real numbers |
# | $\hat y$ | $(N, n_y)$ | the predicted probabilities: each row sums to 1 |
# | $Y$ | $(N, n_y)$ | the targets, *one-hot*: a 1 in the column of the true class, 0 elsewhere |
#
# **Question.** What is $\tanh$ there for?

# %% question="why_activation"
### BEGIN SOLUTION
why_activation = "d"
### END SOLUTION

# %% [markdown]
# **Questions.** Read the sizes off the figure. Each answer is a number. First $n_x$:

# %% question="figure_nx"
### BEGIN SOLUTION
figure_nx = 2
### END SOLUTION

# %% [markdown]
# $n_h$:

# %% question="figure_nh"
### BEGIN SOLUTION
figure_nh = 4
### END SOLUTION

# %% [markdown]
# $n_y$:

# %% question="figure_ny"
### BEGIN SOLUTION
figure_ny = 2
### END SOLUTION

# %% [markdown]
# How many parameters does the network of the figure have, weights and biases together?

# %% question="parameter_count"
### BEGIN SOLUTION
parameter_count = 22
### END SOLUTION

# %% [markdown]
# **Question.** What decides how large $n_h$ is?

# %% question="role_of_nh"
### BEGIN SOLUTION
role_of_nh = "b"
### END SOLUTION

# %% [markdown]
# **Question.** And what decides $n_y$?

# %% question="role_of_ny"
### BEGIN SOLUTION
role_of_ny = "d"
### END SOLUTION

# %% [markdown]
# ## 2. First parameters
#
# All parameters live in one dict with the keys `Wh`, `bh`, `Wy`, `by`. Weights start at random, drawn from the normal distribution $\mathcal N(0, 0.3^2)$: mean 0, standard deviation 0.3. If they were all equal, all hidden neurons would learn the same. Biases may start at 0 (or be drawn like the weights).


# %% question="init_params"
def init_params(nx, nh, ny):
    """Return a dict: Wh (nh, nx) and Wy (ny, nh) from N(0, 0.3^2), bh (nh,) and by (ny,)."""
    ### BEGIN SOLUTION
    return {
        "Wh": 0.3 * torch.randn(nh, nx),
        "bh": torch.zeros(nh),
        "Wy": 0.3 * torch.randn(ny, nh),
        "by": torch.zeros(ny),
    }
    ### END SOLUTION


# %% [markdown]
# ## 3. Forward
#
# Compute $\hat y$, and keep on the way what the backward pass will need: `outputs` is a dict with the keys `X`, `htilde`, `h`, `ytilde`, `yhat` (more keys do no harm).
#
# The softmax of a row is $\hat y_i = e^{\tilde y_i} / \sum_j e^{\tilde y_j}$. Adding the same constant to all logits of a row changes nothing. Use that: $e^{1000}$ overflows to infinity, $e^{1000 - 1000} = 1$ does not. Your softmax must survive logits of 1000.
#
# Keep the precision that comes in: `float64` inputs give `float64` results.


# %% question="forward"
def forward(params, X):
    """Return (yhat, outputs): yhat is (N, n_y), outputs has the keys X, htilde, h, ytilde, yhat."""
    ### BEGIN SOLUTION
    htilde = X @ params["Wh"].T + params["bh"]
    h = torch.tanh(htilde)
    ytilde = h @ params["Wy"].T + params["by"]
    e = torch.exp(ytilde - ytilde.amax(dim=1, keepdim=True))
    yhat = e / e.sum(dim=1, keepdim=True)
    return yhat, {"X": X, "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}
    ### END SOLUTION


# %% [markdown]
# ## 4. Loss and accuracy
#
# The loss of a batch is the **mean** over its examples of the cross-entropy
#
# $$\ell(y, \hat y) = -\sum_i y_i \log \hat y_i .$$
#
# Since $y$ is one-hot, only the true class counts: the loss is minus the logarithm of the probability that it was given. The accuracy is the fraction of examples, between 0 and 1, whose most probable class is the true one.
#
# **Question.** A network has just been created, for **ten** classes. It knows nothing, so every class gets the same probability. How large is its loss? (A number, to three digits or more.)

# %% question="first_loss"
### BEGIN SOLUTION
first_loss = 2.3026
### END SOLUTION

# %% [markdown]
# **Question.** For classes one prefers cross-entropy to the squared error of the probabilities. What is the best reason?

# %% question="which_loss"
### BEGIN SOLUTION
which_loss = "c"
### END SOLUTION

# %% [markdown]
# Now write it. A probability can be exactly 0, after an underflow, and $\log 0$ is minus infinity. The loss must stay finite then: do not let a probability go below some tiny positive number. (How large the loss is in that case is left to you.)


# %% question="loss_accuracy"
def loss_accuracy(yhat, Y):
    """Return (loss, accuracy) of the probabilities yhat (N, n_y) against the one-hot Y (N, n_y)."""
    ### BEGIN SOLUTION
    log_yhat = torch.log(yhat.clamp(min=1e-30))
    loss = -(Y * log_yhat).sum(dim=1).mean()
    right = yhat.argmax(dim=1) == Y.argmax(dim=1)
    return loss, right.to(yhat.dtype).mean()
    ### END SOLUTION


# %% [markdown]
# ## 5. Backward
#
# We need the gradient of the loss with respect to each parameter. The chain rule goes from the loss back to the inputs. Write $\delta_y$ for the gradient at the logits $\tilde y$ and $\delta_h$ for the gradient at $\tilde h$, one row for each example.
#
# 1. At the logits, softmax and cross-entropy together give something very simple. For one example it is $\hat y - y$; the mean over the batch divides by $N$, so $\delta_y = (\hat y - Y)/N$.
# 2. The output layer computes $\tilde y = h W_y^\top + b_y$. From $\delta_y$ you get the gradients of $W_y$ and $b_y$. A gradient has the shape of its parameter: that alone tells you which matrix to transpose, and over what the bias must be summed.
# 3. Through $W_y$ back to $h$, then through $\tanh$ back to $\tilde h$. The derivative is $\tanh'(\tilde h) = 1 - \tanh(\tilde h)^2 = 1 - h^2$, and it multiplies entry by entry.
# 4. The hidden layer is like the output layer, with $X$ for its input.
#
# **Question.** For one example, what is $\delta_{h,i}$, the entry of hidden neuron $i$?

# %% question="hidden_delta"
### BEGIN SOLUTION
hidden_delta = "a"
### END SOLUTION

# %% [markdown]
# **Question.** And of what is it the gradient?

# %% question="delta_of_what"
### BEGIN SOLUTION
delta_of_what = "d"
### END SOLUTION

# %% [markdown]
# **Question.** What, besides the parameters and $Y$, does the backward pass need?

# %% question="what_to_keep"
### BEGIN SOLUTION
what_to_keep = "b"
### END SOLUTION

# %% [markdown]
# **Question.** What must be differentiable for all this to work?

# %% question="differentiable"
### BEGIN SOLUTION
differentiable = "c"
### END SOLUTION

# %% [markdown]
# **Question.** A network has $L$ layers. The naive way computes each layer's gradient by the chain rule from the loss, starting again for each layer. Backpropagation goes through the layers once, and uses each $\delta$ for the next. Which is true?

# %% question="cost"
### BEGIN SOLUTION
cost = "a"
### END SOLUTION

# %% [markdown]
# Now write it, without autograd.


# %% question="backward"
def backward(params, outputs, Y):
    """Return the gradients of the mean loss, a dict with the keys and the shapes of params.

    outputs is what forward kept; Y (N, n_y) is one-hot.
    """
    ### BEGIN SOLUTION
    delta_y = (outputs["yhat"] - Y) / len(Y)
    delta_h = (delta_y @ params["Wy"]) * (1 - outputs["h"] ** 2)
    return {
        "Wh": delta_h.T @ outputs["X"],
        "bh": delta_h.sum(dim=0),
        "Wy": delta_y.T @ outputs["h"],
        "by": delta_y.sum(dim=0),
    }
    ### END SOLUTION


# %% [markdown]
# ## 6. One step
#
# Gradient descent moves each parameter against its gradient, by the learning rate $\eta$ times as much: $\theta \leftarrow \theta - \eta\, \nabla_\theta L$. Return a **new** dict. Whoever called you may still need the old parameters, so leave them as they are (`p -= ...` changes the tensor that both of you hold).


# %% question="sgd"
def sgd(params, grads, eta):
    """Return new parameters after one step of size eta against grads; params stay as they are."""
    ### BEGIN SOLUTION
    return {name: params[name] - eta * grads[name] for name in params}
    ### END SOLUTION


# %% [markdown]
# ## 7. Training
#
# An *epoch* goes once through all examples, in small batches. The gradient of a batch is a noisy estimate of the gradient of all the data, and a cheap one.
#
# **Question.** Near a minimum the loss is a quadratic. In two dimensions, take the one whose matrix of second derivatives has the eigenvalues 0.5 and 5. Below which learning rate does gradient descent converge (full batch, no momentum)? A number.

# %% question="largest_step"
### BEGIN SOLUTION
largest_step = 0.4
### END SOLUTION

# %% [markdown]
# **Question.** The gradient of a single example, drawn at random, has some standard deviation around the gradient of all the data. By which factor does the standard deviation change if you take the mean over 16 examples, drawn independently?

# %% question="batch_noise"
### BEGIN SOLUTION
batch_noise = 0.25
### END SOLUTION

# %% [markdown]
# **Question.** Which makes an *epoch* faster: mini-batches of 64 examples, or one example at a time?

# %% question="batch_speed"
### BEGIN SOLUTION
batch_speed = "c"
### END SOLUTION

# %% [markdown]
# Now the loop. So that it can be checked, do exactly this in each epoch:
#
# - draw one permutation of the $N$ examples, `torch.randperm(N, generator=generator)`;
# - take its slices of `batch_size` one after the other; the last may be smaller, and is used too;
# - for each slice: `forward`, then `loss_accuracy` (this is the loss *before* the step), `backward`, `sgd`;
# - append the epoch's loss to `losses`: the mean over its $N$ examples of the losses that you saw on the way. A batch counts as many times as it has examples.
#
# The parameters that came in stay as they are.


# %% question="train"
def train(params, X, Y, eta, epochs, batch_size, generator):
    """Return (params, losses): the trained parameters, and one mean loss for each epoch."""
    ### BEGIN SOLUTION
    N = len(X)
    losses = []
    for _ in range(epochs):
        order = torch.randperm(N, generator=generator)
        total = 0.0
        for start in range(0, N, batch_size):
            batch = order[start : start + batch_size]
            yhat, outputs = forward(params, X[batch])
            loss, _ = loss_accuracy(yhat, Y[batch])
            total += float(loss) * len(batch)
            params = sgd(params, backward(params, outputs, Y[batch]), eta)
        losses.append(total / N)
    return params, losses
    ### END SOLUTION


# %% [markdown]
# ## 8. Two rings
#
# It is complete. Let it learn: 200 points, two classes, one ring inside the other.

# %%
plotting.use_style()
circles = data.circles(seed=0)
torch.manual_seed(0)

beginning = init_params(2, 16, 2)
trained, history = train(
    beginning,
    circles.X_train,
    circles.Y_train,
    eta=0.5,
    epochs=100,
    batch_size=20,
    generator=torch.Generator().manual_seed(0),
)
for name, X, Y in (
    ("training", circles.X_train, circles.Y_train),
    ("test", circles.X_test, circles.Y_test),
):
    loss, accuracy = loss_accuracy(forward(trained, X)[0], Y)
    print(f"{name:>8}: loss {float(loss):.3f}, accuracy {float(accuracy):.3f}")

# %%
_ = plotting.curves({"training loss": history})

# %%
_ = plotting.decision_boundary(
    lambda points: forward(trained, points)[0], circles.X_test, circles.Y_test
)

# %% [markdown]
# Go back and change `16` hidden neurons into 2, then 3. (Run the two cells again each time.)
#
# **Explain** in three to five sentences: what does the boundary look like with 2, 3 and 16 hidden neurons, and why can two hidden neurons not separate the rings? A person will read this.

# %% [markdown] question="explain_boundary"
# <!-- ### BEGIN SOLUTION -->
# Each hidden neuron changes along one direction of the plane only: the points where it is 0 form a straight line. With two of them the class can depend on two such lines at most, and the region that they cut out is open on some side: a band or a corner, never closed around the inner ring. With three, the lines can form a triangle with rounded corners around it, and training often finds that. With sixteen it closes as well, and could follow any closed curve, but once the rings are apart nothing makes it rounder. More neurons do not improve the test accuracy from there on: the points that remain wrong are those that the noise has carried towards the other ring.
# <!-- ### END SOLUTION -->

# %% [markdown]
# Now the batches. The cell trains three times from the same beginning, for as many epochs.

# %%
import time

import matplotlib.pyplot as plt

fig, ax = plotting.figure()
for i, size in enumerate((1, 20, 200)):
    began = time.perf_counter()
    _, history = train(
        beginning,
        circles.X_train,
        circles.Y_train,
        eta=0.1,
        epochs=30,
        batch_size=size,
        generator=torch.Generator().manual_seed(0),
    )
    seconds = time.perf_counter() - began
    print(f"batches of {size:>3}: {1000 * seconds / 30:.1f} ms an epoch")
    plotting.line(ax, range(1, 31), history, i, f"batches of {size}")
ax.set(xlabel="epoch", ylabel="training loss")
ax.legend()
plt.show()

# %% [markdown]
# **Explain** in three to five sentences: which batch size is the fastest for an epoch, which gets lowest in 30 epochs, and why are the two not the same? Why is the comparison at one learning rate unfair to the full batch? A person will read this.

# %% [markdown] question="explain_batches"
# <!-- ### BEGIN SOLUTION -->
# The full batch is the fastest for an epoch: one product with 200 rows costs far less than 200 products with one row, for the same number of operations. But an epoch is then a single step, and 30 steps with a learning rate of 0.1 do not lead far; with single examples an epoch is 200 steps, noisy ones, 6000 in all, and the loss falls lowest. Speed for an epoch and progress in an epoch are different things, and batches between the two are a compromise. The comparison is unfair because a larger batch has a less noisy gradient, so it could take larger steps: each size should have the learning rate that suits it best, and the same time rather than the same number of epochs.
# <!-- ### END SOLUTION -->
