"""The questions of the exercise `four_ways`, and its questions about the text."""
