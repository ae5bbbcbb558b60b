"""The questions of the exercise `schedules`: formulas, compositions, counts, choices."""
