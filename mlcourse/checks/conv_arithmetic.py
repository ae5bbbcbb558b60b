"""The exercise `conv_arithmetic`: sizes, parameters and fields of convolutional networks."""

from mlcourse.checks.conv_arithmetic_questions.cnn_table import cnn_table
from mlcourse.checks.conv_arithmetic_questions.counts import (
    conv_macs,
    conv_parameters,
    dense_parameters,
)
from mlcourse.checks.conv_arithmetic_questions.dense_as_conv import dense_to_conv, slide_dense
from mlcourse.checks.conv_arithmetic_questions.output_size import output_size, same_padding
from mlcourse.checks.conv_arithmetic_questions.receptive_field import receptive_field
from mlcourse.checks.conv_arithmetic_questions.text import (
    COUNTS,
    DENSE,
    EXPERIMENT,
    FAR_LAYERS,
    FIELDS,
    NETWORK,
    SIZES,
)
from mlcourse.checks.conv_arithmetic_questions.unshared import (
    unshared_conv2d,
    unshared_parameters,
)
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="conv_arithmetic",
    title="Convolution arithmetic",
    questions=(
        output_size,
        *SIZES,
        same_padding,
        conv_parameters,
        conv_macs,
        dense_parameters,
        *COUNTS,
        cnn_table,
        *NETWORK,
        *FIELDS,
        receptive_field,
        *FAR_LAYERS,
        dense_to_conv,
        slide_dense,
        *DENSE,
        unshared_parameters,
        unshared_conv2d,
        *EXPERIMENT,
    ),
    imports=("data", "plotting"),
)
