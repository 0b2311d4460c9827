"""Functions as tasks: the model is a point, and the gradient is noisy."""
