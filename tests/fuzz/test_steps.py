"""Random lives of optimizers: whatever is done to parameters, groups and states, PyTorch's are equal."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from tests.examples import MORE
from tests.optim.problem import default_dtype
from thalweg import optim
from thalweg.meta import NonFinite

from .worlds import ACTIONS, Action, World, normal, step

OPTIMIZERS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1}],
    "RMSprop": [{}, {"momentum": 0.9, "centered": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}],
    "AdamW": [{}, {"maximize": True}],
    "Adadelta": [{"lr": 0.5}],
    "Adamax": [{}],
    "NAdam": [{}, {"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{}],
}
CHOICES = [(name, kwargs) for name, many in OPTIMIZERS.items() for kwargs in many]
SHAPES = [(), (1,), (5,), (3, 3), (4, 2), (2, 3, 4), (0,), (70000,)]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 3e-4}


@st.composite
def lives(draw: st.DrawFn) -> dict[str, Any]:
    """What happens: which optimizer, which parameters in which memory, and what is done to them in turn."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=5))
    return {
        "optimizer": draw(st.sampled_from(CHOICES)),
        "dtype": draw(st.sampled_from([torch.float64, torch.float64, torch.float32])),
        "shapes": shapes,
        "memory": draw(st.sampled_from(["own", "flat", "spaced", "transposed"])),
        "split": draw(st.integers(0, len(shapes))),
        "wrapper": draw(st.sampled_from([None, None, "NonFinite"])),
        "engine": draw(st.sampled_from(["auto", "foreach", "eager"])),
        "actions": draw(
            st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 63)), max_size=14)
        ),
    }


def parameters(life: dict[str, Any]) -> list[Parameter]:
    draw = torch.Generator().manual_seed(1)
    dtype = life["dtype"]
    start = [normal(draw, torch.zeros(shape, dtype=dtype)) for shape in life["shapes"]]
    if life["memory"] == "flat":
        flat = torch.cat([x.flatten() for x in start])
        parts = flat.split([x.numel() for x in start])
        start = [part.view(x.shape) for part, x in zip(parts, start, strict=True)]
    if life["memory"] == "spaced":
        start = [torch.stack([x, x], dim=-1)[..., 1] for x in start]
    if life["memory"] == "transposed":
        start = [x.t().contiguous().t() if x.ndim == 2 else x for x in start]
    return [Parameter(x) for x in start]


def world(life: dict[str, Any], module: Any, **kwargs: Any) -> World:
    name, given = life["optimizer"]

    def make(groups: Any) -> torch.optim.Optimizer:
        made = getattr(module, name)(groups, **{"lr": 0.05, **given, **kwargs})
        return NonFinite(made) if life["wrapper"] else made

    params = parameters(life)
    split = life["split"]
    groups = [g for g in (list(range(split)), list(range(split, len(params)))) if g]
    return World(make, params, groups)


def live(life: dict[str, Any]) -> None:
    """Live one life in both worlds, and compare after every action."""
    with default_dtype(torch.float64):  # PyTorch keeps step numbers and NAdam's product in it
        _live(life)


def _live(life: dict[str, Any]) -> None:
    theirs = world(life, torch.optim, foreach=False)
    ours = world(life, optim, engine=life["engine"])
    done: list[str] = []
    moves: list[tuple[Action, int]] = [(step, 0), *life["actions"], (step, 0), (step, 1)]
    for turn, (action, n) in enumerate(moves):
        failures = []
        for each in (theirs, ours):
            try:
                action(each, torch.Generator().manual_seed(100 + turn), n)
                failures.append(None)
            except Exception as error:
                failures.append(error)
        done.append(f"{action.__name__}({n})")
        if (
            failures[0] is not None
        ):  # PyTorch refuses it: so may we, and there is nothing to compare after
            return
        assert failures[1] is None, f"after {done}: {failures[1]!r}"
        compare(ours, theirs, life["dtype"], " → ".join(done))


def compare(ours: World, theirs: World, dtype: torch.dtype, done: str) -> None:
    bound = TOLERANCE[dtype]
    for k, (a, b) in enumerate(zip(ours.params, theirs.params, strict=True)):
        assert_near(a.detach(), b.detach(), bound, f"parameter {k} after {done}")
        mine, other = ours.inner.state.get(a, {}), theirs.inner.state.get(b, {})
        for name, value in other.items():
            if isinstance(value, Tensor) and name != "note":
                assert name in mine, f"the state {name} of parameter {k} after {done}"
                assert_near(
                    mine[name], value, bound, f"the state {name} of parameter {k} after {done}"
                )


def assert_near(a: Tensor, b: Tensor, bound: float, what: str) -> None:
    a, b = a.double(), b.double()
    scale = 1.0 + float(b.abs().max()) if b.numel() else 1.0
    assert a.shape == b.shape, what
    assert torch.allclose(a, b, rtol=0.0, atol=bound * scale, equal_nan=True), (
        f"{what}: {(a - b).abs().max().item():.3g} apart"
    )


@settings(max_examples=60 * MORE)
@given(life=lives())
def test_random_lives_are_those_of_pytorch(life: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        # a scheduler that is made before a step, and non-leaf gradients, are what is tested here
        warnings.simplefilter("ignore")
        live(copy.copy(life))
