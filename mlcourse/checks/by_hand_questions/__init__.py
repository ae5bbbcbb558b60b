"""The questions of the exercise `by_hand`, one file each, and its questions about the text."""
