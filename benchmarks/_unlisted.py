"""Plants whose cause no catalogue names: what can be told is that something is wrong, and where."""

from __future__ import annotations

from typing import Any

import torch
from _case import Case, Patient, plant
from _draws import Rng, classes, dense, linears, network, pick, teacher, trained, widths
from torch import Tensor, nn
from torch.nn import functional

from thalweg.objective import Cost
from thalweg.tasks import Data, mlp


def _targets_shifted(case: Case, rng: Rng) -> Case:
    by = int(pick(rng, (1, -1, 2)))
    return case.with_rows(lambda x, y: (x, y.roll(by, 0)))


def _labels_shuffled(case: Case, rng: Rng) -> Case:
    share, generator = (
        rng.uniform(0.35, 0.6),
        torch.Generator().manual_seed(int(rng.integers(2**31))),
    )

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        at = torch.randperm(len(y), generator=generator)[: int(share * len(y))]
        y[at] = y[at[torch.randperm(len(at), generator=generator)]]
        return x, y

    return case.with_rows(change)


class _Dropped(nn.Module):
    """Dropout that does not know of evaluation."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, training=True)


def _with_dropout(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)
    width = int(rng.integers(48, 97))
    model = lambda: mlp([features, width, width, outputs], dropout=0.2)  # noqa: E731
    return trained(rng, network(rng, data).replace(model=model), ("adam",))


def _dropout(replaced: Any) -> Any:
    def fault(case: Case, rng: Rng) -> Case:
        p = rng.uniform(0.75, 0.85)

        def change(model: nn.Module) -> nn.Module:
            for i, layer in enumerate(model):
                if isinstance(layer, nn.Dropout):
                    model[i] = replaced(p)
            return model

        return case.with_model(change)

    return fault


def _too_much(p: float) -> nn.Module:
    return nn.Dropout(0.88 + p / 10)


def _with_loss(case: Case, loss: Any) -> Case:
    return case.replace(task=case.task.replace(cost=Cost(loss, metrics=case.task.cost.metrics)))


def _wrong_axis(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.nll_loss(functional.log_softmax(outputs, dim=0), targets)


def _broadcast(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean square of a table (rows, rows) of differences: a row with a column."""
    return (outputs - targets[:, 0]).square().mean()


def _one_output(rng: Rng) -> Case:
    data = teacher(rng)
    train, kept = data.train, data.validation
    one = Data(
        (train.inputs, train.targets[:, :1]),
        validation=(kept.inputs, kept.targets[:, :1]),
    )
    return trained(rng, network(rng, one))


def _frozen(case: Case, rng: Rng) -> Case:
    """Freeze all but the last layer, or all but the first."""
    last = rng.random() < 0.7

    def change(model: nn.Module) -> nn.Module:
        for layer in linears(model)[: -1 if last else None][0 if last else 1 :]:
            layer.requires_grad_(False)
        return model

    return case.with_model(change)


def _narrow(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)
    hidden = [int(rng.integers(10, 15))] * int(pick(rng, (2, 3)))
    return trained(rng, network(rng, data).replace(model=lambda: mlp([features, *hidden, outputs])))


def _sign_flipped(case: Case, rng: Rng) -> Case:
    place = rng.random()

    def change(model: nn.Module) -> nn.Module:
        layers = linears(model)
        layers[int(place * len(layers))].weight.register_hook(lambda g: -g)
        return model

    return case.with_model(change)


class _Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def _detached(case: Case, rng: Rng) -> Case:
    return case.with_model(lambda model: nn.Sequential(*list(model)[:-1], _Detached(), model[-1]))


def _wrong_split(case: Case, rng: Rng) -> Case:
    """Leave the validation set in other units than the training set."""
    scale, shift = rng.uniform(2, 4), rng.uniform(1, 3) * pick(rng, (-1, 1))
    data = case.task.data
    kept = data.validation
    assert kept is not None
    moved = (scale * kept.inputs + shift, kept.targets)
    return case.replace(task=case.task.replace(data=Data(data.train, validation=moved)))


def _stale_batch(case: Case, rng: Rng) -> Case:
    size = min(case.batch_size or 32, 32)

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        times = len(y) // size
        return x[:size].repeat(times, *[1] * (x.ndim - 1)), y[:size].repeat(
            times, *[1] * (y.ndim - 1)
        )

    return case.with_rows(change).replace(batch_size=size, shuffle="never")


def _softmax_twice(case: Case, rng: Rng) -> Case:
    return case.with_model(lambda model: nn.Sequential(*model, nn.Softmax(1)))


class ForgetfulSGD(torch.optim.SGD):
    """SGD of a loop that forgot zero_grad: gradients add up from step to step."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self._kept: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Add the gradients of all steps before."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.add_(self._kept.get(p, 0))
                    self._kept[p] = p.grad.clone()
        return super().step(closure)


def _no_zero_grad(case: Case, rng: Rng) -> Case:
    return case.replace(optimizer=ForgetfulSGD)


def _plain_sgd(rng: Rng) -> Case:
    return dense(rng, classes, ("sgd",), depth=(1, 2))


class _Bounded(nn.Module):
    """What cannot reach the targets: outputs after a ReLU or a sigmoid."""

    def __init__(self, inner: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.activation = inner, activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.inner(x))
        return out


def _bounded(case: Case, rng: Rng) -> Case:
    kind = pick(rng, (nn.ReLU, nn.Sigmoid))
    return case.with_model(lambda model: _Bounded(model, kind()))


class _Mixed(nn.Module):
    """`reshape` where a transpose was meant: features of one row become those of others."""

    def forward(self, x: Tensor) -> Tensor:
        return x.T.reshape(x.shape)


def _mixed_rows(case: Case, rng: Rng) -> Case:
    return case.with_model(lambda model: nn.Sequential(_Mixed(), *model))


class _Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def _masked_inputs(case: Case, rng: Rng) -> Case:
    return case.with_model(lambda model: nn.Sequential(_Masked(), *model))


def _normalised(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)
    width = int(rng.integers(32, 65))

    def model() -> nn.Module:
        first = nn.Linear(features, width)
        nn.init.normal_(first.weight, std=4 / features**0.5)
        nn.init.constant_(first.bias, 4.0)
        return nn.Sequential(first, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs))

    return trained(rng, network(rng, data).replace(model=model))


def _statistics_never_learned(case: Case, rng: Rng) -> Case:
    def change(model: nn.Module) -> nn.Module:
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.momentum = 1e-5
        return model

    return case.with_model(change)


def _schedule_ends_at_once(case: Case, rng: Rng) -> Case:
    factor = rng.uniform(0.7, 0.85)
    return case.replace(
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, factor),
        scheduler_step="step",
    )


def _values(rng: Rng) -> Case:
    return dense(rng, teacher)


def _classes(rng: Rng) -> Case:
    return dense(rng, classes)


UNLISTED: list[Patient] = [
    plant(name, "unlisted", base, fault)
    for name, base, fault in (
        ("targets shifted by a row", _classes, _targets_shifted),
        ("values shifted by a row", _values, _targets_shifted),
        ("labels shuffled in part", _classes, _labels_shuffled),
        ("dropout never off", _with_dropout, _dropout(_Dropped)),
        ("dropout of .95", _with_dropout, _dropout(_too_much)),
        ("loss along the wrong axis", _classes, lambda case, rng: _with_loss(case, _wrong_axis)),
        ("a row less a column", _one_output, lambda case, rng: _with_loss(case, _broadcast)),
        ("layers frozen by mistake", _narrow, _frozen),
        ("a layer's gradient of the wrong sign", _classes, _sign_flipped),
        ("all but the last layer detached", _narrow, _detached),
        ("validation set in other units", _classes, _wrong_split),
        ("the first batch again and again", _classes, _stale_batch),
        ("softmax twice", _classes, _softmax_twice),
        ("zero_grad forgotten", _plain_sgd, _no_zero_grad),
        ("outputs that cannot reach the targets", _values, _bounded),
        ("reshape in the place of transpose", _classes, _mixed_rows),
        ("inputs multiplied by 0", _classes, _masked_inputs),
        ("running statistics that never move", _normalised, _statistics_never_learned),
        ("the schedule ends at once", _classes, _schedule_ends_at_once),
    )
]
"""Kinds of faults beyond the catalogue."""
