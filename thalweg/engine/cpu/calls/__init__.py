"""Compiled loops over Python's objects and PyTorch's tensors, and the step in one call."""
