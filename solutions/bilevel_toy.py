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
# # A bilevel toy
#
# Two problems, one inside the other: a weight $w$ wants the train loss low, a hyper-parameter $a$ wants the validation loss low, and each loss holds both. You will take the smallest such problem apart until nothing is left to guess: its solution, the gradient that architecture search uses in place of the true one, where the descent ends with it, and for which steps it gets there. Then you carry the same code over to a problem with data.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("bilevel_toy.alternation")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about an hour and a half and goes with the first chapter of Part 5.
#
# In sections 1 to 4 the two losses are
#
# $$L_{\text{train}}(w, a) = (w - a)^2, \qquad L_{\text{val}}(w, a) = a\,w - 2a + 1 .$$
#
# All numbers are plain Python numbers, unless it says otherwise. Leave the arguments as they are.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from mlcourse import plotting

# %% [markdown]
# ## 1. The problem and its solution
#
# The **best response** $w^*(a)$ is the weight with the lowest train loss for a given $a$. The **outer loss** of $a$ is the validation loss there, $L_{\text{val}}(w^*(a), a)$. It is a function of $a$ alone, and the bilevel problem is to make it as low as possible.
#
# For an array of hyper-parameters `a`, $(n,)$, give three arrays of the same shape: the best responses, the outer losses, and the slopes of the outer loss, $\mathrm d L_{\text{val}}(w^*(a), a) / \mathrm d a$.


# %% question="along_the_response"
def along_the_response(a):
    """Return (the best responses, the outer losses, the slopes of the outer loss)."""
    ### BEGIN SOLUTION
    w = a.copy()
    return w, a * w - 2 * a + 1, (w - 2) + a * 1.0
    ### END SOLUTION


# %% [markdown]
# **Question.** At which $a$ is the outer loss lowest? A number.

# %% question="best_a"
### BEGIN SOLUTION
best_a = 1
### END SOLUTION

# %% [markdown]
# ## 2. One imagined step
#
# In a real network nobody knows $w^*(a)$: it would take a whole training for each $a$. A usual way out puts *one* step of the inner descent in its place. The weight of now is $w$; imagine a step of length $\xi$ on the train loss, and ask how the validation loss after it depends on $a$:
#
# $$g(w, a, \xi) = \frac{\mathrm d}{\mathrm d a}\, L_{\text{val}}\big(\,w - \xi\,\nabla_w L_{\text{train}}(w, a),\; a\,\big) .$$
#
# $w$ and $\xi$ are held fixed, but $a$ stands in two places.
#
# **Question.** By hand: $w = 0.5$, $a = 2$, $\xi = 0.2$. What is $g$? A number.

# %% question="gradient_by_hand"
### BEGIN SOLUTION
gradient_by_hand = -0.1
### END SOLUTION

# %% [markdown]
# Now for all numbers. $\xi = 0$ is allowed: it is called the *first-order* gradient.


# %% question="unrolled_gradient"
def unrolled_gradient(w, a, xi):
    """Return g(w, a, xi)."""
    ### BEGIN SOLUTION
    new = w - xi * 2 * (w - a)
    return new - 2 + a * 2 * xi
    ### END SOLUTION


# %% [markdown]
# ## 3. In turns
#
# Nobody waits for $w$ to be trained: $w$ and $a$ move in turns. In one **alternation** each moves once,
#
# - $w$ by `lr_w` times the gradient of the train loss (a real step, which has nothing to do with the imagined one),
# - $a$ by `lr_a` times $g(w, a, \xi)$,
#
# both downhill. `first` is `"w"` or `"a"` and says which of the two moves first. The other one moves second, and sees the first one where it is *then*.


# %% question="alternation"
def alternation(w, a, lr_w, lr_a, xi, first):
    """Return (w, a) after one move of each."""
    ### BEGIN SOLUTION
    if first == "w":
        w = w - lr_w * 2 * (w - a)
        a = a - lr_a * unrolled_gradient(w, a, xi)
    else:
        a = a - lr_a * unrolled_gradient(w, a, xi)
        w = w - lr_w * 2 * (w - a)
    return w, a
    ### END SOLUTION


# %% [markdown]
# **A whole descent**, as an array of shape (`steps` + 1, 2): row 0 is the start $(w, a)$, and row $t$ is where the descent stands after $t$ alternations.


# %% question="descend"
def descend(w, a, lr_w, lr_a, xi, first, steps):
    """Return the path, (steps + 1, 2)."""
    ### BEGIN SOLUTION
    path = [(w, a)]
    for _ in range(steps):
        path.append(alternation(*path[-1], lr_w, lr_a, xi, first))
    return np.array(path)
    ### END SOLUTION


# %% [markdown]
# Look at a few, from $w = -2$, $a = 2$. (`limit`, which you will write next, is where they should end.)

# %%
XIS = (0.0, 0.1, 0.3, 0.5, 0.6)
plotting.use_style()
fig, ax = plotting.figure(size=(5.2, 4.0))
ax.plot([-2.2, 2.8], [-2.2, 2.8], color=plotting.INK, linestyle=":", label="$w = a$")
for i, xi in enumerate(XIS):
    path = descend(-2.0, 2.0, 0.1, 0.1, xi, "w", 300)
    plotting.line(ax, path[:, 1], path[:, 0], i, f"$\\xi$ = {xi:g}")
ax.plot(1, 1, "*", color=plotting.INK, markersize=14, label="solution")
ax.set(xlabel="hyper-parameter $a$", ylabel="weight $w$", xlim=(0, 4), ylim=(-2.2, 2.8))
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# ## 4. Where it ends, and whether it gets there
#
# Suppose that the descent comes to rest: neither $w$ nor $a$ moves any more. Where is that? It is one number, as $w = a$ there. (Take the two moves, set both to zero, and solve.)


# %% question="limit"
def limit(xi):
    """Return the a (which is also the w) where the descent with this xi comes to rest."""
    ### BEGIN SOLUTION
    return 2 / (1 + 2 * xi)
    ### END SOLUTION


# %% [markdown]
# **Question.** A source of this part moves its hyper-parameters by $\nabla_\lambda L_{\text{valid}}(w_{t+1}, \lambda_t)$, where $w_{t+1}$ is the weight of now, held fixed. It warns that hypergradients are approximated, but not of what this formula leaves out altogether. What comes of it on the toy?

# %% question="fixed_weights"
### BEGIN SOLUTION
fixed_weights = "d"
### END SOLUTION

# %% [markdown]
# **Question.** In one source $w$ moves first, in the other one the hyper-parameter. What does the order change?

# %% question="which_order"
### BEGIN SOLUTION
which_order = "a"
### END SOLUTION

# %% [markdown]
# The limit is one thing, getting there another. Multiply everything out:
#
# $$g(w, a, \xi) = (1 - 2\xi)\, w + 4\xi\, a - 2 .$$
#
# So a move changes $x = (w, a)$ by a matrix and a shift, and so do two moves together: $x \mapsto M x + b$. Give $M$, an array of shape $(2, 2)$, and $b$, of shape $(2,)$, for one alternation in the order that `first` says.


# %% question="step_map"
def step_map(lr_w, lr_a, xi, first):
    """Return (M, b): an alternation takes x = (w, a) to M x + b."""
    ### BEGIN SOLUTION
    of_w = np.array([[1 - 2 * lr_w, 2 * lr_w], [0, 1]])
    of_a = np.array([[1, 0], [-lr_a * (1 - 2 * xi), 1 - 4 * xi * lr_a]])
    shift = np.array([0, 2 * lr_a])
    if first == "w":
        return of_a @ of_w, shift
    return of_w @ of_a, of_w @ shift
    ### END SOLUTION


# %% [markdown]
# The limit $x^*$ is the fixed point $x^* = M x^* + b$, so $x_{t+1} - x^* = M\,(x_t - x^*)$. In the long run each step changes the distance by a factor: the largest size of an eigenvalue of $M$, its *spectral radius*. Below 1 the descent converges.


# %% question="contraction"
def contraction(M):
    """Return the spectral radius of M (2, 2), a number."""
    ### BEGIN SOLUTION
    return np.abs(np.linalg.eigvals(M)).max()
    ### END SOLUTION


# %% [markdown]
# **Question.** At $\xi = 0$, let both rates be the same number $s > 0$. Up to which $s$ does the descent converge? A number, with three digits or more. (A $2 \times 2$ matrix has both eigenvalues inside the unit circle when $|\text{trace}| < 1 + \text{determinant}$ and $\text{determinant} < 1$. Or search with your functions.)

# %% question="largest_equal_step"
### BEGIN SOLUTION
largest_equal_step = 0.7320508
### END SOLUTION

# %% [markdown]
# Does all of this agree with the descents? For each $\xi$: the limit by your formula, the end of a long descent in either order, the outer loss there, and the factor of a step, measured and predicted. (Measured over 60 steps. A pair of complex eigenvalues turns the path while it shrinks, so its factor wobbles; a double one, at $\xi = \frac12$, lets the distance fall a little more slowly.)

# %%
print("  xi   limit   w first   a first   outer loss   factor measured, predicted")
for xi in XIS:
    paths = [descend(-2.0, 2.0, 0.1, 0.1, xi, first, 300) for first in ("w", "a")]
    away = np.linalg.norm(paths[0] - limit(xi), axis=1)
    factor = contraction(step_map(0.1, 0.1, xi, "w")[0])
    _, outer, _ = along_the_response(np.array([limit(xi)]))
    print(
        f"{xi:4.1f}  {limit(xi):6.3f}  {paths[0][-1, 1]:8.3f}  {paths[1][-1, 1]:8.3f}"
        f"  {outer[0]:11.3f}  {(away[100] / away[40]) ** (1 / 60):16.4f}  {factor:9.4f}"
    )

# %% [markdown]
# ## 5. The same with data
#
# A source of this part tries its method on a sum of two waves with noise,
#
# $$y = a_0 \sin(w_0 x) + a_1 \cos(w_1 x) + \text{noise}, \qquad x \text{ uniform in } [0, 1] .$$
#
# The frequencies $w = (w_0, w_1)$ are the weights, and the amplitudes $a = (a_0, a_1)$ the "architecture": an amplitude near zero says that its wave is not needed. The **loss** on points `x` and `y`, both $(n,)$, is the mean squared error. `parameters` is the pair $(w, a)$ of two tensors, $(2,)$ each. Return a tensor that autograd can follow back to both.


# %% question="mixture_loss"
def mixture_loss(parameters, x, y):
    """Return the mean squared error of the two waves, a tensor ()."""
    ### BEGIN SOLUTION
    w, a = parameters
    return (a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[1] * x) - y).square().mean()
    ### END SOLUTION


# %% [markdown]
# **The gradient of the imagined step**, now by autograd: $\nabla_a L_{\text{val}}(w - \xi \nabla_w L_{\text{train}}(w, a), a)$, a tensor of shape $(2,)$. $L_{\text{train}}$ is your `mixture_loss` on the training points, $L_{\text{val}}$ on the validation points. `w` and `a` come without `requires_grad`, so make copies that have it.


# %% question="mixture_gradient"
def mixture_gradient(w, a, x_train, y_train, x_val, y_val, xi):
    """Return the gradient in a of the validation loss after a step of length xi, (2,)."""
    ### BEGIN SOLUTION
    w, a = w.clone().requires_grad_(), a.clone().requires_grad_()
    slope = torch.autograd.grad(mixture_loss((w, a), x_train, y_train), w, create_graph=True)[0]
    outer = mixture_loss((w - xi * slope, a), x_val, y_val)
    return torch.autograd.grad(outer, a)[0]
    ### END SOLUTION


# %% [markdown]
# **Question.** The source shows one picture: paths of the descent for several $\xi$. It has no table and no numbers. Its conclusion is that the method has been shown to work on synthetic data. What has the picture shown?

# %% question="one_picture"
### BEGIN SOLUTION
one_picture = "b"
### END SOLUTION

# %% [markdown]
# ## 6. The start or the step?
#
# So let us have numbers: eight starts, three lengths $\xi$, and a loss on new points that neither $w$ nor $a$ has seen. (The noise has the standard deviation 0.1. The source writes $\mathcal N(0, 0.1)$, which could also mean the variance.)


# %%
def drawn(n, generator, frequencies=(4.0, 9.0), amplitudes=(1.0, 0.5), noise=0.1):
    """n points of the two waves, with noise."""
    x = torch.rand(n, generator=generator, dtype=torch.float64)
    error = noise * torch.randn(n, generator=generator, dtype=torch.float64)
    waves = torch.sin(frequencies[0] * x), torch.cos(frequencies[1] * x)
    return x, amplitudes[0] * waves[0] + amplitudes[1] * waves[1] + error


def mixture_descent(w, a, train, val, xi, lr_w=1.0, lr_a=0.1, steps=400):
    """The path of (w0, w1, a0, a1), w first."""
    path = [torch.cat([w, a])]
    for _ in range(steps):
        here = w.clone().requires_grad_()
        w = w - lr_w * torch.autograd.grad(mixture_loss((here, a), *train), here)[0]
        a = a - lr_a * mixture_gradient(w, a, *train, *val, xi)
        path.append(torch.cat([w, a]))
    return torch.stack(path).numpy()


generator = torch.Generator().manual_seed(0)
train, val, new = drawn(100, generator), drawn(100, generator), drawn(2000, generator)
low, high = torch.tensor([2.0, 5.0]).double(), torch.tensor([7.0, 13.0]).double()
starts = [low + (high - low) * torch.rand(2, generator=generator).double() for _ in range(8)]
a0 = torch.tensor([0.3, 0.3], dtype=torch.float64)
paths = {xi: [mixture_descent(w, a0, train, val, xi) for w in starts] for xi in (0.0, 1.0, 3.0)}

fig, axes = plotting.figure(1, 2, (4.2, 3.6))
for i, (xi, found) in enumerate(paths.items()):
    for j, path in enumerate(found):
        label = f"$\\xi$ = {xi:g}" if j == 0 else "_"
        plotting.line(axes[0], path[:, 0], path[:, 1], i, label)
        plotting.line(axes[1], path[:, 2], path[:, 3], i, label)
for ax, at, name in zip(axes, ((4, 9), (1, 0.5)), ("frequencies", "amplitudes"), strict=True):
    ax.plot(*at, "*", color=plotting.INK, markersize=14, label="what made the data")
    letter = "wa"[name == "amplitudes"]
    ax.set(title=name, xlabel=f"${letter}_0$", ylabel=f"${letter}_1$")
axes[1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %%
print("loss on new points (the noise alone gives 0.01)\nstart w0, w1   ", end="")
print("  ".join(f"xi = {xi:g}".rjust(8) for xi in paths))
for j, w in enumerate(starts):
    ends = [torch.from_numpy(path[j][-1]) for path in paths.values()]
    losses = [float(mixture_loss((end[:2], end[2:]), *new)) for end in ends]
    print(f"{w[0]:6.2f} {w[1]:6.2f}  ", "  ".join(f"{loss:8.4f}" for loss in losses))

# %% [markdown]
# Change **one** thing, in the toy or in the mixture: the rates (`lr_a` against `lr_w`), the start of the amplitudes, the number of points, the noise, other frequencies, `a` first. Measure before and after.
#
# **Explain** in four to eight sentences: what did you change, what did you expect, and what came out, with numbers? Does the length $\xi$ or the start decide where the descent of the mixture ends? And when is the first-order gradient, which is cheaper, good enough? A person will read this.

# %% [markdown] question="explain_descent"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and the reason for its expectation, and gives numbers before and after: ends, losses on new points, how many of the eight starts reached the loss of the noise. In the mixture most starts end at the same place for each of the three lengths, and where they do not, the losses differ far more between starts than between lengths: so the start decides more. The first-order gradient leaves out the way through w, which is what moved the toy's limit from 1 to 2: there the validation loss has a slope in w at the best response. In the mixture, training and validation points come from one source, so at w*(a) the validation loss has nearly no slope in w: what is left out is small near the end, and the limits nearly agree. So first order is good enough where both losses want the same w, and misleading where they do not. The answer says what eight starts and one sample cannot show.
# <!-- ### END SOLUTION -->
