"""The sharpness along a run, and the largest at which its optimizer is stable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from thalweg.curvature.krylov import NotFiniteError
from thalweg.curvature.of_model import ModelOperator
from thalweg.curvature.operators import hessian
from thalweg.curvature.sharpness import Edge, edge_of, sharpness
from thalweg.curvature.spectrum import extremes
from thalweg.errors import TaskError
from thalweg.objective.weighted import count_rows
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.task import Task
from thalweg.train.callbacks import Callback, Training
from thalweg.train.restored.randomness import repeated
from thalweg.whole import whole_number


@dataclass(frozen=True)
class SharpnessPoint:
    """The sharpness after a step of a run.

    `sharpness` is λ_max(P⁻¹H), with `residual` as the bound of its error; steps on the quadratic grow where
    it is above `stable_up_to`, the threshold over the learning rate `lr`. Where that is not known both are
    None, and P = I. `loss` is that of the step's batch; `gradients` is what the point cost, in gradients over
    the rows that it was measured on.
    """

    step: int
    loss: float
    sharpness: float
    residual: float
    stable_up_to: float | None
    lr: float | None
    gradients: float

    @property
    def ratio(self) -> float | None:
        """The sharpness as a share of the largest stable one: near 1 at the edge of stability."""
        return None if self.stable_up_to is None else self.sharpness / self.stable_up_to

    def to_dict(self) -> dict[str, float | int | None]:
        """Return its fields as plain numbers."""
        return asdict(self)


class SharpnessAlong(Callback):
    """Records the sharpness after the first step of a run and after each `every`-th.

        sharpness = λ_max(P⁻¹H),  stable_up_to = threshold / lr

    H is the Hessian of the objective over rows of the training set, P and the threshold are those of
    `thalweg.curvature.edge_of`. The run is not changed by it: neither its random numbers nor its buffers,
    and its cost is not counted as training. Of an optimizer whose edge is not known λ_max(H) is recorded
    alone, and `notes` says why; where products are not finite there is no point.

    Args:
        every: steps from one point to the next.
        rows: of the training set, at most; the same at each point.
        training: whether dropout and batch norm are as in training.
        tol: the residual that ends the search for λ_max, as a share of the largest |eigenvalue|.
        most: products at each point, at most.
        seed: of the choice of rows and of the search.

    Raises TaskError for a count that is not an integer above 0.

    Source: Cohen and others, Gradient Descent on Neural Networks Typically Occurs at the Edge of
    Stability, 2021.

    >>> import numpy as np
    >>> import torch
    >>> from thalweg import Task, fit
    >>> x = np.linspace(-1, 1, 21, dtype="float32").reshape(-1, 1)
    >>> line = Task((x, 2 * x), "mse", lambda: nn.Linear(1, 1, bias=False), batch_size=None)
    >>> along = SharpnessAlong(every=5)
    >>> run = fit(line, torch.optim.SGD, lr=0.5, epochs=10, callbacks=[along], progress=False)
    >>> [(point.step, round(point.sharpness, 3)) for point in along.points]  # 2·mean x²
    [(1, 0.733), (5, 0.733), (10, 0.733)]
    >>> round(along.points[0].stable_up_to, 3)
    4.0
    """

    def __init__(
        self,
        every: int = 20,
        *,
        rows: int = 1024,
        training: bool = False,
        tol: float = 1e-2,
        most: int = 100,
        seed: int = 0,
    ) -> None:
        self.every, self.rows = whole_number("every", every), whole_number("rows", rows)
        self.training, self.tol, self.most = training, tol, whole_number("most", most)
        self.seed = seed
        self.points: list[SharpnessPoint] = []
        self.notes: list[str] = []
        self._of: tuple[nn.Module, ModelOperator] | None = None

    def start(self, training: Training) -> None:
        """Forget an earlier run, unless this one goes on."""
        self._of = None
        if not training.step:
            self.points, self.notes = [], []

    def step(self, training: Training, loss: float) -> None:
        """Record a point where one is due."""
        if training.step != 1 and training.step % self.every:
            return
        a, edge = self._operator(training), self._edge(training)
        try:
            if edge is None:
                top = extremes(a, tol=self.tol, most=self.most, seed=self.seed).top
            else:
                top = sharpness(a, edge, tol=self.tol, most=self.most, seed=self.seed).value
        except NotFiniteError as error:  # the run diverges, and says so itself
            self.notes.append(f"Step {training.step}: {error}")
            return
        finally:
            a.release()
        limit, lr = (None, None) if edge is None else (edge.largest, edge.lr)
        self.points.append(
            SharpnessPoint(training.step, loss, top.value, top.stderr, limit, lr, top.gradients)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the points so far."""
        return {"points": [point.to_dict() for point in self.points], "notes": list(self.notes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the points of a run that was interrupted."""
        self.points = [SharpnessPoint(**point) for point in state["points"]]
        self.notes = list(state["notes"])

    def _operator(self, training: Training) -> ModelOperator:
        """Return the Hessian, which reads the model at each product."""
        model, task = training.model, training.task
        if self._of is None or self._of[0] is not model:
            data = some_batches(task, model, self.rows, self.rows, self.seed)
            self._of = model, hessian(model, task.cost, data, training=self.training)
        return self._of[1]

    def _edge(self, training: Training) -> Edge | None:
        try:
            return edge_of(training.optimizer, training.model)
        except TaskError as error:
            if str(error) not in self.notes:
                self.notes.append(str(error))
            return None


def some_batches(
    task: Task, model: nn.Module, size: int | None, rows: int, seed: int
) -> list[tuple[Any, Any]]:
    """Return batches of the training set, in an order drawn from the seed, up to so many rows.

    No random number of the caller is used up.
    """
    found: list[tuple[Any, Any]] = []
    taken, place, source = 0, place_of(model), task.data.train
    with repeated(source, seed, place.device):
        for inputs, targets in source.batches(size, Order(seed), place=place):
            found.append((inputs, targets))
            taken += count_rows(targets, inputs)
            if taken >= rows:
                break
    return found
