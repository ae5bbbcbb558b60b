"""The questions of the exercise `curves`: functions by subject, nine runs to read, and its text."""
