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
# # Regularisation
#
# A network that knows its training examples by heart has learned too much. You will write what holds it back: penalties on the weights and their gradients, the steps that make weights exactly zero, weight decay as AdamW does it, early stopping that keeps the best weights, two ways of clipping gradients, and dropout as the average of all the thinned networks that it trains. At the end you measure what an L1 penalty does to the weights of a classifier of digits.
#
# No function may change what it is given, unless the text says so, and floating-point numbers keep their precision. "A list of tensors" means tensors of any shapes, at least one.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("regularisation.shrink")` helps you on. Each function is graded by itself, so a mistake in one of them does not spoil the others. It takes about two hours and goes with the chapter on regularisation in Part 3.

# %%
import copy
import itertools

import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the arrays here are small

# %% [markdown]
# ## 1. Penalties
#
# A penalty is added to the loss, so that large weights cost something:
#
# $$f(\theta) = \mathrm{loss}(\theta) + \lambda\, \Omega(\theta), \qquad \lambda \ge 0 .$$
#
# $\lambda$ (`lam` in code) is a hyper-parameter, often near $10^{-2}$ or $10^{-3}$, chosen on validation data. Usually only the weights are penalised and the biases are not. That choice is made by whoever calls the functions below: they take the tensors that they get.
#
# **Question.** Which $\Omega$ does ridge regression use, the best known of all penalties?

# %% question="ridge"
### BEGIN SOLUTION
ridge = "b"
### END SOLUTION

# %% [markdown]
# The L1 penalty, also called the lasso, adds up absolute values, over all entries of all tensors:
#
# $$\lambda \sum_i |w_i| .$$
#
# Return a number (a 0-dimensional tensor). In a training it is added to the loss and differentiated with it, so autograd must be able to follow your result back to the weights.


# %% question="l1_penalty"
def l1_penalty(weights, lam):
    """Return lam times the sum of |w|; weights is a list of tensors."""
    ### BEGIN SOLUTION
    return lam * sum(w.abs().sum() for w in weights)
    ### END SOLUTION


# %% [markdown]
# The L2 penalty adds up squares:
#
# $$\lambda \sum_i w_i^2 .$$
#
# Many texts write $\lambda / 2$ instead. Here, as above, there is no 1/2.


# %% question="l2_penalty"
def l2_penalty(weights, lam):
    """Return lam times the sum of w squared; weights is a list of tensors."""
    ### BEGIN SOLUTION
    return lam * sum(w.square().sum() for w in weights)
    ### END SOLUTION


# %% [markdown]
# The elastic net takes both, each with a strength of its own, $\lambda_1 \sum_i |w_i| + \lambda_2 \sum_i w_i^2$.


# %% question="elastic_net_penalty"
def elastic_net_penalty(weights, l1, l2):
    """Return l1 times the sum of |w| plus l2 times the sum of w squared, over a list of tensors."""
    ### BEGIN SOLUTION
    return sum(l1 * w.abs().sum() + l2 * w.square().sum() for w in weights)
    ### END SOLUTION


# %% [markdown]
# Autograd finds the gradient of a penalty by itself, but it is worth seeing. Write the gradient of the elastic net for one tensor `w`, by hand. At $w = 0$ the absolute value has no slope: take 0 there, so that a weight that is zero is left in peace. No autograd here.


# %% question="penalty_gradient"
def penalty_gradient(w, l1, l2):
    """Return the gradient of the elastic net at w, a tensor of any shape: one of the same shape."""
    ### BEGIN SOLUTION
    return l1 * torch.sign(w) + 2 * l2 * w
    ### END SOLUTION


# %% [markdown]
# Look at the two parts of your formula. The L2 part gets small as the weight does: a weight is pulled less and less, and never arrives. The L1 part pulls with the same force down to the end.
#
# torch's optimisers have an argument `weight_decay`. In `torch.optim.SGD` each step adds `weight_decay * w` to the gradient of `w`, before it multiplies by the learning rate.
#
# **Question.** With the learning rate 0.1, which `weight_decay` does the same as the penalty $\lambda \lVert w \rVert^2$ with $\lambda = 0.01$? A number.

# %% question="weight_decay"
### BEGIN SOLUTION
weight_decay = 0.02
### END SOLUTION

# %% [markdown]
# ## 2. Proximal steps
#
# There is another way to make use of a penalty: first a gradient step on the loss *alone*, which leads to $v$, and then a step on the penalty *alone*, done exactly. It looks for a $w$ that is close to $v$ and has a small penalty:
#
# $$\operatorname{prox}(v) = \arg\min_w\ \tfrac12 (w - v)^2 + t\, \Omega(w), \qquad t = \text{learning rate} \times \lambda .$$
#
# For $\Omega(w) = |w|$ the answer is the **soft threshold**. Each entry moves by $t$ towards zero; where it would get to zero or past it, it stops there:
#
# $$w = \operatorname{sign}(v)\, \max(|v| - t,\ 0) .$$


# %% question="soft_threshold"
def soft_threshold(v, t):
    """Return v, a tensor of any shape, with each entry moved by t towards zero, to zero at most."""
    ### BEGIN SOLUTION
    return torch.sign(v) * (v.abs() - t).clamp(min=0)
    ### END SOLUTION


# %% [markdown]
# And for the squared norm, $\Omega(w) = w^2$? This time find the formula yourself: set the derivative of $\frac12 (w - v)^2 + t\, w^2$ to zero.


# %% question="shrink"
def shrink(v, t):
    """Return the w that minimises (w - v)^2 / 2 + t w^2, entry by entry, for v of any shape."""
    ### BEGIN SOLUTION
    return v / (1 + 2 * t)
    ### END SOLUTION


# %% [markdown]
# **Question.** You want weights that are *exactly* zero, so that their inputs can be left out. Which of these gives them, for a fixed learning rate?

# %% question="exact_zeros"
### BEGIN SOLUTION
exact_zeros = "d"
### END SOLUTION

# %% [markdown]
# ## 3. Weight decay and Adam
#
# Adam keeps two moving averages for each weight: $\hat m$ of its gradient and $\hat v$ of its squared gradient (both corrected for their start at zero). Its step is $\eta\, \hat m / (\sqrt{\hat v} + \varepsilon)$.
#
# With an L2 penalty in the loss, the penalty's gradient goes into $\hat m$ and $\hat v$ like any other. **Decoupled** weight decay, the W in AdamW, keeps it out. It takes a fraction of the weight directly:
#
# $$w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \varepsilon} - \eta\, \delta\, w ,$$
#
# where $\delta$ is `weight_decay` and both parts use the old $w$. Write this step, with the averages given.


# %% question="decoupled_step"
def decoupled_step(w, m, v, lr, decay, eps):
    """Return the new weights; w, the corrected averages m and v, and the result have one shape."""
    ### BEGIN SOLUTION
    return w - lr * (m / (v.sqrt() + eps) + decay * w)
    ### END SOLUTION


# %% [markdown]
# **Question.** What does an L2 penalty in the loss do when Adam is the optimiser?

# %% question="l2_in_adam"
### BEGIN SOLUTION
l2_in_adam = "a"
### END SOLUTION

# %% [markdown]
# ## 4. Early stopping
#
# Watch the validation loss, stop when it no longer gets better, and keep the weights of the best epoch. `patience` says how long to wait: training ends as soon as `patience` epochs **in a row** were not better than the best one so far. *Better* means lower, really lower. A loss can be `nan` when the training fails for a moment; `nan` is never better than anything, and any number is better than `nan`.
#
# Epochs count from 0. Given the validation losses that a training *would* have, epoch by epoch, find the best of the epochs that are trained, and the last one that is trained. Where nothing stops the training, that is the last of the list. (At least one of the first `patience` losses is a number.)


# %% question="early_stopping"
def early_stopping(losses, patience):
    """Return (best, last), two epochs, for a list of losses, one float an epoch."""
    ### BEGIN SOLUTION
    best, lowest = -1, float("inf")
    for epoch, loss in enumerate(losses):
        if loss < lowest:
            best, lowest = epoch, loss
        if epoch - best >= patience:
            break
    return best, epoch
    ### END SOLUTION


# %% [markdown]
# Now with a real model (a PyTorch module). `train_epoch()` trains it for one epoch, in place, and returns the validation loss after that epoch. It may be called `epochs` times at most. Stop early as above, and leave the model **as it was right after its best epoch**, parameters and buffers (a batch norm's running statistics are buffers). The best epoch is the result. Here all losses are numbers.
#
# `model.state_dict()` and `model.load_state_dict(...)` are made for this. Read in their documentation what exactly you get.


# %% question="train_and_restore"
def train_and_restore(model, train_epoch, epochs, patience):
    """Train with early stopping, put the best epoch's weights back, and return that epoch."""
    ### BEGIN SOLUTION
    best, lowest = -1, float("inf")
    for epoch in range(epochs):
        loss = train_epoch()
        if loss < lowest:
            best, lowest, weights = epoch, loss, copy.deepcopy(model.state_dict())
        if epoch - best >= patience:
            break
    model.load_state_dict(weights)
    return best
    ### END SOLUTION


# %% [markdown]
# **Question.** A training stopped after 200 epochs, and the best validation loss was 0.31. What does this 0.31 say about the loss on new data?

# %% question="stopped_loss"
### BEGIN SOLUTION
stopped_loss = "c"
### END SOLUTION

# %% [markdown]
# Why does stopping early regularise at all? Take one weight with the loss $\frac h2 (w - w^*)^2$: curvature $h$, lowest at $w^*$. Gradient descent starts at $w = 0$ and covers a part of the way to $w^*$.
#
# **Question.** With $h = 2$ and the learning rate 0.1, which fraction of the way is done after 10 steps? (A number, to three digits or more.)

# %% question="learned_fraction"
### BEGIN SOLUTION
learned_fraction = 0.8926
### END SOLUTION

# %% [markdown]
# With the penalty $\lambda w^2$ added to the same loss, the lowest point is at the fraction $h / (h + 2\lambda)$ of the way: it stays nearer to zero too, most of all where the curvature is small.
#
# **Question.** Which $\lambda$ leads to the same point as those 10 steps? (A number, to three digits or more.)

# %% question="equal_penalty"
### BEGIN SOLUTION
equal_penalty = 0.12029
### END SOLUTION

# %% [markdown]
# ## 5. Clipping
#
# On a cliff of the loss a gradient can be thousands of times as long as usual, and a single step throws the weights far away. Clipping shortens it. *By value*, each entry of the gradient that is beyond the limit becomes the limit, with its sign: the range is $[-\mathrm{limit}, \mathrm{limit}]$.


# %% question="clip_by_value"
def clip_by_value(grads, limit):
    """Return the list of tensors grads with each entry clipped to the range -limit to limit."""
    ### BEGIN SOLUTION
    return [g.clamp(-limit, limit) for g in grads]
    ### END SOLUTION


# %% [markdown]
# *By norm*, the gradient as a whole is scaled. Let $\lVert g \rVert$ be the Euclidean norm of **all entries of all tensors together**, as if they were one long vector. Where it is larger than `max_norm`, every tensor is multiplied by the same factor, so that the norm becomes `max_norm`. Where it is not, nothing changes. Return the norm as well, as it was before: whoever trains wants to see it.


# %% question="clip_by_norm"
def clip_by_norm(grads, max_norm):
    """Return (clipped, norm): the list of tensors, and the norm of grads before the clipping."""
    ### BEGIN SOLUTION
    norm = torch.cat([g.flatten() for g in grads]).norm()
    factor = max_norm / norm if norm > max_norm else 1.0
    return [g * factor for g in grads], norm
    ### END SOLUTION


# %% [markdown]
# **Question.** What do the two leave as it was, when they change a gradient?

# %% question="what_clipping_keeps"
### BEGIN SOLUTION
what_clipping_keeps = "a"
### END SOLUTION

# %% [markdown]
# ## 6. Dropout, unit by unit
#
# Dropout drops each unit with probability $p$, by a draw of its own, and keeps it with probability $q = 1 - p$. For $H$ units there are $2^H$ masks, and each leaves another *thinned* network. For a few units we can look at all of them.
#
# **Question.** A layer has three units and $p = 0.2$. With which probability is the mask "first and third kept, second dropped" drawn? A number.

# %% question="mask_probability"
### BEGIN SOLUTION
mask_probability = 0.128
### END SOLUTION

# %% [markdown]
# Take one layer with a softmax: units $h$, shape $(H,)$, weights $W$, $(C, H)$, biases $b$, $(C,)$. The thinned network of the mask $m$, with entries 0 and 1, gives the probabilities
#
# $$P_m = \operatorname{softmax}\bigl(W (m \odot h) + b\bigr) .$$
#
# The ensemble of all of them is their **geometric mean**, weighted by the probabilities $\pi_m$ with which the masks are drawn, and divided by its sum, so that it is a distribution again:
#
# $$P = \frac{1}{Z} \prod_m P_m^{\pi_m}, \qquad Z \text{ such that } \sum_c P_c = 1 .$$
#
# Units are not divided by $q$ here: the masks are plain zeros and ones. Compute $P$ by going through all the masks. Sums of logarithms are safer than products.


# %% question="ensemble"
def ensemble(h, W, b, p):
    """Return the probabilities (C,) of all 2^H thinned networks together; h is (H,)."""
    ### BEGIN SOLUTION
    total = torch.zeros_like(b)
    for mask in itertools.product((0, 1), repeat=len(h)):
        chance = 1.0
        for kept in mask:
            chance *= 1 - p if kept else p
        thinned = torch.tensor(mask, dtype=h.dtype) * h
        total = total + chance * (W @ thinned + b).log_softmax(dim=0)
    return total.softmax(dim=0)
    ### END SOLUTION


# %% [markdown]
# With 100 units there are $2^{100}$ masks. Dropout at test makes **one** pass instead, with nothing dropped and each unit multiplied by $q$. Compare the two:

# %%
generator = torch.Generator().manual_seed(0)
h = torch.randn(10, generator=generator, dtype=torch.float64)
W = torch.randn(3, 10, generator=generator, dtype=torch.float64)
b = torch.randn(3, generator=generator, dtype=torch.float64)
together = ensemble(h, W, b, p=0.3)
one_pass_at_test = (W @ (0.7 * h) + b).softmax(dim=0)
print("1024 thinned networks:", " ".join(f"{value:.6f}" for value in together))
print("one pass, units * 0.7:", " ".join(f"{value:.6f}" for value in one_pass_at_test))

# %% [markdown]
# **Question.** So what is that one pass?

# %% question="one_pass"
### BEGIN SOLUTION
one_pass = "c"
### END SOLUTION

# %% [markdown]
# ## 7. Which pixels does it need?
#
# Digits of 8 by 8 pixels, and only 200 of them to learn from. A linear classifier has 640 weights: more than it has examples. Full-batch gradient descent, then one of your proximal steps after each of its steps. `W` is $(10, 64)$.

# %%
import matplotlib.pyplot as plt

plotting.use_style()
digits = data.digits(seed=0, dtype=torch.float64)
X, y = digits.X_train[:200], digits.Y_train[:200].argmax(dim=1)


def fit(after_step=None, penalty=None, steps=400, lr=0.5):
    """Train W and b on the loss plus a penalty; after_step makes a new W of W after each step."""
    W = torch.zeros(10, 64, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(X @ W.T + b, y)
        if penalty is not None:
            loss = loss + penalty(W)
        grad_W, grad_b = torch.autograd.grad(loss, (W, b))
        with torch.no_grad():
            b -= lr * grad_b
            W -= lr * grad_W
            if after_step is not None:
                W.copy_(after_step(W, lr))
    return W.detach(), b.detach()


def accuracy(W, b, X, Y):
    """Return the fraction of the examples that are classified right."""
    right = (X @ W.T + b).argmax(dim=1) == Y.argmax(dim=1)
    return float(right.double().mean())


def report(name, W, b):
    zeros = int((W == 0).sum())
    found = accuracy(W, b, digits.X_val, digits.Y_val)
    print(f"{name:<34} {zeros:>3} of {W.numel()} weights are 0, validation accuracy {found:.3f}")


always = (digits.X_train[:200] == 0).all(dim=0)
print(f"{10 * int(always.sum())} weights belong to pixels that are 0 in all 200 images\n")
report("no penalty", *fit())
report("L1, by gradient (lam 0.003)", *fit(penalty=lambda W: l1_penalty([W], 0.003)))
found = {}
for lam in (0.0003, 0.001, 0.003, 0.01):
    found[lam] = fit(after_step=lambda W, lr, lam=lam: soft_threshold(W, lr * lam))
    report(f"L1, soft threshold (lam {lam})", *found[lam])
for lam in (0.001, 0.01):
    report(f"L2, shrink (lam {lam})", *fit(lambda W, lr, lam=lam: shrink(W, lr * lam)))

# %% [markdown]
# One picture a class shows which pixels speak for it (red) and against it (blue); white is a weight of zero.

# %%
fig, axes = plt.subplots(2, 10, figsize=(9, 2.2))
for row, (W, _) in zip(axes, (fit(), found[0.003]), strict=True):
    for digit, ax in enumerate(row):
        limit = float(W.abs().max())
        ax.imshow(W[digit].view(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[], title=str(digit))
axes[0, 0].set_ylabel("no penalty")
axes[1, 0].set_ylabel("L1")
plt.show()

# %% [markdown]
# Now measure something yourself. Choose a strength for L1 or for L2 on the validation digits, with other sets of 200 training digits too (`digits.X_train[200:400]`, and so on), and measure the chosen one **once** on the test digits, beside no penalty.
#
# **Explain** in four to eight sentences: which strengths did you try, which did you choose and by which numbers, what does the penalty gain on the test digits, and would you expect as much with 1,000 training digits? A person will read this.

# %% [markdown] question="explain_penalty"
# <!-- ### BEGIN SOLUTION -->
# A good answer lists a range of strengths spread by factors (0.0001 to 0.1, say), gives the validation accuracy of each for three or more training sets, and chooses by their mean. It reports the test accuracy of that one strength and of no penalty, once, and compares the difference with the spread between training sets: with 360 test digits an accuracy near 0.9 has a standard error of about 0.016, so a gain of one point means little. A typical finding is that a moderate penalty changes the accuracy hardly or helps a little, a strong one harms, and L1 sets most weights to zero on the way. With more training digits the loss itself says more about each weight, so the best strength is smaller and the gain shrinks. A very good answer adds that the best of many strengths looks better on the validation digits than it is.
# <!-- ### END SOLUTION -->
