"""The questions of the exercise `better_training`: functions by subject, and its text."""
