"""The questions of the exercise `pso`: a particle's step, best places, flights, integers."""
