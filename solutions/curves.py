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
# # Reading learning curves
#
# A training that goes wrong raises no error. It leaves four columns of numbers: the loss and the accuracy on the training and on the validation set, epoch by epoch. You will write the functions that turn such columns into a few telling numbers, read nine real trainings with your own eyes, and then write a program that reads them.
#
# Columns are lists of floats, one an epoch, and accuracies are fractions from 0 to 1. **Epochs count from 1**, as on the axis of a picture, so the loss of epoch 1 is `losses[0]`. No function may change the lists that it is given.
#
# Replace each `raise NotImplementedError()` and each `...` by your answer, run the cell, then run the check below it. `hint("curves.jumps")` helps you on. It takes about an hour and a half and goes with the chapter on learning curves in Part 3.

# %%
import math

import matplotlib.pyplot as plt

from mlcourse import plotting

# %% [markdown]
# ## 1. The shape of a curve
#
# Curves of mini-batch training shake. Smoothing shows what they do on the whole. During a training the later losses do not exist yet, so smooth with what is there: entry number $t$ of the result is the mean of the last $k$ losses up to and with epoch $t$. Where fewer than $k$ are there, it is the mean of those. The result is as long as the column.


# %% question="smooth"
def smooth(values, k):
    """Return the list of trailing means over k epochs, as long as values."""
    ### BEGIN SOLUTION
    windows = [values[max(t - k + 1, 0) : t + 1] for t in range(len(values))]
    return [sum(window) / len(window) for window in windows]
    ### END SOLUTION


# %% [markdown]
# The best epoch has the lowest validation loss. If several epochs share it, the first of them is the best. A loss can be `nan`, and `nan` is never the best. (At least one loss is a number.)


# %% question="best_epoch"
def best_epoch(losses):
    """Return the number of the best epoch, from 1."""
    ### BEGIN SOLUTION
    numbers = [math.inf if math.isnan(loss) else loss for loss in losses]
    return numbers.index(min(numbers)) + 1
    ### END SOLUTION


# %% [markdown]
# How much does a curve *jump*? The step from one epoch to the next is no good measure, since a calm fall has such steps too. Compare each loss with the middle of its two neighbours: on a straight line it lies exactly there. So for losses $l_1, \dots, l_n$, with $n \ge 3$,
#
# $$\mathrm{jumps} = \frac{\frac{1}{n-2} \sum_{t=2}^{n-1} \left| l_t - \frac{l_{t-1} + l_{t+1}}{2} \right|}{\frac1n \sum_{t=1}^{n} l_t} .$$


# %% question="jumps"
def jumps(losses):
    """Return the mean distance from the middle of the neighbours, over the mean loss."""
    ### BEGIN SOLUTION
    triples = zip(losses, losses[1:], losses[2:], strict=False)
    distances = [abs(middle - (before + after) / 2) for before, middle, after in triples]
    return sum(distances) / len(distances) / (sum(losses) / len(losses))
    ### END SOLUTION


# %% [markdown]
# Is the training over, or has it only begun? Compare what the last third of the epochs brought with the whole fall. With $m$ the third of $n$, rounded down,
#
# $$\mathrm{still\_falling} = \frac{l_{n-m} - l_n}{l_1 - l_n}, \qquad m = \lfloor n/3 \rfloor .$$
#
# A straight line has about $\frac13$, a fall that is over about 0. Return 0 for a loss that did not fall at all, $l_n \ge l_1$.


# %% question="still_falling"
def still_falling(losses):
    """Return the share of the fall that came in the last third of the epochs."""
    ### BEGIN SOLUTION
    if losses[-1] >= losses[0]:
        return 0.0
    third = len(losses) // 3
    return (losses[-1 - third] - losses[-1]) / (losses[0] - losses[-1])
    ### END SOLUTION


# %% [markdown]
# ## 2. Distances, and which of them can be seen
#
# How good can a model be? Suppose that the best rule there is finds the *true* class of a fresh example with probability `best` (less than 1 where classes overlap). But a share `noise` of the labels is wrong. Each of these names one of the *other* classes, drawn with equal chances and without a look at the example. The accuracy is measured with these labels. So what accuracy does the best rule have?
#
# Think of all the ways in which the rule and the label can agree.


# %% question="ceiling"
def ceiling(best, noise, classes):
    """Return the accuracy of the best rule on labels of which a share noise is wrong."""
    ### BEGIN SOLUTION
    return best * (1 - noise) + (1 - best) * noise / (classes - 1)
    ### END SOLUTION


# %% [markdown]
# The ceiling divides a bad result into two distances:
#
# $$\text{bias} = \text{ceiling} - \text{training accuracy}, \qquad \text{gap} = \text{training accuracy} - \text{validation accuracy} .$$
#
# A single epoch is noisy. Take each accuracy as the **mean of the last quarter** of the epochs: the last $\lfloor n/4 \rfloor$ of them, and one at least. A history is a dict with the columns `train_loss`, `train_accuracy`, `validation_loss` and `validation_accuracy`.


# %% question="bias_and_gap"
def bias_and_gap(history, ceiling):
    """Return (bias, gap) at the end of a training."""
    ### BEGIN SOLUTION
    last = max(len(history["train_accuracy"]) // 4, 1)
    train = sum(history["train_accuracy"][-last:]) / last
    validation = sum(history["validation_accuracy"][-last:]) / last
    return ceiling - train, train - validation
    ### END SOLUTION


# %% [markdown]
# An accuracy measured on $n$ examples is a share, and chance moves it: if the true accuracy is $a$, its variance is $a (1 - a) / n$. Two networks of the same accuracy $a$ are measured, each on $n$ fresh examples *of its own*. Call a difference between them visible when it is larger than **two standard errors of the difference**.


# %% question="visible_difference"
def visible_difference(accuracy, n):
    """Return the smallest visible difference of two accuracies, on n examples each."""
    ### BEGIN SOLUTION
    return 2 * math.sqrt(2 * accuracy * (1 - accuracy) / n)
    ### END SOLUTION


# %% [markdown]
# If both networks are measured on the *same* examples, compare them example by example. Then usually less is needed.

# %%
for n in (25, 100, 400, 2500, 10_000):
    print(f"{n:>6} examples: {100 * visible_difference(0.9, n):5.1f} points at an accuracy of 0.9")

# %% [markdown]
# ## 3. Nine trainings
#
# Nine small networks were trained for classification, most of them with one fault built in. The numbers below are what they left. (Run 1 was long, so only every third epoch is recorded.) The next cell reads the numbers and can draw them. You need not study it.

# %%
RECORDED = """
run_1 classes 10 ceiling 0.816 every 3
train_loss 2.233 1.362 0.873 0.639 0.495 0.399 0.32 0.261 0.217 0.18 0.146 0.127 0.095 0.081 0.072
0.057 0.047 0.042 0.038 0.033 0.03 0.027 0.025 0.024 0.021 0.019 0.018 0.017 0.016 0.015 0.014
0.013 0.013 0.012 0.011 0.011 0.01 0.01
train_accuracy 0.196 0.735 0.784 0.873 0.882 0.882 0.902 0.922 0.951 0.951 0.98 0.98 1 1 1 1 1 1 1
1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
validation_loss 2.091 1.459 1.216 1.219 1.204 1.213 1.265 1.353 1.367 1.406 1.449 1.494 1.565
1.597 1.631 1.679 1.712 1.725 1.754 1.779 1.801 1.823 1.837 1.859 1.882 1.898 1.91 1.932 1.94
1.956 1.965 1.978 1.988 2.004 2.016 2.028 2.036 2.046
validation_accuracy 0.456 0.718 0.731 0.707 0.723 0.72 0.715 0.684 0.687 0.697 0.694 0.681 0.679
0.679 0.666 0.655 0.653 0.658 0.661 0.658 0.661 0.661 0.655 0.661 0.655 0.661 0.663 0.661 0.666
0.661 0.661 0.663 0.666 0.663 0.663 0.663 0.663 0.663
run_2 classes 4 ceiling 0.781 every 1
train_loss 1.198 0.907 0.802 0.773 0.763 0.763 0.746 0.751 0.744 0.743 0.744 0.74 0.73 0.732 0.734
0.732 0.721 0.735 0.726 0.729 0.726 0.726 0.728 0.729 0.727 0.722 0.72 0.723 0.727 0.718 0.721
0.72 0.721 0.729 0.72 0.721 0.721
train_accuracy 0.465 0.698 0.773 0.767 0.769 0.761 0.776 0.769 0.776 0.775 0.772 0.78 0.775 0.78
0.776 0.784 0.787 0.776 0.783 0.782 0.783 0.776 0.781 0.781 0.788 0.783 0.787 0.786 0.783 0.782
0.788 0.788 0.791 0.775 0.785 0.789 0.791
validation_loss 1.134 0.831 0.808 0.833 0.865 0.811 0.935 0.894 0.818 0.953 0.985 0.818 0.852
0.834 0.864 0.848 0.869 0.877 0.857 0.846 0.931 0.877 0.917 0.869 0.869 0.889 0.96 0.909 0.923
0.874 0.876 0.901 0.922 0.939 0.929 0.87 0.884
validation_accuracy 0.52 0.72 0.72 0.76 0.72 0.76 0.72 0.72 0.72 0.76 0.68 0.76 0.76 0.72 0.76
0.72 0.72 0.76 0.72 0.72 0.72 0.72 0.68 0.76 0.76 0.76 0.76 0.76 0.72 0.72 0.76 0.76 0.76 0.76
0.76 0.76 0.76
run_3 classes 3 ceiling 0.993 every 1
train_loss 1.119 1.1 1.082 1.064 1.047 1.03 1.012 0.995 0.977 0.96 0.943 0.925 0.907 0.889 0.871
0.852 0.832 0.813 0.793 0.773 0.754 0.735 0.716 0.697 0.678 0.66 0.642 0.625 0.608 0.591 0.575
0.559 0.544 0.529 0.514 0.499 0.485 0.471 0.457 0.444 0.431 0.418
train_accuracy 0.329 0.362 0.41 0.482 0.54 0.571 0.58 0.603 0.639 0.667 0.689 0.711 0.716 0.73
0.743 0.745 0.749 0.755 0.761 0.768 0.777 0.78 0.785 0.79 0.802 0.814 0.82 0.825 0.834 0.84 0.846
0.853 0.861 0.871 0.877 0.885 0.891 0.897 0.901 0.904 0.908 0.916
validation_loss 1.109 1.091 1.074 1.057 1.041 1.024 1.008 0.991 0.974 0.958 0.941 0.923 0.906
0.888 0.869 0.85 0.83 0.811 0.791 0.771 0.752 0.733 0.714 0.695 0.677 0.659 0.641 0.624 0.606 0.59
0.574 0.557 0.542 0.526 0.511 0.496 0.481 0.467 0.453 0.44 0.427 0.414
validation_accuracy 0.362 0.406 0.434 0.5 0.566 0.572 0.562 0.6 0.634 0.647 0.666 0.703 0.716
0.728 0.722 0.725 0.725 0.734 0.734 0.744 0.747 0.753 0.756 0.753 0.759 0.772 0.778 0.787 0.797
0.812 0.822 0.825 0.834 0.859 0.869 0.881 0.887 0.887 0.891 0.9 0.903 0.909
run_4 classes 6 ceiling 0.710 every 1
train_loss 1.787 1.714 1.585 1.357 1.067 0.818 0.636 0.527 0.47 0.445 0.427 0.421 0.406 0.398
0.392 0.385 0.379 0.378 0.375 0.371 0.369 0.367 0.363 0.361 0.357 0.36
train_accuracy 0.177 0.343 0.483 0.573 0.697 0.791 0.846 0.874 0.885 0.885 0.889 0.889 0.89 0.894
0.893 0.895 0.896 0.896 0.898 0.897 0.897 0.896 0.9 0.895 0.898 0.896
validation_loss 1.751 1.661 1.471 1.211 0.957 0.722 0.571 0.526 0.474 0.463 0.577 0.436 0.46 0.419
0.414 0.414 0.41 0.416 0.404 0.402 0.439 0.413 0.415 0.488 0.426 0.422
validation_accuracy 0.25 0.431 0.504 0.654 0.7 0.831 0.877 0.873 0.892 0.881 0.85 0.888 0.885
0.885 0.885 0.888 0.881 0.888 0.885 0.877 0.881 0.877 0.888 0.869 0.873 0.877
run_5 classes 5 ceiling 0.991 every 1
train_loss 0.779 0.206 0.153 0.145 0.137 0.136 0.134 0.13 0.13 0.128 0.127 0.126 0.126 0.126 0.127
0.125 0.124 0.125 0.123 0.125 0.123 0.122 0.123 0.121 0.124 0.12 0.122 0.121 0.124 0.124 0.125
0.12 0.123 0.121 0.122 0.12 0.123 0.123
train_accuracy 0.772 0.954 0.983 0.98 0.984 0.985 0.984 0.984 0.987 0.985 0.989 0.985 0.987 0.983
0.988 0.988 0.989 0.985 0.985 0.988 0.988 0.987 0.988 0.989 0.987 0.989 0.99 0.988 0.987 0.988
0.989 0.989 0.985 0.989 0.985 0.989 0.987 0.983
validation_loss 1.106 1.27 1.291 1.295 1.298 1.27 1.284 1.262 1.308 1.259 1.259 1.296 1.237 1.246
1.244 1.256 1.242 1.294 1.225 1.277 1.218 1.231 1.246 1.217 1.237 1.25 1.242 1.217 1.232 1.229
1.268 1.252 1.219 1.276 1.238 1.226 1.258 1.238
validation_accuracy 0.665 0.711 0.685 0.681 0.683 0.677 0.681 0.681 0.677 0.679 0.695 0.683 0.681
0.705 0.689 0.691 0.681 0.691 0.699 0.693 0.693 0.695 0.687 0.697 0.707 0.703 0.689 0.691 0.715
0.713 0.689 0.673 0.691 0.717 0.697 0.697 0.677 0.713
run_6 classes 3 ceiling 0.904 every 1
train_loss 1.09 1.024 0.97 0.917 0.865 0.818 0.78 0.748 0.722 0.7 0.682 0.67 0.661 0.65 0.641
0.635 0.632 0.627 0.624 0.621 0.617 0.614 0.612 0.61 0.606 0.607 0.605 0.606 0.604 0.604 0.603
0.601 0.601 0.6 0.6
train_accuracy 0.378 0.557 0.671 0.749 0.754 0.803 0.807 0.823 0.849 0.867 0.857 0.882 0.885 0.889
0.896 0.893 0.892 0.895 0.892 0.901 0.893 0.894 0.896 0.9 0.892 0.898 0.897 0.901 0.899 0.902
0.905 0.898 0.898 0.898 0.9
validation_loss 1.053 1.005 0.948 0.898 0.849 0.806 0.778 0.744 0.724 0.707 0.699 0.685 0.68 0.667
0.657 0.655 0.652 0.651 0.649 0.642 0.645 0.644 0.637 0.633 0.637 0.631 0.631 0.629 0.635 0.633
0.634 0.627 0.631 0.633 0.633
validation_accuracy 0.389 0.601 0.851 0.671 0.859 0.736 0.742 0.851 0.862 0.843 0.903 0.888 0.914
0.906 0.906 0.901 0.901 0.909 0.914 0.903 0.898 0.898 0.911 0.903 0.906 0.906 0.901 0.903 0.919
0.914 0.89 0.916 0.911 0.898 0.911
run_7 classes 6 ceiling 0.921 every 1
train_loss 2.648 1.212 0.997 0.924 0.927 0.777 0.849 0.892 0.819 0.852 0.818 0.794 0.886 1.101
1.007 0.978 0.804 1.068 0.994 0.961 1.117 1.063 0.957 1.093 1.1 1.22 1.01 1.026 1.181 1.007 0.968
1.084 1.255 1.074 1.438 1.004 0.937
train_accuracy 0.537 0.73 0.767 0.785 0.773 0.799 0.781 0.779 0.797 0.801 0.801 0.791 0.784 0.733
0.752 0.77 0.798 0.741 0.769 0.764 0.736 0.756 0.764 0.742 0.751 0.714 0.762 0.74 0.749 0.774
0.756 0.732 0.732 0.741 0.715 0.772 0.767
validation_loss 0.913 1.076 0.82 0.874 0.684 0.653 1.337 0.869 0.573 0.931 0.741 0.811 1.084 0.853
0.909 0.945 0.937 0.972 1.136 0.833 0.899 1.101 1.317 0.872 0.822 0.822 1.318 1.181 0.807 0.759
1.289 1.416 0.976 1.336 0.971 0.897 1.111
validation_accuracy 0.787 0.747 0.763 0.731 0.814 0.854 0.664 0.751 0.866 0.731 0.818 0.806 0.719
0.802 0.771 0.723 0.779 0.7 0.625 0.802 0.834 0.779 0.723 0.798 0.783 0.81 0.692 0.711 0.83 0.794
0.672 0.704 0.806 0.747 0.755 0.727 0.708
run_8 classes 10 ceiling 0.979 every 1
train_loss 2.234 2.067 1.808 1.59 1.455 1.312 1.194 1.193 1.179 1.181 1.175 1.171 1.157 1.164
1.148 1.158 1.168 1.156 1.157 1.165 1.144 1.149 1.164 1.158 1.163 1.161 1.14 1.151 1.155 1.169
1.167 1.14 1.176
train_accuracy 0.296 0.245 0.352 0.455 0.55 0.629 0.678 0.676 0.681 0.676 0.693 0.7 0.67 0.703
0.707 0.699 0.69 0.683 0.698 0.697 0.704 0.688 0.687 0.684 0.693 0.689 0.694 0.701 0.692 0.668
0.687 0.702 0.69
validation_loss 2.178 1.907 1.718 1.561 1.324 1.312 1.575 1.212 1.15 1.185 1.19 1.15 1.192 1.164
1.22 1.199 1.156 1.314 1.305 1.224 1.182 1.282 1.129 1.334 1.198 1.279 1.185 1.197 1.223 1.153
1.158 1.29 1.172
validation_accuracy 0.182 0.347 0.361 0.495 0.587 0.605 0.411 0.659 0.695 0.697 0.659 0.631 0.679
0.689 0.627 0.627 0.727 0.541 0.585 0.619 0.617 0.553 0.693 0.559 0.601 0.555 0.665 0.633 0.561
0.705 0.665 0.531 0.649
run_9 classes 4 ceiling 0.785 every 1
train_loss 1.214 0.812 0.71 0.652 0.623 0.613 0.596 0.584 0.581 0.577 0.582 0.556 0.54 0.545 0.535
0.528 0.519 0.54 0.525 0.524 0.494 0.5 0.522 0.522 0.492 0.518 0.488 0.478 0.481 0.476 0.474 0.474
0.488 0.474 0.451 0.434 0.472 0.46 0.44 0.431 0.47 0.441 0.435
train_accuracy 0.436 0.672 0.714 0.734 0.748 0.762 0.769 0.766 0.775 0.763 0.762 0.77 0.772 0.782
0.784 0.787 0.796 0.78 0.786 0.794 0.8 0.788 0.78 0.781 0.801 0.791 0.802 0.794 0.795 0.806 0.799
0.809 0.799 0.799 0.813 0.82 0.803 0.807 0.815 0.819 0.801 0.811 0.806
validation_loss 0.396 0.135 0.133 0.071 0.091 0.081 0.104 0.072 0.051 0.087 0.074 0.085 0.082
0.061 0.047 0.061 0.06 0.109 0.05 0.061 0.045 0.101 0.093 0.056 0.07 0.067 0.058 0.066 0.058 0.087
0.064 0.06 0.065 0.081 0.07 0.082 0.071 0.117 0.053 0.09 0.139 0.061 0.049
validation_accuracy 0.964 0.983 0.983 0.993 0.988 0.99 0.973 0.993 0.993 0.983 0.981 0.99 0.99
0.985 0.99 0.993 0.993 0.968 0.993 0.99 0.993 0.978 0.971 0.988 0.988 0.985 0.99 0.988 0.993 0.978
0.988 0.99 0.993 0.983 0.985 0.983 0.983 0.964 0.99 0.978 0.946 0.99 0.99
"""

runs = {}
for word in RECORDED.split():
    if word.startswith("run_"):
        run = runs[word] = {}
    elif word.isidentifier():
        column = run[word] = []
    else:
        column.append(float(word))

plotting.use_style()


def show(name):
    """Draw a run: losses with the loss of chance, accuracies with the ceiling."""
    run = runs[name]
    (classes,), (top,), (every,) = run["classes"], run["ceiling"], run["every"]
    epochs = [1 + int(every) * i for i in range(len(run["train_loss"]))]
    _, panels = plotting.figure(1, 2, size=(3.9, 2.7))
    for ax, kind, level, what in zip(
        panels, ("loss", "accuracy"), (math.log(classes), top), ("chance", "ceiling"), strict=True
    ):
        for i, part in enumerate(("train", "validation")):
            plotting.line(ax, epochs, run[f"{part}_{kind}"], i, part.replace("train", "training"))
        ax.axhline(level, color=plotting.INK, linestyle=":", label="chance or ceiling")
        ax.set(xlabel="epoch", ylabel=kind, ylim=(0, 1.55 * level if kind == "loss" else 1.04))
        ax.set_title(f"run {name[4:]}, {what} {level:.3f}", fontsize=11)
    panels[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=10)
    plt.show()


# %% [markdown]
# The dotted lines are the loss of a model that knows nothing, $\log C$ for $C$ classes, and the ceiling. The same diagnosis may be right for two runs. If you see several signs in a run, choose the diagnosis that has to be mended first. When a letter is not right, the check says what in this very curve speaks against it.

# %%
show("run_1")

# %% [markdown]
# **Question.** What is the diagnosis of run 1?

# %% question="run_1"
### BEGIN SOLUTION
run_1 = "b"
### END SOLUTION

# %%
show("run_2")

# %% [markdown]
# **Question.** What is the diagnosis of run 2?

# %% question="run_2"
### BEGIN SOLUTION
run_2 = "d"
### END SOLUTION

# %%
show("run_3")

# %% [markdown]
# **Question.** What is the diagnosis of run 3?

# %% question="run_3"
### BEGIN SOLUTION
run_3 = "a"
### END SOLUTION

# %%
show("run_4")

# %% [markdown]
# **Question.** What is the diagnosis of run 4?

# %% question="run_4"
### BEGIN SOLUTION
run_4 = "c"
### END SOLUTION

# %%
show("run_5")

# %% [markdown]
# **Question.** What is the diagnosis of run 5?

# %% question="run_5"
### BEGIN SOLUTION
run_5 = "b"
### END SOLUTION

# %%
show("run_6")

# %% [markdown]
# **Question.** What is the diagnosis of run 6?

# %% question="run_6"
### BEGIN SOLUTION
run_6 = "d"
### END SOLUTION

# %%
show("run_7")

# %% [markdown]
# **Question.** What is the diagnosis of run 7?

# %% question="run_7"
### BEGIN SOLUTION
run_7 = "a"
### END SOLUTION

# %%
show("run_8")

# %% [markdown]
# **Question.** What is the diagnosis of run 8?

# %% question="run_8"
### BEGIN SOLUTION
run_8 = "c"
### END SOLUTION

# %%
show("run_9")

# %% [markdown]
# **Question.** What is the diagnosis of run 9?

# %% question="run_9"
### BEGIN SOLUTION
run_9 = "a"
### END SOLUTION

# %% [markdown]
# ## 4. A program that reads curves
#
# Write a function that gives one of seven names. Where the table says *at the end*, take the mean of the last quarter of the epochs; $C$ is the number of classes. Bias and gap are those of part 2.
#
# | name | its sign |
# |---|---|
# | `"healthy"` | none of the others |
# | `"leakage"` | the validation accuracy at the end is more than 0.05 above the ceiling |
# | `"learning rate too high"` | a training loss is `nan` or infinite, or the training loss at the end is above $\log C$, or its `jumps` are above 0.15 |
# | `"learning rate too low"` | the bias is above 0.1, and the training loss has more than 0.15 of its fall in the last third |
# | `"overfitting"` | the validation loss at the end is more than $0.25 \log C$ above its lowest |
# | `"underfitting"` | the bias is above 0.1, and the fall of the training loss is over |
# | `"unrepresentative training data"` | the gap is above 0.1, and the validation loss has not risen like that |
#
# A history can show several signs, so the order in which you ask matters, and the table is not in that order. A training that is out of control makes every other sign unreadable. What is too good to be true makes the distances meaningless. And a network that has not learned its own training examples needs that mended before anything is said of validation.
#
# The exact limits hardly matter: the histories of the check are clear cases, drawn from formulas. Call your functions from above if you like; their mistakes then count here too.


# %% question="diagnose"
def diagnose(history, classes, ceiling):
    """Return the name of what a history shows, a string."""
    ### BEGIN SOLUTION
    train, validation = history["train_loss"], history["validation_loss"]
    chance = math.log(classes)
    last = max(len(train) // 4, 1)
    bias, gap = bias_and_gap(history, ceiling)
    if not all(math.isfinite(loss) for loss in train):
        return "learning rate too high"
    if sum(train[-last:]) / last > chance or jumps(train) > 0.15:
        return "learning rate too high"
    if -bias - gap > 0.05:
        return "leakage"
    if bias > 0.1:
        return "learning rate too low" if still_falling(train) > 0.15 else "underfitting"
    if sum(validation[-last:]) / last - min(validation) > 0.25 * chance:
        return "overfitting"
    return "unrepresentative training data" if gap > 0.1 else "healthy"
    ### END SOLUTION


# %% [markdown]
# ## 5. Your eyes and your program
#
# Let it read the nine runs, beside the numbers that it looks at.

# %%
print(f"{'':7}{'bias':>7}{'gap':>7}{'jumps':>7}{'falling':>9}   your program")
for name, run in runs.items():
    (classes,), (top,) = run["classes"], run["ceiling"]
    bias, gap = bias_and_gap(run, top)
    numbers = f"{bias:7.2f}{gap:7.2f}{jumps(run['train_loss']):7.2f}"
    numbers += f"{still_falling(run['train_loss']):9.2f}"
    print(f"{name:7}{numbers}   {diagnose(run, classes, top)}")

# %% [markdown]
# Your program reads some of them otherwise than you did. It knows seven names, and rough limits.
#
# **Explain** in four to eight sentences. For which runs does your program not give the diagnosis that the checks of part 3 called right, and which number is to blame for each? Choose one of these runs: which *new* measurement or training would decide between the two diagnoses, and what would you expect to see in either case? A person will read this.

# %% [markdown] question="explain_diagnosis"
# <!-- ### BEGIN SOLUTION -->
# A good answer names runs 2, 7 and 9. In run 2 the program says healthy: none of its numbers counts the validation examples, and the validation accuracy moves in steps of 0.04, so that there are 25. In run 7 it says underfitting: the jumps are 0.11 in the training loss, below the limit of 0.15, so a rate that is too high passes as calm, and the bias decides. In run 9 it says leakage: validation is far above the ceiling, as the rule asks, but training is not, which speaks for an easier validation set. A good test changes one thing and says what would be seen: train run 7 once more with a tenth of the rate (if the rate was to blame, the jumps go and the training accuracy comes near the ceiling of 0.92; if the network is too small, the curve gets calm and stays below), or draw a new validation set for run 9 by chance from the source of the training set (if the old one was too easy, the accuracy falls to about 0.79; if labels leak through an input, it stays), or look for validation examples among the training examples. A very good answer adds that the limit for jumps should not be moved until run 7 fits, without a look at other runs: a limit chosen on nine runs is fitted to nine runs.
# <!-- ### END SOLUTION -->
