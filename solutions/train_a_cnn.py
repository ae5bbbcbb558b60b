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
# # Train a CNN
#
# You build the course's convolutional network, write the evaluation and the training epoch that every later experiment needs, and learn to read the curves that come out. Most bugs of this kind raise no error: the network trains, only worse, or its test accuracy is not what it seems. So the checks look at what your functions *leave behind* as well as at what they return.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("train_a_cnn.evaluate")` helps you on. It takes about an hour and a half and goes with the chapter on the first CNN in Part 2.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import data, plotting

# %% [markdown]
# ## 1. The network
#
# It takes images of 3x32x32 numbers, in batches $(N, 3, 32, 32)$, and returns **logits** $(N, C)$, one for each class:
#
# | layer | what it is | output | parameters |
# |---|---|---|--:|
# | conv1 | 32 filters 5x5, padding 2; then ReLU | 32x32x32 | 2,432 |
# | pool1 | max-pooling 2x2 | 32x16x16 | 0 |
# | conv2 | 64 filters 5x5, no padding; then ReLU | 64x12x12 | 51,264 |
# | pool2 | max-pooling 2x2 | 64x6x6 | 0 |
# | conv3 | 64 filters 5x5, no padding; then ReLU | 64x2x2 | 102,464 |
# | pool3 | max-pooling 2x2 | 64x1x1 | 0 |
# | fc4 | dense, 1000 outputs; then ReLU | 1000 | 65,000 |
# | fc5 | dense, one output for each class | 10 | 10,010 |
#
# These are 231,170 parameters for ten classes. Between pool3 and fc4 each image's map has to become a row of numbers. Leave the initialisation as torch makes it.


# %% question="build_cnn"
def build_cnn(classes):
    """Return the CNN as an nn.Module from images (N, 3, 32, 32) to logits (N, classes)."""
    ### BEGIN SOLUTION
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 1000),
        nn.ReLU(),
        nn.Linear(1000, classes),
    )
    ### END SOLUTION


# %% [markdown]
# ## 2. Before the first step
#
# A new network knows nothing, so it should give each of the $C$ classes about the same probability. What does that cost, in cross-entropy? If the first loss of a new network is far from this number, something is wrong before training has begun: this is the cheapest test there is.


# %% question="first_loss"
def first_loss(classes):
    """Return the cross-entropy, in nats, of equal logits for this number of classes."""
    ### BEGIN SOLUTION
    return torch.log(torch.tensor(classes, dtype=torch.float64)).item()
    ### END SOLUTION


# %% [markdown]
# **Question.** What accuracy does such a network reach on ten classes with equally many test images? (A fraction between 0 and 1.)

# %% question="guessing"
### BEGIN SOLUTION
guessing = 0.1
### END SOLUTION

# %% [markdown]
# **Question.** A program for ten classes ends, by mistake, in `nn.Linear(1000, 100)`. It runs without an error. What is its first loss? (A number, to three digits or more: this is how one would notice.)

# %% question="hundred_outputs"
### BEGIN SOLUTION
hundred_outputs = 4.605
### END SOLUTION

# %% [markdown]
# **Question.** How often are the parameters updated during the first epoch, with 50,000 training images in batches of 128?

# %% question="first_updates"
### BEGIN SOLUTION
first_updates = 391
### END SOLUTION

# %% [markdown]
# **Question.** A report says of its curves: the error of the first epoch is that of random parameters, since nothing has been updated yet. Is that so?

# %% question="first_epoch"
### BEGIN SOLUTION
first_epoch = "b"
### END SOLUTION

# %% [markdown]
# **Question.** The very first loss of a network for ten classes is 9.7, before any step; its labels are right. What is likely to be wrong with it?

# %% question="loss_too_high"
### BEGIN SOLUTION
loss_too_high = "a"
### END SOLUTION

# %% [markdown]
# ## 3. Evaluate
#
# Some layers have two modes. **Dropout** drops numbers in training and lets all pass in evaluation. **Batch norm** uses the statistics of the batch in training, and learns running ones on the way; in evaluation it uses the running ones. `model.train()` and `model.eval()` set the mode of *all* modules inside, and each module keeps its own in `module.training`. Autograd is another matter: it records what is computed from parameters, whatever the mode, unless it is told not to.
#
# **Question.** What is the difference between `model.eval()` and `torch.no_grad()`?

# %% question="eval_or_no_grad"
### BEGIN SOLUTION
eval_or_no_grad = "c"
### END SOLUTION

# %% [markdown]
# **Question.** A model with dropout and batch norm is in training mode. It is tested under `torch.no_grad()`, and nobody calls `model.eval()`. What happens?

# %% question="no_grad_alone"
### BEGIN SOLUTION
no_grad_alone = "d"
### END SOLUTION

# %% [markdown]
# **Question.** And after `model.eval()`, but without `torch.no_grad()`?

# %% question="eval_alone"
### BEGIN SOLUTION
eval_alone = "a"
### END SOLUTION

# %% [markdown]
# Write an evaluation that leaves no trace. It returns `(loss, accuracy)`: the mean cross-entropy over all images, in nats, and the fraction of images whose largest logit is that of the true class. `X` is $(N, \ldots)$ and `y` holds $N$ class numbers. At most `batch_size` images go through the model at a time, and $N$ need not be a multiple of it: every image counts the same.
#
# No trace means that, after it,
#
# - each module is in the mode that it was in before. A model may come in training mode, in evaluation mode, or in both: when a trained network learns on, its batch norms are often frozen in evaluation mode;
# - parameters, gradients and running statistics are what they were, and autograd has recorded nothing;
# - torch's random numbers go on as if nothing had been evaluated, so that a run with and one without evaluation train alike.


# %% question="evaluate"
def evaluate(model, X, y, batch_size):
    """Return (loss, accuracy) of the model on the images X and the class numbers y (N,)."""
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    loss, hits = 0.0, 0
    with torch.no_grad():
        for i in range(0, len(X), batch_size):
            labels = y[i : i + batch_size]
            logits = model(X[i : i + batch_size])
            loss += F.cross_entropy(logits, labels).item() * len(labels)
            hits += (logits.argmax(dim=1) == labels).sum().item()
    for module, training in modes:
        module.training = training
    return loss / len(X), hits / len(X)
    ### END SOLUTION


# %% [markdown]
# ## 4. Train for an epoch
#
# **Question.** In which order do the four parts of a step come?

# %% question="step_order"
### BEGIN SOLUTION
step_order = "c"
### END SOLUTION

# %% [markdown]
# **Question.** A training loop prints the mean of the losses that it has met during an epoch, and after it the loss on the test images. In the first epochs the training loss is the *higher* of the two. Why?

# %% question="train_above_test"
### BEGIN SOLUTION
train_above_test = "b"
### END SOLUTION

# %% [markdown]
# Now write the epoch. Model and optimiser come in, already made; the model is trained in place, whatever mode it comes in. Draw **one** permutation, `torch.randperm(len(X), generator=generator)`, and take slices of `batch_size` of it, the last one smaller if need be. Each slice makes one step that lowers the *mean* cross-entropy over its images. Return the mean, over all images of the epoch, of the loss that each had just before its batch's step.


# %% question="train_epoch"
def train_epoch(model, optimizer, X, y, batch_size, generator):
    """Train the model for one epoch, in place, and return the mean loss met on the way."""
    ### BEGIN SOLUTION
    model.train()
    total = 0.0
    for batch in torch.randperm(len(X), generator=generator).split(batch_size):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X[batch]), y[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(X)
    ### END SOLUTION


# %% [markdown]
# ## 5. Read curves
#
# Five runs of thirty epochs, each with its training loss and its test loss. They are drawn from formulas, so that what is to be seen is clear; real runs mix these signs. The dotted line is $\log 10$, the loss of a network for ten classes that knows nothing. Mind the vertical axes: they differ.

# %%
plotting.use_style()
epoch = torch.arange(1.0, 31)
generator = torch.Generator().manual_seed(7)


def fall(start, end, epochs):
    return end + (start - end) * torch.exp(-(epoch - 1) / epochs)


def wobble(size):
    return 1 + size * torch.randn(len(epoch), generator=generator)


shared = wobble(0.2)  # both losses of run E feel the same steps
grown = torch.where(epoch > 22, torch.nan, fall(2.2, 1.4, 3) * 1.25 ** (epoch - 8).clamp(min=0))
runs = {
    "A": (fall(2.0, 0.02, 7), fall(1.9, 0.7, 4) + 0.045 * (epoch - 6).clamp(min=0)),
    "B": (2.302 - 0.009 * epoch, 2.305 - 0.008 * epoch),
    "C": (fall(2.0, 0.75, 5) * wobble(0.01), fall(1.95, 0.85, 5) * wobble(0.015)),
    "D": (grown, 1.05 * grown),
    "E": (fall(2.1, 1.3, 2) * shared, fall(2.1, 1.35, 2) * shared * wobble(0.05)),
}
fig, axes = plotting.figure(2, 3, (3.4, 2.8))
for ax, (name, losses) in zip(axes.flat, runs.items(), strict=False):
    for i, (part, loss) in enumerate(zip(("training", "test"), losses, strict=True)):
        plotting.line(ax, epoch.numpy(), loss.numpy(), i, part)
    ax.axhline(torch.log(torch.tensor(10.0)).item(), color=plotting.INK, linestyle=":")
    ax.set(title=f"run {name}", xlabel="epoch", ylabel="loss (nats)", xlim=(0, 31))
    ax.set_ylim(0, 40 if name == "D" else 2.6)
axes[1, 2].axis("off")
_ = axes[1, 2].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")

# %% [markdown]
# **Question.** What do you see in run A?

# %% question="run_A"
### BEGIN SOLUTION
run_A = "d"
### END SOLUTION

# %% [markdown]
# **Question.** In run B?

# %% question="run_B"
### BEGIN SOLUTION
run_B = "c"
### END SOLUTION

# %% [markdown]
# **Question.** In run C?

# %% question="run_C"
### BEGIN SOLUTION
run_C = "e"
### END SOLUTION

# %% [markdown]
# **Question.** In run D? (Its curves end where the losses are no numbers any more.)

# %% question="run_D"
### BEGIN SOLUTION
run_D = "a"
### END SOLUTION

# %% [markdown]
# **Question.** In run E?

# %% question="run_E"
### BEGIN SOLUTION
run_E = "b"
### END SOLUTION

# %% [markdown]
# **Question.** What would you try first against what happens in run D?

# %% question="remedy_for_D"
### BEGIN SOLUTION
remedy_for_D = "a"
### END SOLUTION

# %% [markdown]
# ## 6. A report on eight settings
#
# A report trained this network on CIFAR-10 with plain gradient descent, once with each of eight settings. In short:
#
# | learning rate | batch size | what the report found |
# |--:|--:|---|
# | 0.1 | 128 | 60 % test accuracy, a little noisy |
# | 0.5 | 128 | 40 %, noisy, training and test alike; "it behaves well" |
# | 0.5 | 512 | diverged |
# | 1 | 128 | half the accuracy of the first setting, quickly; "an adequate rate" |
# | 1 | 512 | quick and steady, low accuracy |
# | 2 | 128 | converged, with less accuracy |
# | 2 | 512 | diverged |
# | 0.1 | 300 | 150 epochs: overfits |
#
# **Question.** The second setting, 40 % on the training and on the test images: is this a healthy run?

# %% question="forty_percent"
### BEGIN SOLUTION
forty_percent = "d"
### END SOLUTION

# %% [markdown]
# **Question.** The report explains the slow and noisy curve of that setting by a *small* learning rate and a small batch. Is 0.5 small here?

# %% question="half_is_small"
### BEGIN SOLUTION
half_is_small = "a"
### END SOLUTION

# %% [markdown]
# **Question.** Is 1 an adequate learning rate, at batch size 128?

# %% question="rate_of_one"
### BEGIN SOLUTION
rate_of_one = "c"
### END SOLUTION

# %% [markdown]
# **Question.** The report wanted all products of the rates 0.1, 0.5, 1, 2 and the batch sizes 128, 512. Which one is missing?

# %% question="missing_setting"
### BEGIN SOLUTION
missing_setting = "b"
### END SOLUTION

# %% [markdown]
# **Question.** With batches of 512, the rate 0.5 diverged and the rate 1 did not. What do you conclude?

# %% question="one_run_each"
### BEGIN SOLUTION
one_run_each = "d"
### END SOLUTION

# %% [markdown]
# **Question.** Why does the last setting overfit, and none of the others?

# %% question="which_overfits"
### BEGIN SOLUTION
which_overfits = "b"
### END SOLUTION

# %% [markdown]
# ## 7. The whole thing
#
# Your three functions together: handwritten digits over pieces of photographs, 1,500 of them to train on, and a few epochs. "Before" is what `evaluate` says of the new network. The training images are measured in two ways: on the way by `train_epoch`, and 500 of them after each epoch by `evaluate`. Run it also with other learning rates: from which one on does it fail, and how does that look?

# %%
lr, epochs, batch_size = 0.02, 6, 25

images = data.textured_digits(seed=0, n_train=1500, n_test=500)
X_train, X_test = (X / 127.5 - 1 for X in (images.X_train, images.X_test))  # from -1 to 1
torch.manual_seed(0)
model = build_cnn(classes=len(images.classes))
optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
generator = torch.Generator().manual_seed(0)

loss, accuracy = evaluate(model, X_test, images.y_test, 250)
print(f"before: loss {loss:.3f} (expected {first_loss(10):.3f}), accuracy {accuracy:.1%}")
found = {"on the way": [], "training": [], "test": []}
for _ in range(epochs):
    met = train_epoch(model, optimizer, X_train, images.y_train, batch_size, generator)
    found["on the way"].append(met)
    found["training"].append(evaluate(model, X_train[:500], images.y_train[:500], 250)[0])
    loss, accuracy = evaluate(model, X_test, images.y_test, 250)
    found["test"].append(loss)
print(f"after {epochs} epochs: loss {loss:.3f}, accuracy {accuracy:.1%}")

# %%
fig, ax = plotting.figure(size=(6, 3.6))
for i, (name, losses) in enumerate(found.items()):
    plotting.line(ax, range(1, epochs + 1), losses, i, name)
ax.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))
_ = ax.legend()

# %% [markdown]
# **Explain** in three to five sentences: which of the three curves would you compare with which, and why? What would the figure look like if `evaluate` left the network in evaluation mode, for this network and for one with dropout? A person will read this.

# %% [markdown] question="explain_figure"
# <!-- ### BEGIN SOLUTION -->
# The training and the test loss that `evaluate` gives are measured with the same weights in the same mode, so their distance says how much the network overfits. The loss on the way is a mean over weights that get better during the epoch, and with dropout it is measured with units missing, so in early epochs it lies above both and cannot be compared with the test loss. Left in evaluation mode, this network would give the same figure, as none of its layers has two modes, and because train_epoch calls model.train() anyway. A network with dropout or batch norm whose loop relied on the mode would train without dropout and with frozen statistics from the second epoch on, and would overfit more.
# <!-- ### END SOLUTION -->
