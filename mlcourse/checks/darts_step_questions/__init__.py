"""The questions of the exercise `darts_step`."""
