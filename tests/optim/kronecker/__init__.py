"""The optimizers that are built from a model, and have no rows in the case table."""

OF_MODELS = ("KFAC",)
