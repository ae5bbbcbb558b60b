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
# # Schedules
#
# A large learning rate gets far, a small one gets close. So the rate changes during training, and a *schedule* says how. You will write the schedules that everyone uses, put them together, count the updates that they need, and find the rate to begin with. At the end your schedules drive torch's optimisers, and you measure what they do against noise.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("schedules.cosine")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two hours and goes with the sixth chapter of Part 3.
#
# A schedule is a **function of a number $t$ that returns the rate**. What $t$ counts, epochs or updates, is up to whoever uses it; it begins at 0. Your functions *make* schedules: they take settings and return a function. Here is one, the schedule that does nothing:

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the tensors here are small


def constant(lr0):
    """Return a schedule that is lr0 at every t."""

    def schedule(t):
        return lr0

    return schedule


steady = constant(0.1)
print([steady(t) for t in range(5)])

# %% [markdown]
# A schedule looks at $t$ alone. It must give the right rate for any $t$, in any order, however often it is asked: torch asks when it likes, and a training that was stopped goes on in the middle. So it does not count its calls.
#
# ## 1. Rates that fall by a formula
#
# The **time-based** schedule divides by a number that grows: the rate is half of $\eta_0$ at $t = 1/k$, a third at $2/k$, a quarter at $3/k$.
#
# $$\eta(t) = \frac{\eta_0}{1 + k t}$$


# %% question="time_based"
def time_based(lr0, k):
    """Return the schedule lr0 / (1 + k t)."""
    ### BEGIN SOLUTION
    return lambda t: lr0 / (1 + k * t)
    ### END SOLUTION


# %% [markdown]
# The **step** schedule keeps still for `epochs_drop` epochs (one number, the length of a stage), and then multiplies the rate by `drop`, a number below 1. And so on, stage after stage.
#
# $$\eta(t) = \eta_0 \cdot \mathrm{drop}^{\lfloor t / \mathrm{epochs\_drop} \rfloor}$$


# %% question="step"
def step(lr0, drop, epochs_drop):
    """Return the schedule that is lr0 at first and is multiplied by drop every epochs_drop."""
    ### BEGIN SOLUTION
    return lambda t: lr0 * drop ** (t // epochs_drop)
    ### END SOLUTION


# %% [markdown]
# **Question.** $\eta_0 = 0.1$, drop = 0.5, epochs_drop = 10, and the training lasts 50 epochs, from 0 to 49. What is the rate in epoch 25? A number.

# %% question="step_rate"
### BEGIN SOLUTION
step_rate = 0.025
### END SOLUTION

# %% [markdown]
# **Question.** You may find this formula in print as $\eta_0 \cdot \mathrm{drop}^{\lfloor \mathrm{epoch} / (\mathrm{epochs} - \mathrm{drop}) \rfloor}$, with a minus sign where the underscore was. Taken at its word, with 50 epochs and a drop of 0.5: what does the rate do?

# %% question="as_printed"
### BEGIN SOLUTION
as_printed = "c"
### END SOLUTION

# %% [markdown]
# The **exponential** schedule multiplies by the same factor at every step, a little below 1:
#
# $$\eta(t) = \eta_0\, e^{-k t}$$


# %% question="exponential"
def exponential(lr0, k):
    """Return the schedule lr0 exp(-k t)."""
    ### BEGIN SOLUTION
    return lambda t: lr0 * math.exp(-k * t)
    ### END SOLUTION


# %% [markdown]
# **Question.** With $k = 0.01$, at which $t$ is half of the rate left? A number, to four digits.

# %% question="half_life"
### BEGIN SOLUTION
half_life = 69.315
### END SOLUTION

# %% [markdown]
# **Question.** An exponential schedule with $\eta_0 = 0.1$ and $k = 0.01$, one update at each of $t = 0, 1, 2, \ldots$ for ever, and no gradient is longer than 1. How far from the start can the parameters get at most? A number, to four digits.

# %% question="farthest"
### BEGIN SOLUTION
farthest = 10.0501
### END SOLUTION

# %% [markdown]
# In 1951 Robbins and Monro gave conditions under which noisy steps reach a minimum: the sum of all rates is **infinite**, so that no minimum is too far away, and the sum of their **squares is finite**, so that the noise is averaged out.
#
# **Question.** Which schedule fulfils both?

# %% question="robbins_monro"
### BEGIN SOLUTION
robbins_monro = "b"
### END SOLUTION

# %% [markdown]
# ## 2. Half a wave
#
# The **cosine** schedule knows when the training ends, and is there at its smallest rate: from $\eta_0$ at $t = 0$ down half a wave of the cosine to $\eta_{\min}$ at $t = T$ (`steps`). It stays there afterwards.
#
# $$\eta(t) = \eta_{\min} + (\eta_0 - \eta_{\min})\, \frac{1 + \cos(\pi t / T)}{2}, \qquad 0 \le t \le T$$


# %% question="cosine"
def cosine(lr0, steps, lr_min):
    """Return the schedule from lr0 along half a wave to lr_min at t = steps, and then lr_min."""

    ### BEGIN SOLUTION
    def schedule(t):
        share = min(t, steps) / steps
        return lr_min + (lr0 - lr_min) * (1 + math.cos(math.pi * share)) / 2

    return schedule
    ### END SOLUTION


# %% [markdown]
# **Question.** $\eta_0 = 0.1$ and $\eta_{\min} = 0$. What is the rate after a quarter of the steps? A number, to four digits.

# %% question="cosine_quarter"
### BEGIN SOLUTION
cosine_quarter = 0.085355
### END SOLUTION

# %% [markdown]
# ## 3. One schedule after another
#
# Schedules can be put together. `then(first, steps, second)` follows `first` at $t = 0, \ldots,$ `steps` $- 1$. From $t =$ `steps` on it follows `second`, which begins at **its own** $t = 0$. Both are schedules, functions of a number.


# %% question="then"
def then(first, steps, second):
    """Return the schedule that is first for `steps`, and then second, from its beginning."""
    ### BEGIN SOLUTION
    return lambda t: first(t) if t < steps else second(t - steps)
    ### END SOLUTION


# %% [markdown]
# At the start a network is far from anything, its gradients are large, and Adam's averages know two or three batches. **Warm-up** begins with a small rate: it rises in a straight line from `start` times the schedule's first rate, at $t = 0$, to the whole of that rate, at $t =$ `steps`. There the schedule begins, at its own $t = 0$. `start` is a share between 0 and 1.


# %% question="warmup"
def warmup(steps, schedule, start):
    """Return a rise from start * schedule(0) to schedule(0) over `steps`, then the schedule."""
    ### BEGIN SOLUTION
    lr0 = schedule(0)

    def warmed(t):
        if t < steps:
            return lr0 * (start + (1 - start) * t / steps)
        return schedule(t - steps)

    return warmed
    ### END SOLUTION


# %% [markdown]
# **One cycle** is made for a training of `steps` updates, $t = 0, \ldots,$ `steps` $- 1$, up and down once, each way along half a wave of the cosine:
#
# | | $t$ | rate |
# |---|---|---|
# | first update | 0 | `lr_max / div_factor` |
# | top | `pct_start * steps - 1` | `lr_max` |
# | last update | `steps - 1` | `lr_max / div_factor / final_div_factor` |
#
# The time of the top need not be a whole number. After the last update the rate stays. (These are the rates of torch's `OneCycleLR`.)


# %% question="one_cycle"
def one_cycle(lr_max, steps, pct_start, div_factor, final_div_factor):
    """Return the schedule up to lr_max and down again in `steps` updates."""
    ### BEGIN SOLUTION
    first = lr_max / div_factor
    final = first / final_div_factor
    peak, last = pct_start * steps - 1, steps - 1

    def wave(start, end, share):
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    def schedule(t):
        if t >= last:
            return final
        if t < peak:
            return wave(first, lr_max, t / peak)
        return wave(lr_max, final, (t - peak) / (last - peak))

    return schedule
    ### END SOLUTION


# %% [markdown]
# ## 4. Epochs, updates, torch
#
# `cosine` and `one_cycle` have to know how many updates there will be. An epoch takes the examples in batches. The last batch of an epoch is smaller if they do not fill it; with `drop_last` it is left out.


# %% question="updates"
def updates(n_examples, batch_size, epochs, drop_last):
    """Return the number of updates of the whole training, a whole number."""
    ### BEGIN SOLUTION
    batches = n_examples // batch_size if drop_last else math.ceil(n_examples / batch_size)
    return batches * epochs
    ### END SOLUTION


# %% [markdown]
# Some schedules are meant for epochs, while the training loop counts updates. Make one of the other: the new schedule is asked for an *update* $t$, and gives the rate that the schedule has for the *epoch* in which this update falls. Updates and epochs count from 0.


# %% question="per_update"
def per_update(schedule, updates_per_epoch):
    """Return a schedule of updates that has the rates of a schedule of epochs."""
    ### BEGIN SOLUTION
    return lambda t: schedule(t // updates_per_epoch)
    ### END SOLUTION


# %% [markdown]
# torch's `LambdaLR(optimizer, factor)` sets the rate to `lr * factor(t)`, where `lr` is the rate that the optimiser was made with and $t$ counts the calls of `scheduler.step()`. What you have is a schedule of rates. Turn it into the factor for an optimiser that was made with `lr`.


# %% question="factor"
def factor(schedule, lr):
    """Return the function of t by which LambdaLR has to multiply lr to get the schedule's rates."""
    ### BEGIN SOLUTION
    return lambda t: schedule(t) / lr
    ### END SOLUTION


# %% [markdown]
# **Question.** Someone writes
#
# ```python
# optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
# scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, exponential(1.0, 0.05))
# ```
#
# meaning 0.05 an **epoch**, and calls `scheduler.step()` after each of the 391 updates of an epoch. What is the rate after the first epoch?

# %% question="stepped_too_often"
### BEGIN SOLUTION
stepped_too_often = "d"
### END SOLUTION

# %% [markdown]
# **Question.** Someone else writes
#
# ```python
# optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
# scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, exponential(0.1, 0.05))
# ```
#
# With which rate does the training begin? A number.

# %% question="squared_rate"
### BEGIN SOLUTION
squared_rate = 0.01
### END SOLUTION

# %% [markdown]
# ## 5. Where to begin
#
# A **range test** finds the first rate in a minute: train for a hundred updates or so, with a rate that is multiplied by the same factor after each, from far too small to far too large. `losses[i]` is the loss (smoothed) *before* the update with the rate `lrs[i]`, so `losses[i + 1]` is the loss after it.
#
# The suggestion is the rate whose update lowers the loss most. Only what comes before the lowest loss of all counts: after it the training has gone wrong, and a fall from a great height says nothing. (The loss falls at least once, and may end at infinity.)


# %% question="suggest_lr"
def suggest_lr(lrs, losses):
    """Return the rate whose update lowers the loss most, before the lowest loss."""
    ### BEGIN SOLUTION
    lowest = losses.index(min(losses))
    steepest = min(range(lowest), key=lambda i: losses[i + 1] - losses[i])
    return lrs[steepest]
    ### END SOLUTION


# %% [markdown]
# **Question.** Why not take the rate at the lowest loss?

# %% question="not_the_lowest"
### BEGIN SOLUTION
not_the_lowest = "c"
### END SOLUTION

# %% [markdown]
# ## 6. What schedules are for
#
# All of yours in one picture, for a training of 100 updates.

# %%
plotting.use_style()
mine = {
    "time-based": time_based(1.0, 0.05),
    "step": step(1.0, 0.5, 25),
    "exponential": exponential(1.0, 0.03),
    "cosine": cosine(1.0, 100, 0.02),
    "warm-up, cosine": warmup(10, cosine(1.0, 90, 0.0), 0.05),
    "one cycle": one_cycle(1.0, 100, 0.3, 25, 100),
}
fig, ax = plotting.figure(size=(6.0, 3.4))
for i, (name, schedule) in enumerate(mine.items()):
    plotting.line(ax, range(100), [schedule(t) for t in range(100)], i, name)
ax.set(xlabel="update", ylabel="learning rate")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# Why let the rate fall at all? Because a gradient of a mini-batch is noisy. Here is the simplest case: the loss is $\frac12 w^2$, its gradient $w$, and each step sees the gradient plus a random number. Two thousand runs at once give a clean mean. The dashed level is where a constant rate $\eta$ ends, $\frac{\eta}{2 (2 - \eta)}$: the **noise floor**.


# %%
def noisy_descent(schedule, steps=400, runs=2000, seed=0):
    """Return the mean loss after each of the steps, over many runs from w = 10."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.full((runs,), 10.0, dtype=torch.float64)
    means = []
    for t in range(steps):
        noise = torch.randn(runs, generator=generator, dtype=torch.float64)
        w = w - schedule(t) * (w + noise)
        means.append(w.square().mean().item() / 2)
    return means


tried = {
    "constant 0.5": constant(0.5),
    "constant 0.05": constant(0.05),
    "0.5, then 0.05": then(constant(0.5), 200, constant(0.05)),
    "time-based": time_based(0.5, 0.5),
    "cosine": cosine(0.5, 400, 0.0),
    "exponential, too fast": exponential(0.5, 0.3),
}
fig, ax = plotting.figure(size=(6.0, 3.4))
for i, (name, schedule) in enumerate(tried.items()):
    means = noisy_descent(schedule)
    plotting.line(ax, range(1, 401), means, i, name)
    print(f"{name:>22}: mean loss {means[49]:.4f} after 50 steps, {means[-1]:.4f} after 400")
for lr in (0.5, 0.05):
    ax.axhline(lr / (2 * (2 - lr)), color="grey", linestyle="--", linewidth=1)
ax.set(xlabel="step", ylabel="mean loss", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# **Question.** In real trainings the loss often falls abruptly at the moment when a step schedule divides the rate by ten. Why?

# %% question="noise_floor"
### BEGIN SOLUTION
noise_floor = "a"
### END SOLUTION

# %% [markdown]
# **Question.** So when is the time to cut the rate?

# %% question="when_to_cut"
### BEGIN SOLUTION
when_to_cut = "b"
### END SOLUTION

# %% [markdown]
# Now a network that reads digits. First your range test. Then trainings of the same length, three seeds each: at a constant rate, and with your warm-up and cosine through `LambdaLR`, from the suggested rate and from five times as much.


# %%
digits = data.digits(seed=0)
BATCH, EPOCHS = 50, 8


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def batches(epochs):
    for _ in range(epochs):
        yield from torch.randperm(len(digits.X_train)).split(BATCH)


def train(schedule, seed, epochs=EPOCHS):
    """Train with the rates of a schedule of updates; return the model and its batches' losses."""
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor(schedule, 0.1))
    losses = []
    for batch in batches(epochs):
        logits = model(digits.X_train[batch])
        loss = nn.functional.cross_entropy(logits, digits.Y_train[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return model, losses


growing = exponential(1e-4, -0.11)  # it grows: k is negative
_, losses = train(growing, seed=0, epochs=4)
window = 5
smooth = [sum(losses[i : i + window]) / window for i in range(len(losses) - window)]
rates = [growing(i + window // 2) for i in range(len(smooth))]
lr = suggest_lr(rates, smooth)
print(f"{len(losses)} updates, rates from {growing(0):.1e} to {growing(len(losses) - 1):.1e}")
print(f"lowest smoothed loss at {rates[smooth.index(min(smooth))]:.3f}, suggestion {lr:.3f}")

# %%
total = updates(len(digits.X_train), BATCH, EPOCHS, drop_last=False)
rise = total // 10
plans = {}
for scale in (1, 5):
    rate = scale * lr
    plans[f"constant {rate:.2f}"] = constant(rate)
    plans[f"cosine from {rate:.2f}"] = warmup(rise, cosine(rate, total - rise, 0.0), 0.1)
for name, schedule in plans.items():
    accuracies = []
    for seed in range(3):
        model, losses = train(schedule, seed)
        with torch.no_grad():
            right = model(digits.X_val).argmax(dim=1) == digits.Y_val.argmax(dim=1)
        accuracies.append(right.double().mean().item())
    shown = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    print(
        f"{name:>16}: validation accuracy {shown}; loss of the last batches {sum(losses[-20:]) / 20:.4f}"
    )

# %% [markdown]
# Make **one** change of your own: another schedule (`one_cycle`, `time_based`, a step with `per_update`), warm-up without the cosine or the cosine without warm-up, batches of 5 (more noise), or half the epochs. Run three seeds with and three without it.
#
# **Explain** in four to eight sentences: what did you change, what did you expect from the rate's path, what did you measure (all six numbers), and is the difference larger than that between seeds? A person will read this.

# %% [markdown] question="explain_schedule"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change, an expectation with its reason, three numbers with the change and three without, and compares the difference of their means with the spread between seeds. For instance, at five times the suggested rate, warm-up without the cosine: a large rate that never falls keeps the network jumping about, so the expectation is that most of what the schedule gains at that rate comes from the fall, and less from the rise. If all three runs without the fall lie below all three with it, three seeds support that; if they mix, the answer says that three cannot tell. It says what was kept equal (seeds, epochs, batch size), and that the suggested rate came from a single range test with seed 0. For smaller batches the expectation is that the falling rate gains more over the constant one, since the noise floor is higher.
# <!-- ### END SOLUTION -->
