"""Curriculum learning: which rows a model sees when, by how difficult they are."""

from thalweg.strategies.curriculum.curriculum import curriculum

__all__ = ["curriculum"]
