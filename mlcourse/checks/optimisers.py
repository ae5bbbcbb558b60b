"""The exercise `optimisers`: from momentum to Adam, by hand."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.optimisers_questions.adadelta_step import adadelta_step
from mlcourse.checks.optimisers_questions.adagrad_step import adagrad_step
from mlcourse.checks.optimisers_questions.adam_step import adam_step
from mlcourse.checks.optimisers_questions.decay_steps import adam_l2_step, adamw_step
from mlcourse.checks.optimisers_questions.momentum_step import momentum_step
from mlcourse.checks.optimisers_questions.nesterov_step import nesterov_step
from mlcourse.checks.optimisers_questions.optimizer_class import Adam
from mlcourse.checks.optimisers_questions.rmsprop_step import rmsprop_step
from mlcourse.checks.optimisers_questions.sgd_step import sgd_step
from mlcourse.checks.optimisers_questions.text import (
    ADADELTA,
    ADAGRAD,
    ADAM,
    DECAY,
    END,
    MOMENTUM,
    TRAJECTORIES,
    UNITS,
)

exercise = Exercise(
    name="optimisers",
    title="Momentum to Adam",
    questions=(
        sgd_step,
        momentum_step,
        *MOMENTUM,
        nesterov_step,
        *ADAGRAD,
        adagrad_step,
        rmsprop_step,
        adadelta_step,
        *ADADELTA,
        adam_step,
        *ADAM,
        *TRAJECTORIES,
        *UNITS,
        adam_l2_step,
        adamw_step,
        *DECAY,
        Adam,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
