"""Convolution arithmetic: sizes, parameters, multiply-accumulates, receptive fields, conversions.

The names to use; the modules that they come from hold the formulas.
"""

from mlcourse.dense_conv import dense_to_conv, fully_convolutional
from mlcourse.layer_arithmetic import output_shape, parameter_count
from mlcourse.layer_recorder import Row
from mlcourse.layer_summary import Summary, macs, summary
from mlcourse.receptive_fields import receptive_field
from mlcourse.unshared import UnsharedConv2d
from mlcourse.window_arithmetic import output_size, transposed_output_size

__all__ = [
    "Row",
    "Summary",
    "UnsharedConv2d",
    "dense_to_conv",
    "fully_convolutional",
    "macs",
    "output_shape",
    "output_size",
    "parameter_count",
    "receptive_field",
    "summary",
    "transposed_output_size",
]
