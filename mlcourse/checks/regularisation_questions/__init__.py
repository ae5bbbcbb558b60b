"""The questions of the exercise `regularisation`: functions by subject, and its text."""
