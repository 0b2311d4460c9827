"""Healthy runs that look ill: what the catalogue says must stay silent, each drawn by a seed."""

from __future__ import annotations

from typing import Any

import torch
from _case import Case, Patient, healthy
from _draws import (
    Deep,
    Recurrent,
    Rng,
    any_data,
    blobs,
    classes,
    convolutional,
    dense,
    digits_data,
    linears,
    network,
    pick,
    sequences,
    task_of,
    teacher,
    trained,
    widths,
)
from _patients import LowPrecision
from torch import Tensor, nn
from torch.nn import functional

from thalweg import Task
from thalweg.objective import Cost
from thalweg.tasks import Data, load_task, mlp


def _edge(rng: Rng) -> Case:
    case = dense(rng, classes, ("sgd",), activation="tanh", depth=(1,))
    return case.replace(batch_size=None, epochs=250, lr=float(rng.uniform(0.8, 1.5)))


def _end_of_cosine(rng: Rng) -> Case:
    case = dense(rng)
    return case.replace(optimizer=f"{case.optimizer}+cosine")


def _converged(rng: Rng) -> Case:
    data = teacher(rng)
    features, outputs = widths(data)
    return Case(task_of(data, lambda: nn.Linear(features, outputs), "linear"), "sgd", 0.05, 30, 64)


def _small_steps(rng: Rng) -> Case:
    case = dense(rng, optimizers=("sgd",))
    return case.replace(lr=case.lr / 2, batch_size=16)


def _bad_scales_normalised(rng: Rng) -> Case:
    data = digits_data()
    by = torch.ones(64)
    by[torch.as_tensor(rng.permutation(64)[:2].copy())] = float(rng.uniform(300, 1000))
    kept: Any = data.validation
    train: Any = data.train
    scaled = Data((train.inputs * by, train.targets), validation=(kept.inputs * by, kept.targets))

    def model() -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(64, affine=False), *mlp([64, 48, 10]))

    return Case(task_of(scaled, model, "normalised first"), "sgd", 0.1, 12, 32)


def _many_blocks(rng: Rng) -> Case:
    data = blobs(rng)
    features, outputs = widths(data)
    task = task_of(data, lambda: Deep(features, 24, 20, outputs), "40 layers")
    return Case(task, "adam", 1e-3, 5, 64)


def _late(rng: Rng) -> Case:
    case = dense(rng, blobs, ("adam",))
    return case.replace(epochs=3 * case.epochs)


def _clipped_recurrent(rng: Rng) -> Case:
    data = sequences(rng, int(rng.integers(30, 61)))
    gain = rng.uniform(1.05, 1.15)
    task = task_of(data, lambda: Recurrent(2, 24, 1, gain), "RNN")
    return Case(task, "adam", 5e-3, 15, 50, clip_norm=1.0)


def _sparse_units(rng: Rng) -> Case:
    """Return a wide layer of which a tenth of the units is on in each row, and none never."""
    data = classes(rng)
    features, outputs = widths(data)

    def model() -> nn.Module:
        net = mlp([features, 256, outputs])
        nn.init.normal_(net[0].weight, std=features**-0.5)
        nn.init.constant_(net[0].bias, -1.0)
        return net

    return trained(rng, task_of(data, model, "sparse"), ("adam",))


def _output_sigmoid(rng: Rng) -> Case:
    data = load_task("breast_cancer").data
    train: Any = data.train
    kept: Any = data.validation
    parts = [(each.inputs, each.targets.float().reshape(-1, 1)) for each in (train, kept)]
    model = lambda: nn.Sequential(*mlp([30, 16, 1], nn.Tanh), nn.Sigmoid())  # noqa: E731
    task = Task(Data(parts[0], validation=parts[1]), Cost("binary_cross_entropy"), model)
    return Case(task, "adam", 1e-2, 25, 32)


class _LSTM(nn.Module):
    """A multiplicative recurrence whose gates close by design."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 24, batch_first=True)
        self.last = nn.Linear(24, 1)
        with torch.no_grad():
            self.lstm.bias_ih_l0[24:48] = 3.0  # the forget gate

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.lstm(x)[0][:, -1])
        return out


def _gates(rng: Rng) -> Case:
    data = sequences(rng, 20)
    return Case(task_of(data, _LSTM, "LSTM"), "adam", 1e-2, 15, 50)


def _batch_of_four(rng: Rng) -> Case:
    case = dense(rng, optimizers=("sgd", "momentum"))
    return case.replace(batch_size=4, lr=case.lr / 10, epochs=max(2, case.epochs // 4))


def _noisy_end(rng: Rng) -> Case:
    case = dense(rng, classes, ("sgd",))
    return case.replace(batch_size=8, lr=0.05, epochs=max(4, case.epochs // 2))


class _Tied(nn.Module):
    """An auto-encoder whose decoder is the encoder's transpose."""

    def __init__(self, features: int, codes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(codes, features) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, self.weight), self.weight.T, self.bias)


def _tied(rng: Rng) -> Case:
    data = digits_data()
    train: Any = data.train
    kept: Any = data.validation
    own = Data((train.inputs, train.inputs), validation=(kept.inputs, kept.inputs))
    codes = int(rng.integers(8, 25))
    return Case(Task(own, Cost("mse"), lambda: _Tied(64, codes)), "adam", 3e-3, 12, 32)


def _at_a_minimum(rng: Rng) -> Case:
    return _converged(rng).replace(optimizer="momentum", lr=0.02, epochs=40)


def _smoothed_labels(rng: Rng) -> Case:
    case = dense(rng, classes)
    cost = Cost(nn.CrossEntropyLoss(label_smoothing=0.1), metrics="accuracy")
    return case.replace(task=case.task.replace(cost=cost), epochs=2 * case.epochs)


def _hard_rows(rng: Rng) -> Case:
    """Return values of which a few are outliers, by a loss that bears them."""
    case = dense(rng, teacher)
    at = rng.integers(1200, size=6)

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y[torch.as_tensor(at)] *= 6
        return x, y

    changed = case.with_rows(change)
    return changed.replace(task=changed.task.replace(cost=Cost("huber_loss")))


def _stratified(rng: Rng) -> Case:
    """Return rows in an order in which the classes take turns, never shuffled."""
    case = dense(rng, classes)

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        turn = torch.zeros(len(y), dtype=torch.long)
        for each in y.unique():
            turn[y == each] = torch.arange(int((y == each).sum()))
        order = (turn * 1000 + y).argsort(stable=True)
        return x[order], y[order]

    return case.with_rows(change).replace(shuffle="never")


def _fine_tuned(rng: Rng) -> Case:
    """Start from a model that learned all but one class, with a learning rate for that."""
    case = dense(rng, lambda rng: digits_data(), ("adam",), activation="relu")
    first = case.loop()
    for _ in first:
        pass
    with torch.no_grad():
        linears(first.model)[-1].weight[0].zero_()
    return case.replace(task=case.task.replace(model=first.model), lr=1e-3, epochs=6)


def _zero_blocks(rng: Rng) -> Case:
    data = classes(rng)
    features, outputs = widths(data)

    def model() -> nn.Module:
        deep = Deep(features, 32, 4, outputs)
        for block in deep.blocks:
            nn.init.zeros_(block[-1].weight)
            nn.init.zeros_(block[-1].bias)
        return deep

    return trained(rng, task_of(data, model, "residual of 0"), ("adam",)).replace(lr=2e-3)


class StochasticAdam(torch.optim.Optimizer):
    """Adam whose bfloat16 parameters are rounded at random, so that small updates add up."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Take a step in float32 and round it up or down with the odds of the rest."""
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                state, g = self.state[p], p.grad.float()
                state["m"] = 0.9 * state.get("m", torch.zeros_like(g)) + 0.1 * g
                state["v"] = 0.999 * state.get("v", torch.zeros_like(g)) + 0.001 * g * g
                m, v = state["m"] / (1 - 0.9**self.steps), state["v"] / (1 - 0.999**self.steps)
                exact = p.float() - group["lr"] * m / (v.sqrt() + 1e-8)
                bits = exact.view(torch.int32) + torch.randint_like(exact, 1 << 16).to(torch.int32)
                p.copy_((bits & ~0xFFFF).view(torch.float32))


def _stochastic(rng: Rng) -> Case:
    case = dense(rng, classes, ("adam",)).with_model(LowPrecision)
    return case.replace(optimizer=StochasticAdam, lr=1e-3, epochs=2 * case.epochs)


def _frozen_features(rng: Rng) -> Case:
    """Learn the last layer alone, over many random features, on purpose."""
    data = classes(rng)
    features, outputs = widths(data)

    def model() -> nn.Module:
        net = mlp([features, 384, outputs])
        nn.init.normal_(net[0].weight, std=2 * features**-0.5)
        net[0].requires_grad_(False)
        return net

    return trained(rng, task_of(data, model, "random features"), ("adam",))


def _equilibrium(rng: Rng) -> Case:
    task = task_of(digits_data(), convolutional, "CNN, BatchNorm")
    return Case(task, "adamw", 5e-3, 12, 64, hyperparameters={"weight_decay": 0.1})


class _Words(nn.Module):
    """A mean of embeddings, of which few are used in a batch, and a linear layer."""

    def __init__(self, words: int, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, 16)
        self.last = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.table(x.long()).mean(1))
        return out


def _embeddings(rng: Rng) -> Case:
    of = rng.standard_normal((300, 4))
    x = rng.zipf(1.4, size=(1600, 8)) % 300
    y = of[x].mean(1).argmax(1)
    data = Data.arrays(x[:1200], y[:1200], validation=(x[1200:], y[1200:]))
    task = Task(data, Cost("cross_entropy", metrics="accuracy"), lambda: _Words(300, 4))
    return Case(task, "adam", 2e-2, 15, 32)


def _masked_attention(rng: Rng) -> Case:
    return Case(load_task("char_transformer"), "adam", 3e-3, 5, 128)


def _cosine_warmup(rng: Rng) -> Case:
    case = dense(rng, optimizers=("adam", "adamw"))
    return case.replace(
        scheduler=lambda optimizer: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / 100)
        ),
        scheduler_step="step",
    )


def _rare_class(rng: Rng) -> Case:
    """Return classes of which one is rare."""
    case = dense(rng, classes)

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        kept = (y != 0) | (torch.arange(len(y)) % 10 == 0)
        return x[kept], y[kept]

    return case.with_rows(change)


def _few_wrong_labels(rng: Rng) -> Case:
    case = dense(rng, classes)
    at = rng.permutation(1200)[:36]

    def change(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        y[torch.as_tensor(at)] = y[torch.as_tensor(at)].roll(1)
        return x, y

    return case.with_rows(change)


def _dropout(rng: Rng) -> Case:
    data = any_data(rng)
    p, (features, outputs) = float(rng.uniform(0.1, 0.4)), widths(data)
    task = network(rng, data).replace(model=lambda: mlp([features, 96, 96, outputs], dropout=p))
    return trained(rng, task, ("adam",))


def _long_tails(rng: Rng) -> Case:
    """Return inputs with long tails, which tanh bears."""
    data = teacher(rng)
    train: Any = data.train
    kept: Any = data.validation
    parts = [(each.inputs.sinh(), each.targets) for each in (train, kept)]
    tailed = Data(parts[0], validation=parts[1])
    return trained(rng, network(rng, tailed, activation="tanh"), ("adam",))


def _other_optimizer(rng: Rng) -> Case:
    case = dense(rng)
    name, lr = pick(
        rng,
        (
            ("lion", 5e-4),
            ("nadam", 3e-3),
            ("adagrad", 2e-2),
            ("rmsprop", 2e-3),
            ("signum", 1e-3),
            ("radam", 5e-3),
        ),
    )
    return case.replace(optimizer=name, lr=lr)


_DRAWN: tuple[tuple[str, str | None, Any], ...] = (
    ("gradient descent at the edge", "lr_too_high", _edge),
    ("the end of a cosine", "lr_too_low", _end_of_cosine),
    ("a run that has converged", "lr_too_low", _converged),
    ("small batches, short steps", "edge_of_stability", _small_steps),
    ("bad scales, normalised first", "ill_conditioning", _bad_scales_normalised),
    ("forty layers with residuals", "vanishing_gradient", _many_blocks),
    ("late training", "vanishing_gradient", _late),
    ("a clipped recurrent net", "exploding_gradient", _clipped_recurrent),
    ("nine zeros of ten, no dead unit", "dead_units", _sparse_units),
    ("a sigmoid as output", "saturation", _output_sigmoid),
    ("gates of an LSTM", "saturation", _gates),
    ("batches of 4 that train", "batch_too_small", _batch_of_four),
    ("a noisy late phase", "batch_too_large", _noisy_end),
    ("tied weights", "symmetry", _tied),
    ("at a minimum", "plateau_or_saddle", _at_a_minimum),
    ("smoothed labels", "plateau_or_saddle", _smoothed_labels),
    ("a few hard rows", "cliff", _hard_rows),
    ("batches of 4 with noise", "loss_spike", _batch_of_four),
    ("classes that take turns", "data_order", _stratified),
    ("a start that was trained before", "init_scale", _fine_tuned),
    ("residual branches of 0", "init_scale", _zero_blocks),
    ("bfloat16, rounded at random", "lost_updates", _stochastic),
    ("features frozen on purpose", "layer_imbalance", _frozen_features),
    ("normalised weights under decay", "decay_imbalance", _equilibrium),
    ("embeddings that are seldom used", "layer_imbalance", _embeddings),
    ("masked attention", "non_finite", _masked_attention),
    ("a warm-up", None, _cosine_warmup),
    ("a rare class", None, _rare_class),
    ("three wrong labels of a hundred", None, _few_wrong_labels),
    ("dropout", None, _dropout),
    ("inputs with long tails", None, _long_tails),
    ("another optimizer", None, _other_optimizer),
)
LOOK_ALIKES: list[Patient] = [healthy(name, draw, look) for name, look, draw in _DRAWN]
"""One kind each; a seed draws a run of it."""
