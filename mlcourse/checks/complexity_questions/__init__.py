"""The questions of the exercise `complexity`: divergences, free energy, units, codes."""
