"""The exercise `mixed_edge`: all operations at once, from one edge to a network."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.mixed_edge_questions.cells import edges_of_cell, mixed_cell, network_table
from mlcourse.checks.mixed_edge_questions.costs import operation_costs
from mlcourse.checks.mixed_edge_questions.images import average_pool, halved
from mlcourse.checks.mixed_edge_questions.mixing import (
    alpha_gradient,
    edge_weights,
    mixed_output,
)
from mlcourse.checks.mixed_edge_questions.text import (
    COUNTS,
    EDGE,
    END,
    SCALES,
    SHARE,
    SIDE,
    SUM,
)

exercise = Exercise(
    name="mixed_edge",
    title="A mixed edge",
    questions=(
        edge_weights,
        *SHARE,
        mixed_output,
        alpha_gradient,
        *SUM,
        average_pool,
        halved,
        operation_costs,
        *EDGE,
        *SIDE,
        *SCALES,
        edges_of_cell,
        *COUNTS,
        mixed_cell,
        network_table,
        *END,
    ),
    imports=("data", "plotting"),
)
