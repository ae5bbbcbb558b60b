"""The exercise `better_training`: what makes a convolutional network train better."""

from mlcourse.checks.better_training_questions.batch_norm import batch_norm
from mlcourse.checks.better_training_questions.batch_norm_at_test import batch_norm_test
from mlcourse.checks.better_training_questions.batch_norm_backward import batch_norm_backward
from mlcourse.checks.better_training_questions.crop import crop
from mlcourse.checks.better_training_questions.dropout import dropout
from mlcourse.checks.better_training_questions.flip import flip
from mlcourse.checks.better_training_questions.max_norm import max_norm
from mlcourse.checks.better_training_questions.momentum import momentum
from mlcourse.checks.better_training_questions.running_statistics import update_running
from mlcourse.checks.better_training_questions.standardise import standardise
from mlcourse.checks.better_training_questions.step_decay import step_decay
from mlcourse.checks.better_training_questions.text import (
    AFTER,
    AUGMENTATION,
    DROPPING,
    INPUTS,
    MOVING,
    NORMALISING,
    SHRINKING,
    WHITENING,
)
from mlcourse.checks.better_training_questions.zca import zca
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="better_training",
    title="Better training",
    questions=(
        *INPUTS,
        standardise,
        *WHITENING,
        zca,
        *AUGMENTATION,
        crop,
        flip,
        *MOVING,
        momentum,
        step_decay,
        *SHRINKING,
        max_norm,
        *DROPPING,
        dropout,
        *NORMALISING,
        batch_norm,
        update_running,
        batch_norm_test,
        batch_norm_backward,
        *AFTER,
    ),
    imports=("data", "plotting"),
)
