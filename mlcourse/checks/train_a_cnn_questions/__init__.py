"""The questions of the exercise `train_a_cnn`."""
