"""The exercise `train_a_cnn`: build, evaluate and train a network, and read its curves."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.train_a_cnn_questions.build_cnn import build_cnn
from mlcourse.checks.train_a_cnn_questions.curves import CURVES
from mlcourse.checks.train_a_cnn_questions.evaluate import evaluate
from mlcourse.checks.train_a_cnn_questions.first_loss import first_loss
from mlcourse.checks.train_a_cnn_questions.text import END, EVALUATING, GRID, START, TRAINING
from mlcourse.checks.train_a_cnn_questions.train_epoch import train_epoch

exercise = Exercise(
    name="train_a_cnn",
    title="Train a CNN",
    questions=(
        build_cnn,
        first_loss,
        *START,
        *EVALUATING,
        evaluate,
        *TRAINING,
        train_epoch,
        *CURVES,
        *GRID,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
