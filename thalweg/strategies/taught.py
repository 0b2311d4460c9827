"""A student that is trained with its teacher: both in one model, of which only the student learns."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.train.callbacks import Callback, Training
from thalweg.train.run import BaseRecipe

Term = Callable[[Tensor, Tensor], Tensor]
"""(outputs of the student, outputs of the teacher) -> what is added to the objective of a batch."""


class Taught(nn.Module):
    """Gives the student's outputs; in training it also keeps the term that the teacher adds.

    Args:
        student: learns.
        teacher: does not, and is in evaluation mode throughout; a copy, which is changed.
        term: of the outputs of both.
    """

    term: Tensor

    def __init__(self, student: nn.Module, teacher: nn.Module, term: Term) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False)
        self._of = term
        self.rows = 0
        self.term = torch.zeros(())

    def train(self, mode: bool = True) -> Taught:
        """Set the student's mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, x: Any) -> Tensor:
        """Return the student's outputs."""
        outputs: Tensor = self.student(x)
        if self.training:
            with torch.no_grad():
                taught = self.teacher(x)
            if taught.shape != outputs.shape:
                raise TaskError(
                    f"The teacher's outputs have the shape {tuple(taught.shape)}, the student's "
                    f"{tuple(outputs.shape)}: they are to be the same."
                )
            bad = ~taught.reshape(len(taught), -1).isfinite().all(1)
            if bool(bad.any()):
                raise TaskError(
                    f"The teacher's outputs are not finite in {int(bad.sum())} of {len(bad)} rows of the "
                    f"batch, first in row {int(bad.nonzero()[0])}. Look at its parameters and these inputs."
                )
            self.term = self._of(outputs, taught)
            self.rows += len(outputs)
        return outputs


class CountTeacher(Callback):
    """Counts the forward passes of the teacher."""

    def start(self, training: Training) -> None:
        """Forget those before the first step."""
        self._taught(training).rows = 0

    def step(self, training: Training, loss: float) -> None:
        """Count those of the step."""
        taught = self._taught(training)
        training.computed.forward(taught.rows)
        taught.rows = 0

    def _taught(self, training: Training) -> Taught:
        assert isinstance(training.model, Taught)
        return training.model


def student_of(model: nn.Module) -> nn.Module:
    """Return the student alone."""
    assert isinstance(model, Taught)
    return model.student


def taught_by(recipe: BaseRecipe, teacher: nn.Module, term: Term) -> BaseRecipe:
    """Return the recipe of a student beside its teacher, the term added to its penalty."""
    task, own = recipe.task, recipe.task.cost.penalty

    def build() -> nn.Module:
        student = task.build()
        like = next(student.parameters())
        return Taught(student, copy.deepcopy(teacher).to(like.dtype), term)

    def penalty(model: nn.Module) -> Tensor:
        assert isinstance(model, Taught)
        return model.term if own is None else model.term + own(model.student)

    return recipe.replace(model=build, cost=dataclasses.replace(task.cost, penalty=penalty))
