"""The questions of the exercise `derive_cell`: the paper's rule, numbers of a cell, retraining."""
