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
# # A mixed edge
#
# Which operation should stand between two layers: a convolution, a pool, nothing at all? A differentiable search does not try them one by one. It builds an edge that holds *all* of them and mixes their outputs with weights that can be learned. You will write such an edge with its gradient, count what its operations hold and cost, put edges together to a cell and cells to a network. At the end an edge learns an operation that it does not have.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("mixed_edge.mixed_cell")` helps you on, a little more at each call. Each function is graded by itself, with inputs of our own. It takes about two hours and goes with the sixth and seventh chapters of Part 5.
#
# Tensors are float64. Images have the shape $(N, C, H, W)$: examples, channels, height, width. Leave the arguments as they are, and return new tensors.

# %%
import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from mlcourse import data, plotting

torch.set_num_threads(1)  # images this small are fastest on one thread

# %% [markdown]
# ## 1. One edge, many operations
#
# An edge takes an image $x$ and hands it on through one of $K$ operations $o_1, \dots, o_K$. In a mixed edge all of them are applied, and the output is
#
# $$\bar o(x) = \sum_{k=1}^{K} p_k\, o_k(x), \qquad p_k = \frac{e^{\alpha_k}}{\sum_j e^{\alpha_j}} .$$
#
# The numbers $\alpha$ are the **architecture parameters**: any real numbers, one for each operation of each edge. In a table `alpha`, $(E, K)$, a row is an edge and a column an operation. Return the weights $p$ of all edges, $(E, K)$. Alphas may be large.


# %% question="edge_weights"
def edge_weights(alpha):
    """Return the weights of the operations on each edge, (E, K)."""
    ### BEGIN SOLUTION
    return alpha.softmax(dim=1)
    ### END SOLUTION


# %% [markdown]
# One of the eight candidates of DARTS is called **none**. It puts out zeros, as if the edge were not there, and has an alpha as any other.
#
# **Question.** On an edge the alpha of none is 2, and the other seven are 0. What is the sum of the weights of the other seven? A number with three digits or more.

# %% question="left_by_none"
### BEGIN SOLUTION
left_by_none = 0.48650
### END SOLUTION

# %% [markdown]
# **The output.** `outputs`, $(K, N, C, H, W)$, holds what the $K$ operations make of the same images, and `alpha`, $(K,)$, belongs to this edge. Return $\bar o$, $(N, C, H, W)$.


# %% question="mixed_output"
def mixed_output(outputs, alpha):
    """Return the mixed output of one edge, (N, C, H, W)."""
    ### BEGIN SOLUTION
    return torch.einsum("k,knchw->nchw", alpha.softmax(0), outputs)
    ### END SOLUTION


# %% [markdown]
# **The gradient.** Let $g = \partial L / \partial \bar o$, of the shape of the output, be what arrives from the loss, and let $g \cdot o$ be the sum of $g$ times $o$ over all entries. Work out $\partial L / \partial \alpha_k$ by hand: alpha moves the weights, *all* of them, and the weights move the output. Return the gradient, $(K,)$. (Write it without autograd first; then autograd can tell you whether it is right.)


# %% question="alpha_gradient"
def alpha_gradient(outputs, alpha, g):
    """Return the gradient of the loss in alpha, (K,)."""
    ### BEGIN SOLUTION
    p = alpha.softmax(0)
    d = (outputs * g).flatten(1).sum(1)
    return p * (d - p @ d)
    ### END SOLUTION


# %% [markdown]
# **Question.** What is known of the sum of these $K$ gradients?

# %% question="sum_of_gradients"
### BEGIN SOLUTION
sum_of_gradients = "a"
### END SOLUTION

# %% [markdown]
# ## 2. The operations
#
# | name | what it does |
# |---|---|
# | `none` | zeros |
# | `max_pool_3x3`, `avg_pool_3x3` | the largest, or the mean, of the 3x3 pixels around each pixel |
# | `skip_connect` | hands on its input |
# | `sep_conv_3x3`, `sep_conv_5x5` | a separable convolution, applied **twice** |
# | `dil_conv_3x3`, `dil_conv_5x5` | a separable convolution with dilation 2, applied once |
#
# A *separable* convolution with $k \times k$ filters is, after a ReLU, a **depthwise** convolution (a $k \times k$ filter for each channel, which sees this channel alone), then a 1x1 convolution from all $C$ channels to $C$ channels, then a batch norm. No convolution has a bias. In a mixed edge the batch norms have no scale and no shift.
#
# At **stride 2** an operation halves height and width, and an odd side is rounded up: 7 pixels become 4. All operations of an edge must put out the same shape.
#
# **The average pool.** The window of a pixel is the 3x3 square around it. At the border a part of it lies outside; the mean is over the pixels that lie **in** the image. With stride $s$ keep the rows and columns $0, s, 2s, \dots$ `x` is $(N, C, H, W)$. Write it yourself, without a pool of torch.


# %% question="average_pool"
def average_pool(x, stride):
    """Return the 3x3 means, (N, C, ceil(H / stride), ceil(W / stride))."""
    ### BEGIN SOLUTION
    height, width = x.shape[2:]
    rows = []
    for i in range(0, height, stride):
        top = max(i - 1, 0)
        row = []
        for j in range(0, width, stride):
            window = x[:, :, top : i + 2, max(j - 1, 0) : j + 2]
            row.append(window.mean(dim=(2, 3)))
        rows.append(torch.stack(row, dim=2))
    return torch.stack(rows, dim=2)
    ### END SOLUTION


# %% [markdown]
# **The skip that halves.** At stride 2 the skip cannot hand on its input: it is too large. In its place comes a *factorised reduction*. After a **ReLU** a 1x1 convolution `A`, $(C_A, C)$, sees the pixels $(0, 0), (0, 2), (2, 0), \dots$, and a second one, `B`, $(C_B, C)$, sees those one further down **and** to the right, $(1, 1), (1, 3), \dots$ Where an odd side has no such pixel, there is a 0. The channels of `A` come first, then those of `B`. (A batch norm follows; leave it out here.) A 1x1 convolution multiplies the channels of each pixel by its matrix.


# %% question="halved"
def halved(x, A, B):
    """Return the halved images, (N, C_A + C_B, ceil(H / 2), ceil(W / 2))."""
    ### BEGIN SOLUTION
    x = x.relu()
    odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1::2, 1::2]
    even = x[:, :, ::2, ::2]
    parts = [torch.einsum("oc,nchw->nohw", m, part) for m, part in ((A, even), (B, odd))]
    return torch.cat(parts, dim=1)
    ### END SOLUTION


# %% [markdown]
# **What an operation costs.** Give (parameters, MACs) of an operation in a mixed edge, for a *name* of the table, $C$ channels in and out ($C$ is even) and images of `side` x `side` pixels. MACs are the multiply-accumulates of its convolutions for one image. Where a separable convolution is applied twice, only the first depthwise filter has the stride. In the skip of stride 2, `A` and `B` have $C/2$ rows each.


# %% question="operation_costs"
def operation_costs(name, channels, side, stride):
    """Return (parameters, multiply-accumulates) of an operation, two whole numbers."""
    ### BEGIN SOLUTION
    if name == "skip_connect" and stride == 2:
        parameters = channels * channels
    elif "conv" in name:
        k = int(name[-1])
        blocks = 2 if name.startswith("sep") else 1
        parameters = blocks * (k * k * channels + channels * channels)
    else:
        parameters = 0
    return parameters, parameters * ((side + stride - 1) // stride) ** 2
    ### END SOLUTION


# %% [markdown]
# **Question.** How many parameters do all eight operations of one mixed edge have together, with 16 channels and stride 1 (without alpha)?

# %% question="edge_parameters"
### BEGIN SOLUTION
edge_parameters = 3168
### END SOLUTION

# %% [markdown]
# **Question.** One pixel of the output of `dil_conv_5x5` depends on pixels of the input in a square. How many pixels has a side of this square? (Count from the first to the last one.)

# %% question="side_of_dilated"
### BEGIN SOLUTION
side_of_dilated = 9
### END SOLUTION

# %% [markdown]
# **Question.** The same for `sep_conv_5x5` at stride **2**: how many pixels has a side of the square?

# %% question="side_of_separable"
### BEGIN SOLUTION
side_of_separable = 13
### END SOLUTION

# %% [markdown]
# **Question.** Why have the batch norms of a mixed edge no scales that are learned?

# %% question="no_scales"
### BEGIN SOLUTION
no_scales = "d"
### END SOLUTION

# %% [markdown]
# ## 3. A cell
#
# A cell has two inputs, which are the outputs of the last two cells, and some **nodes**. The inputs are the states 0 and 1, the nodes the states 2, 3, ... Each node has an edge from **every** state before it, and adds what arrives.
#
# List the edges of a cell as pairs (source, node), in this order: first all edges of node 2, by source, then those of node 3, and so on. The rows of `alpha` have this order too.


# %% question="edges_of_cell"
def edges_of_cell(nodes):
    """Return the list of the edges (source, node)."""
    ### BEGIN SOLUTION
    return [(source, node) for node in range(2, nodes + 2) for source in range(node)]
    ### END SOLUTION


# %% [markdown]
# **Question.** DARTS' cells have 4 nodes. All *normal* cells of a network share one table of alphas, and all *reduction* cells share another. How many alphas are there in all, for 8 operations and a network of 8 cells?

# %% question="all_alphas"
### BEGIN SOLUTION
all_alphas = 224
### END SOLUTION

# %% [markdown]
# **Question.** In a reduction cell both inputs are large, and all nodes have half the height and width. How many of its edges have stride 2?

# %% question="edges_that_halve"
### BEGIN SOLUTION
edges_that_halve = 8
### END SOLUTION

# %% [markdown]
# **The cell itself.** To keep it small, a state here is $(N, d)$: $N$ examples with $d$ channels, no pixels. And each operation is a matrix: on the edge in row $r$, operation $k$ makes `s @ matrices[r, k]` of a state `s`. (Many of the eight operations are matrices in disguise: none is 0, a skip is the identity, an average pool and a convolution are linear.) `matrices` is $(E, K, d, d)$ and `alpha` is $(E, K)$; $E$ tells you the number of nodes. Compute all nodes and return their channels side by side, in their order, $(N, \text{nodes} \cdot d)$.


# %% question="mixed_cell"
def mixed_cell(s0, s1, matrices, alpha):
    """Return the output of a cell of mixed edges, (N, nodes * d)."""
    ### BEGIN SOLUTION
    states, row = [s0, s1], 0
    while row < len(alpha):
        arriving = []
        for s in states:
            p = alpha[row].softmax(0)
            arriving.append(torch.einsum("k,nd,kde->ne", p, s, matrices[row]))
            row += 1
        states.append(sum(arriving))
    return torch.cat(states[2:], dim=1)
    ### END SOLUTION


# %% [markdown]
# ## 4. A network
#
# A **stem**, a convolution with $3 \cdot$ `channels` filters, comes first; it keeps the size of the images. Then come `layers` cells, numbered from 0. The cells number $\lfloor \text{layers} / 3 \rfloor$ and $\lfloor 2\, \text{layers} / 3 \rfloor$ are reduction cells: they **halve** the side (odd ones rounded up) and **double** the channels of a node, which begin with `channels`. A cell has 4 nodes. Its inputs are the outputs of the cell before the last and of the last cell; where there is none yet, the stem takes its place.
#
# Give a row for each cell: (channels of the cell before the last, channels of the last cell, channels of its output, side of its output). (A cell first brings its inputs to the channels of its nodes, and to one size. This does not change the table.)


# %% question="network_table"
def network_table(channels, layers, side):
    """Return a list of (n_before_last, n_last, n_out, side), a row for each cell."""
    ### BEGIN SOLUTION
    rows = []
    before_last = last = 3 * channels
    for i in range(layers):
        if i in (layers // 3, 2 * layers // 3):
            channels = 2 * channels
            side = (side + 1) // 2
        rows.append((before_last, last, 4 * channels, side))
        before_last, last = last, 4 * channels
    return rows
    ### END SOLUTION


# %% [markdown]
# DARTS searches with 16 channels and 8 cells on images of 32x32:

# %%
print("cell   before last   last    out   side")
for i, (before_last, last, out, side) in enumerate(network_table(16, 8, 32)):
    print(f"{i:4d} {before_last:13d} {last:6d} {out:6d} {side:6d}")

# %% [markdown]
# ## 5. An edge learns
#
# Now let an edge learn by descent, with your gradient. The images are digits, and the target is a soft blur: each pixel becomes a weighted mean of its neighbourhood, with the weights 1, 2, 1 in both directions. The edge has none, both pools and the skip; the blur is none of them. The loss is half the mean square of what is left.

# %%
images = torch.as_tensor(data.digits()[0][0]).double().reshape(-1, 1, 8, 8)[:200]
images = (images - images.mean()) / images.std()
NAMES = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
outputs = torch.stack(
    [torch.zeros_like(images), F.max_pool2d(images, 3, 1, 1), average_pool(images, 1), images]
)
filters = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).double() / 16
target = F.conv2d(images, filters[None, None], padding=1)


def loss_of(output):
    return float(((output - target) ** 2).mean() / 2)


def learn(alpha, steps=600, lr=5.0):
    """Descend on alpha; return all weights and all losses on the way."""
    weights, losses = [], []
    for _ in range(steps):
        output = mixed_output(outputs, alpha)
        weights.append(edge_weights(alpha[None])[0])
        losses.append(loss_of(output))
        alpha = alpha - lr * alpha_gradient(outputs, alpha, (output - target) / target.numel())
    return torch.stack(weights), losses


weights, losses = learn(torch.zeros(4).double())
plotting.use_style()
fig, (left, right) = plotting.figure(1, 2, (4.6, 3.4))
for k, name in enumerate(NAMES):
    plotting.line(left, range(len(weights)), weights[:, k], k, name)
left.set(xlabel="step", ylabel="weight", ylim=(0, 1))
left.legend()
plotting.line(right, range(len(losses)), losses, 0, "the mixture")
for k, name in enumerate(NAMES[1:], start=1):
    dashes = ("--", ":", "-.")[k - 1]
    right.axhline(loss_of(outputs[k]), color=plotting.COLOURS[k], linestyle=dashes, label=name)
right.set(xlabel="step", ylabel="loss", yscale="log", ylim=(3e-3, 30))
right.legend()
plt.show()

# %% [markdown]
# And what stays when the edge must choose?

# %%
print("start      weights at the end            mixture   strongest alone")
for seed in range(4):
    start = torch.randn(4, generator=torch.Generator().manual_seed(seed)).double()
    weights, losses = learn(start)
    strongest = weights[-1].argmax()
    shown = " ".join(f"{p:.3f}" for p in weights[-1])
    print(
        f"seed {seed}    {shown}     {losses[-1]:9.5f}   "
        f"{loss_of(outputs[strongest]):.5f} {NAMES[strongest]}"
    )
print("alone:", ", ".join(f"{n} {loss_of(o):.5f}" for n, o in zip(NAMES, outputs, strict=True)))

# %% [markdown]
# Change **one** thing and measure it with several starts: the target (a stronger blur, a sharper image, twice the image), an operation more or fewer (without none?), the start (one alpha at 5), the rate, or the pool (count the padding).
#
# **Explain** in four to eight sentences: what did you change, what did you expect, and what came out, with numbers? What does the mixture have that no single operation has, and what is lost when only the strongest stays? What does none do here? A person will read this.

# %% [markdown] question="explain_mixture"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change and gives weights and losses before and after, for several starts. The blur lies between the skip, which keeps the pixel alone, and the average pool, which gives all nine pixels the same weight: a mixture of both comes close to it, with less than half the loss of the better one alone. When only the strongest stays, the loss jumps to that operation's own: this is the discretisation gap, and the weights do not show how large it is. None makes the mixture weaker where the others are too strong, for instance at the border, where the pool leaves out the padding and the blur does not; twice the image is out of reach, as the weights have the sum 1, and the weight of none falls towards 0. An operation that starts with a small weight moves slowly, because its gradient has the factor p_k: with the alpha of the average pool at 5 the others have hardly moved after 100 steps, when other starts are nearly there. Given time, all starts go to the same weights here, as the loss is convex in p; in a network with weights of its own this does not hold.
# <!-- ### END SOLUTION -->
