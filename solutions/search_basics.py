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
# # Basics of search
#
# Before anything clever, a search needs a few plain things: values from ranges, a count of what a grid costs, draws, and an honest report. You will write them, in Python's own numbers. All methods of Part 4 are built on them. At the end your functions search for a network that reads digits.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("search_basics.levels")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two hours and a half and goes with the first three chapters of Part 4 (the last two functions with the third).
#
# All losses and errors here are **better when they are lower**. Leave the arguments of your functions as they are, and return something new.

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the networks here are small

# %% [markdown]
# ## 1. From random numbers to a configuration
#
# Every method draws or moves in the unit cube, where each hyper-parameter is a number from 0 to 1. This number has to be turned into a value.
#
# **A real number.** `unit` = 0 is `low` and `unit` = 1 is `high`. Without `log`, equal differences are equally likely: half way between 0.1 and 0.5 is 0.3. With `log`, equal *ratios* are: half way between 0.01 and 1 is 0.1.


# %% question="real_at"
def real_at(unit, low, high, log):
    """Return the value at a place from 0 (low) to 1 (high); with log, in equal ratios."""
    ### BEGIN SOLUTION
    if log:
        return low * (high / low) ** unit
    return low + unit * (high - low)
    ### END SOLUTION


# %% [markdown]
# **An integer.** `low` and `high` are integers, and both belong to the range. Cut $[0, 1]$ into as many **equal** shares as there are integers; the first share is that of `low`. A share includes its beginning. The last one includes its end, too: `unit` can be 1.


# %% question="integer_at"
def integer_at(unit, low, high):
    """Return the integer in whose share the unit lies."""
    ### BEGIN SOLUTION
    return min(low + int(unit * (high - low + 1)), high)
    ### END SOLUTION


# %% [markdown]
# **A configuration.** A *space* is a dict of names to parameters, and a parameter is a dict:
#
# | parameter | what it asks for |
# |---|---|
# | `{"low": 4, "high": 64}` | an integer: both ends are written as integers |
# | `{"low": 0.0, "high": 0.5}` | a real number: the ends are written with a point |
# | `{"low": 1e-4, "high": 1.0, "log": True}` | a real number in equal ratios |
# | `{"choices": ["relu", "tanh"]}` | one of the values, each with an equal share of $[0, 1]$, in this order |
#
# `units` is a list with one number for each parameter, in the order of the space. Use your two functions.


# %% question="sample"
def sample(space, units):
    """Return the configuration at a point of the unit cube: a dict of names to values."""
    ### BEGIN SOLUTION
    config = {}
    for (name, parameter), unit in zip(space.items(), units, strict=True):
        if "choices" in parameter:
            choices = parameter["choices"]
            config[name] = choices[integer_at(unit, 0, len(choices) - 1)]
        elif isinstance(parameter["low"], int):
            config[name] = integer_at(unit, parameter["low"], parameter["high"])
        else:
            log = parameter.get("log", False)
            config[name] = real_at(unit, parameter["low"], parameter["high"], log)
    return config
    ### END SOLUTION


# %% [markdown]
# **What exists.** Plain SGD has no momentum. A parameter may say when it exists:
#
# ```python
# {
#     "optimizer": {"choices": ["sgd", "momentum", "nesterov"]},
#     "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": ["momentum", "nesterov"]}},
# }
# ```
#
# A parameter with `"when"` exists if **each** parent named there exists itself and has **one of** the values listed for it. A parameter without `"when"` always exists. Parents stand before their children in the space. `config` has a value for *every* name, in the order of the space. Keep those that exist.


# %% question="existing"
def existing(space, config):
    """Return a new dict with the parameters of the configuration that exist."""
    ### BEGIN SOLUTION
    kept = {}
    for name, parameter in space.items():
        when = parameter.get("when", {})
        if all(parent in kept and kept[parent] in values for parent, values in when.items()):
            kept[name] = config[name]
    return kept
    ### END SOLUTION


# %% [markdown]
# ## 2. Grids
#
# A full grid tries **all combinations**. How many configurations is that, and how many epochs, if each is trained for `epochs`? The parameters of this space are integer ranges, of which every integer is tried, and choices.


# %% question="grid_cost"
def grid_cost(space, epochs):
    """Return (the number of configurations, the number of epochs in total)."""
    ### BEGIN SOLUTION
    counts = [
        len(parameter["choices"])
        if "choices" in parameter
        else parameter["high"] - parameter["low"] + 1
        for parameter in space.values()
    ]
    return math.prod(counts), math.prod(counts) * epochs
    ### END SOLUTION


# %% [markdown]
# **Question.** The source of this part searches four widths of LeNet-5: F6 in 125 .. 325, C1 and C3 in 1 .. 32, C5 in 40 .. 130, both ends included, with 40 epochs for each configuration. How many epochs does the full grid take? A whole number.

# %% question="lenet_epochs"
### BEGIN SOLUTION
lenet_epochs = 749_199_360
### END SOLUTION

# %% [markdown]
# **Question.** The source counts $200 \times 32 \times 32 \times 90$ configurations, in the order F6, C1, C3, C5. What was miscounted?

# %% question="miscounted"
### BEGIN SOLUTION
miscounted = "a"
### END SOLUTION

# %% [markdown]
# **Question.** The source calls this a space around LeNet-5, whose widths are C1 = 6, C3 = 16, C5 = 120 and F6 = 84. Of its three methods two found C5 = 40, and one found F6 = 324. Which reading is sound?

# %% question="around_lenet"
### BEGIN SOLUTION
around_lenet = "d"
### END SOLUTION

# %% [markdown]
# **Question.** A grid has three optimisers, sgd, momentum and adam; four learning rates for each of them; and five values of the momentum, which exists with the optimiser momentum only. How many configurations are *different trainings*? A whole number.

# %% question="conditional_count"
### BEGIN SOLUTION
conditional_count = 28
### END SOLUTION

# %% [markdown]
# Real ranges have no end of values. A grid takes $k \ge 2$ **levels** of each: evenly spread, in equal ratios with `log`, from `low` to `high`, and both of these are among them.


# %% question="levels"
def levels(low, high, k, log):
    """Return a list of k levels from low to high, ends included."""
    ### BEGIN SOLUTION
    places = [i / (k - 1) for i in range(k)]
    if log:
        return [low * (high / low) ** at for at in places]
    return [low + at * (high - low) for at in places]
    ### END SOLUTION


# %% [markdown]
# Now the grid itself. `levels` is a dict of names to lists of values. The configurations, dicts again, come in the order of an odometer: the **last** name changes fastest. They should come **one after the other**: write a generator, with `yield`. Then a grid of millions costs no memory, and the first training can start at once.


# %% question="grid"
def grid(levels):
    """Yield each combination of the levels, a new dict each time."""
    ### BEGIN SOLUTION
    for values in itertools.product(*levels.values()):
        yield dict(zip(levels, values, strict=True))
    ### END SOLUTION


# %% [markdown]
# ## 3. Draws
#
# Call a configuration *good* if it is among the best share $q$ of all configurations, say $q = 0.05$. With which probability is **at least one** of $n$ independent draws good?


# %% question="success"
def success(n, q):
    """Return the probability that at least one of n draws is among the best share q."""
    ### BEGIN SOLUTION
    return 1 - (1 - q) ** n
    ### END SOLUTION


# %% [markdown]
# And the other way round: what is the **smallest** number of draws with which this probability is at least $P$?


# %% question="draws_needed"
def draws_needed(P, q):
    """Return the smallest n for which success(n, q) is at least P."""
    ### BEGIN SOLUTION
    return math.ceil(math.log(1 - P) / math.log(1 - q))
    ### END SOLUTION


# %% [markdown]
# **Question.** In a space of *ten* hyper-parameters you draw 100 configurations. With which probability is one of them among the best 5 % of the space? (The source says that the success of random search falls like $p^d$ with the number $d$ of hyper-parameters.)

# %% question="dimension"
### BEGIN SOLUTION
dimension = "b"
### END SOLUTION

# %% [markdown]
# **Question.** Something does get harder. The optimum lies in the middle of the cube $[0, 1]^5$. With which probability is at least one of 100 draws *near* it: within 0.1 of it, to both sides, in **every** coordinate? A number, to four digits after the point.

# %% question="near"
### BEGIN SOLUTION
near = 0.0315
### END SOLUTION

# %% [markdown]
# A **Latin hypercube** spreads $n$ points evenly over each coordinate. Cut $[0, 1]$ into $n$ equal shares, numbered from 0. In each coordinate, every share gets one point. `permutations` and `uniforms` are arrays of shape $(n, d)$, with a row for each point and a column for each coordinate: the number of the share, and where in the share the point lies (0 is its beginning, 1 its end).


# %% question="latin_hypercube"
def latin_hypercube(permutations, uniforms):
    """Return the points, an array of shape (n, d)."""
    ### BEGIN SOLUTION
    return (permutations + uniforms) / len(permutations)
    ### END SOLUTION


# %%
rng = np.random.default_rng(0)
shares = np.stack([rng.permutation(12), rng.permutation(12)], axis=1)
designs = {
    "independent draws": rng.random((12, 2)),
    "Latin hypercube": latin_hypercube(shares, rng.random((12, 2))),
}
plotting.use_style()
fig, panels = plotting.figure(1, 2, (3.4, 3.2))
for i, (ax, (name, points)) in enumerate(zip(panels, designs.items(), strict=True)):
    ax.plot(*points.T, plotting.MARKERS[i], color=plotting.COLOURS[i])
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="$x_1$", ylabel="$x_2$", title=name)
    ax.set_xticks(np.linspace(0, 1, 13), ["0", *[""] * 11, "1"])
    ax.set_yticks(np.linspace(0, 1, 13), ["0", *[""] * 11, "1"])
plt.show()

# %% [markdown]
# ## 4. What came of a search
#
# `values[i]` is the loss of trial $i$ and `budgets[i]` the epochs that it took. A training that failed has the loss nan: its epochs are spent all the same, and it is **worse than any other**. Return two lists, with an entry for each trial: the epochs spent up to and including it, and the lowest loss so far (`math.inf` as long as there is none).


# %% question="best_so_far"
def best_so_far(values, budgets):
    """Return (the epochs spent, the best loss so far), a list each."""
    ### BEGIN SOLUTION
    spent, best, epochs, lowest = [], [], 0, math.inf
    for value, budget in zip(values, budgets, strict=True):
        epochs += budget
        if value < lowest:  # False for nan
            lowest = value
        spent.append(epochs)
        best.append(lowest)
    return spent, best
    ### END SOLUTION


# %% [markdown]
# On a test function with noise more is known than a search may see: the *exact* loss of each configuration, and the lowest one of all, `optimum`. After each trial, the search would hand over the configuration with the lowest **measured** loss so far (the first, if several are equal). The **regret** is how much the **exact** loss of this configuration is above the optimum. (No nan here.)


# %% question="regret"
def regret(measured, exact, optimum):
    """Return a list: the regret after each trial."""
    ### BEGIN SOLUTION
    found, lowest, mine = [], math.inf, math.nan
    for value, truth in zip(measured, exact, strict=True):
        if value < lowest:
            lowest, mine = value, truth
        found.append(mine - optimum)
    return found
    ### END SOLUTION


# %% [markdown]
# One search is an anecdote. `losses` is an array of shape (searches, trials): each row is a search of its own. For each $n$ from 1 to the number of trials, what is the best of the first $n$ trials, **on average over the searches**?


# %% question="expected_best"
def expected_best(losses):
    """Return the mean over the searches of the best of the first n trials, for each n: (trials,)."""
    ### BEGIN SOLUTION
    return np.minimum.accumulate(losses, axis=1).mean(axis=0)
    ### END SOLUTION


# %% [markdown]
# At the end somebody wants to know how good the result is. For each configuration there are a validation error and a test error. Choose one, and say what may be said of it: its index, the error to report, and the *optimism*, by how much the reported error is above the one that made the choice. (Of equal errors the first; nan is the worst.)


# %% question="select"
def select(validation, test):
    """Return (the index of the chosen one, the error to report, the optimism)."""
    ### BEGIN SOLUTION
    best = min(range(len(test)), key=lambda i: (math.isnan(validation[i]), validation[i]))
    return best, test[best], test[best] - validation[best]
    ### END SOLUTION


# %% [markdown]
# **Question.** You train *one* configuration with a hundred seeds, and take the network with the lowest validation error. What is an honest error for the *configuration*?

# %% question="best_of_equals"
### BEGIN SOLUTION
best_of_equals = "c"
### END SOLUTION

# %% [markdown]
# ## 5. Children
#
# A genetic search makes new configurations of good ones. **Crossover**: `uniforms` is a list with one number for each parameter, in order. Below 0.5 the child has the mother's value, else the father's. (Both have the same names in the same order.)


# %% question="crossover"
def crossover(mother, father, uniforms):
    """Return the child, a new dict."""
    ### BEGIN SOLUTION
    return {
        name: (mother if u < 0.5 else father)[name]
        for name, u in zip(mother, uniforms, strict=True)
    }
    ### END SOLUTION


# %% [markdown]
# **Mutation**, in the unit cube. `place`, `chances` and `normals` are lists with one number for each coordinate. A coordinate whose chance is below `rate` moves by `step` times its normal number. What would leave $[0, 1]$ stays at the wall, at 0 or 1. The other coordinates stay as they are.


# %% question="mutate"
def mutate(place, chances, normals, rate, step):
    """Return the child's place, a new list."""
    ### BEGIN SOLUTION
    return [
        min(max(x + step * z, 0.0), 1.0) if chance < rate else x
        for x, chance, z in zip(place, chances, normals, strict=True)
    ]
    ### END SOLUTION


# %% [markdown]
# ## 6. Three searches
#
# Your functions, on a network that reads digits. The space has a logarithmic range, an integer one, a choice, and a parameter that exists with one of the optimisers only. First its grid and its cost; then 12 trainings of three epochs by a grid, by random draws, and by a Latin hypercube.


# %%
SPACE = {
    "lr": {"low": 0.003, "high": 1.0, "log": True},
    "width": {"low": 4, "high": 48},
    "optimizer": {"choices": ["sgd", "momentum"]},
    "momentum": {"low": 0.5, "high": 0.95, "when": {"optimizer": ["momentum"]}},
}
TRIALS, EPOCHS, BATCH = 12, 3, 64
digits = data.digits(seed=0)


def errors(config, seed):
    """Train, and return the errors on validation and on test data."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config["lr"], momentum=config.get("momentum", 0.0)
    )
    targets = digits.Y_train.argmax(dim=1)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(targets)).split(BATCH):
            loss = nn.functional.cross_entropy(model(digits.X_train[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return [
            (model(X).argmax(dim=1) != Y.argmax(dim=1)).double().mean().item()
            for X, Y in ((digits.X_val, digits.Y_val), (digits.X_test, digits.Y_test))
        ]


rng = np.random.default_rng(0)
d = len(SPACE)
order = np.stack([rng.permutation(TRIALS) for _ in range(d)], axis=1)
searches = {
    "grid": list(
        grid(
            {
                "lr": levels(0.003, 1.0, 3, log=True),
                "width": [16, 48],
                "optimizer": ["sgd", "momentum"],
                "momentum": [0.9],
            }
        )
    ),
    "random": [sample(SPACE, units) for units in rng.random((TRIALS, d)).tolist()],
    "Latin hypercube": [
        sample(SPACE, units) for units in latin_hypercube(order, rng.random((TRIALS, d))).tolist()
    ],
}
print("with every width, 3 rates and both optimisers:", end=" ")
counted = {"lr": {"choices": [1, 2, 3]}, "width": SPACE["width"], "o": SPACE["optimizer"]}
print("{} configurations, {} epochs".format(*grid_cost(counted, EPOCHS)))

# %%
results, chosen = {}, {}
for name, configs in searches.items():
    configs = [existing(SPACE, config) for config in configs]
    results[name] = np.array([errors(config, seed) for seed, config in enumerate(configs)])
    best, error, optimism = select(*results[name].T.tolist())
    chosen[name] = configs[best]
    shown = ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in configs[best].items()
    )
    print(f"{name:>16}: test error {error:.3f}, optimism {optimism:+.3f}; {shown}")

fig, ax = plotting.figure(size=(5.0, 3.2))
for i, (name, found) in enumerate(results.items()):
    epochs, best = best_so_far(found[:, 0].tolist(), [EPOCHS] * len(found))
    plotting.line(ax, epochs, best, i, name)
ax.set(xlabel="epochs spent", ylabel="lowest validation error so far", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# One search each, and a grid is a single draw from all possible grids. What was chosen is trained again, with five fresh seeds:

# %%
for name, config in chosen.items():
    again = [errors(config, seed)[1] for seed in range(100, 105)]
    print(f"{name:>16}: test errors", ", ".join(f"{error:.3f}" for error in sorted(again)))

# %% [markdown]
# Make **one** change of your own: other ranges, other levels, another number of trials, longer trainings, or a search whose children are made by `crossover` and `mutate`. Run it with three seeds of the search (the grid has none: move its levels instead), and train the chosen configurations again with fresh seeds.
#
# **Explain** in four to eight sentences: what did you change and what did you expect? Which errors may you report, and which not? Is the difference between the searches larger than that between seeds, and what could your experiment not show? A person will read this.

# %% [markdown] question="explain_search"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change, an expectation with its reason, and numbers for each of three seeds. It reports errors of chosen configurations on test data, after new trainings with fresh seeds, and not the lowest validation errors, which are too good because they were chosen. It compares the difference between the searches with the spread between seeds. For instance: a wider range of learning rates, up to 10. Where rates are useless the grid loses a third of its trainings and random search about a quarter, so both should get worse, the grid by more or less depending on where its levels fall. If the three differences have both signs, or the test errors of new trainings overlap, the answer says that three seeds cannot rank the methods. It also says what was kept equal (epochs in total, the space, the data), and that one data set and one network show nothing about others.
# <!-- ### END SOLUTION -->
