"""A training run: its state, the steps of an epoch, evaluations between them, and its checkpoints."""
