"""What solvers minimize: functions, sums of squares, the loss of a model, and their second-order models."""
