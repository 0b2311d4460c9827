"""The functions that kernels call, and those that are printed into them."""
