"""The questions of the exercise `conv_arithmetic`, by subject, and its questions about the text."""
