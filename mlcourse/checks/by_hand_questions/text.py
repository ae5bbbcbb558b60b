"""The questions of `by_hand` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

START = (
    choice(
        "splits",
        "Which data for what",
        "b",
        "Once a choice was made with some data, the score on that data is no longer an honest one.",
        a=(
            "The training data: the $n_h$ with the smallest training loss is the best",
            "the training loss nearly always falls when n_h grows, so it would choose the largest "
            "network: choose with the validation data",
        ),
        b="The validation data: they take no part in fitting the weights",
        c=(
            "The test data: they show how the network does on new examples",
            "after such a choice the test score is optimistic: the test data are for one final "
            "estimate, choose with the validation data",
        ),
        d=(
            "All the data together, because more data give a better choice",
            "this choice would see the training data, where larger networks always look better: "
            "choose with the validation data",
        ),
    ),
    choice(
        "few_examples",
        "Few training examples",
        "c",
        "Which network can learn thirty points by heart?",
        a=(
            "The model with few parameters, because it is too simple for the data",
            "a model that is too simple underfits: it is bad on the training points already. The "
            "rich one can learn them by heart, and overfits",
        ),
        b=(
            "Both in the same way: overfitting depends on the number of examples alone",
            "it depends on both: few examples overfit a model that is rich enough to learn them "
            "by heart",
        ),
        c="The model with many parameters, because it can fit the noise of the few points",
        d=(
            "Neither, as long as the learning rate is small",
            "a small learning rate slows the training, it does not make the model poorer: the rich "
            "one can still learn the points by heart",
        ),
    ),
    choice(
        "small_test_set",
        "Few test examples",
        "a",
        "Average the estimate, in thought, over many test sets of 30 examples.",
        a="It varies much from one test set to another, but it is right on average",
        b=(
            "It is optimistic: the fewer examples, the better the score looks",
            "a small test set errs in both directions: its estimate varies much, and is optimistic "
            "only when something was selected with it",
        ),
        c=(
            "It is pessimistic: rare examples are missing",
            "it errs in both directions: a small test set gives an estimate that varies much and "
            "is right on average",
        ),
        d=(
            "It is as good as with many examples, because the network is already trained",
            "its variance falls as one over the number of test examples: with 30 of them the "
            "accuracy is uncertain by several percent",
        ),
    ),
    choice(
        "why_activation",
        "What the activation is for",
        "d",
        "Write h as h~ and put the first equation into the second.",
        a=(
            "Without it the gradients could not be computed",
            "affine maps have gradients too, even simpler ones: without tanh, though, two layers "
            "are one affine map",
        ),
        b=(
            "It makes the training faster, the result would be the same without it",
            "the result would differ: without tanh two layers are one affine map, which draws only "
            "straight boundaries",
        ),
        c=(
            "It makes the outputs sum to 1",
            "that is what softmax does at the output: tanh keeps two affine layers from being one",
        ),
        d="Without it the two layers together would be one affine map",
    ),
    number(
        "figure_nx",
        "The inputs of the figure",
        2,
        ("Count the circles in the column of the inputs; biases are not inputs.",),
        Mistake("hidden", 4, "that is n_h, the number of hidden neurons: n_x counts the inputs"),
        Mistake("with_bias", 3, "the bias is not an input: n_x counts the numbers in one example"),
        Mistake("examples", 200, "that is N, the number of examples: n_x is the length of each"),
    ),
    number(
        "figure_nh",
        "The hidden neurons of the figure",
        4,
        ("Count the circles in the middle column.",),
        Mistake(
            "rule_of_thumb",
            2,
            "count them: there are more hidden neurons than inputs or "
            "outputs, so n_h need not lie between n_x and n_y",
        ),
        Mistake("with_bias", 5, "the bias is no neuron: n_h counts the hidden neurons"),
        Mistake("average", 3, "no average of n_x and n_y: count the circles of the middle column"),
    ),
    number(
        "figure_ny",
        "The outputs of the figure",
        2,
        ("One output for each class.",),
        Mistake("hidden", 4, "that is n_h, the number of hidden neurons: n_y counts the outputs"),
        Mistake(
            "one", 1, "with softmax each class has an output of its own: two classes, two outputs"
        ),
    ),
    number(
        "parameter_count",
        "Count the parameters",
        22,
        (
            "A dense layer from n to m has a matrix of m n weights, and m biases.",
            "n_h n_x + n_h + n_y n_h + n_y",
        ),
        Mistake("no_biases", 16, "the biases are missing: each neuron has one besides its weights"),
        Mistake("hidden_only", 12, "that is the hidden layer alone: add the output layer's"),
        Mistake("output_only", 10, "that is the output layer alone: add the hidden layer's"),
        Mistake("neurons", 8, "these are the neurons: count weights and biases"),
        Mistake("output_biases_missing", 20, "the output layer's biases are missing"),
        Mistake("hidden_biases_missing", 18, "the hidden layer's biases are missing"),
    ),
    choice(
        "role_of_nh",
        "What decides n_h",
        "b",
        "Which of the three sizes does the data set fix?",
        a=(
            "It must lie between $n_x$ and $n_y$",
            "that rule of thumb has no ground, and the figure itself breaks it: n_h is a "
            "hyper-parameter, chosen on validation data",
        ),
        b="Nothing does: it is a hyper-parameter, chosen on validation data",
        c=(
            "It is the number of classes",
            "that is n_y: n_h is free, a hyper-parameter chosen on validation data",
        ),
        d=(
            "Gradient descent finds it, like the weights",
            "gradient descent changes the numbers in W_h, not its shape: n_h is chosen on "
            "validation data",
        ),
    ),
    choice(
        "role_of_ny",
        "What decides n_y",
        "d",
        "Look at the columns of Y.",
        a=(
            "It is the number of clusters in the data",
            "clusters are groups that one looks for without labels: here the labels are given, and "
            "n_y is the number of classes",
        ),
        b=(
            "It is the number of examples",
            "that is N: n_y is the number of classes, the columns of Y",
        ),
        c=(
            "It is a hyper-parameter, like $n_h$",
            "the task fixes it: one output for each class",
        ),
        d="The task does: it is the number of classes",
    ),
)

LOSS = (
    number(
        "first_loss",
        "The loss before learning",
        math.log(10),
        (
            "A network that knows nothing gives each of the 10 classes the same probability.",
            "-log(1/10), with the natural logarithm.",
        ),
        Mistake(
            "probability",
            0.1,
            "that is the probability of each class: the loss is minus its logarithm",
        ),
        Mistake("decimal", 1.0, "that is the decimal logarithm: the loss uses the natural one"),
        Mistake("bits", math.log2(10), "that is in bits: the loss uses the natural logarithm"),
        Mistake(
            "sign",
            -math.log(10),
            "the sign is wrong: a probability's logarithm is negative, and the loss is minus that",
        ),
        Mistake(
            "per_class",
            math.log(10) / 10,
            "do not divide by the number of classes: only the true class' term is in the sum",
        ),
        Mistake("zero", 0, "0 is the loss of a perfect network: this one has learned nothing"),
        Mistake("two_classes", math.log(2), "that is for two classes: here there are ten"),
        Mistake(
            "error_rate", 0.9, "that is the expected error rate: the loss is the cross-entropy"
        ),
    ),
    choice(
        "which_loss",
        "Cross-entropy or squared error",
        "c",
        "Take a prediction that is confident and wrong, and look at each loss' gradient at the "
        "logits.",
        a=(
            "Squared error cannot be computed from probabilities",
            "it can, the sum of (yhat_i - y_i)^2: but its gradient vanishes where softmax is "
            "saturated, also when the prediction is wrong",
        ),
        b=(
            "Cross-entropy is cheaper to compute",
            "the costs are the same, more or less: what counts is that its gradient does not "
            "vanish when softmax is saturated and wrong",
        ),
        c="Its gradient does not vanish when softmax is saturated on a wrong class",
        d=(
            "Only one term of its sum is not zero, which makes it fit classes",
            "that is so, but no reason: what counts is its gradient yhat - y, which does not "
            "vanish when softmax is saturated and wrong",
        ),
    ),
)

BACKWARD = (
    choice(
        "hidden_delta",
        "The gradient of hidden neuron i",
        "a",
        "Neuron i sends its value to output j through one weight. Which row and which column of "
        "W_y hold it?",
        a=r"$(1 - h_i^2) \sum_j \delta_{y,j} W_{y,ji}$",
        b=(
            r"$(1 - h_i^2) \sum_j \delta_{y,j} W_{y,ij}$",
            "the indices of W_y are exchanged: row j is an output, column i a hidden neuron, so "
            "the weight between them is W_y,ji",
        ),
        c=(
            r"$\sum_j \delta_{y,j} W_{y,ji}$",
            "that is dL/dh_i: to get to h~_i, multiply by tanh' = 1 - h_i^2",
        ),
        d=(
            r"$(1 - h_i) \sum_j \delta_{y,j} W_{y,ji}$",
            "tanh' is 1 - h^2, not 1 - h",
        ),
    ),
    choice(
        "delta_of_what",
        "What delta_h is the gradient of",
        "d",
        "The factor 1 - h_i^2 carries the gradient back through tanh. Where are you then?",
        a=(
            "The loss, with respect to $h_i$",
            "with the factor 1 - h_i^2 the gradient is already through tanh: it is dL/dh~_i",
        ),
        b=(
            "The loss, with respect to $W_{h,ij}$",
            "for that, delta_h,i has still to be multiplied by x_j: delta_h,i is dL/dh~_i",
        ),
        c=(
            r"The output $\hat y$, with respect to $\tilde h_i$",
            "it starts from the loss, by way of delta_y: it is dL/dh~_i",
        ),
        d=r"The loss, with respect to $\tilde h_i$",
    ),
    choice(
        "what_to_keep",
        "What the backward pass needs",
        "b",
        "Look at what your formulas take besides the parameters: X, h, yhat.",
        a=(
            "The gradients of each layer, until the end of training",
            "each gradient is used once and can go: what must be kept is the activations, X, h "
            "and yhat",
        ),
        b="The activations of the forward pass",
        c=(
            "The losses of the earlier steps",
            "no formula uses them: what must be kept is the activations, X, h and yhat",
        ),
        d=(
            "Nothing: the parameters are enough",
            "dL/dW_y = delta_y^T h needs h: without the activations the forward pass would have to "
            "run again",
        ),
    ),
    choice(
        "differentiable",
        "What must be differentiable",
        "c",
        "The chain rule multiplies one derivative for each piece on the way.",
        a=(
            "The loss alone",
            "the chain goes through every layer: each piece between a weight and the loss must "
            "have a derivative, almost everywhere",
        ),
        b=(
            "The activations alone",
            "the loss is a piece of the chain too: every piece must have a derivative, almost "
            "everywhere",
        ),
        c="Every piece from the parameters to the loss, almost everywhere",
        d=(
            "Every piece, everywhere: ReLU, which has a corner at 0, is therefore excluded",
            "almost everywhere is enough: ReLU has no derivative at 0 alone, and works well",
        ),
    ),
    choice(
        "cost",
        "The cost of backpropagation",
        "a",
        "How often does each layer's delta get computed? And how often if you start again from the "
        "loss for each layer?",
        a="Backpropagation: $O(L)$ layer evaluations, where the naive way takes $O(L^2)$",
        b=(
            "Backpropagation is the more costly one: it has to store more",
            "it stores activations to save work: each delta is computed once, O(L) in all, where "
            "the naive way takes O(L^2)",
        ),
        c=(
            "Both cost the same: the same derivatives come out",
            "the results agree, the work does not: the naive way computes the upper layers' part "
            "again for each layer, O(L^2) in all against O(L)",
        ),
        d=(
            "Backpropagation takes as many forward passes as there are parameters",
            "that is the cost of finite differences: backpropagation gets all gradients for about "
            "twice a forward pass",
        ),
    ),
)

TRAINING = (
    number(
        "largest_step",
        "The limit of the learning rate",
        0.4,
        (
            "Along an eigenvector of H the distance to the minimum is multiplied by "
            "1 - eta lambda at each step.",
            "The eigenvalue that sets the limit is the largest one: |1 - eta lambda| < 1.",
        ),
        Mistake(
            "one_over",
            0.2,
            "1/lambda_max is the step that is best for that direction alone: "
            "it converges up to 2/lambda_max",
        ),
        Mistake(
            "smallest_eigenvalue",
            4.0,
            "that is 2/lambda_min: the steepest direction diverges "
            "first, so the largest eigenvalue sets the limit",
        ),
        Mistake(
            "one_over_smallest",
            2.0,
            "that is 1/lambda_min: the steepest direction diverges "
            "first, so the largest eigenvalue sets the limit",
        ),
        Mistake(
            "best",
            2 / 5.5,
            "that is 2/(lambda_min + lambda_max), the fastest step: it "
            "converges up to 2/lambda_max",
        ),
        Mistake("eigenvalue", 5, "that is lambda_max itself: the limit is 2/lambda_max"),
        Mistake(
            "one", 1, "there is no universal limit of 1: it depends on the curvature, 2/lambda_max"
        ),
    ),
    number(
        "batch_noise",
        "The noise of a batch's gradient",
        0.25,
        (
            "The variance of a mean of B independent draws is 1/B of that of one.",
            "The standard deviation is the root of the variance.",
        ),
        Mistake(
            "variance", 1 / 16, "that is the variance's factor: the standard deviation is its root"
        ),
        Mistake("batch", 16, "the noise gets smaller, not larger, and by the root of 16"),
        Mistake("root", 4, "the noise gets smaller: divide by the root of 16"),
        Mistake("same", 1, "the mean of 16 gradients is less noisy than one of them"),
    ),
    choice(
        "batch_speed",
        "Mini-batches or single examples",
        "c",
        "What does a matrix product with 64 rows cost, compared with 64 products with one row?",
        a=(
            "Single examples: they need less work for a step",
            "they need less for a step, but many more steps for an epoch, none of them vectorised: "
            "per epoch mini-batches are faster",
        ),
        b=(
            "They take the same time: the number of operations is the same",
            "the operations are the same, their speed is not: one product with 64 rows is much "
            "faster than 64 products with one",
        ),
        c="Mini-batches: the work of an epoch is the same, and vectorisation makes it faster",
        d=(
            "Single examples, because their noise finds the minimum sooner",
            "noise does not make an epoch faster: mini-batches do the same work in fewer, "
            "vectorised operations",
        ),
    ),
)

AFTER_TRAINING = (
    Question(
        name="explain_boundary",
        title="Explain the boundary",
        points=2,
        kind="text",
    ),
    Question(
        name="explain_batches",
        title="Explain the batches",
        points=2,
        kind="text",
    ),
)
