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
# # Optimal complexity
#
# How large should a network be? Large enough to say what the data say, and not larger. To turn this into a number, let a model pay for both: for what it still gets wrong, and for what has to be told about itself. You will write the pieces one by one: the price of an answer, the price of a weight, their sum, its gradients, and the rule by which units that are not worth their price leave the network. At the end a model chooses among twelve waves by itself.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("complexity.weights_kl")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two and a half hours and goes with the fifth chapter of Part 5.
#
# Logarithms are natural, so prices are in **nats**, unless it says *bits*; a bit is $\ln 2 \approx 0.693$ nats. Tensors are float64. Leave the arguments as they are, and return new tensors (or numbers, where one number is asked for).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from mlcourse import plotting

# %% [markdown]
# ## 1. What an answer costs
#
# An answer that had the probability $p$ under the model costs $-\ln p$. The **error** of a model is what all $N$ answers cost together: minus their log likelihood.
#
# **Real numbers.** `y` and `f`, both $(N,)$, are the answers and the model's predictions. Around a prediction the model expects Gaussian noise with the standard deviation `noise`, a number. (The density takes the place of a probability, so an error may be negative.)


# %% question="gaussian_nll"
def gaussian_nll(y, f, noise):
    """Return minus the log likelihood of all answers, in nats."""
    ### BEGIN SOLUTION
    return (((y - f) / noise) ** 2 / 2 + math.log(noise) + math.log(2 * math.pi) / 2).sum()
    ### END SOLUTION


# %% [markdown]
# **Classes.** `logits` has the shape $(N, k)$, and `labels`, $(N,)$, holds the numbers of the right classes. Logits may be large.


# %% question="class_nll"
def class_nll(logits, labels):
    """Return minus the log likelihood of all labels, in nats."""
    ### BEGIN SOLUTION
    return -logits.log_softmax(1)[torch.arange(len(labels)), labels].sum()
    ### END SOLUTION


# %% [markdown]
# ## 2. What a model costs: two codes
#
# **A code in two parts.** Fit a polynomial of degree $d$ by least squares. Whoever wants to read your answers first gets its $k = d + 1$ coefficients, and then what is left to say about the answers. With $N$ examples a coefficient can be known to about $1/\sqrt N$, so there is no use in telling it with more digits: its price is $\frac12 \ln N$. Together
#
# $$\text{code length} = \underbrace{-\ln P(y \mid \text{the fit})}_{\mathtt{gaussian\_nll}} + \frac{k}{2} \ln N .$$
#
# `x` and `y` are $(N,)$. Give the lengths for the degrees $0, 1, \dots,$ `most`, in **bits**, as a list or an array. (`np.polyfit` takes tensors too.)


# %% question="code_lengths"
def code_lengths(x, y, noise, most):
    """Return the code length in bits for each degree from 0 to most, (most + 1,)."""
    ### BEGIN SOLUTION
    lengths = []
    for degree in range(most + 1):
        fit = np.polyval(np.polyfit(x.numpy(), y.numpy(), degree), x.numpy())
        nats = gaussian_nll(y, torch.from_numpy(fit), noise) + (degree + 1) / 2 * math.log(len(x))
        lengths.append(float(nats) / math.log(2))
    return lengths
    ### END SOLUTION


# %% [markdown]
# **The evidence.** Instead of telling coefficients, average over them. In a linear model $y = X w + \text{noise}$, let the prior of each of the $d$ weights be $\mathcal N(0, 1/\alpha)$, with the *precision* $\alpha$. Then $y$ itself is Gaussian, with the mean $0$ and the covariance
#
# $$C = \texttt{noise}^2\, I + \tfrac{1}{\alpha}\, X X^\top, \qquad \ln P(y) = -\tfrac12\, y^\top C^{-1} y - \tfrac12 \ln \det C - \tfrac N2 \ln 2\pi .$$
#
# `X` is $(N, d)$ and `y` $(N,)$. Return $\ln P(y)$, in nats: the higher, the better the model.


# %% question="log_evidence"
def log_evidence(X, y, noise, precision):
    """Return log P(y), averaged over the weights of the prior, a number."""
    ### BEGIN SOLUTION
    C = noise**2 * torch.eye(len(X), dtype=X.dtype) + X @ X.T / precision
    square = y @ torch.linalg.solve(C, y)
    return -(square + torch.logdet(C) + len(y) * math.log(2 * math.pi)) / 2
    ### END SOLUTION


# %% [markdown]
# Look at both, for 30 points of a cubic. (A prior is about the size of weights, so it matters what they multiply. For the evidence each degree brings a Legendre polynomial, all of equal mean square on $[-1, 1]$; a weight before a plain power $x^8$, which is nearly 0 almost everywhere, would cost next to nothing.)

# %%
generator = torch.Generator().manual_seed(0)
x = 2 * torch.rand(30, generator=generator, dtype=torch.float64) - 1
y = 1.5 * x**3 - x + 0.2 * torch.randn(30, generator=generator, dtype=torch.float64)
degrees = np.arange(9)
code = np.array(code_lengths(x, y, 0.2, 8))
errors = code - (degrees + 1) / 2 * np.log2(len(x))
legendre = np.polynomial.legendre.legvander(x.numpy(), 8) * np.sqrt(2 * degrees + 1)
evidence = np.array(
    [-float(log_evidence(torch.from_numpy(legendre[:, :k]), y, 0.2, 1.0)) for k in degrees + 1]
) / math.log(2)

plotting.use_style()
fig, ax = plotting.figure(size=(5.4, 3.4))
curves = {"errors alone": errors, "code in two parts": code, "minus log2 evidence": evidence}
for i, (name, bits) in enumerate(curves.items()):
    plotting.line(ax, degrees, bits, i, name)
    print(f"{name}: lowest at degree {bits.argmin()}")
ax.set(xlabel="degree", ylabel="bits", ylim=(min(errors) - 5, min(code) + 45))
ax.legend()
plt.show()

# %% [markdown]
# ## 3. What a weight costs
#
# In a network there is no closed form. So give each weight a Gaussian of its own, and let it pay for what it says beyond its prior: the *Kullback-Leibler divergence*
#
# $$\mathrm{KL}(Q \,\|\, P) = \big\langle \ln Q(w) - \ln P(w) \big\rangle_{w \sim Q} .$$
#
# **Two Gaussians**, $Q = \mathcal N(m_1, s_1^2)$ and $P = \mathcal N(m_2, s_2^2)$. All four are tensors of one shape, and $s_1$, $s_2$ are **standard deviations**. Give KL for each entry.


# %% question="gaussian_kl"
def gaussian_kl(m1, s1, m2, s2):
    """Return KL(N(m1, s1^2) || N(m2, s2^2)) for each entry, in nats."""
    ### BEGIN SOLUTION
    return torch.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
    ### END SOLUTION


# %% [markdown]
# **Question.** A weight has the posterior $Q = \mathcal N(1,\ 0.5^2)$ and the prior $P = \mathcal N(0, 1)$. What does it cost, in **bits**? A number with three digits or more.

# %% question="one_weight"
### BEGIN SOLUTION
one_weight = 1.18032
### END SOLUTION

# %% [markdown]
# **A layer.** Now the weights of a dense layer: `mean` and `log_sigma` are $(n_{out}, n_{in})$, with $\sigma = \exp(\mathtt{log\_sigma})$. The prior of a weight is $\mathcal N(0, 1/\alpha)$, and all weights of a **column** (those that one input sends out) share their precision: `log_precision` is $(1, n_{in})$, with $\alpha = \exp(\mathtt{log\_precision})$. Return the price of all weights together, a number. (Use operations of torch: at the end autograd will have to follow.)


# %% question="weights_kl"
def weights_kl(mean, log_sigma, log_precision):
    """Return the KL of all weights from their priors, in nats, a number."""
    ### BEGIN SOLUTION
    squares = log_precision.exp() * (mean**2 + (2 * log_sigma).exp())
    return (squares - 1 - log_precision - 2 * log_sigma).sum() / 2
    ### END SOLUTION


# %% [markdown]
# ## 4. The free energy
#
# $$F = \big\langle \text{error of all } N \text{ examples} \big\rangle_{w \sim Q} + \mathrm{KL}(Q \,\|\, P), \qquad F \ge -\ln P(D) .$$
#
# The lower, the better. Training takes mini-batches: `errors`, $(B,)$, are the errors of $B$ examples drawn from the $N$, for random weights from $Q$; `kl` is the price of all weights, and `N` the number of examples. Estimate $F$: on average over batches it should be right.


# %% question="batch_free_energy"
def batch_free_energy(errors, kl, N):
    """Return an estimate of F, the free energy of all N examples, from a mini-batch."""
    ### BEGIN SOLUTION
    return N * errors.mean() + kl
    ### END SOLUTION


# %% [markdown]
# **Question.** A source of this part says that the error splits into two *independent* parts, the error of the algorithm and the cost of describing the model. Are these two terms of $F$ independent?

# %% question="independent_terms"
### BEGIN SOLUTION
independent_terms = "c"
### END SOLUTION

# %% [markdown]
# **The gradients of the price**, by hand: of `weights_kl` by each of its three arguments, in their shapes. They are short, and each says something: what pulls a mean to 0, what keeps a sigma from shrinking, what a precision looks at.


# %% question="kl_gradients"
def kl_gradients(mean, log_sigma, log_precision):
    """Return the gradients of weights_kl by mean, by log_sigma and by log_precision."""
    ### BEGIN SOLUTION
    precision, variance = log_precision.exp(), (2 * log_sigma).exp()
    by_precision = (precision * (mean**2 + variance) - 1).sum(0, keepdim=True) / 2
    return precision * mean, precision * variance - 1, by_precision
    ### END SOLUTION


# %% [markdown]
# **The best precision.** No descent is needed for the prior: for given `mean` and `log_sigma`, $(n_{out}, n_{in})$, there is one precision for each column that makes the price lowest. Return the precisions (not their logarithms), $(1, n_{in})$.


# %% question="best_precision"
def best_precision(mean, log_sigma):
    """Return for each column the precision with the lowest KL, (1, n_in)."""
    ### BEGIN SOLUTION
    return 1 / (mean**2 + (2 * log_sigma).exp()).mean(0, keepdim=True)
    ### END SOLUTION


# %% [markdown]
# ## 5. Random weights, random outputs
#
# The error in $F$ is a mean over weights from $Q$, and gradients must flow to `mean` and `log_sigma` through the draw. So draw `noise` from $\mathcal N(0, 1)$ first (here it is given), and make the weights from it. All three have the shape $(n_{out}, n_{in})$.


# %% question="draw_weights"
def draw_weights(mean, log_sigma, noise):
    """Return a draw of the weights from Q, (n_out, n_in)."""
    ### BEGIN SOLUTION
    return mean + log_sigma.exp() * noise
    ### END SOLUTION


# %% [markdown]
# With one draw for a whole batch, all its examples err in the same way, and the gradient is noisy. It is better to draw **outputs**: for inputs `X`, $(N, n_{in})$, and independent Gaussian weights, each output $\sum_j x_j w_j$ is itself Gaussian. Give its mean and its **variance**, both $(N, n_{out})$, and a draw made from them with `noise`, $(N, n_{out})$. (No biases here.)


# %% question="local_outputs"
def local_outputs(X, mean, log_sigma, noise):
    """Return (the means, the variances, a draw) of the outputs, each (N, n_out)."""
    ### BEGIN SOLUTION
    m = X @ mean.T
    v = X**2 @ (2 * log_sigma).exp().T
    return m, v, m + v.sqrt() * noise
    ### END SOLUTION


# %% [markdown]
# ## 6. Which units stay
#
# A weight whose posterior is its prior costs nothing and says nothing. Two ways to measure how much is said:
#
# **Signal to noise.** `mean` and `log_sigma` are $(n_{out}, n_{in})$; a row holds the weights into one unit. Give for each unit the root of the mean of $(\text{mean}/\sigma)^2$ over its weights, $(n_{out},)$.


# %% question="signal_to_noise"
def signal_to_noise(mean, log_sigma):
    """Return for each row the root mean square of mean / sigma, (n_out,)."""
    ### BEGIN SOLUTION
    return (mean / log_sigma.exp()).square().mean(1).sqrt()
    ### END SOLUTION


# %% [markdown]
# **Price.** A hidden layer has $h$ units. `kl_in`, $(h, n_{in} + 1)$, holds the price of each weight *into* the units, the last column being the units' own biases. `kl_out`, $(n_{out}, h + 1)$, holds the price of the next layer's weights: column $i$ are those *out of* unit $i$, and the last column are the next layer's biases, which belong to no unit. A unit is needed if what goes in **and** what goes out cost at least `threshold`, each in total: who hears nothing has nothing to say, and who is heard by nobody need not listen. Return a mask, $(h,)$, `True` for the units that stay.


# %% question="needed_units"
def needed_units(kl_in, kl_out, threshold):
    """Return a mask of the units that stay, (h,)."""
    ### BEGIN SOLUTION
    return (kl_in.sum(1) >= threshold) & (kl_out[:, :-1].sum(0) >= threshold)
    ### END SOLUTION


# %% [markdown]
# **Question.** A network for digits has 64 inputs, 40 hidden units and 10 outputs, all with biases. 12 of the units stay. How many weights (biases included) has the pruned network?

# %% question="pruned_weights"
### BEGIN SOLUTION
pruned_weights = 910
### END SOLUTION

# %% [markdown]
# **Question.** The source proposes to choose the complexity by the free energy. Its experiment is one picture: the path of the descent $w$ in turns with $\alpha$, for a model of two waves, with several lengths $\xi$ of the imagined step. Its conclusion is that the proposed method has been shown to work on synthetic data. What does the picture test of its proposal about complexity?

# %% question="what_was_tested"
### BEGIN SOLUTION
what_was_tested = "b"
### END SOLUTION

# %% [markdown]
# ## 7. A model chooses its waves
#
# So let us test it. Two waves made the data, $y = \sin 2x + 0.5 \cos 5x$ with noise of the standard deviation 0.3, for $x$ between $0$ and $2\pi$. The model has twelve: $\sin kx$ and $\cos kx$ for $k = 1, \dots, 6$, each with one weight, its own Gaussian and its own prior. Nobody tells it which ones it needs. (For a linear model the mean over weights needs no draws: your variances are added to the squares.) Adam minimises $F$; the precisions are set to their best after each step, and the price counts less at the beginning, so that waves are not dropped before they have been heard.


# %%
NAMES = [f"{wave} {k}x" for wave in ("sin", "cos") for k in range(1, 7)]
TRUE = (1, 10)  # sin 2x and cos 5x
NOISE = 0.3


def features(x):
    angles = x[:, None] * torch.arange(1, 7, dtype=x.dtype)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def drawn(n, seed):
    """n points of the two waves, with noise."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return features(x), torch.sin(2 * x) + 0.5 * torch.cos(5 * x) + NOISE * noise


def chosen(X, y, learn_precision=True, steps=500, warmup=150):
    """Minimise F; return mean and log_sigma, (1, 12), the price of each wave, and F's two terms."""
    mean = torch.zeros(1, 12, dtype=X.dtype, requires_grad=True)
    log_sigma = torch.full((1, 12), -2.0, dtype=X.dtype, requires_grad=True)
    log_precision = torch.zeros(1, 12, dtype=X.dtype)
    optimizer = torch.optim.Adam([mean, log_sigma], lr=0.04)
    terms = []
    for step in range(steps):
        m, v, _ = local_outputs(X, mean, log_sigma, torch.zeros(len(X), 1, dtype=X.dtype))
        error = gaussian_nll(y, m[:, 0], NOISE) + v.sum() / (2 * NOISE**2)
        kl = weights_kl(mean, log_sigma, log_precision)
        optimizer.zero_grad()
        (error + min(1.0, (step + 1) / warmup) * kl).backward()
        optimizer.step()
        terms.append((error.item(), kl.item()))
        if learn_precision:
            log_precision = best_precision(mean.detach(), log_sigma.detach()).log()
    mean, log_sigma = mean.detach(), log_sigma.detach()
    prices = [weights_kl(mean[:, [i]], log_sigma[:, [i]], log_precision[:, [i]]) for i in range(12)]
    return mean, log_sigma, torch.stack(prices), np.array(terms)


X, y = drawn(40, seed=0)
mean, log_sigma, prices, terms = chosen(X, y)
fig, (left, right) = plotting.figure(1, 2, (4.6, 3.4))
for i, name in enumerate(("error", "price of the weights")):
    plotting.line(left, range(len(terms)), terms[:, i], i, name)
plotting.line(left, range(len(terms)), terms.sum(1), 2, "free energy")
left.set(xlabel="step", ylabel="nats", ylim=(-10, 60))
left.legend()
colours = [plotting.COLOURS[i in TRUE] for i in range(12)]
right.bar(NAMES, prices, color=colours)
right.axhline(1, color=plotting.INK, linestyle=":")
right.set(ylabel="price (nats)")
right.tick_params(axis="x", rotation=90)
plt.show()

# %% [markdown]
# Which waves stay, for few and for many examples? And how far is $F$ above what it bounds, minus the log evidence, when all precisions are held at 1?

# %%
print("examples   waves that cost 1 nat or more, by seed                  F, and what it bounds")
for n in (8, 20, 80):
    found = []
    for seed in range(4):
        X, y = drawn(n, seed)
        prices = chosen(X, y)[2]
        stay = [NAMES[i] for i in range(12) if prices[i] >= 1]
        found.append("+".join(stay).replace(" ", "") or "none")
    X, y = drawn(n, 0)
    energy = chosen(X, y, learn_precision=False)[3][-1].sum()
    bound = -float(log_evidence(X, y, NOISE, 1.0))
    print(f"{n:8d}   {'  '.join(found):52s} {energy:8.1f} {bound:8.1f}")

# %% [markdown]
# Change **one** thing and measure it with several seeds: the noise (and what the model believes of it), the threshold, no warm-up, one precision for all twelve, or points from $[0, 1]$, where waves are hard to tell apart.
#
# **Explain** in four to eight sentences: what did you change, what did you expect, and which waves stayed, how often? When the model drops a true wave, is that a mistake? And what does $F$ know that the error alone does not? A person will read this.

# %% [markdown] question="explain_waves"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and gives the waves that stayed for each seed, before and after. With few examples a true wave may be dropped, or a wrong one kept that happens to fit: 8 noisy points cannot tell twelve waves apart, and dropping what cannot be paid for is what F is for, not a mistake. With many examples the true waves cost several nats each and always stay; a wrong one may reach the threshold now and then, because it fits a little of the noise and because its precision, which is learned as well, is not paid for. The error alone falls with every wave and would keep all twelve; F also knows how exactly each weight has to be told. In [0, 1] the waves are nearly alike: which of them stay is a matter of chance and of where the descent starts, an independent Gaussian for each weight cannot say that only their sum is known, and F lies far above minus the log evidence. Four seeds show a tendency and no more.
# <!-- ### END SOLUTION -->
