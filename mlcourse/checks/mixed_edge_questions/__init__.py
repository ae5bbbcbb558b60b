"""The questions of the exercise `mixed_edge`: mixing, operations, cells, sizes."""
