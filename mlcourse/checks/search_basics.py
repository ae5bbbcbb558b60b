"""The exercise `search_basics`: spaces, grids, draws, and what to report of a search."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.search_basics_questions.chances import draws_needed, latin_hypercube, success
from mlcourse.checks.search_basics_questions.genetic import crossover, mutate
from mlcourse.checks.search_basics_questions.grids import grid, grid_cost, levels
from mlcourse.checks.search_basics_questions.outcomes import (
    best_so_far,
    expected_best,
    regret,
    select,
)
from mlcourse.checks.search_basics_questions.text import (
    CONDITIONAL,
    DIMENSION,
    END,
    LENET,
    SELECTION,
)
from mlcourse.checks.search_basics_questions.values import existing, integer_at, real_at, sample

exercise = Exercise(
    name="search_basics",
    title="Basics of search",
    questions=(
        real_at,
        integer_at,
        sample,
        existing,
        grid_cost,
        *LENET,
        *CONDITIONAL,
        levels,
        grid,
        success,
        draws_needed,
        *DIMENSION,
        latin_hypercube,
        best_so_far,
        regret,
        expected_best,
        select,
        *SELECTION,
        crossover,
        mutate,
        *END,
    ),
    imports=("data", "plotting"),
)
