"""The exercise `curves`: the numbers behind learning curves, nine runs to read, a diagnosis."""

from mlcourse.checks.curves_questions.diagnosing import diagnose
from mlcourse.checks.curves_questions.distances import bias_and_gap, ceiling, visible_difference
from mlcourse.checks.curves_questions.reading import READING
from mlcourse.checks.curves_questions.shapes import best_epoch, jumps, smooth, still_falling
from mlcourse.checks.curves_questions.text import AFTER
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="curves",
    title="Reading learning curves",
    questions=(
        smooth,
        best_epoch,
        jumps,
        still_falling,
        ceiling,
        bias_and_gap,
        visible_difference,
        *READING,
        diagnose,
        *AFTER,
    ),
    imports=("data", "plotting"),
)
