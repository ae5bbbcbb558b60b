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
# # Momentum to Adam
#
# Every optimiser answers one question: the gradient is known, where to now? You will write eight answers to it, from plain descent to AdamW, each a small change of the one before. Then your Adam becomes a real `torch.optim.Optimizer`, which trains a network side by side with torch's own. At the end your rules race down a curved valley.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("optimisers.adam_step")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes two to three hours and goes with the fourth chapter of Part 3.
#
# All rules here have the same form:
#
# ```python
# params, state = adam_step(params, grads, state, ...)
# ```
#
# | argument | what it is |
# |---|---|
# | `params` | a dict of tensors, any names and any shapes: all parameters of a network |
# | `grads` | a dict with the same names: the gradient of the loss for each tensor |
# | `state` | a dict in which the rule keeps what it has to remember. At the first step it is **empty**, `{}`; at each later step it is what your function returned the step before. What you put into it, tensors and numbers, is up to you |
#
# Each function keeps three promises. It returns **new** dicts with **new** tensors: those that it is given stay as they are, so that a caller can go back a step. It keeps nothing outside `state`, for two networks may be trained at once. And numbers keep their precision: `float64` stays `float64`.
#
# Products, squares, roots and quotients of tensors are taken entry by entry.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the tensors here are small

# %% [markdown]
# ## 1. Plain descent
#
# One step of gradient descent with an L2 penalty: the objective is the loss plus $\frac{\lambda}{2} \lVert\theta\rVert^2$, with $\lambda$ called `decay`. `grads` is the gradient of the loss alone; you know that of the penalty. This rule has no state. (All parameters are penalised here.)


# %% question="sgd_step"
def sgd_step(params, grads, lr, decay):
    """Return the params after a step of gradient descent on loss + decay/2 ||theta||^2."""
    ### BEGIN SOLUTION
    return {name: p - lr * (grads[name] + decay * p) for name, p in params.items()}
    ### END SOLUTION


# %% [markdown]
# ## 2. Momentum
#
# A ball that rolls down a valley does not turn with every bump. Momentum gives the parameters a velocity $v$, which starts at 0 and gathers gradients:
#
# $$v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v .$$
#
# $\eta$ is `lr`. This is torch's form. Textbooks write $v \leftarrow \mu v - \eta g$ and $\theta \leftarrow \theta + v$. As long as $\eta$ stays the same, both give the same parameters, and you may write either one.
#
# Each tensor has a velocity of its own. At the first step `state` is empty, so think about where the zeros come from: `state.get(name, 0)` is one way.


# %% question="momentum_step"
def momentum_step(params, grads, state, lr, mu):
    """Return (params, state) after a step with momentum mu."""
    ### BEGIN SOLUTION
    v = {name: mu * state.get(name, 0) + grads[name] for name in params}
    return {name: p - lr * v[name] for name, p in params.items()}, v
    ### END SOLUTION


# %% [markdown]
# **Question.** "Momentum follows the mean of the past gradients", says a student of $v \leftarrow \mu v + g$. What is wrong with that?

# %% question="no_mean"
### BEGIN SOLUTION
no_mean = "b"
### END SOLUTION

# %% [markdown]
# **Question.** On a long even slope every gradient is the same. With $\eta = 0.02$ and $\mu = 0.95$ each step becomes, in the end, a multiple of that gradient. Which multiple? A number.

# %% question="effective_rate"
### BEGIN SOLUTION
effective_rate = 0.4
### END SOLUTION

# %% [markdown]
# **Question.** After 1000 steps a schedule divides $\eta$ by ten. In which of the two forms is already the very next step a tenth of what it would have been?

# %% question="rate_cut"
### BEGIN SOLUTION
rate_cut = "a"
### END SOLUTION

# %% [markdown]
# Nesterov saw that part of the next step is known before the gradient is: the old velocity will carry the parameters by $\mu v$ anyway. So take the gradient **there**, where it comes early enough to brake:
#
# $$v \leftarrow \mu v - \eta\, \nabla L(\theta + \mu v), \qquad \theta \leftarrow \theta + v .$$
#
# Here the gradient comes as a function: `gradient(params)` takes a dict of parameters, at any point that you like, and returns the dict of gradients at that point. (torch rearranges the rule so that it needs gradients at its own parameters alone, which are then the points $\theta + \mu v$. Write the form above, and return $\theta$.)


# %% question="nesterov_step"
def nesterov_step(params, gradient, state, lr, mu):
    """Return (params, state) after a step with Nesterov's momentum; gradient is a function."""
    ### BEGIN SOLUTION
    v = {name: state.get(name, torch.zeros_like(p)) for name, p in params.items()}
    ahead = gradient({name: p + mu * v[name] for name, p in params.items()})
    v = {name: mu * v[name] - lr * ahead[name] for name in params}
    return {name: p + v[name] for name, p in params.items()}, v
    ### END SOLUTION


# %% [markdown]
# ## 3. A rate for each parameter
#
# Some parameters have large gradients in every step, others a small one once in a while. One rate for all is too large for the first and too small for the second. **AdaGrad** keeps, for each single parameter, the sum of its squared gradients, from 0 on, and divides by the root of it:
#
# $$s \leftarrow s + g^2, \qquad \theta \leftarrow \theta - \eta\, \frac{g}{\sqrt{s} + \varepsilon} .$$
#
# **Question.** In words: by what does AdaGrad divide the gradient?

# %% question="what_adagrad_divides_by"
### BEGIN SOLUTION
what_adagrad_divides_by = "d"
### END SOLUTION

# %% [markdown]
# **Question.** A parameter has the gradient 2 in every step. With $\eta = 0.1$ and $\varepsilon = 0$, how long is AdaGrad's 25th step? A number.

# %% question="adagrad_25th"
### BEGIN SOLUTION
adagrad_25th = 0.02
### END SOLUTION


# %% question="adagrad_step"
def adagrad_step(params, grads, state, lr, eps):
    """Return (params, state) after a step of AdaGrad."""
    ### BEGIN SOLUTION
    s = {name: state.get(name, 0) + g**2 for name, g in grads.items()}
    new = {name: p - lr * grads[name] / (s[name].sqrt() + eps) for name, p in params.items()}
    return new, s
    ### END SOLUTION


# %% [markdown]
# A sum never forgets: gradients from the wild first steps keep the rate small for ever. **RMSProp** takes a moving average instead, with the weight $\alpha$ for the old average. It starts at 0 as well:
#
# $$s \leftarrow \alpha s + (1 - \alpha)\, g^2, \qquad \theta \leftarrow \theta - \eta\, \frac{g}{\sqrt{s} + \varepsilon} .$$


# %% question="rmsprop_step"
def rmsprop_step(params, grads, state, lr, alpha, eps):
    """Return (params, state) after a step of RMSProp."""
    ### BEGIN SOLUTION
    s = {name: alpha * state.get(name, 0) + (1 - alpha) * g**2 for name, g in grads.items()}
    new = {name: p - lr * grads[name] / (s[name].sqrt() + eps) for name, p in params.items()}
    return new, s
    ### END SOLUTION


# %% [markdown]
# **Adadelta** goes on from there. $g / \sqrt{s}$ has no unit: whether a parameter is measured in metres or in millimetres, RMSProp's step has the length $\eta$. So Adadelta multiplies by the root mean square of its own past steps, which has the right unit, and needs no learning rate. It keeps two moving averages, both from 0 on: $s$ of the squared gradients, $u$ of the squared steps.
#
# $$\begin{aligned} s &\leftarrow \rho s + (1 - \rho)\, g^2 \\ d &= \frac{\sqrt{u + \varepsilon}}{\sqrt{s + \varepsilon}}\; g \\ u &\leftarrow \rho u + (1 - \rho)\, d^2 \\ \theta &\leftarrow \theta - d \end{aligned}$$
#
# Mind the order of the lines, and where $\varepsilon$ stands. Here it is **inside** the roots, and not only to keep the divisor from 0.


# %% question="adadelta_step"
def adadelta_step(params, grads, state, rho, eps):
    """Return (params, state) after a step of Adadelta."""
    ### BEGIN SOLUTION
    old_s, old_u = state.get("s", {}), state.get("u", {})
    s, u, new = {}, {}, {}
    for name, p in params.items():
        g = grads[name]
        s[name] = rho * old_s.get(name, 0) + (1 - rho) * g**2
        d = (old_u.get(name, 0) + eps) ** 0.5 / (s[name] + eps) ** 0.5 * g
        u[name] = rho * old_u.get(name, 0) + (1 - rho) * d**2
        new[name] = p - d
    return new, {"s": s, "u": u}
    ### END SOLUTION


# %% [markdown]
# **Question.** The very first gradient of a parameter is 2. With $\rho = 0.9$ and $\varepsilon = 0.01$ (large, to be seen), how long is Adadelta's first step, $d$? A number, to four digits.

# %% question="adadelta_first"
### BEGIN SOLUTION
adadelta_first = 0.31235
### END SOLUTION

# %% [markdown]
# ## 4. Adam
#
# **Adam** takes both ideas: a moving average $m$ of the gradient, instead of the gradient itself, over the root of a moving average $v$ of its square. And it corrects a fault. Both averages start at 0, so at first they are too small: after one step $m$ is only $(1 - \beta_1)\, g$. After $t$ steps the weights of all gradients in $m$ sum to $1 - \beta_1^t$, so that is what to divide by.
#
# $$\begin{aligned} m &\leftarrow \beta_1 m + (1 - \beta_1)\, g & \hat m &= \frac{m}{1 - \beta_1^t} \\ v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 & \hat v &= \frac{v}{1 - \beta_2^t} \\ \theta &\leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \varepsilon} \end{aligned}$$
#
# $t$ counts the steps: it is 1 at the first one. The averages that are remembered are $m$ and $v$, not $\hat m$ and $\hat v$. ($v$ is no velocity any more; the letters are those of the paper.)


# %% question="adam_step"
def adam_step(params, grads, state, lr, beta1, beta2, eps):
    """Return (params, state) after a step of Adam."""
    ### BEGIN SOLUTION
    t = state.get("t", 0) + 1
    m, v, new = {}, {}, {}
    for name, g in grads.items():
        m[name] = beta1 * state.get("m", {}).get(name, 0) + (1 - beta1) * g
        v[name] = beta2 * state.get("v", {}).get(name, 0) + (1 - beta2) * g**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (v_hat.sqrt() + eps)
    return new, {"t": t, "m": m, "v": v}
    ### END SOLUTION


# %% [markdown]
# **Question.** The first gradient of a parameter is $-250$. With $\eta = 0.001$, $\beta_1 = 0.9$, $\beta_2 = 0.999$ and a negligible $\varepsilon$: by how much does Adam's first step change the parameter? A number, with its sign.

# %% question="adam_first"
### BEGIN SOLUTION
adam_first = 0.001
### END SOLUTION

# %% [markdown]
# **Question.** How many numbers does a rule keep for each parameter from one step to the next? In this order: momentum, AdaGrad, RMSProp, Adadelta, Adam.

# %% question="numbers_kept"
### BEGIN SOLUTION
numbers_kept = "b"
### END SOLUTION

# %% [markdown]
# **Question.** A network has 25 million parameters in `float32`, 100 MB. How many MB does Adam keep for it, besides the parameters and their gradients? A number.

# %% question="adam_memory"
### BEGIN SOLUTION
adam_memory = 200
### END SOLUTION

# %% [markdown]
# One parameter, whose gradient is 4 in every step. These are the lengths of the first four steps of four rules, all with $\eta = 0.1$ (and $\mu$, $\alpha$ or $\beta_1$ of 0.9, $\beta_2 = 0.999$, a negligible $\varepsilon$), to four digits:
#
# | row | step 1 | step 2 | step 3 | step 4 |
# |---|---|---|---|---|
# | first | 0.4 | 0.76 | 1.084 | 1.3756 |
# | second | 0.1 | 0.0707 | 0.0577 | 0.05 |
# | third | 0.3162 | 0.2294 | 0.1921 | 0.1705 |
# | fourth | 0.1 | 0.1 | 0.1 | 0.1 |
#
# **Question.** Which rule made the third row?

# %% question="third_row"
### BEGIN SOLUTION
third_row = "c"
### END SOLUTION

# %% [markdown]
# **Question.** And the fourth?

# %% question="fourth_row"
### BEGIN SOLUTION
fourth_row = "d"
### END SOLUTION

# %% [markdown]
# **Question.** Somebody multiplies the loss by 100 and leaves all settings as they are. What becomes of the steps? (Take every $\varepsilon$ as negligible.)

# %% question="scaled_loss"
### BEGIN SOLUTION
scaled_loss = "c"
### END SOLUTION

# %% [markdown]
# **Question.** Now the axes are turned: the network gets new parameters, which are a rotation of the old ones, and starts at the same place. Which rules take the same path as before?

# %% question="turned_axes"
### BEGIN SOLUTION
turned_axes = "d"
### END SOLUTION

# %% [markdown]
# ## 5. Two kinds of decay
#
# To make weights small one can add the penalty $\frac{\lambda}{2} \lVert\theta\rVert^2$ to the objective, or make the weights shrink by a share $\eta\lambda$ in each step. In `sgd_step` that was the same thing. In Adam it is not.
#
# First the **penalty**. It is a part of the objective, so its gradient is a part of the gradient: everything that Adam does, it does to the gradient of both. You may write the rule out or let your `adam_step` do the work.


# %% question="adam_l2_step"
def adam_l2_step(params, grads, state, lr, beta1, beta2, eps, decay):
    """Return (params, state) after a step of Adam on loss + decay/2 ||theta||^2."""
    ### BEGIN SOLUTION
    penalised = {name: g + decay * params[name] for name, g in grads.items()}
    return adam_step(params, penalised, state, lr, beta1, beta2, eps)
    ### END SOLUTION


# %% [markdown]
# Then **AdamW**: the decay goes past Adam, to the parameters themselves. The averages see the gradient of the loss alone. As in torch, the decay is multiplied by $\eta$, and it is the old $\theta$ that shrinks:
#
# $$\theta \leftarrow \theta - \eta \lambda\, \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \varepsilon} .$$


# %% question="adamw_step"
def adamw_step(params, grads, state, lr, beta1, beta2, eps, decay):
    """Return (params, state) after a step of AdamW."""
    ### BEGIN SOLUTION
    new, state = adam_step(params, grads, state, lr, beta1, beta2, eps)
    return {name: new[name] - lr * decay * p for name, p in params.items()}, state
    ### END SOLUTION


# %% [markdown]
# **Question.** Two weights have the same value. The gradients of the first are about $\pm 10$, with changing signs, those of the second about $\pm 0.1$. Which of them decays faster?

# %% question="which_weight_shrinks"
### BEGIN SOLUTION
which_weight_shrinks = "a"
### END SOLUTION

# %% [markdown]
# ## 6. An optimiser for torch
#
# In torch an optimiser is an object that changes a model's parameters where they are. `torch.optim.Optimizer` brings what all of them share (`zero_grad`, saving and loading, schedules), if you keep to its customs:
#
# - `super().__init__(params, defaults)` takes the parameters and a dict of settings. It makes `self.param_groups`, a list of dicts. Each has the parameters of a group under `"params"`, and the group's settings beside them: `group["lr"]` and so on. A group may have settings of its own, and a schedule changes `group["lr"]` while the training goes on.
# - `self.state[p]` is a dict that belongs to the parameter `p`, empty at first.
# - `step` updates each parameter whose gradient `p.grad` is there. A gradient can be `None` (a frozen layer, a branch that this batch did not use): then the parameter **and its state** stay as they are. So $t$ counts the updates of this parameter.
# - `step` changes parameters in place, and nobody wants that in the graph: autograd has to look away, with `torch.no_grad()`.
#
# Write Adam. `betas` is the pair $(\beta_1, \beta_2)$. (torch's own also takes a closure; leave that out.)


# %% question="Adam"
class Adam(torch.optim.Optimizer):
    """Adam, for the parameters of a model."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        ### BEGIN SOLUTION
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        ### END SOLUTION

    def step(self):
        """Update each parameter that has a gradient, in place."""
        ### BEGIN SOLUTION
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, self.state[p], group)

    @torch.no_grad()
    def update(self, p, state, group):
        beta1, beta2 = group["betas"]
        t = state["t"] = state.get("t", 0) + 1
        state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * p.grad
        state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * p.grad**2
        m_hat, v_hat = state["m"] / (1 - beta1**t), state["v"] / (1 - beta2**t)
        p -= group["lr"] * m_hat / (v_hat.sqrt() + group["eps"])
        ### END SOLUTION


# %% [markdown]
# Now it trains a network, and torch's own Adam trains a twin that starts from the same weights, both under the same schedule. If the losses are the same to the last few digits, you have written Adam.

# %%
circles = data.circles(seed=0, dtype=torch.float64)


def train(make, steps=300):
    """Train a small network with the optimiser that make(parameters) returns; return the losses."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.3)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(circles.X_train), circles.Y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


yours = train(lambda parameters: Adam(parameters, lr=0.03))
theirs = train(lambda parameters: torch.optim.Adam(parameters, lr=0.03))
apart = max(abs(one - other) for one, other in zip(yours, theirs, strict=True))
print(f"the loss fell from {yours[0]:.4f} to {yours[-1]:.4f}")
print(f"yours and torch's are apart by at most {apart:.1e}")

# %% [markdown]
# ## 7. A race
#
# Rosenbrock's function $f(x, y) = (1 - x)^2 + 100\,(y - x^2)^2$ is a narrow valley along a parabola, with the minimum 0 at $(1, 1)$. Its walls are steep and its floor is nearly flat, as in many a network.
#
# A race is fair only if every rule may choose its rate: each runs with eight rates, and its best run counts. (Adadelta has no rate, so it may choose its $\varepsilon$.)

# %%
start = {"xy": torch.tensor([-1.2, 1.0], dtype=torch.float64)}


def rosenbrock(xy):
    x, y = xy.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def slope(params):
    x, y = params["xy"]
    return {"xy": torch.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])}


def descend(take_step, rate, steps=1000):
    """Return the path (steps + 1, 2) of a rule from the start."""
    params, state, path = start, {}, [start["xy"]]
    for _ in range(steps):
        params, state = take_step(params, state, rate)
        path.append(params["xy"])
    return torch.stack(path)


runners = {
    "descent": lambda p, s, rate: (sgd_step(p, slope(p), rate, 0.0), s),
    "momentum": lambda p, s, rate: momentum_step(p, slope(p), s, rate, 0.9),
    "Nesterov": lambda p, s, rate: nesterov_step(p, slope, s, rate, 0.9),
    "AdaGrad": lambda p, s, rate: adagrad_step(p, slope(p), s, rate, 1e-8),
    "RMSProp": lambda p, s, rate: rmsprop_step(p, slope(p), s, rate, 0.9, 1e-8),
    "Adadelta": lambda p, s, eps: adadelta_step(p, slope(p), s, 0.9, eps),
    "Adam": lambda p, s, rate: adam_step(p, slope(p), s, rate, 0.9, 0.999, 1e-8),
}
rates = [10.0**exponent for exponent in torch.linspace(-4, 0, 8).tolist()]

best = {}
for name, take_step in runners.items():
    runs = {rate: descend(take_step, rate) for rate in rates}
    heights = {
        rate: rosenbrock(path[-1]).nan_to_num(torch.inf).item() for rate, path in runs.items()
    }
    rate = min(heights, key=heights.get)
    best[name] = runs[rate]
    diverged = sum(height > rosenbrock(start["xy"]).item() for height in heights.values())
    print(
        f"{name:>9}: best with {rate:.4f}, ends at {heights[rate]:.2e}; {diverged} of 8 end higher than the start"
    )

# %%
plotting.use_style()
x = torch.linspace(-1.6, 1.6, 200, dtype=torch.float64)
y = torch.linspace(-0.6, 1.8, 200, dtype=torch.float64)
heights = rosenbrock(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))
shown = ("descent", "momentum", "AdaGrad", "Adam")

fig, (left, right) = plotting.figure(1, 2, size=(4.6, 3.6))
left.contour(x, y, heights.log10(), levels=12, colors="grey", linewidths=0.6)
for i, name in enumerate(shown):
    path = best[name]
    plotting.line(left, path[:, 0].numpy(), path[:, 1].numpy(), i, name)
    plotting.line(right, range(len(path)), rosenbrock(path).numpy(), i, name)
left.plot(1, 1, marker="*", markersize=13, color="grey")
left.set(xlabel="$x$", ylabel="$y$", xlim=(-1.6, 1.6), ylim=(-0.6, 1.8))
right.set(xlabel="step", ylabel="$f$", yscale="log")
right.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# Change **one** thing about the race: 40 steps or 4000, another start, $\mu$ or $\beta_1$, other rates, or noise on the gradient as a mini-batch has it (`slope` plus random numbers from a seeded generator). Run it again.
#
# **Explain** in four to eight sentences: what did you change and what did you expect, which rule wins now and which won before, and for which other rates? What does a race in two dimensions, without noise, say about the training of a network, and what can it not say? A person will read this.

# %% [markdown] question="explain_race"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change, an expectation with a reason, and the final heights before and after for at least two rules, with the rates that were best. For instance, with noise on the gradient the rules that keep a long memory lose less: a single gradient is then a poor guide, v and m average many, and each rule with a constant rate ends in a cloud around the valley's floor instead of at a point. The answer says that each rule got the same eight rates and that a rule whose best rate is the first or the last of them may have a better one outside. And it says what a race cannot show: two dimensions have one valley and no saddles by the hundred, nothing is generalised, the gradient is exact, and the order of the rules changes with the function, the start and the number of steps, so that it ranks nothing for a network. What does carry over is the shape of the difficulty, steep walls and a flat floor, on which plain descent crawls since its rate is bound by the walls.
# <!-- ### END SOLUTION -->
