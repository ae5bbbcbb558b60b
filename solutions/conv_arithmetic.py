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
# # Convolution arithmetic
#
# Before a convolutional network is trained, its whole anatomy can be worked out with a pencil: how large each map is, how many parameters each layer has, what a forward pass costs, and which pixels an output sees. You will write the calculators that do it, and apply them to one network, the one that the rest of Part 2 trains. At the end, your dense layers become convolutions and find handwritten digits on a large page.
#
# **How it works.** Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. A check says what is right, or names what is wrong; `hint("conv_arithmetic.output_size")` in a cell of your own helps you on, a little more at each call. The functions are graded one by one with inputs of our own. Two of them should call others that you wrote before: `cnn_table` and `slide_dense`.
#
# It takes two to three hours. It goes with the first three chapters of Part 2. Many of the questions have a famous wrong answer; the checks know most of them.

# %%
import math

import torch

from mlcourse import data, plotting

torch.set_num_threads(1)  # maps this small are fastest on one thread

# %% [markdown]
# ## 1. A window that slides
#
# ### The size of the output
#
# A window slides over a row of $n$ pixels. These numbers say how:
#
# | name | what it is |
# |---|---|
# | `kernel_size`, $k$ | the window looks at $k$ pixels |
# | `stride`, $s$ | it moves by $s$ pixels at a time |
# | `padding`, $p$ | before it starts, $p$ zeros are put at **each** end of the row |
# | `dilation`, $d$ | the pixels that it looks at are $d$ apart: with $d = 1$ they are neighbours |
#
# ```text
#    kernel_size 3, dilation 1:    x x x          covers 3 pixels
#    kernel_size 3, dilation 2:    x . x . x      covers 5 pixels
# ```
#
# How many positions does it have? As many as fit: a window that would hang over the right end does not count.
#
# Pools have an option, `ceil_mode`, that changes this. When it is true, pixels that are left over at the right end get one more window, which hangs over. That window must *start inside the input or in the left padding*: one that would start behind the input is left out, even if there is padding. (This is PyTorch's rule.)
#
# Height and width of a map are treated alike, one after the other, so one function serves both.


# %% question="output_size"
def output_size(n, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """Return how many positions the window has on n pixels, a whole number."""
    ### BEGIN SOLUTION
    width = dilation * (kernel_size - 1) + 1
    steps = n + 2 * padding - width
    if not ceil_mode:
        return steps // stride + 1
    out = math.ceil(steps / stride) + 1
    starts_behind = (out - 1) * stride >= n + padding
    return out - 1 if starts_behind else out
    ### END SOLUTION


# %% [markdown]
# ### Keep the size, or halve it
#
# The network of Part 2 takes images of 32x32 pixels. Its first layer, conv1, has a kernel of 5x5 and stride 1, and should leave maps of 32x32.
#
# **Question.** Which padding does that? A number: `padding_of_conv1 = 7`, for instance.

# %% question="padding_of_conv1"
### BEGIN SOLUTION
padding_of_conv1 = 2
### END SOLUTION

# %% [markdown]
# **Question.** Then pool1 should halve the maps, from 32x32 to 16x16. It takes the largest of 2x2 pixels, with stride 2. Which padding does it need?

# %% question="padding_of_pool1"
### BEGIN SOLUTION
padding_of_pool1 = 0
### END SOLUTION

# %% [markdown]
# Now for any kernel, at stride 1: the padding with which the map keeps its size, whatever its size is. The same padding goes to both ends, so for some kernels there is none: return `None` for them.


# %% question="same_padding"
def same_padding(kernel_size, dilation=1):
    """Return the padding that keeps the size at stride 1, or None if there is no such padding."""
    ### BEGIN SOLUTION
    both_ends = dilation * (kernel_size - 1)
    return None if both_ends % 2 else both_ends // 2
    ### END SOLUTION


# %% [markdown]
# ### The whole network
#
# Here it is, from the image to the ten classes. Behind each convolution and behind fc4 stands a ReLU, which changes neither shapes nor counts, so we leave it out.
#
# | layer | what | kernel | stride | padding |
# |---|---|---|---|---|
# | conv1 | 32 filters | 5x5 | 1 | 2 |
# | pool1 | largest of each window | 2x2 | 2 | 0 |
# | conv2 | 64 filters | 5x5 | 1 | 0 |
# | pool2 | largest of each window | 2x2 | 2 | 0 |
# | conv3 | 64 filters | 5x5 | 1 | 0 |
# | pool3 | largest of each window | 2x2 | 2 | 0 |
# | fc4 | dense, 1000 neurons | | | |
# | fc5 | dense, 10 neurons | | | |
#
# Note that conv2 and conv3 have **no** padding.
#
# **Question.** Later, we shall train it on crops of 28x28 pixels. What happens when such a crop goes through the network of the table?

# %% question="crop_28"
### BEGIN SOLUTION
crop_28 = "c"
### END SOLUTION

# %% [markdown]
# ## 2. What a layer holds, and what it costs
#
# ### Parameters
#
# A filter is a small box of weights. It looks at a window of $k \times k$ pixels **in every channel** of its input at once, multiplies each number by a weight of its own, sums everything up and adds one bias. That is one number of one output channel. Each output channel has its own filter.
#
# With `groups` $= g$, input and output channels are cut into $g$ groups of equal size, and a filter looks at the input channels of its own group alone. With $g$ = `in_channels` each looks at a single channel: a *depthwise* convolution.


# %% question="conv_parameters"
def conv_parameters(in_channels, out_channels, kernel_size, bias=True, groups=1):
    """Return the number of weights and biases of a convolution with square kernels."""
    ### BEGIN SOLUTION
    one_filter = (in_channels // groups) * kernel_size * kernel_size
    return out_channels * (one_filter + int(bias))
    ### END SOLUTION


# %% [markdown]
# **Question.** How many parameters does conv2 have, biases included? Work it out by hand first.

# %% question="conv2_parameters"
### BEGIN SOLUTION
conv2_parameters = 51264
### END SOLUTION

# %% [markdown]
# ### Multiply-accumulates
#
# The work of a layer is counted in *multiply-accumulates*, MACs: one product that is added to a sum counts 1. (Two floating-point operations, so some authors print twice the number. Adding a bias does not count.) A map has the shape $(C, H, W)$: channels, height, width. You get the shapes of the layer's input and output, for one image.


# %% question="conv_macs"
def conv_macs(input_shape, output_shape, kernel_size, groups=1):
    """Return the multiply-accumulates of a convolution from (C, H, W) to (C', H', W')."""
    ### BEGIN SOLUTION
    for_one_number = (input_shape[0] // groups) * kernel_size * kernel_size
    return math.prod(output_shape) * for_one_number
    ### END SOLUTION


# %% [markdown]
# ### The same with a dense layer
#
# A dense layer could do it as well: flatten the input, connect each of its numbers with each number of the output, give each output a bias. How many parameters does it have? A shape may be $(C, H, W)$, or $(F,)$ for a vector.


# %% question="dense_parameters"
def dense_parameters(input_shape, output_shape):
    """Return the number of weights and biases of a dense layer between these two shapes."""
    ### BEGIN SOLUTION
    outputs = math.prod(output_shape)
    return math.prod(input_shape) * outputs + outputs
    ### END SOLUTION


# %% [markdown]
# **Question.** Take conv1, from $(3, 32, 32)$ to $(32, 32, 32)$, and a dense layer between the same two shapes. One image goes through each of them. Which layer has more to do?

# %% question="slow_convolution"
### BEGIN SOLUTION
slow_convolution = "b"
### END SOLUTION

# %% [markdown]
# **Question.** A network has convolutions with 'same' padding and ends with dense layers. You put a pool that halves the map between conv1 and conv2, and leave everything else as it is. Which layer gets fewer *parameters*?

# %% question="pooling_saves"
### BEGIN SOLUTION
pooling_saves = "d"
### END SOLUTION

# %% [markdown]
# ## 3. The table of a network
#
# A network is a list of layers, and a layer is a dict:

# %%
NAMES = ["conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "fc4", "fc5"]
CNN = [
    {"kind": "conv", "filters": 32, "kernel_size": 5, "stride": 1, "padding": 2},
    {"kind": "pool", "kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False},
    {"kind": "conv", "filters": 64, "kernel_size": 5, "stride": 1, "padding": 0},
    {"kind": "pool", "kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False},
    {"kind": "conv", "filters": 64, "kernel_size": 5, "stride": 1, "padding": 0},
    {"kind": "pool", "kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False},
    {"kind": "dense", "neurons": 1000},
    {"kind": "dense", "neurons": 10},
]

# %% [markdown]
# Return one row for each layer: the shape of its output for one image, and its number of parameters. A convolution or a pool leaves a shape $(C, H, W)$, a dense layer $(F,)$. Height and width may differ. A dense layer flattens what it gets. All convolutions here have biases, no groups and no dilation; a pool works on each channel alone.
#
# Call your `output_size` and `conv_parameters`: the check of `cnn_table` waits until these two are right.


# %% question="cnn_table"
def cnn_table(layers, input_shape):
    """Return a list with (output shape, number of parameters) for each layer."""
    ### BEGIN SOLUTION
    rows = []
    shape = tuple(input_shape)
    for layer in layers:
        if layer["kind"] == "dense":
            parameters = dense_parameters(shape, (layer["neurons"],))
            shape = (layer["neurons"],)
        else:
            k, s, p = layer["kernel_size"], layer["stride"], layer["padding"]
            ceil_mode = layer.get("ceil_mode", False)
            height, width = (output_size(n, k, s, p, ceil_mode=ceil_mode) for n in shape[1:])
            channels = layer.get("filters", shape[0])
            is_conv = layer["kind"] == "conv"
            parameters = conv_parameters(shape[0], channels, k) if is_conv else 0
            shape = (channels, height, width)
        rows.append((shape, parameters))
    return rows
    ### END SOLUTION


# %% [markdown]
# Run it on our network:

# %%
for name, (shape, parameters) in zip(NAMES, cnn_table(CNN, (3, 32, 32)), strict=True):
    print(f"{name:6} {shape!s:14} {parameters:>9,}")

# %% [markdown]
# **Question.** How many parameters does the network have in all?

# %% question="total_parameters"
### BEGIN SOLUTION
total_parameters = 231170
### END SOLUTION

# %% [markdown]
# **Question.** How many of them are in the three convolutions? (It is often said that a network's convolutions hold few parameters, and its dense layers nearly all. See whether that is so here.)

# %% question="in_convolutions"
### BEGIN SOLUTION
in_convolutions = 156160
### END SOLUTION

# %% [markdown]
# **Question.** CIFAR-10 has 50,000 training images (and 10,000 test images). How many parameters are there for each training image? Three digits are enough.

# %% question="parameters_per_image"
### BEGIN SOLUTION
parameters_per_image = 231170 / 50000
### END SOLUTION

# %% [markdown]
# **Question.** Before convolutional networks, images were classified like this. Many small patches of the training images are described by 128 numbers each. k-means finds 1000 typical ones, the *visual words*: that is the dictionary. An image becomes a histogram, which counts how often each of the 1000 words occurs in it. Ten linear SVMs, each for one class against the rest, classify the histograms. How many numbers are learned from the training data, in all?

# %% question="bag_of_words"
### BEGIN SOLUTION
bag_of_words = 138010
### END SOLUTION

# %% [markdown]
# ## 4. What one output sees
#
# **Question.** A convolution with stride 1 makes a map of an image. Now the whole image is moved by one pixel to the right. What happens to the map, away from its borders?

# %% question="shifted_image"
### BEGIN SOLUTION
shifted_image = "a"
### END SOLUTION

# %% [markdown]
# The *receptive field* of an output is the part of the image that can influence it. Behind one 5x5 convolution it is 5 pixels wide.
#
# **Question.** And behind two 5x5 convolutions in a row, both with stride 1? (Its width, in pixels. Draw them as rows of points.)

# %% question="two_convolutions"
### BEGIN SOLUTION
two_convolutions = 9
### END SOLUTION

# %% [markdown]
# Now for any stack. Layers, pools included, are triples $(k, s, d)$ of kernel size, stride and dilation, in the order in which the image meets them. Two facts are enough:
#
# - a window of $k$ pixels, $d$ apart, reaches over $(k - 1)\, d$ distances between neighbours *of the map that it looks at*;
# - neighbours on a map are further apart in the image the more the layers before it have strided.
#
# The padding plays no part: it adds places at the border from which part of the field is empty, it does not widen the field.


# %% question="receptive_field"
def receptive_field(layers):
    """Return the width of the receptive field of the last layer, in pixels of the image.

    layers is a list of (kernel size, stride, dilation).
    """
    ### BEGIN SOLUTION
    seen, jump = 1, 1
    for kernel_size, stride, dilation in layers:
        seen += (kernel_size - 1) * dilation * jump
        jump *= stride
    return seen
    ### END SOLUTION


# %% [markdown]
# **Question.** How wide is the receptive field of a number that conv3 computes, in the network of the table?

# %% question="conv3_sees"
### BEGIN SOLUTION
conv3_sees = 32
### END SOLUTION

# %% [markdown]
# **Question.** Two 5x5 convolutions with random weights stand one behind the other. Which pixels of the receptive field influence the output most?

# %% question="effective_field"
### BEGIN SOLUTION
effective_field = "c"
### END SOLUTION

# %% [markdown]
# ## 5. A dense layer is a convolution
#
# **Question.** The network has been trained on 32x32. You give it an image of 64x64. What happens?

# %% question="larger_image"
### BEGIN SOLUTION
larger_image = "b"
### END SOLUTION

# %% [markdown]
# There is a way out. A dense layer behind a map of shape $(C, H, W)$ computes, for each neuron, a weighted sum of *all* numbers of the map, plus a bias. A filter of $H \times W$ pixels that looks at all $C$ channels does the same. So each neuron becomes a filter.
#
# The dense layer belongs to a network that calls `x.flatten(1)` before it, so column $i$ of `weight` belongs to the $i$-th number of the flattened map. As in PyTorch, `weight` has the shape $(F, CHW)$ for $F$ neurons, and the kernels of a convolution have the shape $(F, C, H, W)$.


# %% question="dense_to_conv"
def dense_to_conv(weight, bias, input_shape):
    """Return (kernel, bias) of the convolution that equals a dense layer.

    weight is (F, C*H*W), bias is (F,), input_shape is (C, H, W).
    """
    ### BEGIN SOLUTION
    return weight.reshape(len(weight), *input_shape), bias
    ### END SOLUTION


# %% [markdown]
# On a map of its own size, such a convolution has one position, and computes what the dense layer did. On a larger map it slides. Give the outputs at all positions, for a batch of maps: stride 1, no padding. You may use `torch.nn.functional.conv2d`.


# %% question="slide_dense"
def slide_dense(weight, bias, input_shape, X):
    """Return the dense layer's outputs at every position of larger maps.

    weight, bias and input_shape as in dense_to_conv; X is (N, C, H', W') with H' >= H and W' >= W.
    The result is (N, F, H' - H + 1, W' - W + 1).
    """
    ### BEGIN SOLUTION
    kernel, bias = dense_to_conv(weight, bias, input_shape)
    return torch.nn.functional.conv2d(X, kernel, bias)
    ### END SOLUTION


# %% [markdown]
# **Question.** fc4 and fc5 of the trained network become convolutions, with kernels of 1x1. Now the image of 64x64 goes in once more; behind pool3 the map is 5x5. What comes out?

# %% question="all_at_once"
### BEGIN SOLUTION
all_at_once = "d"
### END SOLUTION

# %% [markdown]
# ## 6. Without sharing
#
# A convolution is local, and it shares: the same filters are used at every position. Take the second away and keep the first: a *locally connected* layer, or unshared convolution. Each position of the output has filters and biases of its own.
#
# How many parameters does it have?


# %% question="unshared_parameters"
def unshared_parameters(in_channels, output_shape, kernel_size, bias=True):
    """Return the number of weights and biases of an unshared convolution to (F, H', W')."""
    ### BEGIN SOLUTION
    each = in_channels * kernel_size * kernel_size + int(bias)
    return math.prod(output_shape) * each
    ### END SOLUTION


# %% [markdown]
# Now compute it. The last two axes of `weight` say where: `weight[f, :, :, :, y, x]` is the filter, of shape $(C, k, k)$, that makes the number at row $y$ and column $x$ of output channel $f$; `bias[f, y, x]` is its bias. No padding. As in PyTorch's convolution, the filter is not flipped: its corner $(0, 0)$ meets the upper left pixel of the window.
#
# The input may have a few rows and columns more than the windows reach. Keep the precision that comes in.


# %% question="unshared_conv2d"
def unshared_conv2d(X, weight, bias, stride=1):
    """Return the outputs (N, F, H', W') of an unshared convolution.

    X is (N, C, H, W), weight is (F, C, k, k, H', W'), bias is (F, H', W').
    """
    ### BEGIN SOLUTION
    filters, _, k, _, height, width = weight.shape
    out = torch.empty(len(X), filters, height, width, dtype=X.dtype)
    for y in range(height):
        for x in range(width):
            top, left = y * stride, x * stride
            window = X[:, :, top : top + k, left : left + k]
            out[:, :, y, x] = torch.einsum("ncij,fcij->nf", window, weight[..., y, x])
    return out + bias
    ### END SOLUTION


# %% [markdown]
# What sharing is worth, for conv2 of our network:

# %%
shared = conv_parameters(32, 64, 5)
unshared = unshared_parameters(32, (64, 12, 12), 5)
dense = dense_parameters((32, 16, 16), (64, 12, 12))
for what, number in (("shared", shared), ("unshared", unshared), ("dense", dense)):
    print(f"{what:>9}: {number:>12,} parameters, {number / shared:>7,.0f} times the convolution's")


# %% [markdown]
# ## 7. Find the digits
#
# scikit-learn's handwritten digits are 8x8 pixels. We train a small network on such windows: the ten digits, and an eleventh class for windows that show parts of digits or nothing. It has no padding anywhere. (It takes a few seconds.)

# %%
from torch import nn

plotting.use_style()
digits = data.digits(seed=0)
generator = torch.Generator().manual_seed(0)


def windows_without_a_digit(images, count):
    """Return 8x8 windows between four fields, of which some hold a digit: 2 pixels off or more."""
    four = images[torch.randint(len(images), (count, 4), generator=generator)]
    four = four * (torch.rand(count, 4, 1, 1, generator=generator) < 0.6)
    pages = torch.cat([torch.cat([*pair], dim=2) for pair in four.transpose(0, 1).split(2)], dim=1)
    corners = torch.randint(0, 9, (count, 2), generator=generator)
    either = torch.randint(2, (count,), generator=generator)
    corners[torch.arange(count), either] = torch.randint(2, 7, (count,), generator=generator)
    return torch.stack(
        [page[y : y + 8, x : x + 8] for page, (y, x) in zip(pages, corners.tolist(), strict=True)]
    )


pictures = digits.X_train.reshape(-1, 8, 8)
others = windows_without_a_digit(pictures, 2000)
X = torch.cat([pictures, others])[:, None]  # (N, 1, 8, 8)
y = torch.cat([digits.Y_train.argmax(dim=1), torch.full((len(others),), 10)])

torch.manual_seed(0)
features = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)
)
first, second = nn.Linear(32 * 2 * 2, 64), nn.Linear(64, 11)
network = nn.Sequential(features, nn.Flatten(), first, nn.ReLU(), second)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
for _ in range(20):
    for batch in torch.randperm(len(X), generator=generator).split(128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X[batch]), y[batch]).backward()
        optimizer.step()

with torch.no_grad():
    predicted = network(digits.X_test.reshape(-1, 1, 8, 8)).argmax(dim=1)
right = predicted == digits.Y_test.argmax(dim=1)
print(f"test accuracy on single digits: {float(right.double().mean()):.3f}")

# %% [markdown]
# Now a page of 48x96 pixels, with twelve digits that the network has never seen. Their corners have even coordinates, where the outputs of the network lie: its pool makes them 2 pixels apart. The convolutions and the pool run on the page as they are. Then your `slide_dense` takes the place of the dense layers: the first one stood behind maps of $(32, 2, 2)$, the second behind $(64, 1, 1)$.

# %%
page = torch.zeros(1, 1, 48, 96)
fields = torch.randperm(18, generator=generator)[:12].tolist()
for picture, field in zip(digits.X_test.reshape(-1, 8, 8), fields, strict=False):
    shift_y, shift_x = (2 * torch.randint(0, 5, (2,), generator=generator)).tolist()
    top, left = 16 * (field // 6) + shift_y, 16 * (field % 6) + shift_x
    page[0, 0, top : top + 8, left : left + 8] = picture

with torch.no_grad():
    hidden = torch.relu(slide_dense(first.weight, first.bias, (32, 2, 2), features(page)))
    outputs = slide_dense(second.weight, second.bias, (64, 1, 1), hidden)[0]

    windows = page.unfold(2, 8, 2).unfold(3, 8, 2)  # (1, 1, 21, 45, 8, 8): cut out, every 2 pixels
    one_by_one = network(windows.reshape(-1, 1, 8, 8)).T.reshape(outputs.shape)

print("outputs:", tuple(outputs.shape))
difference = float((outputs - one_by_one).abs().max())
print(f"largest difference from windows one by one: {difference:.1e}")

# %%
import matplotlib.pyplot as plt

probabilities = torch.softmax(outputs, dim=0)
probability, found = probabilities.max(dim=0)
fig, ax = plotting.figure(size=(8, 4.4))
ax.imshow(page[0, 0].numpy(), cmap="gray_r")
for row, column in ((found < 10) & (probability > 0.9)).nonzero().tolist():
    corner = (2 * column - 0.5, 2 * row - 0.5)
    ax.add_patch(plt.Rectangle(corner, 8, 8, fill=False, edgecolor=plotting.COLOURS[1]))
    ax.text(*corner, str(int(found[row, column])), color=plotting.COLOURS[0], ha="right", va="top")
ax.axis("off")
plt.show()

# %% [markdown]
# **Explain** in three to five sentences. Why does the map have $21 \times 45$ outputs? Why does one pass over the page cost much less than as many windows? And suppose that the first convolution had a padding of 1: why would the map no longer agree with windows that are cut out one by one, and where would it differ? A person will read this.

# %% [markdown] question="explain_map"
# <!-- ### BEGIN SOLUTION -->
# The page of 48x96 becomes 46x94 and 44x92 behind the two 3x3 convolutions and 22x46 behind the pool; the first dense layer, now a 2x2 kernel, has 21x45 positions there, which is one output every 2 pixels. Neighbouring windows of 8x8 overlap in most of their pixels, so one by one they compute the same convolutions again and again, and in one pass each number is computed once and shared. With padding, a window that is cut out is surrounded by zeros, while the same window within the page is surrounded by its neighbours' pixels. So the numbers near the border of the window differ, and through the dense layer every output that has ink just outside of its window, at any place of the page; only windows with nothing around them would still agree.
# <!-- ### END SOLUTION -->

# %% [markdown]
# **Explain** in three to five sentences. The unshared layer of section 6 has many more parameters than the convolution. What property does it lose with the sharing, and what would the search for digits on this page lose? For which images may it be a good idea all the same? A person will read this.

# %% [markdown] question="explain_sharing"
# <!-- ### BEGIN SOLUTION -->
# Without sharing the layer is no longer equivariant: what it has learned at one place it does not know at another, so it would have to see every digit at every place of the page, and it could not even run on a page of another size. It needs far more examples for its many parameters, and more memory, although its work is the same. It can pay where a position has a meaning of its own: faces that were aligned, so that the eyes are always at the same place, or spectra and scans whose channels or regions differ. A compromise is to share within regions only.
# <!-- ### END SOLUTION -->
