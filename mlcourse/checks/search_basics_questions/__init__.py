"""The questions of the exercise `search_basics`: values, grids, draws, results, children."""
