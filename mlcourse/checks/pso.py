"""The exercise `pso`: a particle swarm, from one velocity to whole searches."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.pso_questions.bests import own_best, targets
from mlcourse.checks.pso_questions.flights import fly, fly_one_by_one
from mlcourse.checks.pso_questions.integers import on_integers
from mlcourse.checks.pso_questions.moving import bounced, clipped, step, velocity
from mlcourse.checks.pso_questions.stability import stable
from mlcourse.checks.pso_questions.text import (
    END,
    FIRST,
    LIMIT,
    ONE_STEP,
    ROUNDED,
    SLIP,
    START,
    STOP,
)

exercise = Exercise(
    name="pso",
    title="Particle swarms",
    questions=(
        *ONE_STEP,
        velocity,
        clipped,
        bounced,
        step,
        own_best,
        targets,
        *SLIP,
        *START,
        fly,
        *FIRST,
        *STOP,
        fly_one_by_one,
        on_integers,
        *ROUNDED,
        stable,
        *LIMIT,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
