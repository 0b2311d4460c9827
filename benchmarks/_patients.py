"""Plants of the catalogue's causes, each drawn by a seed: width, depth, data, optimizer, place of the fault.

What each cause is called and what it looks like is the catalogue of `thalweg.doctor`; how it was planted
is said here alone. A plant's twin is the same case without the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _case import Case, Fault, Patient, plant
from _draws import (
    Recurrent,
    Rng,
    classes,
    dense,
    digits_data,
    linears,
    log_uniform,
    pick,
    sequences,
    task_of,
    teacher,
    trained,
    widths,
)
from torch import Tensor, nn

from thalweg.curvature import extremes, hessian
from thalweg.objective import Cost
from thalweg.tasks import Data, mlp

ADAM = ("adam", "adamw")


def _times_rate(low: float, high: float) -> Fault:
    return lambda case, rng: case.replace(lr=case.lr * log_uniform(rng, low, high))


def _changed(change: Callable[[nn.Module, Rng], None]) -> Fault:
    """Return a fault of the model's start: each fresh model is changed in the same places."""

    def fault(case: Case, rng: Rng) -> Case:
        seed = int(rng.integers(2**31))

        def changed(model: nn.Module) -> nn.Module:
            with torch.no_grad():
                change(model, np.random.default_rng(seed))
            return model

        return case.with_model(changed)

    return fault


def _linear_model(rng: Rng) -> Case:
    """Return a linear model, by SGD at half the largest stable step of each mean square."""
    data = pick(rng, (digits_data, lambda: teacher(rng)))()
    features, outputs = widths(data)
    return Case(task_of(data, lambda: nn.Linear(features, outputs), "linear"), "sgd", 0.1, 12, 64)


def _badly_scaled(case: Case, rng: Rng) -> Case:
    """Give one to three inputs another unit, and SGD a step that the largest curvature can bear."""
    factor, many = log_uniform(rng, 100, 1000), int(rng.integers(1, 4))
    data, kept = case.task.data, case.task.data.validation
    assert kept is not None
    by = torch.ones(widths(data)[0])
    by[torch.as_tensor(rng.permutation(len(by))[:many].copy())] = factor
    scaled = Data(
        (data.train.inputs * by, data.train.targets),
        validation=(kept.inputs * by, kept.targets),
    )
    return case.replace(task=case.task.replace(data=scaled), lr=case.lr / factor**2)


def _sigmoids(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)
    sizes = [features, *[int(rng.integers(20, 49))] * int(rng.integers(8, 13)), outputs]
    task = task_of(data, lambda: mlp(sizes, nn.ReLU, init="kaiming_normal"), f"{sizes}")
    return trained(rng, task, ("adam",)).replace(lr=1e-3)


def _vanishing(case: Case, rng: Rng) -> Case:
    """Exchange ReLU for sigmoids, or weights for a quarter of them."""
    if rng.random() < 0.6:

        def change(model: nn.Module) -> nn.Module:
            for i, layer in enumerate(model):
                if isinstance(layer, nn.ReLU):
                    model[i] = nn.Sigmoid()
            return _default(model)

        return case.with_model(change)
    return case.with_model(lambda model: _scaled(model, 0.25))


def _default(model: nn.Module) -> nn.Module:
    for layer in linears(model):
        layer.reset_parameters()
    return model


def _scaled(model: nn.Module, by: float) -> nn.Module:
    with torch.no_grad():
        for layer in linears(model):
            layer.weight.mul_(by)
    return model


def _recurrent(rng: Rng) -> Case:
    length, hidden = int(rng.integers(30, 61)), int(rng.integers(16, 33))
    data = sequences(rng, length)
    task = task_of(data, lambda: Recurrent(2, hidden, 1), f"RNN {hidden}")
    return Case(task, pick(rng, ("sgd", "adam")), 5e-3, 12, 50)


def _exploding_rnn(case: Case, rng: Rng) -> Case:
    gain = rng.uniform(1.6, 2.2)

    def change(model: nn.Module) -> nn.Module:
        nn.init.normal_(model.rnn.weight_hh_l0, std=gain / model.rnn.hidden_size**0.5)
        return model

    return case.with_model(change)


def _deep(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)
    sizes = [features, *[int(rng.integers(24, 49))] * int(rng.integers(6, 10)), outputs]
    task = task_of(data, lambda: mlp(sizes, init="kaiming_normal"), f"{sizes}")
    return trained(rng, task, ("momentum",)).replace(lr=5e-3)


def _exploding_deep(case: Case, rng: Rng) -> Case:
    by = rng.uniform(1.8, 2.5)
    return case.with_model(lambda model: _scaled(model, by))


def _dead(model: nn.Module, rng: Rng) -> None:
    layer = linears(model)[int(rng.integers(len(linears(model)) - 1))]
    of = torch.as_tensor(rng.random(layer.out_features) < rng.uniform(0.85, 1.0))
    layer.bias[of] = -float(rng.uniform(6, 12))


def _saturated(model: nn.Module, rng: Rng) -> None:
    layers = linears(model)[:-1]
    layers[int(rng.integers(len(layers)))].weight.mul_(float(rng.uniform(40, 100)))


def _tanh(rng: Rng) -> Case:
    return dense(rng, classes, ("momentum", "adam"), depth=(2, 3), activation="tanh")


def _small_batch(case: Case, rng: Rng) -> Case:
    size = int(pick(rng, (1, 2)))
    return case.replace(batch_size=size, epochs=max(1, case.epochs // 8))


def _symmetric(model: nn.Module, rng: Rng) -> None:
    value = float(rng.uniform(0.01, 0.1))
    for layer in linears(model):
        layer.weight.fill_(value)
        layer.bias.zero_()


def _flat_start(case: Case, rng: Rng) -> Case:
    """Start at a saddle, or beside it: the last two layers are nearly 0."""
    scale = float(pick(rng, (0.0, 1e-5, 1e-4)))

    def change(model: nn.Module, rng: Rng) -> None:
        for layer in linears(model)[-2:]:
            layer.weight.mul_(scale)
            layer.bias.zero_()

    return _changed(change)(case, rng)


class Product(nn.Module):
    """x·Πw with equal weights: a plain beside a cliff."""

    def __init__(self, layers: int, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.full((layers,), start))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w.prod() + self.bias


def _cliff(rng: Rng) -> Case:
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = torch.randn(1200, 1, generator=generator)
    y = 2 * x + 0.3 * torch.randn(1200, 1, generator=generator)
    layers = int(rng.integers(16, 23))
    start = float(rng.uniform(0.71, 0.76))  # far out on the plain: the cliff comes after 100 steps
    data = Data((x[:1000], y[:1000]), validation=(x[1000:], y[1000:]))
    task = task_of(data, lambda: Product(layers, start), f"product of {layers}")
    return Case(task, "momentum", float(rng.uniform(0.008, 0.012)), 24, 20, clip_norm=0.3)


def _corrupt_batch(case: Case, rng: Rng) -> Case:
    size = case.batch_size or 32
    at = int(rng.integers(4, 12)) * size
    factor = log_uniform(rng, 100, 300)

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x[at : at + size] *= factor
        return x, y

    return case.with_rows(change)


def _one_order(rng: Rng) -> Case:
    return dense(rng).replace(shuffle="never")


def _sorted(case: Case, rng: Rng) -> Case:
    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        order = (y if y.ndim == 1 else y[:, 0]).argsort(stable=True)
        return x[order], y[order]

    return case.with_rows(change).replace(shuffle="never")


def _large_start(model: nn.Module, rng: Rng) -> None:
    _scaled(model, float(rng.uniform(12, 30)) ** (2 / (1 + len(linears(model)))))


class LowPrecision(nn.Module):
    """A model of bfloat16 whose outputs are float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x.to(torch.bfloat16))
        return out.float()


def _fine_steps(rng: Rng) -> Case:
    case = dense(rng, classes, ADAM)
    return case.replace(lr=log_uniform(rng, 5e-5, 1.5e-4), epochs=2 * case.epochs)


def _rounded(case: Case, rng: Rng) -> Case:
    return case.with_model(LowPrecision)


def _decayed(case: Case, rng: Rng) -> Case:
    strength = (
        log_uniform(rng, 3, 15) / 100 / case.lr
        if case.optimizer == "adamw"
        else rng.uniform(0.1, 0.4)
    )
    return case.replace(hyperparameters={"weight_decay": strength})


def _apart(factor: float, place: float) -> Any:
    """Return Adam in whose param groups one layer has another learning rate."""

    def make(parameters: Any, lr: float) -> torch.optim.Optimizer:
        given = list(parameters)
        matrices = [i for i, p in enumerate(given) if p.ndim > 1]
        at = matrices[int(place * len(matrices))]
        others = [p for i, p in enumerate(given) if i != at]
        groups = [{"params": others}, {"params": [given[at]], "lr": lr * factor}]
        return torch.optim.Adam(groups, lr)

    return make


def _imbalanced(case: Case, rng: Rng) -> Case:
    factor = 1 / log_uniform(rng, 300, 1000) if rng.random() < 0.5 else log_uniform(rng, 150, 300)
    return case.replace(optimizer=_apart(factor, 0.0 if factor < 1 else float(rng.random())))


def _narrow(rng: Rng) -> Case:
    data = teacher(rng)
    features, outputs = widths(data)
    hidden = [int(rng.integers(8, 13))] * 2
    task = task_of(data, lambda: mlp([features, *hidden, outputs], nn.Tanh), f"Tanh {hidden}")
    return trained(rng, task, ("adam",)).replace(optimizer=torch.optim.Adam)


def _log_of_probability(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy written out: log of a probability that may round to 0."""
    p = outputs.exp() / outputs.exp().sum(1, keepdim=True)
    return -(p[torch.arange(len(p)), targets].log()).mean()


class RootOfSquare(nn.Module):
    """A ReLU and a division by the norm of the row: the root has no slope at 0."""

    def forward(self, h: Tensor) -> Tensor:
        h = h * (h > 0)  # nn.ReLU would set the slope to 0, be it NaN or not
        return h / (h.square().sum(1, keepdim=True).sqrt() + 1e-6)


def _not_finite(case: Case, rng: Rng) -> Case:
    """Write the loss out without care and let outputs grow, or divide by a norm that may be 0."""
    if rng.random() < 0.5:
        # so that some probability rounds to 0, whatever the depth: weights of 5 to 10 times did so nowhere
        cost, by = Cost(_log_of_probability, metrics="accuracy"), rng.uniform(25, 40)
        scaled = case.with_model(lambda model: _scaled(model, by))
        return scaled.replace(task=scaled.task.replace(cost=cost))

    def change(model: nn.Module) -> nn.Module:
        layers = list(model)
        with torch.no_grad():
            layers[0].bias.sub_(1.5)  # so that all units of some rows are 0
        return nn.Sequential(layers[0], RootOfSquare(), *layers[2:])

    return case.with_model(change)


def _relu(rng: Rng) -> Case:
    return dense(rng, classes, activation="relu", depth=(1, 2))


def _whole_batch(rng: Rng) -> Case:
    case = dense(rng, teacher, ("sgd",), activation="tanh", depth=(2,))
    return case.replace(batch_size=None, epochs=300, lr=0.1)


def _at_the_edge(case: Case, rng: Rng) -> Case:
    """Take three quarters of the largest rate that the start bears: of squared errors the curvature then
    grows up to the edge, while that of classes shrinks again where they are learned.
    """
    torch.manual_seed(int(rng.integers(2**31)))  # that of this start
    data = case.task.data.train
    top = extremes(hessian(case.task.build(), "mse", (data.inputs, data.targets)), tol=0.01).top
    return case.replace(lr=float(rng.uniform(1.4, 1.6)) / top.value)


def _repeated(case: Case, rng: Rng) -> Case:
    """Take all rows in a step, and 16 times as many, each a little beside one of them, so that a batch has no
    noise to speak of and no row comes twice.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        at = torch.randint(len(x), (16 * len(x),), generator=generator)
        return x[at] + 0.1 * torch.randn(x[at].shape, generator=generator), y[at]

    return case.with_rows(change).replace(batch_size=None, epochs=40)


def _sgd(rng: Rng) -> Case:
    return dense(rng, classes, ("sgd",))


def _quiet(case: Case, rng: Rng) -> Case:
    """Take so small a batch that noise rules, at a learning rate that a larger one would bear."""
    return _small_batch(case, rng).replace(lr=case.lr * rng.uniform(1.0, 2.0))


def _relu_deep(rng: Rng) -> Case:
    return dense(rng, activation="relu", depth=(2, 3))


_CATALOGUE: tuple[tuple[str, str, Any, Fault], ...] = (
    ("a step 60 to 400 times too long", "lr_too_high", dense, _times_rate(60, 400)),
    ("a step 300 to 3000 times too short", "lr_too_low", dense, _times_rate(1 / 3000, 1 / 300)),
    ("inputs in other units", "ill_conditioning", _linear_model, _badly_scaled),
    ("many sigmoids, or small weights", "vanishing_gradient", _sigmoids, _vanishing),
    ("a recurrent matrix of norm above 1", "exploding_gradient", _recurrent, _exploding_rnn),
    ("a deep net of large weights", "exploding_gradient", _deep, _exploding_deep),
    ("biases far below 0", "dead_units", _relu_deep, _changed(_dead)),
    ("weights that saturate tanh", "saturation", _tanh, _changed(_saturated)),
    ("one or two rows a step", "batch_too_small", _sgd, _quiet),
    ("weights all equal", "symmetry", dense, _changed(_symmetric)),
    ("the last layers nearly 0", "plateau_or_saddle", _sgd, _flat_start),
    (
        "a product of many weights, unclipped",
        "cliff",
        _cliff,
        lambda c, rng: c.replace(clip_norm=None),
    ),
    ("one batch of other units", "loss_spike", _one_order, _corrupt_batch),
    ("rows sorted by target", "data_order", dense, _sorted),
    ("weights too large at the start", "init_scale", _relu_deep, _changed(_large_start)),
    ("bfloat16 weights, small steps", "lost_updates", _fine_steps, _rounded),
    (
        "decay that wins",
        "decay_imbalance",
        lambda rng: dense(rng, optimizers=("adamw", "sgd")),
        _decayed,
    ),
    ("one layer's rate far off", "layer_imbalance", _narrow, _imbalanced),
    ("a logarithm or a root of 0", "non_finite", _relu, _not_finite),
)
PLANTS: list[Patient] = [plant(*each) for each in _CATALOGUE]
"""Faults that the catalogue names."""

INFORMED: list[Patient] = [
    plant(
        "whole batches at the edge",
        "edge_of_stability",
        _whole_batch,
        _at_the_edge,
        information=True,
    ),
    plant("all rows a step", "batch_too_large", _sgd, _repeated, information=True),
]
"""What the catalogue tells, and calls no fault."""
