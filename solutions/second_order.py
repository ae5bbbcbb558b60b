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
# # Second order
#
# The gradient says which way is down, here. The second derivatives say how fast that changes. You will write what can be done with them: predict a step, measure how hard a valley is, multiply by a Hessian that is never formed, take Newton's step and one that leaves saddles, and the two methods that get most of the gain from gradients and a little memory: conjugate gradients and L-BFGS. At the end they run against plain descent on a small classifier of digits.
#
# Everywhere $f$ is a function of a vector $x$ of $n$ numbers, $g$, shape $(n,)$, is its gradient and $H$, shape $(n, n)$ and symmetric, its Hessian, the matrix of second derivatives. No function may change what it is given, and floating-point numbers keep their precision.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("second_order.hvp")` helps you on. Each function is graded by itself, so a mistake in one of them does not spoil the others. It takes about two hours and goes with the chapters on curvature and on second-order methods in Part 3.

# %%
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the arrays here are small

# %% [markdown]
# ## 1. Taylor
#
# After a step $p$ from $x$ the function is, to second order,
#
# $$f(x + p) \approx f(x) + g^\top p + \tfrac12\, p^\top H\, p .$$
#
# Return the change that this predicts, $f(x + p) - f(x)$, for any step $p$ (it need not go along the gradient).


# %% question="predicted_change"
def predicted_change(g, H, p):
    """Return the predicted change of f, a number; g and p are (n,), H is (n, n)."""
    ### BEGIN SOLUTION
    return g @ p + p @ H @ p / 2
    ### END SOLUTION


# %% [markdown]
# Gradient descent takes $p = -\eta\, g$. That is the direction in which $f$ falls fastest at $x$.
#
# **Question.** Why is it seldom the best direction for a step all the same?

# %% question="steepest"
### BEGIN SOLUTION
steepest = "c"
### END SOLUTION

# %% [markdown]
# Along an eigenvector of $H$ the curvature is its eigenvalue $\lambda$. Near a minimum all of them are positive, and the ratio of the largest and the smallest, the **condition number**, says how long and narrow the valley is: 1 for a round bowl.


# %% question="condition_number"
def condition_number(H):
    """Return the condition number of a positive definite H (n, n)."""
    ### BEGIN SOLUTION
    curvatures = torch.linalg.eigvalsh(H)
    return curvatures[-1] / curvatures[0]
    ### END SOLUTION


# %% [markdown]
# **Question.** On a quadratic function with the curvatures 10 and 0.5, plain gradient descent with a fixed learning rate converges for all rates between 0 and ... which number?

# %% question="stability_limit"
### BEGIN SOLUTION
stability_limit = 0.2
### END SOLUTION

# %% [markdown]
# **Question.** On the same function, for which fixed rate does the *slower* of the two directions shrink as fast as possible? (A number, to three digits or more.)

# %% question="best_rate"
### BEGIN SOLUTION
best_rate = 0.190476
### END SOLUTION

# %% [markdown]
# ## 2. Without the matrix
#
# A network with a million weights has a Hessian with $10^{12}$ entries, which nobody can store. Often its *product* with a vector is enough. Since $v$ does not depend on $x$,
#
# $$H v = \nabla_x \bigl( g(x)^\top v \bigr) ,$$
#
# the gradient of a number that is made of the gradient. So two passes backward do it: one to get $g$, one through it. Write that with `torch.autograd.grad`, called twice. `f` is a function that takes a tensor $(n,)$ and returns a number.


# %% question="hvp"
def hvp(f, x, v):
    """Return the Hessian of f at x (n,), times v (n,): a tensor (n,)."""
    ### BEGIN SOLUTION
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    (product,) = torch.autograd.grad(g @ v, x)
    return product
    ### END SOLUTION


# %% [markdown]
# **Question.** What does such a product cost, compared with a gradient?

# %% question="hvp_cost"
### BEGIN SOLUTION
hvp_cost = "b"
### END SOLUTION

# %% [markdown]
# ## 3. Newton
#
# Where the parabola of Taylor's formula has its lowest point, its slope is zero: $g + H p = 0$. That is Newton's step. **Damping** adds a multiple of the identity $I$ to the Hessian,
#
# $$(H + \delta I)\, p = -g .$$
#
# It keeps the step short where the curvature is close to zero, and turns it towards $-g$: for a very large $\delta$ it is a short step of plain descent. You may take it for granted that $H + \delta I$ is invertible.


# %% question="newton_step"
def newton_step(g, H, damping):
    """Return the step p (n,) that solves (H + damping I) p = -g."""
    ### BEGIN SOLUTION
    B = H + damping * torch.eye(len(g), dtype=H.dtype)
    return -torch.linalg.solve(B, g)
    ### END SOLUTION


# %% [markdown]
# When is one done? $\lVert g \rVert$ depends on the units of $x$. The **Newton decrement** does not:
#
# $$\sqrt{g^\top H^{-1} g} .$$
#
# Half of its square is how much $f$ will fall, if Taylor is right. (Put Newton's step, without damping, into your `predicted_change` and see.)


# %% question="newton_decrement"
def newton_decrement(g, H):
    """Return the Newton decrement, a number, for a positive definite H (n, n)."""
    ### BEGIN SOLUTION
    return torch.sqrt(g @ torch.linalg.solve(H, g))
    ### END SOLUTION


# %% [markdown]
# **Question.** What does one Newton step cost for $n$ weights, with a full Hessian?

# %% question="newton_cost"
### BEGIN SOLUTION
newton_cost = "d"
### END SOLUTION

# %% [markdown]
# ## 4. Saddles
#
# Where the gradient is zero, $f$ has a minimum if it curves upwards in *every* direction. At a saddle it curves upwards in some and downwards in others.
#
# **Question.** Newton's method (no damping) starts close to a saddle. Where does it go?

# %% question="newton_at_a_saddle"
### BEGIN SOLUTION
newton_at_a_saddle = "a"
### END SOLUTION

# %% [markdown]
# The remedy of Dauphin and others (2014) keeps the eigenvectors and takes the eigenvalues without their signs. With $H = Q\, \operatorname{diag}(\lambda)\, Q^\top$, the columns of $Q$ the eigenvectors,
#
# $$p = -\,|H|^{-1} g, \qquad |H| = Q\, \operatorname{diag}(|\lambda|)\, Q^\top .$$
#
# No eigenvalue is zero here.


# %% question="saddle_free_step"
def saddle_free_step(g, H):
    """Return the step p (n,) of the saddle-free Newton method."""
    ### BEGIN SOLUTION
    curvatures, Q = torch.linalg.eigh(H)
    return -Q @ ((Q.T @ g) / curvatures.abs())
    ### END SOLUTION


# %% [markdown]
# The **index** of a critical point is the fraction of the Hessian's eigenvalues that are negative: 0 at a minimum, 1 at a maximum.


# %% question="negative_fraction"
def negative_fraction(H):
    """Return the fraction, from 0 to 1, of the eigenvalues of H (n, n) that are negative."""
    ### BEGIN SOLUTION
    return (torch.linalg.eigvalsh(H) < 0).double().mean()
    ### END SOLUTION


# %% [markdown]
# **Question.** At a point where the gradient is zero, the Hessian has the eigenvalues 3, 0.5 and -0.01. What is it?

# %% question="which_kind"
### BEGIN SOLUTION
which_kind = "d"
### END SOLUTION

# %% [markdown]
# **Question.** And with the eigenvalues 2, 1 and 0?

# %% question="flat_direction"
### BEGIN SOLUTION
flat_direction = "c"
### END SOLUTION

# %% [markdown]
# **Question.** "In high dimension nearly all critical points of high cost are saddles, and the index grows with the cost." How sure is that?

# %% question="saddles_proven"
### BEGIN SOLUTION
saddles_proven = "b"
### END SOLUTION

# %% [markdown]
# ## 5. Conjugate gradients
#
# To solve $A x = b$, with a positive definite $A$, one need not know $A$: products $A p$ are enough. That is the same as finding the minimum of $\frac12 x^\top A x - b^\top x$, whose downhill direction is the residual $r = b - A x$. Conjugate gradients start at $x = 0$ with $p = r = b$. Each step does
#
# $$\alpha = \frac{r^\top r}{p^\top A p}, \qquad x \leftarrow x + \alpha\, p, \qquad r_{\mathrm{new}} = r - \alpha\, A p, \qquad \beta = \frac{r_{\mathrm{new}}^\top r_{\mathrm{new}}}{r^\top r}, \qquad p \leftarrow r_{\mathrm{new}} + \beta\, p .$$
#
# Each new direction is chosen so that it does not spoil what those before it have gained.


# %% question="conjugate_gradients"
def conjugate_gradients(A, b, steps):
    """Return the points after each step: a list of `steps` tensors (n,), or one tensor (steps, n).

    A is (n, n), b is (n,), and steps is n at most; the start, x = 0, is left out.
    """
    ### BEGIN SOLUTION
    x = torch.zeros_like(b)
    r = p = b
    points = []
    for _ in range(steps):
        Ap = A @ p
        alpha = (r @ r) / (p @ Ap)
        x = x + alpha * p
        r, before = r - alpha * Ap, r
        p = r + (r @ r) / (before @ before) * p
        points.append(x)
    return points
    ### END SOLUTION


# %% [markdown]
# **Question.** $A$ is 1000 by 1000. Its eigenvalues are 1, 10 and 100, each of them many times. Without rounding errors, after how many steps at most is the solution exact, whatever $b$ is? A number.

# %% question="cg_steps"
### BEGIN SOLUTION
cg_steps = 3
### END SOLUTION

# %% [markdown]
# On a valley of condition number 25, with the lowest point at 0: plain descent at its best fixed rate, conjugate gradients (which solve for the way from the start), and Newton.

# %%
import matplotlib.pyplot as plt

plotting.use_style()
valley = torch.tensor([[13.0, 12.0], [12.0, 13.0]], dtype=torch.float64)
curvatures = torch.linalg.eigvalsh(valley)
start = torch.tensor([-0.2, 1.6], dtype=torch.float64)

descent = [start]
for _ in range(20):
    descent.append(descent[-1] - 2 / curvatures.sum() * (valley @ descent[-1]))
by_cg = conjugate_gradients(valley, -valley @ start, 2)
paths = {
    "descent, 20 steps": torch.stack(descent),
    "conjugate gradients, 2": torch.stack([start, *(start + x for x in by_cg)]),
    "Newton, 1": torch.stack([start, start + newton_step(valley @ start, valley, 0.0)]),
}
for name, path in paths.items():
    print(f"{name:<24} distance from the minimum at the end {float(path[-1].norm()):.1e}")
_ = plotting.trajectories(valley, paths, plotting.figure(size=(5.0, 4.2))[1])

# %% [markdown]
# ## 6. L-BFGS
#
# Each step $s = x_{\mathrm{new}} - x$ and the change $y = g_{\mathrm{new}} - g$ of the gradient over it say something about the Hessian: $y \approx H s$. L-BFGS keeps the last few of these **pairs**, and from them alone it computes $K g$, where the matrix $K$ (never formed) stands for $H^{-1}$. It starts with $q = g$.
#
# 1. For each pair, **from the newest to the oldest**: $a = s^\top q / s^\top y$, and then $q \leftarrow q - a\, y$. Each pair's $a$ is kept.
# 2. $q \leftarrow \gamma\, q$ with $\gamma = s^\top y / y^\top y$ of the newest pair: about one over the curvature.
# 3. For each pair, **from the oldest to the newest**: $b = y^\top q / s^\top y$, and then $q \leftarrow q + (a - b)\, s$, with that pair's $a$.
#
# The direction of the step is $-q$. Without any pair it is $-g$.


# %% question="lbfgs_direction"
def lbfgs_direction(g, pairs):
    """Return the direction (n,); pairs is a list of pairs (s, y), each (n,), oldest first."""
    ### BEGIN SOLUTION
    q, kept = g, []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        q = q - a * y
        kept.append(a)
    if pairs:
        s, y = pairs[-1]
        q = (s @ y) / (y @ y) * q
    for s, y in pairs:
        a = kept.pop()
        q = q + (a - (y @ q) / (s @ y)) * s
    return -q
    ### END SOLUTION


# %% [markdown]
# **Question.** How many numbers do the pairs of L-BFGS hold, for a million weights and ten pairs?

# %% question="lbfgs_memory"
### BEGIN SOLUTION
lbfgs_memory = 20_000_000
### END SOLUTION

# %% [markdown]
# ## 7. In use
#
# First a saddle. $f(x) = \frac12 (x_1^2 - x_2^2) + \frac14 x_2^4$ has a saddle at $(0, 0)$ and minima at $(0, 1)$ and $(0, -1)$. Ten steps each, from a point close to the saddle.


# %%
def double_well(x):
    return (x[0] ** 2 - x[1] ** 2) / 2 + x[1] ** 4 / 4


def gradient(f, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x), x)[0]


def hessian(f, x):
    """Return H, one column at a time, by your products."""
    return torch.stack([hvp(f, x, v) for v in torch.eye(len(x), dtype=x.dtype)], dim=1)


x0 = torch.tensor([0.8, 0.1], dtype=torch.float64)
steps = {
    "descent, rate 0.3": lambda g, H: -0.3 * g,
    "Newton": lambda g, H: newton_step(g, H, 0.0),
    "saddle-free": saddle_free_step,
}
for name, step in steps.items():
    x = x0
    for _ in range(10):
        x = x + step(gradient(double_well, x), hessian(double_well, x))
    print(f"{name:<18} ends at ({x[0]:+.4f}, {x[1]:+.4f}),", end=" ")
    print(f"index {float(negative_fraction(hessian(double_well, x))):.1f}")

# %% [markdown]
# Now a classifier that says whether a digit is an 8: logistic regression, 64 weights and a bias, with a small L2 penalty. Its loss is convex, so there is one minimum and the question is only how soon a method gets there. Descent and L-BFGS shorten a step that goes up, by halves. Newton forms $H$, column by column: 65 of your products a step, each counted as two gradients.

# %%
digits = data.digits(seed=0, dtype=torch.float64)
inputs = torch.cat([digits.X_train, torch.ones(len(digits.X_train), 1, dtype=torch.float64)], dim=1)
is_eight = digits.Y_train[:, 8]


def loss(x):
    fit = nn.functional.binary_cross_entropy_with_logits(inputs @ x, is_eight)
    return fit + 1e-3 * x.square().sum()


def shortened(x, p, g):
    """Return the first of x + p, x + p/2, ... where the loss falls enough; and the number tried."""
    length, tried = 1.0, 1
    while loss(x + length * p) > loss(x) + 1e-4 * length * (g @ p) and tried < 30:
        length, tried = length / 2, tried + 1
    return x + length * p, tried


def minimise(method, most=400, until=1e-8):
    """Return the norms of the gradient and the cost so far, in gradients, step by step."""
    x = torch.zeros(65, dtype=torch.float64)
    g, pairs, norms, costs = gradient(loss, x), [], [], [1]
    while True:
        norms.append(float(g.norm()))
        if norms[-1] < until or len(norms) > most:
            return norms, costs
        cost = 1
        if method == "Newton":
            new = x + newton_step(g, hessian(loss, x), 0.0)
            cost += 2 * len(x)
        else:
            direction = lbfgs_direction(g, pairs) if method == "L-BFGS" else -rate * g
            new, tried = shortened(x, direction, g)
            cost += tried
        g_new = gradient(loss, new)
        pairs = [*pairs, (new - x, g_new - g)][-10:]
        x, g = new, g_new
        costs.append(costs[-1] + cost)


at_start = hessian(loss, torch.zeros(65, dtype=torch.float64))
rate = 2 / float(torch.linalg.eigvalsh(at_start)[-1])
print(f"condition number at the start {float(condition_number(at_start)):.0f}")
print(f"learning rate of descent {rate:.2f}, the stability limit at the start\n")
runs = {name: minimise(name) for name in ("descent", "L-BFGS", "Newton")}
for name, (norms, costs) in runs.items():
    print(f"{name:<8} {len(norms) - 1:>3} steps, {costs[-1]:>4} gradients, |g| = {norms[-1]:.1e}")

# %%
fig, axes = plotting.figure(1, 2, (4.2, 3.2))
for i, (name, (norms, costs)) in enumerate(runs.items()):
    plotting.line(axes[0], range(len(norms)), norms, i, name)
    plotting.line(axes[1], costs, norms, i, name)
for ax, label in zip(axes, ("step", "cost (gradients)"), strict=True):
    ax.set(xlabel=label, ylabel="norm of the gradient", yscale="log")
axes[0].legend()
plt.show()

# %% [markdown]
# Change **one** thing and measure it: the penalty in `loss` (it moves the condition number), the number of pairs, or the 8 against another digit. Look at steps *and* at cost.
#
# **Explain** in four to eight sentences: what did you change, what did you expect from the condition number and from what each method knows of the curvature, what did you measure, and which method would you take for a network with ten million weights and mini-batches of 100, and why? A person will read this.

# %% [markdown] question="explain_methods"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and gives steps and gradients of all three methods before and after. A larger penalty raises the smallest curvatures, so the condition number falls and descent needs fewer steps, in proportion to it or so; Newton's steps hardly change, because it divides each direction by its own curvature; L-BFGS lies between. Newton wins by steps and loses by cost as n grows: its products alone are n a step, and solving takes time of order n^3. For ten million weights H cannot be stored at all. L-BFGS could be, but its pairs are differences of gradients, and with mini-batches of 100 two gradients differ by noise more than by curvature, so the pairs say little. Plain descent with momentum, or Adam, with a schedule, is the sensible choice; L-BFGS and Newton-CG are for small problems and full batches.
# <!-- ### END SOLUTION -->
