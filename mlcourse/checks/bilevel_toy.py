"""The exercise `bilevel_toy`: two losses, one step imagined, and where descent in turns ends."""

from mlcourse.checks.bilevel_toy_questions.alternating import alternation, descend
from mlcourse.checks.bilevel_toy_questions.gradients import along_the_response, unrolled_gradient
from mlcourse.checks.bilevel_toy_questions.limits import contraction, limit, step_map
from mlcourse.checks.bilevel_toy_questions.sines import mixture_gradient, mixture_loss
from mlcourse.checks.bilevel_toy_questions.text import (
    BY_HAND,
    END,
    FIRST_ORDER,
    LARGEST,
    PICTURE,
    SOLUTION,
)
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="bilevel_toy",
    title="A bilevel toy",
    questions=(
        along_the_response,
        *SOLUTION,
        *BY_HAND,
        unrolled_gradient,
        alternation,
        descend,
        limit,
        *FIRST_ORDER,
        step_map,
        contraction,
        *LARGEST,
        mixture_loss,
        mixture_gradient,
        *PICTURE,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
