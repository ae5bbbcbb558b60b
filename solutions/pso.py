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
# # Particle swarms
#
# A swarm searches with a handful of particles. Where a particle stands is a configuration; it remembers its own best place, knows the swarm's best place, and is pulled to both. You will write one, piece by piece, until it searches by itself. Then you measure how much its settings matter.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("pso.velocity")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two hours and goes with the third chapter of Part 4.
#
# Places are in the unit cube, and losses are better when they are lower. A swarm of $n$ particles in $d$ dimensions is an array of shape $(n, d)$, a row for each particle. All random numbers are given to your functions, so that there is one right answer. Leave the arguments as they are, and return new arrays.

# %%
import matplotlib.pyplot as plt
import numpy as np

from mlcourse import plotting

# %% [markdown]
# ## 1. One step
#
# Particle $i$ is at $x_i$ with velocity $v_i$. Its own best place so far is $p_i$; the best of the whole swarm is $g$. Then
#
# $$v_i \leftarrow w\, v_i + \phi_l\, u_l \odot (p_i - x_i) + \phi_g\, u_g \odot (g - x_i), \qquad x_i \leftarrow x_i + v_i .$$
#
# $w$ is the inertia, $\phi_l$ and $\phi_g$ are the strengths of the two pulls (`own` and `swarm` in the code), $u_l$ and $u_g$ random numbers from $[0, 1]$, and $\odot$ multiplies coordinate by coordinate.
#
# **Question.** By hand, in one dimension: $x = 0.4$, $v = 0.12$, $p = 0.2$, $g = 0.8$, $w = 0.5$, $\phi_l = \phi_g = 1.6$, $u_l = 0.25$, $u_g = 0.5$. What is the new **place**? A number.

# %% question="one_step"
### BEGIN SOLUTION
one_step = 0.7
### END SOLUTION

# %% [markdown]
# **The velocity** of all particles at once. `x`, `v`, `p`, `u_own` and `u_swarm` have the shape $(n, d)$, and `g` has $(d,)$: numpy adds it to each row. (They may also be those of one particle alone, all of shape $(d,)$: the same formula does both.)


# %% question="velocity"
def velocity(x, v, p, g, u_own, u_swarm, w, own, swarm):
    """Return the new velocities, of the shape of x."""
    ### BEGIN SOLUTION
    return w * v + own * u_own * (p - x) + swarm * u_swarm * (g - x)
    ### END SOLUTION


# %% [markdown]
# **A speed limit.** No coordinate of a velocity may be larger than `limit` in size, forwards or backwards. What is slower stays as it is.


# %% question="clipped"
def clipped(v, limit):
    """Return the velocities with each coordinate from -limit to limit."""
    ### BEGIN SOLUTION
    return np.clip(v, -limit, limit)
    ### END SOLUTION


# %% [markdown]
# **Walls.** The particle moves by its velocity. Where a coordinate would leave $[0, 1]$, it is mirrored at the wall: $-0.1$ becomes $0.1$, and $1.2$ becomes $0.8$. In this coordinate, and only there, the velocity turns round. (Velocities are below 1 in size, so one mirror is enough.)


# %% question="bounced"
def bounced(x, v):
    """Move by v; return (the places, the velocities), both after the walls."""
    ### BEGIN SOLUTION
    place = x + v
    outside = (place < 0) | (place > 1)
    mirrored = np.where(place < 0, -place, np.where(place > 1, 2 - place, place))
    return mirrored, np.where(outside, -v, v)
    ### END SOLUTION


# %% [markdown]
# **The whole step**: the new velocity, clipped; the move with the clipped velocity, with its walls. Use your three functions. What you return is where the next step begins: the places, and the velocities that the particles have then.


# %% question="step"
def step(x, v, p, g, u_own, u_swarm, w, own, swarm, limit):
    """Return (the new places, the new velocities)."""
    ### BEGIN SOLUTION
    new = velocity(x, v, p, g, u_own, u_swarm, w, own, swarm)
    return bounced(x, clipped(new, limit))
    ### END SOLUTION


# %% [markdown]
# ## 2. What particles remember
#
# All particles have been evaluated: `x` are their places, $(n, d)$, and `loss` their losses, $(n,)$. `p` and `p_loss` are their own best places so far and the losses there. A particle's best changes only if its new loss is **lower**. A training that failed has the loss nan, and is nobody's best.


# %% question="own_best"
def own_best(p, p_loss, x, loss):
    """Return the renewed (p, p_loss)."""
    ### BEGIN SOLUTION
    better = loss < p_loss  # False for nan
    return np.where(better[:, None], x, p), np.where(better, loss, p_loss)
    ### END SOLUTION


# %% [markdown]
# The same from the whole history. `places` has the shape $(T, n, d)$ and `losses` $(T, n)$: $T$ iterations of $n$ particles. Where are the particles pulled to **now**, after the last of them? Return `p`, $(n, d)$, and `g`, $(d,)$. (No nan, and no two losses are equal.)


# %% question="targets"
def targets(places, losses):
    """Return (p, g): each particle's own best place, and the swarm's best place."""
    ### BEGIN SOLUTION
    first = losses.argmin(axis=0)
    p = places[first, np.arange(losses.shape[1])]
    return p, p[losses.min(axis=0).argmin()]
    ### END SOLUTION


# %% [markdown]
# **Question.** In the source of this part, the first pull goes to the best place of the *iteration*, for all particles: $v_i \leftarrow w v_i + \phi_l u_l \odot (p - x_i) + \phi_g u_g \odot (g - x_i)$ with one $p$, the best of the places where the particles are now. What does that change?

# %% question="the_slip"
### BEGIN SOLUTION
the_slip = "c"
### END SOLUTION

# %% [markdown]
# **Question.** The same source begins in this order: "initialise the best places: p = x; initialise the places: x = random". What is wrong with it?

# %% question="before_drawn"
### BEGIN SOLUTION
before_drawn = "a"
### END SOLUTION

# %% [markdown]
# ## 3. A whole search
#
# `loss(place)` takes one place, an array $(d,)$, and returns a number. `x`, $(n, d)$, are the first places, and all velocities are 0. First they are evaluated; each is its particle's first best. Then `uniforms`, $(T, 2, n, d)$, has the random numbers of $T$ iterations: `uniforms[t][0]` for the own pulls and `uniforms[t][1]` for the swarm's. In each iteration
#
# 1. all particles take a step, with the **same** $g$;
# 2. all new places are evaluated;
# 3. the own bests, and with them $g$, are renewed.
#
# Return the places that were evaluated, $(T + 1, n, d)$: those of the start, and those after each iteration. Use `step` and `own_best`.


# %% question="fly"
def fly(loss, x, uniforms, w, own, swarm, limit):
    """Return all places of the search, an array of shape (T + 1, n, d)."""
    ### BEGIN SOLUTION
    v, losses = np.zeros_like(x), np.array([loss(row) for row in x])
    p, p_loss, places = x, losses, [x]
    for u_own, u_swarm in uniforms:
        g = p[p_loss.argmin()]
        x, v = step(x, v, p, g, u_own, u_swarm, w, own, swarm, limit)
        losses = np.array([loss(row) for row in x])
        p, p_loss = own_best(p, p_loss, x, losses)
        places.append(x)
    return np.stack(places)
    ### END SOLUTION


# %% [markdown]
# **Question.** Five particles, at rest, at places with five different losses. How many of them move in the first iteration? A whole number.

# %% question="moving_at_first"
### BEGIN SOLUTION
moving_at_first = 4
### END SOLUTION

# %% [markdown]
# **Question.** When should a swarm stop?

# %% question="when_to_stop"
### BEGIN SOLUTION
when_to_stop = "d"
### END SOLUTION

# %% [markdown]
# Trainings take hours, and no two take the same time. Then nobody should wait for the slowest. In the **asynchronous** form, news counts at once. After the start, in each round, the particles move **in turn**, 0, 1, ..., $n - 1$: particle $i$ takes its step, with the best places known at that moment; it is evaluated; its own best, and with it $g$, are renewed; and only then particle $i + 1$ moves. Arguments and result are as above. Use `step`: it works for one particle, too.


# %% question="fly_one_by_one"
def fly_one_by_one(loss, x, uniforms, w, own, swarm, limit):
    """Return all places of the search, (T + 1, n, d): the start, and after each round."""
    ### BEGIN SOLUTION
    x, v = x.copy(), np.zeros_like(x)
    p, p_loss, places = x.copy(), np.array([loss(row) for row in x]), [x.copy()]
    for u_own, u_swarm in uniforms:
        for i in range(len(x)):
            g = p[p_loss.argmin()]
            x[i], v[i] = step(x[i], v[i], p[i], g, u_own[i], u_swarm[i], w, own, swarm, limit)
            value = loss(x[i])
            if value < p_loss[i]:
                p[i], p_loss[i] = x[i], value
        places.append(x.copy())
    return np.stack(places)
    ### END SOLUTION


# %% [markdown]
# ## 4. Integers
#
# Widths of layers are integers, but velocities are not. The way out: **places stay real**, and only what is evaluated is rounded. `loss` takes an array of $d$ integers. `low` and `high` are integer arrays, $(d,)$, with the ends of the ranges, both included. Return a function of a place $x$ in the unit cube that swarms can use: each integer has an equal share of $[0, 1]$, the first share is that of `low`, and $x = 1$ belongs to the last. The function must leave $x$ alone: it is the particle's own place.


# %% question="on_integers"
def on_integers(loss, low, high):
    """Return a function: the loss, as a function of a place x (d,) in the unit cube."""

    ### BEGIN SOLUTION
    def rounded_loss(x):
        return loss(np.minimum(low + np.floor(x * (high - low + 1)).astype(int), high))

    return rounded_loss
    ### END SOLUTION


# %% [markdown]
# **Question.** Someone rounds the *velocity* instead, to whole units of the range, so that the places stay on integers. What happens?

# %% question="whole_steps"
### BEGIN SOLUTION
whole_steps = "a"
### END SOLUTION

# %% [markdown]
# ## 5. Does it settle?
#
# Hold $p$ and $g$ still. In one coordinate, the two pulls together are a random number $\varphi = \phi_l u_l + \phi_g u_g$ with the mean $m$ and the variance $s^2$ (a number drawn evenly from $[0, 1]$ has the mean $\frac12$ and the variance $\frac{1}{12}$; $u_l$ and $u_g$ are independent). The spread of a particle's place stays bounded and settles if
#
# $$|w| < 1 \quad\text{and}\quad s^2\, (1 + w) < m\, \big(2\,(1 + w) - m\big)\, (1 - w) .$$


# %% question="stable"
def stable(w, own, swarm):
    """Return True if the spread settles, else False."""
    ### BEGIN SOLUTION
    m, s2 = (own + swarm) / 2, (own**2 + swarm**2) / 12
    return abs(w) < 1 and s2 * (1 + w) < m * (2 * (1 + w) - m) * (1 - w)
    ### END SOLUTION


# %% [markdown]
# **Question.** The source's settings are $w = 0.5$ and $\phi_l = \phi_g = 2$. Does the spread settle? (Work it out with fractions: a program may round to either side.)

# %% question="on_the_limit"
### BEGIN SOLUTION
on_the_limit = "b"
### END SOLUTION

# %% [markdown]
# ## 6. What the settings do
#
# A bowl with bumps, in two dimensions for the picture and in four for the numbers. First a look at two flights of your swarm.


# %%
def bumpy(x, centre=0.37):
    """A bowl with bumps; the lowest value, 0, is at `centre` in every coordinate."""
    z = 6 * (np.asarray(x) - centre)
    return float((z**2 + 2 * (1 - np.cos(2 * np.pi * z))).sum())


def searched(settings, seed, d=4, particles=5, iterations=19, loss=bumpy, how=fly):
    """The places of one search with 100 evaluations, and their losses."""
    rng = np.random.default_rng(seed)
    x, uniforms = rng.random((particles, d)), rng.random((iterations, 2, particles, d))
    places = how(loss, x, uniforms, *settings)
    return places, np.array([[loss(row) for row in x] for x in places])


SETTINGS = {  # inertia, own, swarm, limit
    "the source's": (0.5, 2.0, 2.0, 0.5),
    "weaker pulls": (0.5, 1.6, 1.6, 0.5),
    "more inertia": (0.73, 1.5, 1.5, 0.5),
    "too much": (0.9, 2.0, 2.0, 0.5),
}
plotting.use_style()
fig, panels = plotting.figure(1, 2, (3.8, 3.6))
for ax, name in zip(panels, ("weaker pulls", "too much"), strict=True):
    places, _ = searched(SETTINGS[name], seed=3, d=2, iterations=8)
    for i in range(places.shape[1]):
        plotting.line(ax, places[:, i, 0], places[:, i, 1], i, f"particle {i}")
    ax.plot(0.37, 0.37, "*", color=plotting.INK, markersize=14, label="lowest")
    settles = "settles" if stable(*SETTINGS[name][:3]) else "does not settle"
    ax.set(xlim=(0, 1), ylim=(0, 1), title=f"{name}: {settles}", xlabel="$x_1$", ylabel="$x_2$")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# Now 40 swarms for each setting, the same starts and random numbers for all, and random search with as many evaluations.

# %%
SEEDS = range(40)
curves = {
    name: [np.minimum.accumulate(searched(settings, seed)[1].ravel()) for seed in SEEDS]
    for name, settings in SETTINGS.items()
}
curves["random search"] = [
    np.minimum.accumulate([bumpy(x) for x in np.random.default_rng(seed).random((100, 4))])
    for seed in SEEDS
]
fig, ax = plotting.figure(size=(5.4, 3.4))
for i, (name, found) in enumerate(curves.items()):
    plotting.line(ax, range(1, 101), np.median(found, axis=0), i, name)
ax.set(xlabel="evaluations", ylabel="median loss, best so far", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

ends = {name: np.array(found)[:, -1] for name, found in curves.items()}
for name, end in ends.items():
    low, high = np.quantile(end, [0.25, 0.75])
    wins = int((end < ends["random search"]).sum())
    print(
        f"{name:>14}: median {np.median(end):.2f}, quartiles {low:.2f} to {high:.2f}, "
        f"better than random search in {wins} of {len(end)}"
    )

# %% [markdown]
# And integers: the widths of a network, say, with a loss that knows only whole numbers. How many *different* configurations does a swarm try?

# %%
low, high = np.array([1, 1, 40, 125]), np.array([32, 32, 130, 325])
best = np.array([20, 12, 70, 240])


def of_widths(k):
    return float((((k - best) / (high - low)) ** 2).sum())


for how in (fly, fly_one_by_one):
    ends, tried = [], []
    for seed in SEEDS:
        places, losses = searched(
            SETTINGS["weaker pulls"], seed, loss=on_integers(of_widths, low, high), how=how
        )
        ends.append(losses.min())
        whole = np.minimum(low + np.floor(places.reshape(-1, 4) * (high - low + 1)), high)
        tried.append(len(np.unique(whole, axis=0)))
    print(
        f"{how.__name__:>15}: median loss {np.median(ends):.4f}, "
        f"different configurations {np.mean(tried):.0f} of {len(whole)}"
    )

# %% [markdown]
# Make **one** change of your own: the source's slip (a `fly` whose first pull goes to the best place of the iteration), another inertia or pull, no speed limit, 3 or 10 particles with the same number of evaluations, or another loss. Run 40 seeds with it and 40 without, the same seeds.
#
# **Explain** in four to eight sentences: what did you change, and what did you expect? Give the medians and in how many of the 40 pairs your change was better. Is that more than luck, and for which tasks and settings have you shown it? A person will read this.

# %% [markdown] question="explain_swarm"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and the reason for its expectation, and gives medians and pairs. For instance the slip at the source's settings: its target jumps with each iteration and keeps the swarm moving, so a swarm that moves too much already should get worse. If it is worse in 30 of 40 pairs, luck is an unlikely explanation (for a fair coin 27 or more of 40 happen in about one of fifty experiments); with 23 of 40 the answer says that nothing has been shown. It says what was kept equal (starts, random numbers, 100 evaluations), that this is one loss without noise, and one setting: with weaker pulls the difference may vanish or turn round. So it does not conclude that the slip is always worse, but that it is another method.
# <!-- ### END SOLUTION -->
