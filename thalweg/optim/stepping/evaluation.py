"""Evaluate a model where its optimizer says: at an average of the points, not at the last one.

While a model is there, the point that training goes on from is kept in the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import EngineError
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.distributed import TRAINED
from thalweg.optim.stepping.shell import of_itself


class Evaluating:
    """What an optimizer has whose rules may keep a point of evaluation (see `Rule.evaluated_at`)."""

    state_names: ClassVar[Mapping[str, str]]
    param_groups: list[Group]
    state: Any
    _is_evaluating: bool

    def composition(self, group: Group) -> Composition:
        """Return the chain that steps the parameters of a group."""
        raise NotImplementedError

    @property
    def keeps_average(self) -> bool:
        """Whether the model is to be evaluated elsewhere than where the last step led."""
        return any(has_evaluation(self.composition(group)) for group in self.param_groups)

    @of_itself
    def eval(self) -> None:
        """Move the parameters to where the model is to be evaluated (see `evaluating`).

        Without an average that is where they are, and nothing is done: training loops call `eval()` and
        `train()` on any optimizer that has them.
        """
        if self._is_evaluating:
            return
        compositions = [self.composition(group) for group in self.param_groups]
        if not any(map(has_evaluation, compositions)):
            return
        try:
            for group, composition in zip(self.param_groups, compositions, strict=True):
                for p in group["params"]:
                    names, state = dict(self.state_names), self.state.get(p, {})
                    point = evaluation_point(composition, names, group, p, state)
                    if point is not None:
                        leave_training(p, self.state[p], point)
        except Exception:
            self.train()
            raise
        self._is_evaluating = True

    @of_itself
    def train(self) -> None:
        """Move the parameters back to where training left them; without an average, do nothing."""
        for p, state in self.state.items():
            if keeps_trained(state):
                return_to_training(p, state)
        self._is_evaluating = False

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluate the model inside this context at the average that the optimizer keeps.

        An average (`ema`, `polyak`, `swa`), schedule-free descent and averaged SGD have such a point. Layers
        with running statistics (batch normalization) need them computed again for it:
        `torch.optim.swa_utils.update_bn(loader, model)` inside the context.

        Raises:
            EngineError: no link of the chain has a point of evaluation. Who asks for one by name is told that
                there is none; `eval()` and `train()` do nothing then.

        >>> import torch
        >>> from thalweg import optim
        >>> from thalweg.rules import polyak
        >>> w = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = optim.SGD([w], lr=1.0, after=polyak())
        >>> for _ in range(3):
        ...     w.grad = torch.full_like(w, -1.0)
        ...     optimizer.step()
        >>> with optimizer.evaluating():
        ...     w.item()
        2.0
        >>> w.item()
        3.0
        """
        compositions = [self.composition(group) for group in self.param_groups]
        if not any(map(has_evaluation, compositions)):
            refuse_evaluation(compositions)
        before = self._is_evaluating
        self.eval()
        try:
            yield
        finally:
            if not before:
                self.train()


def keeps_trained(state: Any) -> bool:
    """Whether an entry of an optimizer's state holds the point that training goes on from."""
    return isinstance(state, dict) and TRAINED in state


def leave_training(param: Tensor, state: dict[str, Any], point: Tensor) -> None:
    """Move a parameter to its point of evaluation."""
    state[TRAINED] = param.detach().clone()
    param.detach().copy_(point)


def return_to_training(param: Tensor, state: dict[str, Any]) -> None:
    """Move a parameter back, bit by bit, to where training left it."""
    param.detach().copy_(state.pop(TRAINED))


def has_evaluation(composition: Composition) -> bool:
    """Whether a link of the chain says where to evaluate."""
    return any(place.rule.evaluation for place in composition.chain.places)


def evaluation_point(
    composition: Composition, names: dict[str, str], group: Group, param: Tensor, state: Any
) -> Tensor | None:
    """Return the point of evaluation of a parameter by the last link that has one, or None before any step.

    `names` says what states of the chain are called in `state`, where they are not called the same.
    """
    for place in reversed(composition.chain.places):
        found = place.rule.evaluation
        if found is None:
            continue
        given: dict[str, Any] = {"p": param.detach()}
        for own, full in place.names.items():
            if own in place.rule.signature.hyperparameters:
                given[own] = composition.getter(full)(group)
            elif (kept := state.get(names.get(full, full))) is not None:
                given[own] = kept
        if any(name not in given for name in found.names):
            return None
        with torch.no_grad():
            point: Tensor = found.function(**{name: given[name] for name in found.names})
        return point.to(param.dtype)
    return None


def refuse_evaluation(compositions: Iterable[Composition]) -> None:
    """Raise the error of an optimizer that has nowhere else to evaluate."""
    rules = ", ".join(dict.fromkeys(repr(c.chain) for c in compositions))
    raise EngineError(
        f"{rules} keeps no average to evaluate the model at. Add one after the step: "
        "chain(…, ema(decay=0.999)), or after=ema(0.999) of a named optimizer."
    )
