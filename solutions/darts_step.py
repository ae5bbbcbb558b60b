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
# # A step of DARTS
#
# DARTS (Liu, Simonyan and Yang, 2019) trains a network that contains all candidates at once. Its weights $w$ go down the training loss, and its architecture parameters $\alpha$ go down the validation loss, in turn. This sounds simple, and it is easy to get wrong without noticing: the search runs, the numbers move, and what moves them is not what was meant. You will write one step, piece by piece: which data move what, the gradient of $\alpha$ through a step of $w$, exactly and by the paper's difference, the step of $w$, and the loop with two optimisers. Then you measure what the pieces are worth.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("darts_step.unrolled_gradient")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about three hours and goes with the chapter on searching, in Part 5.
#
# A loss is a function of the weights and the architecture: `train_loss(w, alpha)` and `val_loss(w, alpha)` are numbers, each on its own data, that autograd can follow back. `alpha` has the shape (edges, operations), `w` may have any shape. Both come without `requires_grad`: make copies that have it, and leave the arguments as they are. In the checks the supernet is `witness.ChainLoss`, a chain of mixed edges, each with three operations: none, skip and $\tanh(w a)$.

# %%
import matplotlib.pyplot as plt
import torch

from mlcourse import plotting, witness

torch.set_num_threads(1)  # the arrays here are small

# %% [markdown]
# ## 1. Two losses
#
# The training data are cut into two halves: one moves $w$, the other moves $\alpha$. (The test data move nothing.) `order` is a list with the numbers $0, \dots, n - 1$ in random order. Its first $\lfloor n / 2 \rfloor$ entries are for $w$, all others for $\alpha$.


# %% question="halves"
def halves(order):
    """Return (the numbers of the examples that move w, those that move alpha), two lists."""
    ### BEGIN SOLUTION
    half = len(order) // 2
    return order[:half], order[half:]
    ### END SOLUTION


# %% [markdown]
# **Question.** Someone moves both, $w$ and $\alpha$, on all the training data: "twice as much data for each". What does the search do then?

# %% question="alpha_on_training_data"
### BEGIN SOLUTION
alpha_on_training_data = "c"
### END SOLUTION

# %% [markdown]
# **What a loss looks like.** On each edge all operations are at work, mixed by the softmax of the edge's $\alpha$. `outputs`, (edges, operations, $N$), are what the operations put out for $N$ examples. Add what the mixed edges bring, and return the mean squared error against `y`, $(N,)$.


# %% question="mixed_loss"
def mixed_loss(alpha, outputs, y):
    """Return the loss, a number; alpha is (edges, operations)."""
    ### BEGIN SOLUTION
    prediction = (alpha.softmax(dim=1)[:, :, None] * outputs).sum(dim=(0, 1))
    return ((prediction - y) ** 2).mean()
    ### END SOLUTION


# %% [markdown]
# **First order.** The simplest gradient of $\alpha$ takes the weights as they are, as if they were trained to the end and would not answer. Write it with `torch.autograd.grad`. One of the two losses is not needed.


# %% question="first_order"
def first_order(train_loss, val_loss, w, alpha):
    """Return the first-order gradient that moves alpha, of alpha's shape."""
    ### BEGIN SOLUTION
    alpha = alpha.clone().requires_grad_()
    return torch.autograd.grad(val_loss(w, alpha), alpha)[0]
    ### END SOLUTION


# %% [markdown]
# ## 2. Through one step
#
# But the weights do answer: with another $\alpha$ they would be trained to another place. One step of training stands in for that. It is the step that the **optimiser of $w$** would make, SGD with momentum and weight decay. With the training loss's gradient $g$, the velocity $m$ so far, the momentum $\mu$ and the decay $\lambda$,
#
# $$w' = w - \xi\, (\mu\, m + g + \lambda\, w) .$$
#
# Here $m$ is a sum of gradients, without the rate. (Before the first step it is 0.)


# %% question="virtual_step"
def virtual_step(w, g, velocity, xi, momentum, decay):
    """Return the weights after the step; w, g and velocity have one shape."""
    ### BEGIN SOLUTION
    return w - xi * (momentum * velocity + g + decay * w)
    ### END SOLUTION


# %% [markdown]
# What moves $\alpha$ is the gradient of $L_{\text{val}}(w'(\alpha), \alpha)$, where $w$ and $m$ are constants and $g = \nabla_w L_{\text{train}}(w, \alpha)$ is **not**: it depends on $\alpha$, and so does $w'$. Write it exactly, with `torch.autograd.grad` and your `virtual_step`.


# %% question="unrolled_gradient"
def unrolled_gradient(train_loss, val_loss, w, alpha, velocity, xi, momentum, decay):
    """Return the gradient of the validation loss after the step, of alpha's shape."""
    ### BEGIN SOLUTION
    w, alpha = (tensor.clone().requires_grad_() for tensor in (w, alpha))
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    after = virtual_step(w, g, velocity, xi, momentum, decay)
    return torch.autograd.grad(val_loss(after, alpha), alpha)[0]
    ### END SOLUTION


# %% [markdown]
# **Two ways.** $\alpha$ reaches this loss in two ways: directly, and through $w'$. So the gradient is a sum of two parts. The first is the gradient of $L_{\text{val}}$ in $\alpha$ at $w'$, held fixed. For the second you need
#
# $$v = \nabla_{w'} L_{\text{val}}(w', \alpha), \qquad\text{and}\qquad \nabla_\alpha \bigl( g(w, \alpha) \cdot v \bigr) \quad\text{with } v \text{ held fixed} .$$
#
# Return the two parts such that their **sum** is the unrolled gradient. Mind the sign, the factor, and where each is taken. `after` is $w'$, already computed. (Do momentum and decay come in once more?)


# %% question="two_parts"
def two_parts(train_loss, val_loss, w, after, alpha, xi):
    """Return (the direct part, the second part), both of alpha's shape."""
    ### BEGIN SOLUTION
    w, after, alpha = (tensor.clone().requires_grad_() for tensor in (w, after, alpha))
    v, direct = torch.autograd.grad(val_loss(after, alpha), (after, alpha))
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    return direct, -xi * torch.autograd.grad((g * v).sum(), alpha)[0]
    ### END SOLUTION


# %% [markdown]
# ## 3. The paper's difference
#
# Differentiating twice keeps the whole of the first gradient's computation in memory. The paper takes a difference of two first gradients instead:
#
# $$\nabla_\alpha (g \cdot v) \approx \frac{\nabla_\alpha L_{\text{train}}(w + \varepsilon v, \alpha) - \nabla_\alpha L_{\text{train}}(w - \varepsilon v, \alpha)}{2\, \varepsilon}, \qquad \varepsilon = \frac{0.01}{\lVert v \rVert} ,$$
#
# with one norm over all weights. Whatever you do to the weights on the way, the caller's `w` must be what it was in the end.


# %% question="difference"
def difference(train_loss, w, alpha, v):
    """Return the difference, of alpha's shape; v has the shape of w."""
    ### BEGIN SOLUTION
    alpha = alpha.clone().requires_grad_()
    eps = 0.01 / v.norm()
    (above,) = torch.autograd.grad(train_loss(w + eps * v, alpha), alpha)
    (below,) = torch.autograd.grad(train_loss(w - eps * v, alpha), alpha)
    return (above - below) / (2 * eps)
    ### END SOLUTION


# %% [markdown]
# Now the whole gradient by first derivatives alone. Use your `virtual_step` and `difference`.


# %% question="difference_gradient"
def difference_gradient(train_loss, val_loss, w, alpha, velocity, xi, momentum, decay):
    """Return the gradient as `unrolled_gradient` does, but by the paper's difference."""
    ### BEGIN SOLUTION
    here = w.clone().requires_grad_()
    (g,) = torch.autograd.grad(train_loss(here, alpha), here)
    after = virtual_step(w, g, velocity, xi, momentum, decay).requires_grad_()
    there = alpha.clone().requires_grad_()
    v, direct = torch.autograd.grad(val_loss(after, there), (after, there))
    return direct - xi * difference(train_loss, w, alpha, v)
    ### END SOLUTION


# %% [markdown]
# Your three gradients side by side, on a supernet as in the checks:

# %%
generator = torch.Generator().manual_seed(0)
X, X_val, y, y_val, w, alpha, velocity = (
    torch.randn(shape, generator=generator, dtype=torch.float64)
    for shape in ((50, 4), (50, 4), (50,), (50,), (2, 4), (2, 3), (2, 4))
)
on_train, on_val = witness.ChainLoss(X, y), witness.ChainLoss(X_val, y_val)
step = (velocity, 0.1, 0.9, 3e-4)
for name, g in (
    ("first order", first_order(on_train, on_val, w, alpha)),
    ("exact", unrolled_gradient(on_train, on_val, w, alpha, *step)),
    ("difference", difference_gradient(on_train, on_val, w, alpha, *step)),
):
    print(name.rjust(12), " ".join(f"{number:11.7f}" for number in g.flatten().tolist()))

# %% [markdown]
# How good is the difference? Compare it with the exact product, on two small networks that are equal but for their activation: a smooth one, and the ReLU. Each has three mixed edges of 32 units. For each radius $r$ this cell draws the relative error with $\varepsilon = r / \lVert v \rVert$, in double precision: the median of nine networks.


# %%
def chain(activation, X, y):
    """The loss of a chain of edges with the operations none, skip and a dense layer."""

    def loss(w, alpha):
        a = X
        for weights, (_, skip, layer) in zip(w, alpha.softmax(dim=1), strict=True):
            a = skip * a + layer * activation(a @ weights)
        return ((a.mean(dim=1) - y) ** 2).mean()

    return loss


def product_error(activation, radius, seed):
    """The relative error of the difference with eps = radius / |v|."""
    generator = torch.Generator().manual_seed(seed)
    X, X_val, y, y_val, w, alpha = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((512, 32), (512, 32), (512,), (512,), (3, 32, 32), (3, 3))
    )
    train_loss, val_loss = chain(activation, X, y), chain(activation, X_val, y_val)
    w = w / 32**0.5
    after = w.clone().requires_grad_()
    (v,) = torch.autograd.grad(val_loss(after, alpha), after)
    exact = -two_parts(train_loss, val_loss, w, w, alpha, 1.0)[1]
    eps, there = radius / v.norm(), alpha.requires_grad_()
    above, below = (
        torch.autograd.grad(train_loss(w + side * eps * v, there), there)[0] for side in (1, -1)
    )
    return float(((above - below) / (2 * eps) - exact).norm() / exact.norm())


radii = [10.0**-k for k in range(6)]
plotting.use_style()
fig, ax = plotting.figure(size=(4.8, 3.4))
for i, (name, activation) in enumerate(
    {"softplus": torch.nn.functional.softplus, "ReLU": torch.relu}.items()
):
    errors = torch.tensor([[product_error(activation, r, s) for r in radii] for s in range(9)])
    plotting.line(ax, radii, errors.median(dim=0).values, i, name)
    print(name.rjust(8), " ".join(f"{error:.1e}" for error in errors.median(dim=0).values))
ax.axvline(0.01, color=plotting.INK, linestyle=":", label="the paper's")
ax.set(xlabel="radius, eps |v|", ylabel="relative error", xscale="log", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# **Question.** For the ReLU the error *grows* while the radius falls from 1 to 0.001; for the smooth activation it falls. (At still smaller radii it vanishes, in this small network.) Where does the error come from?

# %% question="kinks"
### BEGIN SOLUTION
kinks = "a"
### END SOLUTION

# %% [markdown]
# ## 4. A step of the search
#
# **The weights** make the step that was imagined, now for real, and with one thing more: if the norm of the **loss's** gradient $g$ is above `clip`, it is scaled to that norm. Then come decay and momentum, as in `virtual_step`. (That was without clipping, as in the paper's code.) Return the new weights and the new velocity.


# %% question="weight_step"
def weight_step(train_loss, w, alpha, velocity, lr, momentum, decay, clip):
    """Return (w, velocity) after a step of SGD with a clipped gradient."""
    ### BEGIN SOLUTION
    w = w.clone().requires_grad_()
    (g,) = torch.autograd.grad(train_loss(w, alpha), w)
    if g.norm() > clip:
        g = g * clip / g.norm()
    w = w.detach()
    velocity = momentum * velocity + g + decay * w
    return w - lr * velocity, velocity
    ### END SOLUTION


# %% [markdown]
# **One step of the search**: $\alpha$ moves first, by `lr_alpha` times its exact unrolled gradient, with $\xi$ = `lr`, the rate of $w$. Then $w$ makes its step. Alpha's gradient is not clipped. The virtual step leaves no trace.


# %% question="search_step"
def search_step(train_loss, val_loss, w, alpha, velocity, lr, lr_alpha, momentum, decay, clip):
    """Return (w, alpha, velocity) after a step of both."""
    ### BEGIN SOLUTION
    g = unrolled_gradient(train_loss, val_loss, w, alpha, velocity, lr, momentum, decay)
    alpha = alpha - lr_alpha * g
    w, velocity = weight_step(train_loss, w, alpha, velocity, lr, momentum, decay, clip)
    return w, alpha, velocity
    ### END SOLUTION


# %% [markdown]
# **Question.** What does one such step cost when $\alpha$'s gradient comes from `difference_gradient`? Count the passes backward through a loss: $\alpha$'s step **and** that of $w$ together. One pass may give gradients in $w$ and in $\alpha$ at once, and no more passes are made than needed. A number.

# %% question="passes_a_step"
### BEGIN SOLUTION
passes_a_step = 5
### END SOLUTION

# %% [markdown]
# **Question.** Put the toy of this part's first chapter into the loop: $L_{\text{train}} = (w - a)^2$ and $L_{\text{val}} = a\,w - 2a + 1$, whose solution is $a = w = 1$. There is no momentum and no decay, and $\xi$ is the rate of $w$, 0.05, as in DARTS. Where do $w$ and $a$ come to rest? A number, with three digits or more.

# %% question="toy_end"
### BEGIN SOLUTION
toy_end = 2 / (1 + 2 * 0.05)
### END SOLUTION

# %% [markdown]
# Let your functions say it. Here $\xi$ is free, and $w$ always moves by 0.05.


# %%
def toy_train(w, a):
    return (w - a) ** 2


def toy_val(w, a):
    return a * w - 2 * a + 1


print("  xi   w ends at   a ends at   2 / (1 + 2 xi)")
for xi in (0.0, 0.05, 0.25, 0.5):
    w, a, velocity = (torch.tensor(x, dtype=torch.float64) for x in (-2.0, 2.0, 0.0))
    for _ in range(400):
        a = a - 0.05 * unrolled_gradient(toy_train, toy_val, w, a, velocity, xi, 0.0, 0.0)
        w, velocity = weight_step(toy_train, w, a, velocity, 0.05, 0.0, 0.0, 5.0)
    print(f"{xi:4.2f}  {float(w):10.4f}  {float(a):10.4f}  {2 / (1 + 2 * xi):15.4f}")

# %% [markdown]
# A second order with a small $\xi$ is a small change of the first order. It is not the true hypergradient: only a step as long as $\frac12$, which takes $w$ to its best response at once, gives that.
#
# ## 5. The whole search
#
# The rate of $w$ falls along half a cosine, from $\eta_{\max} = 0.025$ to $\eta_{\min} = 0.001$ in $T = 50$ epochs:
#
# $$\eta(t) = \eta_{\min} + \tfrac12 (\eta_{\max} - \eta_{\min}) \Bigl(1 + \cos \frac{\pi t}{T}\Bigr) .$$
#
# **Question.** What is the rate after ten epochs, at $t = 10$? A number, with four digits or more.

# %% question="cosine_rate"
### BEGIN SOLUTION
cosine_rate = 0.0227082
### END SOLUTION

# %% [markdown]
# Now all of it. In step $t$ there are the losses `train_losses[t]` and `val_losses[t]`, each on its own batch, and the rate `rates[t]`, which is $\xi$ too. $\alpha$ moves first, by your `unrolled_gradient`; but now **Adam** makes its step: `torch.optim.Adam` with the rate `lr_alpha`, `betas=(0.5, 0.999)` and `weight_decay=1e-3`. Then $w$ moves by your `weight_step`, from a velocity that is 0 in the beginning. Two optimisers, two states: which of them outlives a step?


# %% question="search_loop"
def search_loop(train_losses, val_losses, w, alpha, rates, lr_alpha, momentum, decay, clip):
    """Return (w, alpha) after as many steps as there are rates."""
    ### BEGIN SOLUTION
    a = torch.nn.Parameter(alpha.clone())
    adam = torch.optim.Adam([a], lr=lr_alpha, betas=(0.5, 0.999), weight_decay=1e-3)
    velocity = torch.zeros_like(w)
    for train_loss, val_loss, lr in zip(train_losses, val_losses, rates, strict=True):
        a.grad = unrolled_gradient(
            train_loss, val_loss, w, a.detach(), velocity, lr, momentum, decay
        )
        adam.step()
        w, velocity = weight_step(train_loss, w, a.detach(), velocity, lr, momentum, decay, clip)
    return w, a.detach()
    ### END SOLUTION


# %% [markdown]
# **Question.** A source of this part says that DARTS finds a solution in 1 GPU day, beside 2000 and 3150 on CIFAR-10 for the methods before it. In the paper's appendix one search takes a day. What does the paper's table, which has the 2000 and 3150 too, say of DARTS on CIFAR-10, and what does it count?

# %% question="gpu_days"
### BEGIN SOLUTION
gpu_days = "d"
### END SOLUTION

# %% [markdown]
# ## 6. Whose data?
#
# A search that can be judged: 60 noisy examples of 20 features, of which **one** matters. A single mixed edge chooses among nothing, a skip of that feature, and a dense layer of all twenty, which can do whatever the skip does, and can fit the noise as well. The search is run with the two halves, and then once more with all 60 examples for both, $w$ and $\alpha$. How much of the mixture goes to each operation, and what is the loss of the mixture on new examples? (The noise alone gives a loss of 1.)


# %%
def one_edge(X, y):
    """The loss of a mixed edge: none, skip of the first feature, dense layer."""

    def loss(w, alpha):
        _, skip, dense = alpha.softmax(dim=1)[0]
        return ((skip * X[:, 0] + dense * (X @ w) - y) ** 2).mean()

    return loss


def drawn(n, generator):
    """n examples: y is 0.7 times the first feature, and noise."""
    X = torch.randn(n, 20, generator=generator, dtype=torch.float64)
    return X, 0.7 * X[:, 0] + torch.randn(n, generator=generator, dtype=torch.float64)


def run(seed, shared, steps=100, lr_alpha=0.15):
    """Return the shares of the operations, and the losses: of w's data, alpha's data, new data."""
    generator = torch.Generator().manual_seed(seed)
    X, y = drawn(60, generator)
    order = torch.randperm(60, generator=generator).tolist()
    for_w, for_alpha = (order, order) if shared else halves(order)
    train_loss, val_loss = (one_edge(X[part], y[part]) for part in (for_w, for_alpha))
    t = torch.arange(steps)
    rates = (0.001 + 0.025 * (1 + torch.cos(torch.pi * t / steps))).tolist()
    w = 0.1 * torch.randn(20, generator=generator, dtype=torch.float64)
    alpha = torch.zeros(1, 3, dtype=torch.float64)
    w, alpha = search_loop(
        [train_loss] * steps, [val_loss] * steps, w, alpha, rates, lr_alpha, 0.9, 3e-4, 5.0
    )
    new_loss = one_edge(*drawn(2000, generator))
    ends = [float(loss(w, alpha)) for loss in (train_loss, val_loss, new_loss)]
    return [*alpha.softmax(dim=1)[0].tolist(), *ends]


SEEDS = range(8)
names = ("none", "skip", "dense", "w's data", "alpha's data", "new data")
print("".join(name.rjust(16) for name in ("", *names)))
for name, shared in (("two halves", False), ("all for both", True)):
    found = torch.tensor([run(seed, shared) for seed in SEEDS], dtype=torch.float64)
    error = found.std(dim=0) / len(SEEDS) ** 0.5
    cells = [f"{m:.3f} +- {e:.3f}" for m, e in zip(found.mean(dim=0), error, strict=True)]
    print("".join(cell.rjust(16) for cell in (name, *cells)))

# %% [markdown]
# Change **one** thing and measure it, with the same eight seeds: first order, or the difference, in place of the exact gradient; the number of examples; the noise; more steps; all 60 examples for $w$ and 30 of them for $\alpha$ as well; a larger decay of $w$; or one of the mistakes that the checks know, such as dividing by 2 and multiplying by $\varepsilon$.
#
# **Explain** in four to eight sentences: what did you change, and what did you expect? Which operation wins, what is the loss on new data, with its uncertainty, and how sure are you of the difference? Which of the losses in the table would have told you that something is wrong, had you not known the truth? A person will read this.

# %% [markdown] question="explain_darts_step"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and what was expected of it, and gives the shares and the loss on new data before and after, each with the spread over the eight seeds. With the halves alpha's data are new to w, so that a dense layer that has fitted noise costs there, and its share falls; with all examples for both, the dense layer lowers the very loss that alpha sees. Then w's data and alpha's data have one loss, which is low and says nothing of new data: only data that moved neither w nor alpha tell (and after the search alpha's own half is no longer quite unbiased either). For instance first order: the shares hardly change here, because a step of length xi = 0.05 answers little to alpha, so most of the effect is whose data are used, not the order. Multiplying by eps leaves the direct part alone, which is close to first order: the search runs and looks well, and only a comparison with the exact gradient shows the mistake. It does not claim more than eight seeds allow.
# <!-- ### END SOLUTION -->
