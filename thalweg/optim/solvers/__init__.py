"""Optimizers over the solvers: they evaluate a closure as often as a step needs."""
