"""A student that learns from a teacher: distillation, and the hints of FitNets."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import TaskError
from thalweg.kept import watched
from thalweg.numeric import is_real
from thalweg.objective.cost import Cost
from thalweg.strategies.curriculum.difficulty import rows_in_memory
from thalweg.strategies.layers import built, changed, layer_of
from thalweg.strategies.stages.shares import check_share
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.taught import CountTeacher, Term, student_of, taught_by
from thalweg.tasks.data import Data
from thalweg.tasks.sources.weighted import arrays_of
from thalweg.tasks.task import Task
from thalweg.train.run import BaseRecipe
from thalweg.train.trained.evaluate import predict

Teacher = nn.Module | Callable[[], nn.Module]


def soft_term(temperature: float, weight: float) -> Term:
    """Return weight·T²·KL(softmax(t/T) ‖ softmax(s/T)), the mean over the rows.

    >>> term = soft_term(2.0, 1.0)
    >>> round(float(term(torch.tensor([[2.0, 0.0]]), torch.tensor([[2.0, 0.0]]))), 6)
    0.0
    """

    def term(student: Tensor, teacher: Tensor) -> Tensor:
        told = functional.log_softmax(teacher / temperature, 1)
        said = functional.log_softmax(student / temperature, 1)
        divergence = functional.kl_div(said, told, reduction="batchmean", log_target=True)
        return weight * temperature**2 * divergence

    return term


@dataclass(frozen=True)
class distillation(Strategy):
    """Train a student on the targets and on what a teacher says of each row.

        J = L + λΩ + weight·T²·KL(softmax(t/T) ‖ softmax(s/T))

    s and t are the outputs of student and teacher before the softmax. T² keeps the gradient of the new term
    at the size of that of L. It is shown as part of the penalty, that of the last batch. The teacher's
    forward pass is counted in each step, a third of a gradient-equivalent of its batch.

    Args:
        teacher: a trained model, whose training costs nothing here; or a function that builds one, which is
            trained by the recipe with `share` of the budget.
        temperature: T; a higher one shows more of the teacher's small probabilities.
        weight: of the new term, next to 1 for L.
        share: of the budget, for a teacher that is trained.

    Raises TaskError for a setting out of its range, or outputs of another shape.

    Source: Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network.
    """

    teacher: Teacher
    temperature: float = 4.0
    weight: float = 1.0
    share: float = 0.5

    def __post_init__(self) -> None:
        _check_positive("temperature", self.temperature)
        _check_positive("weight", self.weight)
        check_share("share", self.share)
        _check_teacher(self.teacher)

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the training of the teacher where there is none, then that of the student."""
        term = soft_term(self.temperature, self.weight)

        def student(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return taught_by(recipe, models[-1] if models else self._given(), term)

        rest = 1 - self.share
        taught = Stage("student", student, rest, (CountTeacher(),), finish=student_of)
        return [*teacher_stages(self.teacher, self.share), taught]

    def _given(self) -> nn.Module:
        assert isinstance(self.teacher, nn.Module)
        return self.teacher


def teacher_stages(teacher: Teacher, share: float) -> list[Stage]:
    """Return the stage that trains a teacher; none where a trained one is given."""
    if isinstance(teacher, nn.Module):
        return []

    def train(recipe: BaseRecipe, models: Models) -> BaseRecipe:
        return recipe.replace(model=teacher, target=None)

    return [Stage("teacher", train, share, is_judged=False)]


@dataclass(frozen=True)
class hints(Strategy):
    """Train the student's lower layers to give what a layer of the teacher gives, then all of it.

        first:   ½‖u(h_T) − r(h_S)‖², the mean over rows and units
        then:    J = L + λΩ, with `weight` also the term of `distillation`

    h_T are the outputs of the teacher's layer `hint`, h_S those of the student's layer `guided`, u the
    identity and r a linear layer that is dropped afterwards. A student that is deep and thin, and hard to
    train by itself, starts where its lower half is already useful.

    Args:
        teacher: a trained model; its training costs nothing here. A forward pass over the set is counted.
        hint: the name of a layer of the teacher.
        guided: the name of a layer of the student.
        share: of the budget, for the first stage.
        weight: of the distillation in the second stage; 0 for none.
        temperature: of the distillation.

    Raises:
        TaskError: for a layer that is not there.
        DataError: for data that is not in memory.

    Source: Romero et al. 2015, FitNets: hints for thin deep nets, equations 3 and 4.
    """

    teacher: nn.Module
    hint: str
    guided: str
    share: float = 0.3
    weight: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_share("share", self.share)
        _check_positive("temperature", self.temperature)
        if self.weight != 0:
            _check_positive("weight", self.weight)
        if not isinstance(self.teacher, nn.Module):
            raise TaskError(f"The teacher must be a trained model; got {self.teacher!r:.80}.")

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the stage of the hint, and that of the targets."""
        rows = rows_in_memory(recipe.task.data.train)
        layer_of(self.teacher, self.hint, "The teacher")
        layer_of(built(recipe.task), self.guided, "The student")
        first = Stage(
            "hint",
            self._hinted,
            self.share,
            is_judged=False,
            row_passes=rows.rows,
            finish=_student,
        )
        if not self.weight:
            return [first, Stage("targets", _goes_on, 1 - self.share)]
        term = soft_term(self.temperature, self.weight)

        def taught(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return taught_by(_goes_on(recipe, models), self.teacher, term)

        callbacks = (CountTeacher(),)
        rest = Stage("targets", taught, 1 - self.share, callbacks, finish=student_of)
        return [first, rest]

    def _hinted(self, recipe: BaseRecipe, models: Models) -> BaseRecipe:
        task = recipe.task
        inputs = arrays_of(rows_in_memory(task.data.train)).inputs
        told = predict(_Layer(copy.deepcopy(self.teacher), self.hint), inputs).flatten(1)

        def build() -> nn.Module:
            student = task.build()
            with torch.no_grad():
                width = _Layer(student, self.guided).eval()(inputs[:2]).shape[1]
            student.train()
            return _Guided(student, self.guided, nn.Linear(width, told.shape[1]))

        data = Data.arrays(inputs, told)
        parts: dict[str, Any] = {"epochs": task.epochs, "batch_size": task.batch_size}
        return recipe.replace(task=Task(data, Cost("half_mse"), build, name=task.name, **parts))


class _Layer(nn.Module):
    """A model that gives the outputs of one of its layers, one vector a row."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, x: Any) -> Tensor:
        found: list[Tensor] = []
        layer = self.model.get_submodule(self.layer)
        with watched([layer], lambda _, __, outputs: found.append(outputs)):
            self.model(x)
        return found[-1].flatten(1)


class _Guided(nn.Module):
    """The student's layer behind a regressor."""

    def __init__(self, student: nn.Module, layer: str, regressor: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.guided = _Layer(student, layer)
        self.regressor = regressor.to(next(student.parameters()))

    def forward(self, x: Any) -> Tensor:
        outputs: Tensor = self.regressor(self.guided(x))
        return outputs


def _student(model: nn.Module) -> nn.Module:
    assert isinstance(model, _Guided)
    return model.student


def _goes_on(recipe: BaseRecipe, models: Models) -> BaseRecipe:
    trained = models[-1].state_dict()
    return recipe.replace(model=changed(recipe.task, lambda model: model.load_state_dict(trained)))


def _check_positive(name: str, value: object) -> None:
    if not (is_real(value) and 0 < value < float("inf")):  # type: ignore[operator]  # it is a number
        raise TaskError(f"{name} must be a number > 0; got {value!r}.")


def _check_teacher(teacher: object) -> None:
    if not callable(teacher):
        raise TaskError(
            f"The teacher must be a trained model, or a function that builds one; got {teacher!r:.80}."
        )
