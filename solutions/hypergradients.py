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
# # Hypergradients
#
# Weights $w$ are trained on one loss, and what they were trained *with*, the hyper-parameters $h$, is judged by another: the loss on validation data. The **hypergradient** says how the validation loss of the trained weights changes with $h$. You will find it by hand for ridge regression, then with the implicit function theorem for a penalty on each weight, with products alone, through one step of training, and through all of them. At the end you tune 65 penalties at once, and see what that costs.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("hypergradients.ridge_weights")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about three hours and goes with the second chapter of Part 5. In the checks some tensors are float32 and others float64: give what you make the dtype of the inputs.
#
# There are $n$ weights and $m$ hyper-parameters. A gradient in $w$ has the shape $(n,)$, one in $h$ has $(m,)$. $H$, $(n, n)$ and symmetric, is the Hessian of the **train** loss in $w$, and $M$, $(n, m)$, its **mixed derivative**: entry $(i, j)$ is the derivative in $h_j$ of the gradient's entry $i$. Leave the arguments as they are, return something new, and keep the precision of the inputs.

# %%
import matplotlib.pyplot as plt
import torch

from mlcourse import data, plotting

torch.set_num_threads(1)  # the arrays here are small

# %% [markdown]
# ## 1. Ridge regression, by hand
#
# Inputs $X$, shape $(N, d)$, targets $y$, $(N,)$, and one hyper-parameter, the penalty $\lambda$. The train loss is
#
# $$L(w, \lambda) = \frac1N \lVert X w - y \rVert^2 + \lambda\, w^\top w .$$
#
# There is no $\frac12$ anywhere in it. Watch the factors 2 that follow from that: they are where hypergradients most often go wrong.


# %% question="ridge_loss"
def ridge_loss(w, X, y, lam):
    """Return the train loss, a number; w is (d,), X is (N, d), y is (N,)."""
    ### BEGIN SOLUTION
    return ((X @ w - y) ** 2).mean() + lam * (w @ w)
    ### END SOLUTION


# %% [markdown]
# For each $\lambda$ there is one best $w^*(\lambda)$: the place where the gradient of $L$ in $w$ is zero. Solve for it.


# %% question="ridge_weights"
def ridge_weights(X, y, lam):
    """Return the weights (d,) that minimise the train loss."""
    ### BEGIN SOLUTION
    N, d = X.shape
    return torch.linalg.solve(X.T @ X / N + lam * torch.eye(d, dtype=X.dtype), X.T @ y / N)
    ### END SOLUTION


# %% [markdown]
# What should fall is the validation loss, the mean squared error on other data, without any penalty:
#
# $$E(w) = \frac{1}{N_{\mathrm{val}}} \lVert X_{\mathrm{val}}\, w - y_{\mathrm{val}} \rVert^2 .$$
#
# Write its gradient in $w$, without autograd.


# %% question="validation_gradient"
def validation_gradient(w, X_val, y_val):
    """Return the gradient (d,) of the validation loss in w."""
    ### BEGIN SOLUTION
    return 2 / len(X_val) * X_val.T @ (X_val @ w - y_val)
    ### END SOLUTION


# %% [markdown]
# Now the hypergradient, $\frac{d}{d\lambda} E(w^*(\lambda))$. By the chain rule it is the validation gradient $u$ at $w^*$, times $\frac{dw^*}{d\lambda}$. How do the best weights move? The train gradient is zero at $w^*(\lambda)$ **for every** $\lambda$, so its derivative along $w^*(\lambda)$ is zero too:
#
# $$H\, \frac{dw^*}{d\lambda} + M = 0 ,$$
#
# where $M$ is the derivative in $\lambda$ of the train gradient, at fixed $w$: here a vector $(d,)$. Work out $H$ and $M$, and use your `ridge_weights` and `validation_gradient`.


# %% question="ridge_hypergradient"
def ridge_hypergradient(X, y, X_val, y_val, lam):
    """Return the derivative of the validation loss of the best weights in lambda, a number."""
    ### BEGIN SOLUTION
    w = ridge_weights(X, y, lam)
    H = 2 * (X.T @ X / len(X) + lam * torch.eye(len(w), dtype=X.dtype))
    return -(validation_gradient(w, X_val, y_val) @ torch.linalg.solve(H, 2 * w))
    ### END SOLUTION


# %% [markdown]
# **Question.** One of this part's sources differentiates the validation loss in the hyper-parameters with the weights **held fixed** where training has led them, and moves along that. For $\lambda$ here, what is this derivative?

# %% question="fixed_weights"
### BEGIN SOLUTION
fixed_weights = "c"
### END SOLUTION

# %% [markdown]
# ## 2. Many penalties
#
# A penalty must be positive, so let it be $e^{h}$: then $h$ may be any number. And let each group of weights (a layer, say) have its own. `group`, $(n,)$, holds whole numbers: weight $i$ belongs to group $\mathrm{group}_i$. The penalty of the train loss is
#
# $$\sum_i e^{h_{\mathrm{group}_i}}\, w_i^2 ,$$
#
# and $h$ stands nowhere else in it. Write its mixed derivative.


# %% question="mixed_derivative"
def mixed_derivative(w, h, group):
    """Return M (n, m): the derivative in h_j of entry i of the penalty's gradient in w.

    w is (n,), h is (m,), group is (n,) with whole numbers from 0 to m - 1.
    """
    ### BEGIN SOLUTION
    M = torch.zeros(len(w), len(h), dtype=w.dtype)
    M[torch.arange(len(w)), group] = 2 * h.exp()[group] * w
    return M
    ### END SOLUTION


# %% [markdown]
# **The implicit function theorem.** With several hyper-parameters nothing changes but the shapes: $H \frac{dw^*}{dh} + M = 0$, where $\frac{dw^*}{dh}$ is now $(n, m)$. The outer loss may also contain $h$ itself; its derivative in $h$ at fixed weights is the **direct** term, $(m,)$. The hypergradient is the direct term, plus what comes through the weights. Derive it from $u$, $H$, $M$ and the direct term. (One system of equations is enough, whatever $m$ is.)


# %% question="implicit_hypergradient"
def implicit_hypergradient(u, H, M, direct):
    """Return the hypergradient (m,); u is the outer loss's gradient in w, (n,)."""
    ### BEGIN SOLUTION
    return direct - M.T @ torch.linalg.solve(H, u)
    ### END SOLUTION


# %% [markdown]
# **A penalty for each weight.** All together: $d$ weights, each with its own penalty,
#
# $$L(w, h) = \frac1N \lVert X w - y \rVert^2 + \sum_i e^{h_i}\, w_i^2, \qquad \text{outer loss:} \quad E(w) + \rho \sum_i h_i^2 .$$
#
# The last sum keeps the penalties from running away. Use your `validation_gradient`, `mixed_derivative` and `implicit_hypergradient`; the best weights and $H$ are as in ridge regression, with $\operatorname{diag}(e^h)$ for $\lambda I$.


# %% question="penalty_hypergradient"
def penalty_hypergradient(X, y, X_val, y_val, h, rho):
    """Return the hypergradient (d,) of the outer loss in h (d,), at the best weights for h."""
    ### BEGIN SOLUTION
    N, d = X.shape
    half = X.T @ X / N + torch.diag(h.exp())
    w = torch.linalg.solve(half, X.T @ y / N)
    u = validation_gradient(w, X_val, y_val)
    return implicit_hypergradient(u, 2 * half, mixed_derivative(w, h, torch.arange(d)), 2 * rho * h)
    ### END SOLUTION


# %% [markdown]
# ## 3. Without the matrices
#
# For a network neither $H$ nor $M$ can be written down. Products are enough. Let $g$ be the gradient of $f(w, h)$ in $w$ and $q$ a constant vector $(n,)$. The number $g^\top q$ depends on $w$ and on $h$, and its gradients are
#
# $$\nabla_w \bigl(g^\top q\bigr) = H q, \qquad \nabla_h \bigl(g^\top q\bigr) = M^\top q .$$
#
# So one more pass backward gives both. Write it with `torch.autograd.grad`. `f` takes $w$ and $h$ and returns a number.


# %% question="second_products"
def second_products(f, w, h, q):
    """Return (H q, M^T q), of the shapes (n,) and (m,), for the function f at w and h."""
    ### BEGIN SOLUTION
    w, h = (tensor.clone().requires_grad_() for tensor in (w, h))
    (g,) = torch.autograd.grad(f(w, h), w, create_graph=True)
    return torch.autograd.grad(g @ q, (w, h))
    ### END SOLUTION


# %% [markdown]
# **Conjugate gradients** solve $H q = u$ with products alone: `product(v)` returns $H v$. While $h$ moves slowly, the last $q$ is a good place to **start**, so start there and not at zero. With $r$ for the residual, what is left to solve, and $p = r$ at first, each step does
#
# $$\alpha = \frac{r^\top r}{p^\top H p}, \qquad q \leftarrow q + \alpha\, p, \qquad r_{\mathrm{new}} = r - \alpha\, H p, \qquad \beta = \frac{r_{\mathrm{new}}^\top r_{\mathrm{new}}}{r^\top r}, \qquad p \leftarrow r_{\mathrm{new}} + \beta\, p .$$


# %% question="solve_by_cg"
def solve_by_cg(product, u, q, steps):
    """Return q (n,) after some steps from the given q (n,), for H q = u."""
    ### BEGIN SOLUTION
    r = p = u - product(q)
    for _ in range(steps):
        Hp = product(p)
        alpha = (r @ r) / (p @ Hp)
        q = q + alpha * p
        r, before = r - alpha * Hp, r
        p = r + (r @ r) / (before @ before) * p
    return q
    ### END SOLUTION


# %% [markdown]
# **Neumann's series.** For numbers, $\frac1a = \eta \sum_{k \ge 0} (1 - \eta a)^k$ if $|1 - \eta a| < 1$: a geometric series. For matrices it is the same,
#
# $$H^{-1} u \approx \eta \sum_{k=0}^{K-1} (I - \eta H)^k\, u ,$$
#
# with a step $\eta$ (`lr`) and $K$ terms. Each term after the first needs one product.


# %% question="solve_by_neumann"
def solve_by_neumann(product, u, lr, terms):
    """Return the sum of the first `terms` terms, (n,)."""
    ### BEGIN SOLUTION
    total = term = u
    for _ in range(terms - 1):
        term = term - lr * product(term)
        total = total + term
    return lr * total
    ### END SOLUTION


# %% [markdown]
# **Question.** The eigenvalues of $H$ lie between 0.5 and 8, and both ends occur. Up to which step $\eta$ does the series converge (a number, itself left out)?

# %% question="neumann_limit"
### BEGIN SOLUTION
neumann_limit = 0.25
### END SOLUTION

# %% [markdown]
# **A fixed point.** Any method of training makes steps $w \leftarrow \Phi(w, h)$ and rests where $w^* = \Phi(w^*, h)$. Let $A = \partial \Phi / \partial w$, $(n, n)$, and $B = \partial \Phi / \partial h$, $(n, m)$, be the step's Jacobians there. $A$ need not be symmetric: think of momentum, or of a rate for each weight. Then $\frac{dw^*}{dh} = A \frac{dw^*}{dh} + B$, and the hypergradient is
#
# $$\text{direct} + B^\top q \qquad\text{with}\qquad q = A^\top q + u .$$
#
# The second equation is solved by doing what it says: start at $q = 0$, and put $q$ into the right-hand side, `steps` times.


# %% question="fixed_point"
def fixed_point(A, B, u, direct, steps):
    """Return the hypergradient (m,) after `steps` rounds for q."""
    ### BEGIN SOLUTION
    q = torch.zeros_like(u)
    for _ in range(steps):
        q = A.T @ q + u
    return direct + B.T @ q
    ### END SOLUTION


# %% [markdown]
# **Question.** A training is stopped early: its weights are *not* at the minimum of the train loss. At these weights, conjugate gradients solve $H q = u$ to twelve digits. What is $\text{direct} - M^\top q$ worth?

# %% question="away_from_minimum"
### BEGIN SOLUTION
away_from_minimum = "d"
### END SOLUTION

# %% [markdown]
# ## 4. One step
#
# The other way to the hypergradient goes through the training itself. The shortest training is one step, from $w$ to
#
# $$w' = w - \xi\, \nabla_w \mathrm{inner}(w, h) ,$$
#
# and what is differentiated in $h$ is $\mathrm{outer}(w', h)$, with $w$ as a constant. Write it with `torch.autograd.grad`, exactly. Both losses take $(w, h)$, and $h$ stands in both.


# %% question="unrolled_step"
def unrolled_step(inner, outer, w, h, xi):
    """Return the gradient (m,) in h of outer(w', h), where w' = w - xi (gradient of inner)."""
    ### BEGIN SOLUTION
    w, h = (tensor.clone().requires_grad_() for tensor in (w, h))
    (g,) = torch.autograd.grad(inner(w, h), w, create_graph=True)
    return torch.autograd.grad(outer(w - xi * g, h), h)[0]
    ### END SOLUTION


# %% [markdown]
# **DARTS' difference.** That was, written out, $\nabla_h \mathrm{outer}(w', h) - \xi\, M^\top u$, where $u = \nabla_w \mathrm{outer}(w', h)$ and $M$ is the mixed derivative of inner at $w$. DARTS (Liu, Simonyan and Yang, 2019) replaces the product by a difference of two gradients in $h$, so that no second derivative is needed:
#
# $$M^\top u \approx \frac{\nabla_h \mathrm{inner}(w + \varepsilon u, h) - \nabla_h \mathrm{inner}(w - \varepsilon u, h)}{2\, \varepsilon}, \qquad \varepsilon = \frac{0.01}{\lVert u \rVert} .$$


# %% question="finite_difference"
def finite_difference(inner, outer, w, h, xi):
    """Return the gradient (m,) in h as in `unrolled_step`, by first derivatives only."""
    ### BEGIN SOLUTION
    w, h = (tensor.clone().requires_grad_() for tensor in (w, h))
    after = w - xi * torch.autograd.grad(inner(w, h), w)[0]
    u, direct = torch.autograd.grad(outer(after, h), (after, h))
    eps = 0.01 / u.norm()
    (above,) = torch.autograd.grad(inner(w + eps * u, h), h)
    (below,) = torch.autograd.grad(inner(w - eps * u, h), h)
    return direct - xi * (above - below) / (2 * eps)
    ### END SOLUTION


# %% [markdown]
# ## 5. All the steps
#
# Now by hand, without autograd, for a quadratic train loss
#
# $$\tfrac12 w^\top A w - b^\top w + \tfrac12 \sum_i e^{h_i} w_i^2 ,$$
#
# this time **with** a $\frac12$ everywhere, and a penalty for each weight. Gradient descent with the rate $\eta$ (`lr`) has made $T$ steps, and all its weights were kept: `path`, $(T + 1, n)$, has $w_0$ in its first row and $w_T$ in its last. $w_0$ does not depend on $h$.
#
# **Forward mode.** Let $Z_t = \frac{dw_t}{dh}$, $(n, n)$, a row for each weight and a column for each $h_j$. Differentiate the step from $w_t$ to $w_{t+1}$: how does $Z_{t+1}$ follow from $Z_t$? Return $Z_T$.


# %% question="forward_mode"
def forward_mode(path, A, h, lr):
    """Return Z (n, n), the derivative of the last weights in h."""
    ### BEGIN SOLUTION
    H = A + torch.diag(h.exp())
    Z = torch.zeros_like(A)
    for w in path[:-1]:
        Z = Z - lr * (H @ Z + torch.diag(h.exp() * w))
    return Z
    ### END SOLUTION


# %% [markdown]
# **Reverse mode.** The same, from the other end: start with the adjoint $p = u$, the outer loss's gradient at $w_T$, and go back through the steps. Each step adds its share to the hypergradient, and changes $p$. Return $Z_T^\top u$ without forming any matrix but $A$ and $H$; the direct term is left out.


# %% question="reverse_mode"
def reverse_mode(path, A, h, lr, u):
    """Return the hypergradient (n,) by going back along the path."""
    ### BEGIN SOLUTION
    p, total = u, torch.zeros_like(h)
    for w in path[:-1].flip(0):
        total = total - lr * h.exp() * w * p
        p = p - lr * (A @ p + h.exp() * p)
    return total
    ### END SOLUTION


# %% [markdown]
# **The last steps alone.** Early steps often hardly matter for the last weights, so one may stop going back after the last `keep` steps. Write it for any method of training: `As[t]`, $(n, n)$, and `Bs[t]`, $(n, m)$, are the Jacobians of step $t$ in the weights and in $h$, that is $Z_{t+1} = A_t Z_t + B_t$. Both lists begin with the first step of the training.


# %% question="truncated_reverse"
def truncated_reverse(As, Bs, u, keep):
    """Return what the last `keep` steps give, (m,); As and Bs are lists, u is (n,)."""
    ### BEGIN SOLUTION
    p, total = u, torch.zeros(Bs[0].shape[1], dtype=u.dtype)
    for t in reversed(range(len(As) - keep, len(As))):
        total = total + Bs[t].T @ p
        p = As[t].T @ p
    return total
    ### END SOLUTION


# %% [markdown]
# **Question.** 100,000 weights, 50 hyper-parameters, 2,000 steps. How many numbers are in the weights that reverse mode keeps, those before each step?

# %% question="reverse_memory"
### BEGIN SOLUTION
reverse_memory = 200_000_000
### END SOLUTION

# %% [markdown]
# **Question.** A million weights, each with its own penalty, trained by 100,000 steps that end close to a minimum. There is memory for some hundred copies of the weights. Which hypergradient can you afford?

# %% question="affordable"
### BEGIN SOLUTION
affordable = "b"
### END SOLUTION

# %% [markdown]
# ## 6. Short horizons
#
# What goes wrong when one looks only a few steps ahead can be computed exactly (Wu and others, 2018). In direction $i$ of a quadratic, curvature $h_i$ (`curvature`; not a hyper-parameter now), training sees a noisy minimum $c_i$ instead of $0$: in each step a new $c_i$ is drawn, with mean 0 and **standard deviation** $s_i$ (`noise`), independently. The loss is $\frac12 \sum_i h_i (x_i - c_i)^2$, so a step with the rate $\eta$ leads from $x_i$ to $x_i - \eta\, h_i (x_i - c_i)$.
#
# From a known place $x$, take one step. Then the loss is measured with **new** $c_i$. What is its expectation?


# %% question="loss_after_step"
def loss_after_step(curvature, noise, x, lr):
    """Return the expected loss after one step from x, a number; all three are (n,)."""
    ### BEGIN SOLUTION
    square = (1 - lr * curvature) ** 2 * x**2 + (lr * curvature * noise) ** 2
    return (curvature * (square + noise**2)).sum() / 2
    ### END SOLUTION


# %% [markdown]
# The rate is a hyper-parameter, too. **Greedy** means: choose the rate for which this expected loss, after the very next step, is lowest.


# %% question="greedy_rate"
def greedy_rate(curvature, noise, x):
    """Return the rate with the lowest expected loss after one step, a number."""
    ### BEGIN SOLUTION
    return (curvature**2 * x**2).sum() / (curvature**3 * (x**2 + noise**2)).sum()
    ### END SOLUTION


# %% [markdown]
# **Question.** A learning rate is tuned by hypergradients through ten steps of training, again and again, while a noisy training of ten thousand steps goes on. Some directions are steep and noisy, others flat. How does this rate compare with the one that is best for the whole training?

# %% question="short_horizon"
### BEGIN SOLUTION
short_horizon = "a"
### END SOLUTION

# %% [markdown]
# ## 7. In use
#
# Is a digit an 8? Ridge regression on the 64 pixels and a constant 1, with the target 1 for an 8 and $-1$ for all others; a penalty for each of the 65 weights. 200 digits to train on, few for validation. First, all your ways to one hypergradient, against the exact one. Half of the train loss has the same minimum and fits section 5: $A = X^\top X / N$ and $b = X^\top y / N$.

# %%
digits = data.digits(seed=0, dtype=torch.float64)


def eights(X, Y):
    """Add the constant 1 to the pixels, and make targets of labels."""
    return torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1), 2 * Y[:, 8] - 1


pool = eights(torch.cat([digits.X_train, digits.X_val]), torch.cat([digits.Y_train, digits.Y_val]))
test = eights(digits.X_test, digits.Y_test)


def draw(seed, n_val):
    """Draw 200 digits to train on and n_val others for validation."""
    order = torch.randperm(len(pool[0]), generator=torch.Generator().manual_seed(seed))
    train, val = order[:200], order[200 : 200 + n_val]
    return pool[0][train], pool[1][train], pool[0][val], pool[1][val]


X, y, X_val, y_val = draw(0, 50)
A, b = X.T @ X / len(X), X.T @ y / len(X)
h = torch.full((65,), -1.0, dtype=torch.float64)
H = A + torch.diag(h.exp())
curvatures = torch.linalg.eigvalsh(H)
rate = float(1 / curvatures[-1])
w_best = torch.linalg.solve(H, b)
u_best = validation_gradient(w_best, X_val, y_val)
exact = penalty_hypergradient(X, y, X_val, y_val, h, 0.0)


def product(v):
    return A @ v + h.exp() * v


def through(q):
    """The hypergradient for a solution q of H q = u."""
    return -h.exp() * w_best * q


def unrolled(steps):
    """Train for some steps from zero, and go back through them."""
    path = [torch.zeros_like(h)]
    for _ in range(steps):
        path.append(path[-1] - rate * (product(path[-1]) - b))
    u = validation_gradient(path[-1], X_val, y_val)
    return reverse_mode(torch.stack(path), A, h, rate, u)


def truncated(keep):
    """Go back through the last steps of a training that has reached its minimum."""
    J, B = torch.eye(65, dtype=h.dtype) - rate * H, -rate * torch.diag(h.exp() * w_best)
    return truncated_reverse([J] * 600, [B] * 600, u_best, keep)


ways = {
    "conjugate gradients": lambda k: through(
        solve_by_cg(product, u_best, torch.zeros_like(h), min(k, 40))  # at its end long before
    ),
    "Neumann's series": lambda k: through(solve_by_neumann(product, u_best, rate, k)),
    "last steps of a training": truncated,
    "a training of k steps": unrolled,
}
counts = [1, 5, 10, 15, *range(20, 301, 20)]
errors = {
    name: [float((way(k) - exact).norm() / exact.norm()) for k in counts]
    for name, way in ways.items()
}
plotting.use_style()
fig, ax = plotting.figure(size=(5.4, 3.6))
for i, (name, found) in enumerate(errors.items()):
    plotting.line(ax, counts, found, i, name)
shrink = 1 - rate * float(curvatures[0])
ax.plot(counts, [shrink**k for k in counts], ":", color=plotting.INK, label="slowest direction")
ax.set(xlabel="products with H, k", ylabel="relative error", yscale="log", ylim=(1e-6, 3))
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()
print(
    f"condition number {float(curvatures[-1] / curvatures[0]):.0f}, shrinks by {shrink:.4f} a step"
)
for name, found in errors.items():
    print(f"{name:>24}: error after 20 {found[4]:.1e}, after 300 {found[-1]:.1e}")

# %% [markdown]
# Neumann's series and the last steps of a finished training are the same sum. Going back through the training itself has an error of another kind as well: its weights are not at the minimum yet.
#
# Now use the hypergradient: Adam moves the 65 values of $h$, from the best single penalty. What happens to the loss on the data that were *not* used to choose $h$?


# %%
def losses(h, train_X, train_y, *others):
    """The mean squared errors of the best weights for h: on training data, and on other pairs."""
    w = torch.linalg.solve(
        train_X.T @ train_X / len(train_X) + torch.diag(h.exp()), train_X.T @ train_y / len(train_X)
    )
    return [float(((X @ w - y) ** 2).mean()) for X, y in ((train_X, train_y), *others)]


def one_penalty(X, y, *val):
    """The best of 25 single penalties by the validation loss, as h."""
    grid = [torch.full((65,), float(v), dtype=torch.float64) for v in torch.linspace(-7, -1, 25)]
    return min(grid, key=lambda h: losses(h, X, y, val)[1])


def tune(sets, rho=0.0, steps=60):
    """Return the losses (train, validation, test) before each step of Adam, and after the last."""
    h = one_penalty(*sets).requires_grad_()
    adam, found = torch.optim.Adam([h], lr=0.1), []
    for _ in range(steps):
        found.append(losses(h.detach(), *sets[:2], sets[2:], test))
        h.grad = penalty_hypergradient(*sets, h.detach(), rho)
        adam.step()
    return [*found, losses(h.detach(), *sets[:2], sets[2:], test)]


SEEDS = range(8)
SIZES = (25, 50, 200)
runs = {n: torch.tensor([tune(draw(seed, n)) for seed in SEEDS]) for n in SIZES}
fig, panels = plotting.figure(1, len(SIZES), (2.9, 3.0))
for ax, (n, found) in zip(panels, runs.items(), strict=True):
    for i, name in enumerate(("train", "validation", "test")):
        plotting.line(ax, range(found.shape[1]), found.mean(dim=0)[:, i], i, name)
    ax.set(title=f"{n} validation images", xlabel="steps of h", ylabel="loss", ylim=(0.0, 0.4))
panels[0].legend()
plt.show()
for n, found in runs.items():
    gain = found[:, 0] - found[:, -1]
    error = gain.std(dim=0) / len(SEEDS) ** 0.5
    better = int((gain[:, 2] > 0).sum())
    print(
        f"{n:>4} images: validation loss falls by {gain[:, 1].mean():.3f} +- {error[1]:.3f}, "
        f"test loss changes by {-gain[:, 2].mean():+.3f} +- {error[2]:.3f}, "
        f"lower in {better} of {len(SEEDS)}"
    )

# %% [markdown]
# Change **one** thing and measure it, with the same eight seeds: `rho`, which holds the penalties near $e^0$; fewer steps of $h$; penalties for a few groups of pixels instead of 65; hypergradients by three terms of Neumann's series instead of the exact ones; or the size of the training set.
#
# **Explain** in four to eight sentences: what did you change, and what did you expect? What happened to the validation loss and to the test loss, with their uncertainty, and why do the two part? What would you do about it with 50 validation images? A person will read this.

# %% [markdown] question="explain_hypergradients"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and what was expected from it, and gives both losses before and after with the spread over the eight seeds. It says why they part: 65 numbers are fitted to 25 or 50 validation images, so those images have become training data, and their loss says nothing any more of new digits; the gap closes as the validation set grows. For instance a few groups instead of 65 penalties: fewer numbers to fit, so the validation loss falls less and the test loss should suffer less. Or fewer steps: stopping early limits how far h can go, but for how long to go one needs data of their own, and the test set may not be that. With 50 images one would tune one or a few penalties, or many with a strong prior on them, use cross-validation to have more validation data, and report a test set that chose nothing. It does not claim more than its standard errors allow: eight draws from one pool and one test set share digits, so the draws are not independent.
# <!-- ### END SOLUTION -->
