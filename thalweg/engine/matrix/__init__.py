"""Functions of stacks of matrices that rules may call."""
