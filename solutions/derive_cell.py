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
# # Deriving a cell
#
# A search has ended. It leaves a table of numbers, an alpha for each operation of each edge, and nobody can build a network of a table. You will turn it into a cell by the rule of the DARTS paper, describe what came out (how many parameters, how deep, how decided), and measure what is lost on the way: does the cell that was first in the search stay first when it is trained alone? At the end you look at published cells beside cells drawn at random.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("derive_cell.strongest_inputs")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two hours and goes with the seventh chapter of Part 5.
#
# Tensors are float64. Leave the arguments as they are.
#
# A reminder of the cell. Its two inputs are the states 0 and 1, its nodes the states 2, 3, ... Each node has an edge from every state before it, and adds what arrives. The rows of all tables have this order: first the edges into node 2 (from 0 and from 1), then those into node 3 (from 0, 1 and 2), and so on.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from mlcourse import plotting

NAMES = [
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
]

# %% [markdown]
# ## 1. The rule
#
# **The best operation of each edge.** `alpha` is $(E, K)$, and `names` is the list of the $K$ operations; one of them is `"none"`, not always the first. The weights of an edge are the softmax over **all** its operations. Its best operation is the one with the largest weight that is **not** none; the weight of this operation is the **strength** of the edge. (So an edge on which none has a large share is a weak one.) Of equals take the earlier one.
#
# Return a list with a pair (name, strength) for each edge.


# %% question="best_operations"
def best_operations(alpha, names):
    """Return the pairs (name, strength) of the best operation of each edge."""
    ### BEGIN SOLUTION
    others = [k for k, name in enumerate(names) if name != "none"]
    found = []
    for row in alpha.softmax(1).tolist():
        best = max(others, key=lambda k: row[k])
        found.append((names[best], row[best]))
    return found
    ### END SOLUTION


# %% [markdown]
# **Question.** Why does the rule never choose none?

# %% question="why_not_none"
### BEGIN SOLUTION
why_not_none = "b"
### END SOLUTION

# %% [markdown]
# **The two strongest inputs.** `strengths` is a list of $E$ numbers, one for each edge. Each node keeps its two strongest edges. Return a list with a pair of **sources** (states) for each node, the stronger one first; of equals the earlier source first. The length of the list tells you the number of nodes.


# %% question="strongest_inputs"
def strongest_inputs(strengths):
    """Return a list of the two sources of each node, (first, second)."""
    ### BEGIN SOLUTION
    pairs, start, node = [], 0, 2
    while start < len(strengths):
        mine = strengths[start : start + node]
        ranked = sorted(range(node), key=lambda source: -mine[source])
        pairs.append((ranked[0], ranked[1]))
        start += node
        node += 1
    return pairs
    ### END SOLUTION


# %% [markdown]
# **The whole rule.** Now both together: from `alpha` and `names` to a **genotype**, a list of genes (name, source), two for each node, the stronger one first.


# %% question="derive_genes"
def derive_genes(alpha, names):
    """Return the genes (name, source) of a cell, two for each node."""
    ### BEGIN SOLUTION
    best = best_operations(alpha, names)
    genes, start = [], 0
    for node, pair in enumerate(strongest_inputs([s for _, s in best]), start=2):
        genes += [(best[start + source][0], source) for source in pair]
        start += node
    return genes
    ### END SOLUTION


# %% [markdown]
# **Question.** A cell has four nodes. How many different normal cells can this rule lead to? (The order of the two inputs of a node makes no difference. Cells that compute the same in another way count as different.) A whole number, or an expression such as `3 * 7 ** 2`.

# %% question="how_many_cells"
### BEGIN SOLUTION
how_many_cells = 1 * 3 * 6 * 10 * 7**8
### END SOLUTION

# %% [markdown]
# ## 2. What is in a cell
#
# **Parameters.** In the network that is trained anew each batch norm has a scale and a shift for each channel. All operations of a cell have $C$ = `channels` channels in and out, and convolutions have no biases:
#
# - `sep_conv_kxk`: twice (a depthwise filter of $k \times k$ for each channel, a 1x1 convolution from $C$ to $C$ channels, a batch norm);
# - `dil_conv_kxk`: the same once;
# - pools: nothing;
# - `skip_connect`: nothing, where it keeps the size. Where it must halve the images, it is a factorised reduction: two 1x1 convolutions from $C$ to $C/2$ channels, and one batch norm for all.
#
# In a **reduction cell** the edges from the two inputs halve the images; those from nodes do not. `genes` is a list of (name, source), and `reduction` is `True` or `False`. Return the number of parameters of all genes.


# %% question="gene_parameters"
def gene_parameters(genes, channels, reduction):
    """Return the number of parameters of a cell's operations, a whole number."""
    ### BEGIN SOLUTION
    total = 0
    for name, source in genes:
        if name == "skip_connect" and reduction and source < 2:
            total += channels * channels + 2 * channels
        elif "conv" in name:
            k = int(name[-1])
            blocks = 2 if name.startswith("sep") else 1
            total += blocks * (k * k * channels + channels * channels + 2 * channels)
    return total
    ### END SOLUTION


# %% [markdown]
# **Depth.** A source of this part says that DARTS tends to converge to *shallow* topologies. Make this a number, or two:
#
# - how many edges has the longest path from an input to any node?
# - how many edges **with weights** (convolutions) has the path that has most of them? This may be another path. An edge counts once, whatever its operation is made of, and skips in a normal cell have no weights.


# %% question="longest_paths"
def longest_paths(genes):
    """Return (most edges on a path, most convolutions on a path)."""
    ### BEGIN SOLUTION
    edges, convolutions = [0, 0], [0, 0]
    for i in range(0, len(genes), 2):
        pair = genes[i : i + 2]
        edges.append(max(edges[source] + 1 for _, source in pair))
        convolutions.append(max(convolutions[source] + ("conv" in name) for name, source in pair))
    return max(edges), max(convolutions)
    ### END SOLUTION


# %% [markdown]
# **How decided is the search?** The entropy of the weights of an edge is $H = -\sum_k p_k \ln p_k$, and $e^H$ is the **effective number** of its operations: $K$ if all $K$ are equal, 1 if one has all the weight. Give it for each edge of `alpha`, $(E, K)$, for all operations. Weights may be so small that they are 0 in the computer; $0 \ln 0$ counts as 0.


# %% question="effective_operations"
def effective_operations(alpha):
    """Return the effective number of operations of each edge, (E,)."""
    ### BEGIN SOLUTION
    p = alpha.softmax(1)
    return (-torch.xlogy(p, p).sum(1)).exp()
    ### END SOLUTION


# %% [markdown]
# ## 3. What is lost
#
# **The discretisation gap**, in its smallest form: one edge. `outputs`, $(K, n)$, are the outputs of its operations for $n$ examples, `alpha` is $(K,)$, and here none is the first operation, so that `outputs[0]` is 0. The answers are `y`, $(n,)$, and the loss is the mean of the squares. Return three numbers: the loss of the mixture, the loss when the operation that the rule keeps is used **alone**, and by how much the loss rises (negative if it falls).


# %% question="discretisation_gap"
def discretisation_gap(outputs, alpha, y):
    """Return (loss of the mixture, loss of the kept operation, the gap)."""
    ### BEGIN SOLUTION
    kept = 1 + int(alpha[1:].argmax())
    relaxed = ((alpha.softmax(0) @ outputs - y) ** 2).mean()
    alone = ((outputs[kept] - y) ** 2).mean()
    return relaxed, alone, alone - relaxed
    ### END SOLUTION


# %% [markdown]
# A gap alone does no harm, if it is the same for all cells: then the best cell of the search is still the best. What counts is the **order**. Take some cells, with their accuracies `a` as parts of the supernet and `b` after training anew, two lists of $n$ numbers. A *pair* of cells is concordant if both lists have them in the same order, discordant if in opposite orders; a pair that is tied in either list is neither. With $C$ concordant and $D$ discordant pairs, $n_a$ pairs that differ in `a`, and $n_b$ pairs that differ in `b`, Kendall's rank correlation is
#
# $$\tau = \frac{C - D}{\sqrt{n_a\, n_b}} .$$
#
# (It is often called $\tau_b$. Without ties $n_a = n_b = n (n-1) / 2$.) Accuracies on a few hundred images are often tied. Write it without a library.


# %% question="kendall_tau"
def kendall_tau(a, b):
    """Return Kendall's tau of two lists of numbers, with ties."""
    ### BEGIN SOLUTION
    score = differ_a = differ_b = 0
    for i in range(len(a)):
        for j in range(i):
            sign_a = (a[i] > a[j]) - (a[i] < a[j])
            sign_b = (b[i] > b[j]) - (b[i] < b[j])
            score += sign_a * sign_b
            differ_a += sign_a != 0
            differ_b += sign_b != 0
    return score / math.sqrt(differ_a * differ_b)
    ### END SOLUTION


# %% [markdown]
# **Question.** Four cells had the accuracies 91, 90, 88 and 85 % in the supernet, and 95.3, 95.8, 95.1 and 94.9 % after training anew, in the same order of cells. What is $\tau$? Three digits or more.

# %% question="tau_by_hand"
### BEGIN SOLUTION
tau_by_hand = 0.66667
### END SOLUTION

# %% [markdown]
# **Question.** For 30 cells without ties somebody finds $\tau = 0.2$ between the accuracy in the supernet and the accuracy after training anew. What follows?

# %% question="low_tau"
### BEGIN SOLUTION
low_tau = "c"
### END SOLUTION

# %% [markdown]
# ## 4. Trained anew
#
# The derived network is trained from random weights, with helpers against learning by heart. Two of them:
#
# **Drop path.** In training the whole output of an operation is set to zero for an *example* with the probability $p$, and what stays is scaled so that the mean over draws is `x`. `x` is $(N, C, H, W)$, and `u`, $(N,)$, are uniform draws from $[0, 1)$: example $i$ is dropped where `u[i] < p`.


# %% question="drop_path"
def drop_path(x, u, p):
    """Return x with some examples dropped and the others rescaled, (N, C, H, W)."""
    ### BEGIN SOLUTION
    kept = (u >= p).to(x.dtype).view(-1, 1, 1, 1)
    return x * kept / (1 - p)
    ### END SOLUTION


# %% [markdown]
# **The auxiliary head.** A second classifier sees the images after two thirds of the cells. In training `weight` times its cross-entropy is added to the main one; in evaluation it is not there. `logits` and `side_logits` are $(N, k)$, `labels` is $(N,)$, and `training` is `True` or `False`.


# %% question="helped_loss"
def helped_loss(logits, side_logits, labels, weight, training):
    """Return the loss with the second classifier's share, a number."""
    ### BEGIN SOLUTION
    loss = F.cross_entropy(logits, labels)
    if training:
        loss = loss + weight * F.cross_entropy(side_logits, labels)
    return loss
    ### END SOLUTION


# %% [markdown]
# ## 5. Is DARTS shallow?
#
# Three normal cells that were published (Liu and others, 2019, found with the first and with the second-order gradient; Xu and others, 2020, PC-DARTS), in numbers. `channels` are 36, as in the first cells of their networks.

# %%
PUBLISHED = {
    "DARTS, 1st order": "sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 0, sep_conv_3x3 1, "
    "skip_connect 0, sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 2",
    "DARTS, 2nd order": "sep_conv_3x3 0, sep_conv_3x3 1, sep_conv_3x3 0, sep_conv_3x3 1, "
    "sep_conv_3x3 1, skip_connect 0, skip_connect 0, dil_conv_3x3 2",
    "PC-DARTS": "sep_conv_3x3 1, skip_connect 0, sep_conv_3x3 0, dil_conv_3x3 1, "
    "sep_conv_5x5 0, sep_conv_3x3 1, avg_pool_3x3 0, dil_conv_3x3 1",
}


def read(text):
    return [(name, int(source)) for name, source in map(str.split, text.split(", "))]


def numbers(genes):
    """(skips, most edges on a path, most convolutions on a path, parameters)."""
    skips = sum(name == "skip_connect" for name, _ in genes)
    return skips, *longest_paths(genes), gene_parameters(genes, 36, False)


print("cell                skips   edges   convolutions   parameters")
for name, text in PUBLISHED.items():
    skips, edges, convolutions, parameters = numbers(read(text))
    print(f"{name:18s} {skips:6d} {edges:7d} {convolutions:14d} {parameters:12d}")

# %% [markdown]
# Are these few? Compare with chance: what does the rule make of alphas that were only drawn?

# %%
generator = torch.Generator().manual_seed(0)


def drawn_cells(count, scale=1.0, shift=None):
    """The numbers of cells from alphas drawn from N(0, scale^2), (count, 4)."""
    found = []
    for _ in range(count):
        alpha = scale * torch.randn(14, 8, generator=generator).double()
        found.append(numbers(derive_genes(alpha if shift is None else alpha + shift, NAMES)))
    return torch.tensor(found)


DASHES = ("--", ":", "-.")
drawn = drawn_cells(2000)
plotting.use_style()
fig, axes = plotting.figure(1, 2, (4.2, 3.4))
for ax, column, label in zip(axes, (1, 2), ("edges", "convolutions"), strict=True):
    shares = torch.bincount(drawn[:, column], minlength=5)[:5] / len(drawn)
    ax.bar(range(5), shares, color=plotting.COLOURS[0], label="drawn")
    for i, (name, text) in enumerate(PUBLISHED.items()):
        place = numbers(read(text))[column] + 0.12 * (i - 1)
        ax.axvline(place, color=plotting.COLOURS[i + 1], linestyle=DASHES[i], label=name)
    ax.set(
        xlabel=f"{label} on the longest path",
        ylabel="part of the cells",
        xticks=range(5),
        ylim=(0, 1),
    )
axes[1].legend(fontsize=8)
plt.show()

# %%
print("cell                with as few edges or fewer   with as few convolutions or fewer")
for name, text in PUBLISHED.items():
    _, edges, convolutions, _ = numbers(read(text))
    few = [(drawn[:, i] <= n).double().mean() for i, n in ((1, edges), (2, convolutions))]
    print(f"{name:18s} {few[0]:20.1%} {few[1]:32.1%}")
print(f"skips in a drawn cell: {drawn[:, 0].double().mean():.2f} on average")
alpha = torch.randn(14, 8, generator=generator).double()
print("effective operations of an edge, alphas N(0, scale^2):")
for scale in (0.001, 1.0, 3.0, 10.0):
    effective = effective_operations(scale * alpha)
    print(f"   scale {scale:<6g} {effective.mean():.2f} (smallest {effective.min():.2f})")

# %% [markdown]
# Change **one** thing and draw again: a push for all skips (a `shift` of 1 for their alphas), or for all edges from the inputs (a shift for their rows), a strong none on edges between nodes, three inputs for each node, or five nodes.
#
# **Explain** in four to eight sentences: are the published cells shallow, compared with chance, and by which of your numbers? What did your change do to depth and skips? Three cells are few: what can they show, and what can they not? A person will read this.

# %% [markdown] question="explain_depth"
# <!-- ### BEGIN SOLUTION -->
# A good answer gives the part of drawn cells that are as shallow or shallower, for both numbers, and keeps them apart: a cell may have few convolutions on its paths because it has many skips and pools, or because its nodes take the cell's inputs instead of other nodes. Compared with chance the DARTS cells are not unusual in the edges on a path: many drawn cells have two or fewer. The PC-DARTS cell, in which every node takes both inputs, is: hardly any drawn cell is so flat. In convolutions on a path the second-order cell is ordinary, and the other two, with a single one, are at the shallow side, though not far out. So "shallow" depends on what is counted; the first-order cell's three skips are more telling than its edges. A push for skips leaves the number of edges on a path nearly as it is and lowers that of convolutions; a strong none on edges between nodes, or a push for those from the inputs, lowers both. Three cells from two papers, chosen by their authors among several runs, cannot tell how often a search ends like this, nor why; for that one needs many searches with seeds. They do not show either that shallow is bad: these cells were published for their accuracy. And the depth of a cell is not that of a network, which has 20 of them.
# <!-- ### END SOLUTION -->
