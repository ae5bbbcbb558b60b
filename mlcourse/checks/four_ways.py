"""The exercise `four_ways`: the same training with more and more of torch."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.four_ways_questions.cross_entropy import cross_entropy
from mlcourse.checks.four_ways_questions.loops import autograd_train, nn_train, optim_train
from mlcourse.checks.four_ways_questions.model import nn_model
from mlcourse.checks.four_ways_questions.text import AUTOGRAD, END, LOGITS

exercise = Exercise(
    name="four_ways",
    title="One network, four ways",
    questions=(
        *LOGITS,
        cross_entropy,
        *AUTOGRAD,
        autograd_train,
        nn_model,
        nn_train,
        optim_train,
        *END,
    ),
    imports=("data", "plotting"),
)
