"""The questions of the exercise `hypergradients`: functions by subject, and its text."""
