"""Strategies that look at a batch: LSUV, the search of scales, GradInit, weights learned elsewhere."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RERUN, same
from thalweg import Cost, Task, TaskError, init


def net(width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(8, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, width), nn.ReLU()),
        nn.Linear(width, 3),
    )


def rows(count: int = 120) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 8, generator=generator)
    return x, (x @ torch.randn(8, 3, generator=generator)).argmax(1)


X, Y = rows()
X64 = X.double()


def spreads(model: nn.Module, x: Tensor) -> dict[str, float]:
    """The standard deviation of what each linear or convolutional layer gives."""
    found: dict[str, float] = {}
    handles = [
        module.register_forward_hook(
            lambda _, __, out, name=name: found.update({name: float(out.std(correction=0))})
        )
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_lsuv_gives_every_layer_the_spread_1_also_with_a_shifted_bias(shift: float) -> None:
    model = net().eval()
    report = init.apply(model, init.orthogonal() | init.bias(shift) | init.lsuv(tol=1e-3), x=X)
    assert spreads(model, X) == {name: pytest.approx(1, abs=1e-3) for name in ("0", "3", "5")}
    assert report.rows[0].strategy == "orthogonal|lsuv:tol=0.001"
    relu = model[1](model[0](X)).detach()
    if not shift:  # unit spread before a ReLU leaves (1 − 1/π)/2 = .341 behind it
        assert float(relu.var()) == pytest.approx(0.341, abs=0.06)


def test_lsuv_leaves_modes_buffers_and_generators() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout()),
        nn.Linear(4 * 36, 3),
    )
    model[1].eval()
    x = 3 + torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    modes = [module.training for module in model.modules()]
    buffers = [buffer.clone() for buffer in model.buffers()]
    torch.manual_seed(5)
    init.apply(model, init.lsuv() | init.he(), x=x)
    drawn = torch.rand(1)
    assert [module.training for module in model.modules()] == modes
    same(list(model.buffers()), buffers, because="put back")
    torch.manual_seed(5)
    same(torch.rand(1), drawn, because=RERUN)
    model.eval()
    model[1].train()
    found = spreads(model, x)
    assert found["0"] == pytest.approx(1, abs=0.01), "lsuv ran after he, though it was named first"
    assert found["5"] == pytest.approx(1, abs=0.02)


def test_lsuv_of_attention_scales_its_output() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    init.apply(model, init.lsuv(), x=torch.randn(4, 5, 8))
    report = init.apply(model, init.lsuv(), x=torch.randn(4, 5, 8))
    assert "self_attn.out_proj.weight" in [row.name for row in report.rows]


def dead() -> nn.Sequential:
    model = net()
    nn.init.zeros_(model[3].weight)
    return model


@pytest.mark.parametrize(
    ("model", "strategy", "x", "message"),
    [
        (dead(), init.lsuv(), X, "the layer '3' gives the same for every row"),
        (net(), init.lsuv(), X * math.inf, "the layer '0' gives numbers not finite"),
        (net(), init.lsuv(), X[:0], "lsuv: the batch x has no rows"),
        (net(), init.lsuv(), torch.full_like(X, math.nan), "x is NaN in .* rows, first in row 0"),
        (net(), init.lsuv(), None, "looks at what a batch gives"),
        (net(), init.lsuv(tol=0.0), X, "tol must be a number > 0"),
        (net(), init.lsuv(iterations=1), X, "after 1 passes the outputs of 0 have"),
        (net(), init.search(), X, "needs targets and a loss"),
        (net(), init.gradinit(), X, "needs targets and a loss"),
        (net(), init.search(trials=0), X, "trials ≥ 1"),
        (net(), init.gradinit(optimizer="lion"), X, "'sgd' or 'adam'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_computed_is_refused(
    model: nn.Module, strategy: init.InitStrategy, x: Any, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        init.apply(model, strategy, x=x)


def after_step(model: nn.Module, lr: float) -> float:
    model.eval()
    loss = functional.cross_entropy(model(X), Y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        for p, g in zip(model.parameters(), gradients, strict=True):
            p -= lr * g
        return float(functional.cross_entropy(model(X), Y))


def test_the_search_is_never_worse_than_no_change_and_finds_better() -> None:
    scores = []
    for strategy in (init.scaled_normal(), init.scaled_normal() | init.search(sparsity=0.3)):
        model = net()
        init.apply(model, init.bias() | strategy, X, Y, loss="cross_entropy")
        scores.append(after_step(model, 0.1))
    assert scores[1] < scores[0]
    model = net()
    init.apply(model, init.he() | init.search(trials=1), X, Y, loss="cross_entropy")
    twin = net()
    init.apply(twin, init.he())
    same(
        model[0].weight.detach(), twin[0].weight.detach(), because="the first trial is not a change"
    )


def test_a_search_without_a_finite_score_says_so_and_changes_nothing() -> None:
    model = net()
    before = model[0].weight.detach().clone()

    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum() * math.nan

    with pytest.raises(TaskError, match="not finite in any of 5 trials"):
        init.apply(model, init.search(trials=5), X, Y, loss=broken)
    same(model[0].weight.detach(), before, because="put back")
    with pytest.raises(TaskError, match="in step 0 of the factors the loss"):
        init.apply(model, init.gradinit(), X, Y, loss=broken)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradinit_lowers_the_loss_after_a_step(optimizer: str) -> None:
    scores = []
    learned = init.find_strategy(f"he|gradinit:optimizer={optimizer},lr=0.01,steps=60")
    for strategy in (init.he(), learned):
        model = net()
        init.apply(model, init.bias() | strategy, X, Y, loss="cross_entropy")
        model.eval()
        gradients = torch.autograd.grad(
            functional.cross_entropy(model(X), Y), list(model.parameters())
        )
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradients, strict=True):
                p -= 0.01 * (g.sign() if optimizer == "adam" else g)
            scores.append(float(functional.cross_entropy(model(X), Y)))
    assert scores[1] < scores[0] - 0.02


def gradinit_by_differences(
    model: nn.Module, optimizer: str, lr: float, bound: float, steps: int
) -> tuple[np.ndarray, list[bool]]:
    """Return the factors by the paper's algorithm, slopes by central differences and Adam in NumPy, and in
    which steps the gradient was above its bound.
    """
    weights = [model[0].weight, model[3].weight]  # type: ignore[index]
    start = [w.detach().clone() for w in weights]
    rows = len(X) // 3

    def aims(factors: np.ndarray) -> tuple[float, float]:
        """Return the gradient's norm and the loss after the step."""
        moved = copy.deepcopy(model)
        for layer, w, factor in zip((0, 3), start, factors, strict=True):
            moved[layer].weight.data = w * factor  # type: ignore[index]
        parameters = list(moved.parameters())
        loss = functional.cross_entropy(moved(X64[: 2 * rows]), Y[: 2 * rows])
        gradients = torch.autograd.grad(loss, parameters)
        whole = torch.cat([g.flatten() for g in gradients])
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p -= lr * (g.sign() if optimizer == "adam" else g)
            after = functional.cross_entropy(moved(X64[rows:]), Y[rows:])
        return float(whole.abs().sum() if optimizer == "adam" else whole.norm()), float(after)

    factors, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    above = []
    for t in range(1, steps + 1):
        above.append(aims(factors)[0] > bound)
        which, h = (0 if above[-1] else 1), 1e-6
        units = np.eye(2) * h
        slope = [(aims(factors + u)[which] - aims(factors - u)[which]) / (2 * h) for u in units]
        m = 0.9 * m + 0.1 * np.array(slope)
        v = 0.999 * v + 0.001 * np.array(slope) ** 2
        factors = factors - 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        factors = np.maximum(factors, 0.01)
    return factors, above


@pytest.mark.parametrize(("optimizer", "bound"), [("sgd", 0.3), ("adam", 2.5)])
def test_gradinit_finds_the_factors_of_the_papers_algorithm(optimizer: str, bound: float) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Identity(), nn.Linear(6, 3)).double()
    start = copy.deepcopy(model)
    factors, above = gradinit_by_differences(start, optimizer, 0.1, bound, 12)
    assert len(set(above)) == 2, "the loss and the norm were both descended"
    strategy = init.gradinit(steps=12, optimizer=optimizer, lr=0.1, bound=bound)  # type: ignore[arg-type]
    init.apply(model, strategy, X64, Y, loss="cross_entropy")
    for layer, factor in zip((0, 3), factors, strict=True):
        found = model[layer].weight / start[layer].weight
        # differences are exact to 1e-9 or so of a slope, and Adam divides by its size
        assert found.detach().numpy() == pytest.approx(factor, abs=1e-5)


def test_gradinit_keeps_the_gradient_below_its_bound() -> None:
    model = net()
    init.apply(model, init.he(gain=6.0) | init.bias(), X, Y)

    def norm() -> float:
        model.eval()
        loss = functional.cross_entropy(model(X), Y)
        parts = torch.autograd.grad(loss, list(model.parameters()))
        return float(torch.cat([p.flatten() for p in parts]).norm())

    assert norm() > 4
    strategy = init.gradinit(steps=150, optimizer="sgd", bound=2.0, lr=0.1)
    init.apply(model, strategy, X, Y, loss="cross_entropy")
    assert norm() < 3, "2 on the two thirds of the rows that it sees"


def test_transfer_copies_what_fits_and_says_what_does_not() -> None:
    source, model = net(), net()
    model[5] = nn.Linear(32, 7)
    report = init.apply(model, init.transfer(source))
    same(model[3].weight.detach(), source[3].weight.detach(), because="copied")
    assert report.remarks == (
        "Not copied: 5.weight (7, 32) (the source has (3, 32)), 5.bias (7,) (the source has (3,)).",
    )
    twin = net()
    own = twin[5].weight.detach().clone()
    init.apply(twin, init.transfer(source.state_dict()).on("hidden"))
    same(twin[5].weight.detach(), own, because="the output layer was not named")
    with pytest.raises(TaskError, match="nothing fits"):
        init.apply(nn.Linear(2, 2), init.transfer(source))


def test_transfer_copies_into_frozen_parameters_as_load_state_dict_does() -> None:
    source, model, whole = net(), net(), net()
    for p in source.parameters():
        p.data.add_(1.0)
    model[0].requires_grad_(False)
    init.apply(model, init.transfer(source))
    same(model.state_dict(), source.state_dict(), because="copied")
    assert [p.requires_grad for p in model[0].parameters()] == [False, False]
    whole.requires_grad_(False)
    init.apply(whole, init.transfer(source))
    same(whole.state_dict(), source.state_dict(), because="copied")


def test_transfer_from_a_related_task_needs_fewer_steps() -> None:
    """Two tasks with the same features: the classes have other numbers."""
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(1))
    features = torch.randn(8, 6, generator=torch.Generator().manual_seed(2)) / 8**0.5
    hidden = (3 * x @ features).sin()
    first = hidden[:, :3].argmax(1)
    second = (first + 1) % 3

    def steps(model: nn.Module, y: Tensor) -> int:
        adam = torch.optim.Adam(model.parameters(), lr=3e-3)
        model.eval()
        for step in range(400):
            loss = functional.cross_entropy(model(x), y)
            if loss < 0.5:
                return step
            adam.zero_grad()
            loss.backward()
            adam.step()
        return 400

    torch.manual_seed(0)
    source, fresh = net(), net()
    assert steps(source, first) < 400
    model = net()
    init.apply(model, init.he() | init.transfer(source).on("hidden"))
    init.apply(fresh, init.he())
    assert steps(model, second) < 0.8 * steps(fresh, second)


def test_an_autoencoder_leaves_codes_from_which_the_inputs_can_be_rebuilt() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    low = X[:, :3] @ torch.randn(3, 8, generator=torch.Generator().manual_seed(3))

    def unexplained() -> float:
        codes = torch.cat([model[1](model[0](low)), torch.ones(len(low), 1)], 1).detach()
        fit = torch.linalg.lstsq(codes, low).solution
        return float((codes @ fit - low).var() / low.var())

    init.apply(model, init.he(gain=8.0))
    before = unexplained()
    report = init.apply(model, init.autoencoder(steps=400, lr=0.01), x=low)
    assert unexplained() < 0.5 * before
    assert "0 rebuilds its inputs but for" in report.remarks[0]
    with pytest.raises(TaskError, match="is not finite; give a smaller lr"):
        init.apply(model, init.autoencoder(lr=1e30, steps=3), x=low)
    init.apply(model, init.he() | init.autoencoder(steps=5, noise=0.2), x=low)


def test_tasks_give_strategies_a_batch() -> None:
    task = Task((X, Y), Cost("cross_entropy"), net, init="he|search:trials=3|lsuv", batch_size=64)
    torch.manual_seed(0)
    first = task.build()
    torch.manual_seed(0)
    same(first[0].weight, task.build()[0].weight, because=RERUN)  # type: ignore[index]
    first.eval()
    assert spreads(first, X)["3"] == pytest.approx(1, abs=0.25), "another batch of the same rows"
