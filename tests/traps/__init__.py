"""Errors found in optimizers elsewhere: each is made here on purpose, and shown not to be ours."""
