"""The optimizers that take sparse gradients only, and have no rows in the case table."""

SPARSE_ONLY = ("SparseAdam",)
