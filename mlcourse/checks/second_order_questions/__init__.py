"""The questions of the exercise `second_order`: functions by subject, and its text."""
