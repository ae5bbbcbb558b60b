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
# # One network, four ways
#
# In `by_hand` you wrote everything yourself. Now torch takes over, one piece at a time: the backward pass by **autograd**, the forward pass by **torch.nn**, the update by **torch.optim**. The network, the data and the numbers stay the same, so each piece can be held against the one that it replaces.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("four_ways.cross_entropy")` helps you on. It takes about an hour and goes with the last chapter of Part 1.

# %%
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # matrices this small are fastest on one thread

# %% [markdown]
# ## 1. Logits and probabilities
#
# The losses of torch want **logits**, the numbers before softmax, and apply softmax themselves. Whoever gives them probabilities applies softmax twice. There is no error message: the network learns, but slowly at first, and its loss never comes near 0. The next questions show how to find that out.
#
# **Question.** There are two classes, and the prediction is perfect: the true class has probability 1, the other 0. These *probabilities* go into `nn.CrossEntropyLoss` as if they were logits. What is the loss? (A number, to three digits or more. It should be 0.)

# %% question="perfect_twice"
### BEGIN SOLUTION
perfect_twice = 0.3133
### END SOLUTION

# %% [markdown]
# **Question.** And when the prediction is uniform, the probabilities 1/2 and 1/2? (A number. This is the first loss of a new network, a well-known test of whether all is well.)

# %% question="uniform_twice"
### BEGIN SOLUTION
uniform_twice = 0.6931
### END SOLUTION

# %% [markdown]
# **Question.** A network for classes is trained with `nn.CrossEntropyLoss`. What should it end with?

# %% question="last_layer"
### BEGIN SOLUTION
last_layer = "c"
### END SOLUTION

# %% [markdown]
# Put $\hat y = \mathrm{softmax}(\tilde y)$ into the cross-entropy and simplify. For one example,
#
# $$\ell = -\sum_i y_i \log \frac{e^{\tilde y_i}}{\sum_j e^{\tilde y_j}} = \log \sum_j e^{\tilde y_j} - \sum_i y_i \tilde y_i,$$
#
# since the $y_i$ sum to 1. No probability is left that could underflow to 0, and the first term is safe once the row's maximum $m$ is taken out of it:
#
# $$\log \sum_j e^{\tilde y_j} = m + \log \sum_j e^{\tilde y_j - m}.$$
#
# Write the mean of $\ell$ over the batch. It must be exact for logits of 1000, and for an example whose true class is hopeless: that one is *supposed* to cost thousands.


# %% question="cross_entropy"
def cross_entropy(logits, Y):
    """Return the mean cross-entropy of logits (N, n_y) against the one-hot Y (N, n_y)."""
    ### BEGIN SOLUTION
    m = logits.amax(dim=1, keepdim=True)
    log_sum = m[:, 0] + torch.exp(logits - m).sum(dim=1).log()
    return (log_sum - (Y * logits).sum(dim=1)).mean()
    ### END SOLUTION


# %% [markdown]
# ## 2. Backward by autograd
#
# Autograd records what is computed from tensors that *require gradients*, and `loss.backward()` goes back through the record. It leaves each gradient in the `.grad` of its tensor.
#
# **Question.** What happens in a training loop that never clears the gradients?

# %% question="no_zero_grad"
### BEGIN SOLUTION
no_zero_grad = "b"
### END SOLUTION

# %% [markdown]
# **Question.** Why does the update of the parameters belong under `torch.no_grad()`?

# %% question="why_no_grad"
### BEGIN SOLUTION
why_no_grad = "a"
### END SOLUTION

# %% [markdown]
# **Question.** In older code one reads `p.data -= eta * p.grad` instead. What speaks against it?

# %% question="data_attribute"
### BEGIN SOLUTION
data_attribute = "c"
### END SOLUTION

# %% [markdown]
# **Question.** A loop keeps its losses by `losses.append(loss)`. Why is `losses.append(loss.item())` better?

# %% question="keep_the_number"
### BEGIN SOLUTION
keep_the_number = "d"
### END SOLUTION

# %% [markdown]
# Now write the loop. It takes `steps` steps of plain gradient descent, each with **all** the examples (no batches, no shuffling). The parameters are the dict that you know: `Wh`, `bh`, `Wy`, `by`. `losses` has each step's loss *before* its update. For the loss take `nn.functional.cross_entropy`, which does what your function does.
#
# The dict that comes in holds ordinary tensors. Train copies of them that require gradients, and leave the caller's as they are.


# %% question="autograd_train"
def autograd_train(params, X, Y, eta, steps):
    """Return (params, losses) after full-batch gradient descent, with gradients by autograd."""
    ### BEGIN SOLUTION
    p = {name: value.clone().requires_grad_() for name, value in params.items()}
    losses = []
    for _ in range(steps):
        h = torch.tanh(X @ p["Wh"].T + p["bh"])
        loss = nn.functional.cross_entropy(h @ p["Wy"].T + p["by"], Y)
        loss.backward()
        with torch.no_grad():
            for value in p.values():
                value -= eta * value.grad
                value.grad = None
        losses.append(loss.item())
    return {name: value.detach() for name, value in p.items()}, losses
    ### END SOLUTION


# %% [markdown]
# ## 3. Forward by torch.nn
#
# A module holds parameters and computes something with them. Build the network from `nn.Linear` and `nn.Tanh`, and copy the given parameters into it. It takes $X$ and returns the logits. `nn.Linear(n_in, n_out)` keeps a `weight` of shape $(n_{out}, n_{in})$ and a `bias`: the layout that we have used all along. It has the precision of `params` (look at the `dtype` argument).


# %% question="nn_model"
def nn_model(params):
    """Return an nn.Module from X (N, n_x) to logits (N, n_y), with the parameters of params."""
    ### BEGIN SOLUTION
    (nh, nx), ny = params["Wh"].shape, len(params["by"])
    dtype = params["Wh"].dtype
    model = nn.Sequential(nn.Linear(nx, nh, dtype=dtype), nn.Tanh(), nn.Linear(nh, ny, dtype=dtype))
    with torch.no_grad():
        model[0].weight.copy_(params["Wh"])
        model[0].bias.copy_(params["bh"])
        model[2].weight.copy_(params["Wy"])
        model[2].bias.copy_(params["by"])
    return model
    ### END SOLUTION


# %% [markdown]
# The same loop with your `nn_model` and `nn.CrossEntropyLoss`. The update is still yours: go through `model.parameters()`. At the end, collect the parameters in a dict with the usual keys.


# %% question="nn_train"
def nn_train(params, X, Y, eta, steps):
    """Return (params, losses) after full-batch gradient descent, with forward by torch.nn."""
    ### BEGIN SOLUTION
    model = nn_model(params)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in range(steps):
        loss = criterion(model(X), Y)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= eta * parameter.grad
        losses.append(loss.item())
    names = ("Wh", "bh", "Wy", "by")
    return {name: p.detach() for name, p in zip(names, model.parameters(), strict=True)}, losses
    ### END SOLUTION


# %% [markdown]
# ## 4. Update by torch.optim
#
# Last, `torch.optim.SGD` makes the step. Three calls in the right order: forget the old gradients, compute the new ones, step.


# %% question="optim_train"
def optim_train(params, X, Y, eta, steps):
    """Return (params, losses) after full-batch gradient descent, with updates by torch.optim."""
    ### BEGIN SOLUTION
    model = nn_model(params)
    optimizer = torch.optim.SGD(model.parameters(), lr=eta)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    keys = ("Wh", "bh", "Wy", "by")
    return {key: p.detach() for key, p in zip(keys, model.parameters(), strict=True)}, losses
    ### END SOLUTION


# %% [markdown]
# ## 5. The same numbers
#
# The three start from the same parameters, in double precision, and take 200 steps on the two rings.

# %%
plotting.use_style()
circles = data.circles(seed=0, dtype=torch.float64)

generator = torch.Generator().manual_seed(0)
start = {
    "Wh": 0.3 * torch.randn(16, 2, generator=generator, dtype=torch.float64),
    "bh": torch.zeros(16, dtype=torch.float64),
    "Wy": 0.3 * torch.randn(2, 16, generator=generator, dtype=torch.float64),
    "by": torch.zeros(2, dtype=torch.float64),
}
results = {
    train.__name__: train(start, circles.X_train, circles.Y_train, 1.0, 200)
    for train in (autograd_train, nn_train, optim_train)
}
first_params, first_losses = results["autograd_train"]
for name, (params, losses) in results.items():
    apart = max(float((params[key] - first_params[key]).abs().max()) for key in params)
    print(f"{name:>14}: last loss {losses[-1]:.6f}, parameters apart by at most {apart:.1e}")

# %%
_ = plotting.curves({"training loss": first_losses})

# %% [markdown]
# **Question.** How far do the versions agree, by hand and with torch, in floating-point numbers?

# %% question="how_equal"
### BEGIN SOLUTION
how_equal = "b"
### END SOLUTION

# %% [markdown]
# **Question.** A support vector machine, for comparison. Which kernel can separate the two rings?

# %% question="which_kernel"
### BEGIN SOLUTION
which_kernel = "d"
### END SOLUTION

# %% [markdown]
# **Explain** in three to five sentences: what does each of autograd, `torch.nn` and `torch.optim` take off your hands, and what mistake can you now make with it that was impossible by hand? A person will read this.

# %% [markdown] question="explain_ways"
# <!-- ### BEGIN SOLUTION -->
# Autograd replaces the derivation and the code of the backward pass, and stays right when the network changes; in return one can forget to clear gradients, which add up, or record what should not be recorded. torch.nn replaces the dict of parameters and the formulas of the layers; one can now end a network with a softmax that the loss applies a second time, and nothing complains. torch.optim replaces the update, so that momentum or Adam cost one word; one can give it the wrong parameters or call its methods in the wrong order. All three hide numbers that were in plain sight by hand, so tests of the whole, such as twenty examples learned by heart, matter more.
# <!-- ### END SOLUTION -->
