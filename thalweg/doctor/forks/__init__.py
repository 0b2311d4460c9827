"""Forks of a run: what they begin from, what a remedy changes, and what that does to the loss."""
