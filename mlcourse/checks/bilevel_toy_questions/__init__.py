"""The questions of the exercise `bilevel_toy`: gradients, turns, limits, the sine mixture."""
