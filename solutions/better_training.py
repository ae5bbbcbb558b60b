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
# # Better training
#
# The same network can be trained badly or well. You will write what makes the difference: standardised and whitened inputs, random crops and flips, momentum and a falling learning rate, a limit on the weights, dropout, and batch norm, forward and backward. At the end your own functions train a small convolutional network, with and without them.
#
# Everything random comes in as an argument (the offsets of a crop, the numbers behind a mask), so that right is exactly right. Images come as a batch of shape $(N, C, H, W)$: $N$ images, $C$ channels, $H$ rows, $W$ columns. No function may change what it is given, and floating-point numbers keep their precision.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("better_training.zca")` helps you on. Each function is graded by itself, so a mistake in one of them does not spoil the others. It takes about two and a half hours and goes with the last five chapters of Part 2.

# %%
import torch
from torch import nn

from mlcourse import data, plotting

torch.set_num_threads(1)  # the arrays here are small

# %% [markdown]
# ## 1. Standardised inputs
#
# Pixels are bytes from 0 to 255. A network learns faster when each of its inputs has mean 0 and standard deviation 1:
#
# $$z_{nchw} = \frac{x_{nchw} - \mu_c}{\sigma_c},$$
#
# where $\mu_c$ and $\sigma_c$ are the mean and the standard deviation of channel $c$, over all images and all pixels **of the training set**.
#
# **Question.** Why are the test images standardised with the training set's statistics, and not with their own?

# %% question="whose_statistics"
### BEGIN SOLUTION
whose_statistics = "c"
### END SOLUTION

# %% [markdown]
# Now write it. The images may be bytes (`torch.uint8`) or `float32`; the result is `float32`. Bytes count from 0 to 255 and know no fractions and no minus sign: think about when to leave them. The test set may hold a single image. No channel is constant.


# %% question="standardise"
def standardise(X_train, X_test):
    """Return (Z_train, Z_test), both standardised a channel at a time by X_train's statistics.

    X_train is (N, C, H, W), X_test is (M, C, H, W).
    """
    ### BEGIN SOLUTION
    train, test = X_train.float(), X_test.float()
    mean = train.mean(dim=(0, 2, 3), keepdim=True)
    std = train.std(dim=(0, 2, 3), keepdim=True)
    return (train - mean) / std, (test - mean) / std
    ### END SOLUTION


# %% [markdown]
# ## 2. Whitening
#
# Neighbouring pixels are alike: they are correlated. **ZCA whitening** removes the correlations as well. Take each image as a row of $d$ numbers, so that $X$ is $(N, d)$. Let $\mu$ be the mean of each of its columns, and
#
# $$C = \frac1N (X - \mu)^\top (X - \mu), \qquad C = U \Lambda U^\top, \qquad W = U (\Lambda + \varepsilon I)^{-1/2} U^\top .$$
#
# $C$ is the covariance, $(d, d)$. The columns of $U$ are its eigenvectors and the diagonal matrix $\Lambda$ holds its eigenvalues, the variances in these directions. The whitened images are $(X - \mu) W$. At $\varepsilon = 0$ their covariance is the identity; a positive $\varepsilon$ keeps directions that hold almost nothing but noise from being blown up.
#
# **Question.** What does ZCA do to images?

# %% question="what_zca_does"
### BEGIN SOLUTION
what_zca_does = "b"
### END SOLUTION

# %% [markdown]
# **Question.** CIFAR-10's images have 32 x 32 x 3 = 3072 values. What does it take to compute $W$, once $C$ is known?

# %% question="zca_cost"
### BEGIN SOLUTION
zca_cost = "a"
### END SOLUTION

# %% [markdown]
# Write the fit. `torch.linalg.eigh(C)` returns the eigenvalues and, as columns, the eigenvectors of a symmetric matrix. (Whether you divide by $N$ or by $N - 1$ in $C$ is left to you.)


# %% question="zca"
def zca(X, eps):
    """Return (mean, W) of the data X (N, d): mean is (d,), and W (d, d) whitens X - mean."""
    ### BEGIN SOLUTION
    mean = X.mean(dim=0)
    centred = X - mean
    variances, U = torch.linalg.eigh(centred.T @ centred / len(X))
    return mean, U @ torch.diag((variances + eps) ** -0.5) @ U.T
    ### END SOLUTION


# %% [markdown]
# ## 3. Augmentation
#
# A photograph of a horse, a little to the left or in a mirror, is still a photograph of a horse. Show the network such copies, new ones in each epoch, and it has to learn what they have in common. That holds only as long as the **label stays true** for the changed image.
#
# A *horizontal* flip exchanges left and right, as a mirror does. A *vertical* flip exchanges top and bottom.
#
# **Question.** What makes a 9 of a 6?

# %% question="six_to_nine"
### BEGIN SOLUTION
six_to_nine = "d"
### END SOLUTION

# %% [markdown]
# **Question.** On a pocket calculator digits consist of seven segments:
#
# ```text
#       _        _
#       _|      |_
#      |_        _|
#
#       2        5
# ```
#
# What makes a 5 of a 2 here?

# %% question="two_to_five"
### BEGIN SOLUTION
two_to_five = "b"
### END SOLUTION

# %% [markdown]
# **Question.** You train a network to tell traffic signs apart, "turn left" and "turn right" and "no entry" among them. Which of these changes is safe?

# %% question="safe_for_signs"
### BEGIN SOLUTION
safe_for_signs = "a"
### END SOLUTION

# %% [markdown]
# **Question.** Which is worth more: 100,000 images that were cropped from 1,000 photographs, or 100,000 different photographs?

# %% question="augmented_or_new"
### BEGIN SOLUTION
augmented_or_new = "c"
### END SOLUTION

# %% [markdown]
# Cut a square window out of each image. Image $n$ gives the window whose first row is `top[n]` and whose first column is `left[n]`, counted from 0, with `size` rows and columns. Every image has a window of its own: the same one for the whole batch would be a poor augmentation. A crop only chooses pixels, so the dtype stays.


# %% question="crop"
def crop(X, top, left, size):
    """Return the windows (N, C, size, size) of the images X (N, C, H, W).

    top and left are (N,) integer tensors; all windows lie inside their images.
    """
    ### BEGIN SOLUTION
    windows = X.unfold(2, size, 1).unfold(3, size, 1)  # (N, C, tops, lefts, size, size)
    return windows[torch.arange(len(X)), :, top, left]
    ### END SOLUTION


# %% [markdown]
# And mirror some of the images, left and right exchanged: image $n$ where `which[n]` is `True`. The others stay as they are.


# %% question="flip"
def flip(X, which):
    """Return the images X (N, C, H, W), mirrored where which (N,), of dtype bool, is True."""
    ### BEGIN SOLUTION
    return torch.where(which.view(-1, 1, 1, 1), X.flip(3), X)
    ### END SOLUTION


# %% [markdown]
# ## 4. Momentum and a falling learning rate
#
# With momentum a step does not follow the newest gradient $g$ alone, but a velocity $v$, which starts at 0:
#
# $$v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v .$$
#
# This is torch's form. (Textbooks also write $v \leftarrow \mu v - \eta g$ and $\theta \leftarrow \theta + v$; as long as $\eta$ stays the same, the parameters are the same.)
#
# **Question.** What does $v$ hold?

# %% question="what_momentum_keeps"
### BEGIN SOLUTION
what_momentum_keeps = "d"
### END SOLUTION

# %% [markdown]
# **Question.** Let $\mu = 0.9$. In $v$ the newest gradient has weight 1. Three steps later, what is the weight of that same gradient? A number.

# %% question="weight_of_the_past"
### BEGIN SOLUTION
weight_of_the_past = 0.729
### END SOLUTION

# %% [markdown]
# **Question.** On a long straight slope the gradient is always the same. With $\mu = 0.9$ and $\eta = 0.1$ each step becomes, in the end, a multiple of that gradient. Which one? A number. (Without momentum it is 0.1.)

# %% question="effective_step"
### BEGIN SOLUTION
effective_step = 1.0
### END SOLUTION

# %% [markdown]
# Write it for gradients that are given: row $t$ of `grads` is the gradient that step $t$ meets.


# %% question="momentum"
def momentum(theta, grads, lr, mu):
    """Return the parameters after each step: a list of T tensors (d,), or one tensor (T, d).

    theta (d,) is the start; grads is (T, d), one gradient for each step.
    """
    ### BEGIN SOLUTION
    v = torch.zeros_like(theta)
    path = []
    for g in grads:
        v = mu * v + g
        theta = theta - lr * v
        path.append(theta)
    return path
    ### END SOLUTION


# %% [markdown]
# A large step gets far, a small one gets close: so the learning rate falls during training. Three classic schedules, from the initial rate $\eta_0$:
#
# | schedule | learning rate |
# |---|---|
# | time-based | $\eta_0 / (1 + k t)$ |
# | exponential | $\eta_0\, e^{-k t}$ |
# | step | $\eta_0 \cdot \mathrm{drop}^{\lfloor \mathrm{epoch} / \mathrm{epochs\_drop} \rfloor}$ |
#
# **Question.** Time-based, with $\eta_0 = 0.1$ and $k = 0.05$: what is the rate at $t = 30$?

# %% question="time_based"
### BEGIN SOLUTION
time_based = 0.04
### END SOLUTION

# %% [markdown]
# **Question.** Exponential, with the same $\eta_0$, $k$ and $t$? (To three digits or more.)

# %% question="exponential"
### BEGIN SOLUTION
exponential = 0.022313
### END SOLUTION

# %% [markdown]
# Write the step schedule. The rate is multiplied by `drop` once every `epochs_drop` epochs; epochs count from 0.


# %% question="step_decay"
def step_decay(lr0, drop, epochs_drop, epochs):
    """Return the learning rates of the epochs 0, 1, ..., epochs - 1, as a list of numbers."""
    ### BEGIN SOLUTION
    return [lr0 * drop ** (epoch // epochs_drop) for epoch in range(epochs)]
    ### END SOLUTION


# %% [markdown]
# ## 5. Regularisation
#
# **Question.** What is regularisation?

# %% question="regularisation"
### BEGIN SOLUTION
regularisation = "b"
### END SOLUTION

# %% [markdown]
# The best known kind adds the penalty $\frac{\lambda}{2} \lVert w \rVert^2$ to the loss.
#
# **Question.** A weight is 1, and the loss itself does not depend on it: only the penalty does. With $\eta = 0.1$ and $\lambda = 0.3$, what is the weight after 10 steps of plain gradient descent? (A number, to three digits or more.)

# %% question="shrunk_weight"
### BEGIN SOLUTION
shrunk_weight = 0.7374
### END SOLUTION

# %% [markdown]
# **Label smoothing** does not ask for probabilities of exactly 0 and 1, which no finite logits can reach. It mixes the one-hot target $y$ with the uniform distribution over the $C$ classes: $(1 - s)\, y + s / C$.
#
# **Question.** With $C = 10$ and $s = 0.1$, what is the target for the true class? A number.

# %% question="smoothed_target"
### BEGIN SOLUTION
smoothed_target = 0.91
### END SOLUTION

# %% [markdown]
# **Max-norm** does not shrink the weights all the time, it only keeps them from growing too large. After each step the weights that come into a neuron, a row of $W$, are scaled down to the Euclidean norm `limit` if theirs is larger. Shorter rows stay as they are.


# %% question="max_norm"
def max_norm(W, limit):
    """Return W (n_out, n_in) with every row of a norm above limit scaled down to that norm."""
    ### BEGIN SOLUTION
    norms = W.norm(dim=1, keepdim=True)
    return W * (limit / norms).clamp(max=1)
    ### END SOLUTION


# %% [markdown]
# ## 6. Dropout
#
# In training each unit is **dropped** (set to 0) with probability $p$ and kept with probability $q = 1 - p$, by a new draw for each unit, each example and each step. So no unit can rely on a certain other one being there.
#
# **Question.** A layer has 10 units. How many different *thinned* networks can such masks make of it, the empty one counted too? A number.

# %% question="thinned_networks"
### BEGIN SOLUTION
thinned_networks = 1024
### END SOLUTION

# %% [markdown]
# At test all units are there, so the next layer would get more than it is used to. In its classic form dropout then multiplies each unit by a number, so that its mean is what it was in training.
#
# **Question.** A layer was trained with $p = 0.2$. By which number are its units multiplied at test, in the classic form?

# %% question="classic_scale"
### BEGIN SOLUTION
classic_scale = 0.8
### END SOLUTION

# %% [markdown]
# **Question.** Does dropout save computing time?

# %% question="dropout_time"
### BEGIN SOLUTION
dropout_time = "a"
### END SOLUTION

# %% [markdown]
# **Question.** With dropout, a network reaches an accuracy of 80 % on the training images and 70 % on the test images. What follows?

# %% question="eighty_and_seventy"
### BEGIN SOLUTION
eighty_and_seventy = "d"
### END SOLUTION

# %% [markdown]
# Today's form is **inverted** dropout: it makes up for the dropped units in *training*, by a scale that keeps the mean of each unit, and at test it does nothing at all. Write that one. The random numbers are given: `u` holds one for each entry of `x`, uniform between 0 and 1, and an entry is dropped where `u < p`. You may take $0 \le p < 1$ for granted.


# %% question="dropout"
def dropout(x, u, p, training):
    """Return x after inverted dropout with probability p; x and u have the same shape.

    With training=False, x itself (or a copy).
    """
    ### BEGIN SOLUTION
    if not training:
        return x
    return x * (u >= p) / (1 - p)
    ### END SOLUTION


# %% [markdown]
# ## 7. Batch norm
#
# Batch norm standardises *inside* the network. In training it takes mean and variance from the batch, for each channel over all $n = N H W$ values that the channel has in it:
#
# $$\mu_c = \frac1n \sum_{n,h,w} x_{nchw}, \quad \sigma_c^2 = \frac1n \sum_{n,h,w} (x_{nchw} - \mu_c)^2, \quad \hat x_{nchw} = \frac{x_{nchw} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}}, \quad y_{nchw} = \gamma_c\, \hat x_{nchw} + \beta_c .$$
#
# Scale $\gamma$ and shift $\beta$, one number a channel each, are learned with the weights.
#
# **Question.** Why does it help?

# %% question="why_batch_norm"
### BEGIN SOLUTION
why_batch_norm = "c"
### END SOLUTION

# %% [markdown]
# **Question.** And at test?

# %% question="what_eval_changes"
### BEGIN SOLUTION
what_eval_changes = "b"
### END SOLUTION

# %% [markdown]
# Write the forward pass in training. `cache` is what the backward pass will need, a dict with the keys `xhat` ($\hat x$, of the shape of $x$), `std` ($\sqrt{\sigma^2 + \varepsilon}$, of shape $(C,)$) and `gamma`. In all of this part torch's own batch norm stays out.


# %% question="batch_norm"
def batch_norm(x, gamma, beta, eps):
    """Return (out, cache) for x (N, C, H, W), gamma (C,) and beta (C,), by the batch's statistics.

    out has the shape of x; cache has the keys xhat, std and gamma.
    """
    ### BEGIN SOLUTION
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    std = (x.var(dim=(0, 2, 3), keepdim=True, correction=0) + eps).sqrt()
    xhat = (x - mean) / std
    out = gamma.view(1, -1, 1, 1) * xhat + beta.view(1, -1, 1, 1)
    return out, {"xhat": xhat, "std": std.flatten(), "gamma": gamma}
    ### END SOLUTION


# %% [markdown]
# For the test, the layer remembers what its inputs looked like. With each batch in training it moves its *running* mean and variance a little towards the batch's:
#
# $$\text{running} \leftarrow (1 - m)\, \text{running} + m\, \text{batch},$$
#
# where $m$ is called the momentum (torch's default is 0.1). The running variance is meant as an estimate for all the data, so here the batch's variance is the **unbiased** one, divided by $n - 1$ where the forward pass divides by $n$.


# %% question="update_running"
def update_running(mean, var, x, momentum):
    """Return (mean, var), both (C,): the running statistics after the batch x (N, C, H, W)."""
    ### BEGIN SOLUTION
    batch_mean = x.mean(dim=(0, 2, 3))
    batch_var = x.var(dim=(0, 2, 3))  # divides by n - 1
    mean = (1 - momentum) * mean + momentum * batch_mean
    var = (1 - momentum) * var + momentum * batch_var
    return mean, var
    ### END SOLUTION


# %% [markdown]
# At test the running statistics take the place of the batch's. The rest is the same.


# %% question="batch_norm_test"
def batch_norm_test(x, gamma, beta, mean, var, eps):
    """Return the output (N, C, H, W) at test; gamma, beta and the running mean, var are (C,)."""
    ### BEGIN SOLUTION
    gamma, beta, mean, var = (value.view(1, -1, 1, 1) for value in (gamma, beta, mean, var))
    return gamma * (x - mean) / (var + eps).sqrt() + beta
    ### END SOLUTION


# %% [markdown]
# The backward pass gets $g$, the gradient of the loss with respect to the layer's output, and returns three gradients.
#
# 1. $\beta_c$ is added to every value of its channel and $\gamma_c$ multiplies every $\hat x$ of it. That gives their gradients, two sums.
# 2. For the input, think of one channel at a time. Through $\gamma$ and the division by the standard deviation, $g$ arrives at $x$ multiplied by $\gamma / \sqrt{\sigma^2 + \varepsilon}$. But each $x$ of the channel also moves $\mu$ and $\sigma$, and through them *all* the outputs. If you add the same number to all inputs of a channel, $\hat x$ does not change at all; if you stretch them all about their mean, it hardly does (for $\varepsilon = 0$, not at all). A gradient along either direction would therefore promise a change that does not come: something has to be taken out of $g$ for each.
#
# Work it out on paper, with the chain rule, before you type; it comes down to one line. No autograd here. You can test your formula against it in the cell after the check.


# %% question="batch_norm_backward"
def batch_norm_backward(grad, cache):
    """Return (grad_x, grad_gamma, grad_beta), of shapes (N, C, H, W), (C,) and (C,).

    grad (N, C, H, W) is the gradient at the output; cache has the keys xhat, std and gamma.
    """
    ### BEGIN SOLUTION
    xhat = cache["xhat"]
    factor = (cache["gamma"] / cache["std"]).view(1, -1, 1, 1)
    mean = grad.mean(dim=(0, 2, 3), keepdim=True)
    along = (grad * xhat).mean(dim=(0, 2, 3), keepdim=True)
    grad_x = factor * (grad - mean - xhat * along)
    return grad_x, (grad * xhat).sum(dim=(0, 2, 3)), grad.sum(dim=(0, 2, 3))
    ### END SOLUTION


# %%
generator = torch.Generator().manual_seed(0)
x, grad = torch.randn(2, 4, 3, 5, 5, generator=generator, dtype=torch.float64)
inputs = (x, torch.tensor([0.5, 1.0, 2.0]).double(), torch.tensor([0.0, 1.0, -1.0]).double())
leaves = [value.clone().requires_grad_() for value in inputs]
by_autograd = torch.autograd.grad(batch_norm(*leaves, eps=1e-5)[0], leaves, grad)
by_hand = batch_norm_backward(grad, batch_norm(*inputs, eps=1e-5)[1])
for name, mine, theirs in zip(("x", "gamma", "beta"), by_hand, by_autograd, strict=True):
    print(f"gradient of {name:>5}: apart by at most {float((mine - theirs).abs().max()):.1e}")

# %% [markdown]
# ## 8. Does it help?
#
# Real handwritten digits over patches of photographs, in colour, 32 by 32 pixels. Some are hard to read for us too. Here are a few, and below each its mirror image by your `flip`. Which of the labels are still true?

# %%
plotting.use_style()
digits = data.textured_digits(seed=0).first(2500, 1000)

some, names = digits.X_train[:10], [digits.classes[int(label)] for label in digits.y_train[:10]]
mirrored = flip(some, torch.ones(10, dtype=torch.bool))
_ = plotting.images(torch.cat([some, mirrored]), names + [f"{name}?" for name in names])

# %% [markdown]
# A small convolutional network, and your batch norm as a layer of it. Autograd finds the gradients of your forward pass by itself.


# %%
class BatchNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x):
        if not self.training:
            return batch_norm_test(x, self.gamma, self.beta, self.mean, self.var, 1e-5)
        with torch.no_grad():
            self.mean, self.var = update_running(self.mean, self.var, x, 0.1)
        return batch_norm(x, self.gamma, self.beta, 1e-5)[0]


def network(norm=nn.Identity):
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=2, padding=2), norm(12), nn.ReLU(),
        nn.Conv2d(12, 24, 3, padding=1), norm(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 24, 3, padding=1), norm(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * 4 * 4, 10),
    )  # fmt: skip


def train(name, X_train, X_test, norm=nn.Identity, augment=None, epochs=5, seed=0):
    """Train a network from scratch; print and return the test accuracy after each epoch."""
    torch.manual_seed(seed)
    model = network(norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    accuracies = []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(X_train)).split(50):
            X = X_train[batch] if augment is None else augment(X_train[batch])
            loss = nn.functional.cross_entropy(model(X), digits.y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = model(X_test).argmax(dim=1) == digits.y_test
        accuracies.append(float(right.double().mean()))
    print(f"{name:>24}: test accuracy", " ".join(f"{value:.3f}" for value in accuracies))
    return accuracies


Z_train, Z_test = standardise(digits.X_train, digits.X_test)
runs = {
    "pixels from 0 to 1": train("pixels from 0 to 1", digits.X_train / 255, digits.X_test / 255),
    "standardised": train("standardised", Z_train, Z_test),
    "and batch norm": train("and batch norm", Z_train, Z_test, norm=BatchNorm),
}

# %%
import matplotlib.pyplot as plt

fig, ax = plotting.figure(size=(6.0, 3.4))
for i, (name, accuracies) in enumerate(runs.items()):
    plotting.line(ax, range(1, 6), accuracies, i, name)
ax.set(xlabel="epoch", ylabel="test accuracy (fraction)", xticks=range(1, 6), ylim=(0, 1))
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()

# %% [markdown]
# **Question.** Someone improves a network on CIFAR-10 step by step, each step on top of those before, and notes the test accuracy of one run a step: 60 % to begin with, 65 % with standardised images, 70 % with random crops and flips, 68 % with momentum and a falling learning rate. What can be said of the last step?

# %% question="best_so_far"
### BEGIN SOLUTION
best_so_far = "d"
### END SOLUTION

# %% [markdown]
# Now change **one** thing and measure it: your `flip` or your `crop` as `augment` (a crop of 32 needs a border first: `nn.functional.pad(X, (2, 2, 2, 2))`), your `dropout` before the last layer, another learning rate with and without batch norm, a batch of 10. Train with three seeds, with and without the change.
#
# **Explain** in four to eight sentences: what did you change, what did you expect, what did you measure (the six numbers), and is the difference larger than that between seeds? A person will read this.

# %% [markdown] question="explain_improvement"
# <!-- ### BEGIN SOLUTION -->
# A good answer names one change, an expectation with its reason, the final test accuracies of three seeds with the change and three without, and compares the difference of the means with the spread between seeds. For instance, mirroring every image with probability 1/2: we expect harm, because most digits are no digits in a mirror and a mirrored 2 looks like a 5, while the test images are not mirrored. If the three accuracies with flips all lie below the three without, that supports it; if they mix, three seeds cannot tell, and the answer says so. It also says what was kept equal (epochs, learning rate, seeds), and that whoever tries many changes on these test images and keeps the best has chosen with them, so that the best figure is optimistic.
# <!-- ### END SOLUTION -->
