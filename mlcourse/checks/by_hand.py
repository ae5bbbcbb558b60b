"""The exercise `by_hand`: a network with one hidden layer, without autograd."""

from mlcourse.checks.by_hand_questions.backward import backward
from mlcourse.checks.by_hand_questions.forward import forward
from mlcourse.checks.by_hand_questions.init_params import init_params
from mlcourse.checks.by_hand_questions.loss_accuracy import loss_accuracy
from mlcourse.checks.by_hand_questions.sgd import sgd
from mlcourse.checks.by_hand_questions.text import AFTER_TRAINING, BACKWARD, LOSS, START, TRAINING
from mlcourse.checks.by_hand_questions.train import train
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="by_hand",
    title="A network by hand",
    questions=(
        *START,
        init_params,
        forward,
        *LOSS,
        loss_accuracy,
        *BACKWARD,
        backward,
        sgd,
        *TRAINING,
        train,
        *AFTER_TRAINING,
    ),
    imports=("data", "plotting"),
)
