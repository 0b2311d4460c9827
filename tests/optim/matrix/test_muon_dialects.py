"""Muon as Keras and Optax have it, beside recorded steps and transcriptions; stacks of matrices."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from tests.engine.kinds import draw, each_engine
from tests.exact import RERUN, same
from tests.model.models import MoE
from thalweg import Optimizer, RuleError, optim
from thalweg.rules import muon, muon_heavy_ball, muon_unbiased, normuon

from . import recorded, transcription

CLOSE = {"keras": 3e-7, "optax": 1e-11}
"""Of how far a tensor has come. Keras takes ‖u‖ in float32, whatever the weights are; five steps of the
iteration magnify its rounding of 6e-8 a few times. Without ε, small gradients lead elsewhere by 1e-3."""
RUNS = [
    pytest.param(library, k, id=f"{library} {options}")
    for library, sets in recorded.RUNS.items()
    for k, options in enumerate(sets)
]


def follow(library: str, options: dict[str, Any], engine: Any) -> dict[str, list[Any]]:
    """Follow Muon in a dialect; the vector is stepped as the rest of a model, with the decay it has there."""
    own = {"momentum" if name == "beta" else name: value for name, value in options.items()}
    if own.pop("consistent_rms", None):
        own["adjust_lr_fn"] = "match_rms_adamw"
    params = [Parameter(torch.from_numpy(w)) for w in recorded.start()]
    decay = {"keras": 0.004, "optax": 0.0}[library]
    rest: dict[str, Any] = {"params": params[:1], "route": "rest", "weight_decay": decay}
    rest |= {name: value for name, value in own.items() if name == "eps"}  # Optax has one for all
    groups = [rest, {"params": params[1:]}]
    optimizer = optim.Muon(groups, lr=0.05, dialect=library, engine=engine, **own)
    kept = {}
    for t in range(1, recorded.KEPT[-1] + 1):
        point = [p.detach().numpy() for p in params]
        for p, g in zip(params, recorded.gradient(t, point), strict=True):
            p.grad = torch.from_numpy(g)
        optimizer.step()
        if t in recorded.KEPT:
            kept[str(t)] = [p.detach().numpy().copy() for p in params]
    return kept


@each_engine
@pytest.mark.parametrize(("library", "k"), RUNS)
def test_every_step_is_theirs(library: str, k: int, engine: Any) -> None:
    theirs = json.loads(recorded.FILE.read_text(encoding="utf-8"))[library]["runs"][k]
    found = follow(library, recorded.RUNS[library][k], engine)
    for t, point in theirs.items():
        for a, b, start in zip(found[t], point, recorded.start(), strict=True):
            there = np.reshape(b, start.shape)
            moved = np.abs(there - start).max()
            assert np.abs(a - there).max() <= CLOSE[library] * moved


@each_engine
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("dialect", ["keras", "optax"])
def test_a_dialect_is_its_transcription(dialect: str, nesterov: bool, engine: Any) -> None:
    """In full precision, of wide and tall matrices, one of them with gradients as small as ε."""
    options: dict[str, Any] = {"momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.3}
    for size, shape in ((1.0, (5, 3)), (1e-7, (3, 7))):
        p = Parameter(draw(*shape))
        start, gradients = (
            p.detach().numpy().copy(),
            [size * draw(*shape, seed=k) for k in (1, 2, 3)],
        )
        optimizer = optim.Muon([p], lr=0.1, dialect=dialect, engine=engine, **options)
        for g in gradients:
            p.grad = g
            optimizer.step()
        step = getattr(transcription, f"muon_of_{dialect}")
        expected = step(start, [g.numpy() for g in gradients], lr=0.1, **options)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-11, atol=1e-12)


def test_defaults_are_those_of_the_dialect_unless_they_are_given() -> None:
    found = {}
    for dialect in ("torch", "keras", "optax"):
        optimizer = optim.Muon([Parameter(torch.zeros(2, 2))], dialect=dialect)
        found[dialect] = [optimizer.defaults[name] for name in ("weight_decay", "eps")]
    assert found == {"torch": [0.1, 1e-7], "keras": [0.004, 1e-7], "optax": [0.0, 1e-8]}
    by_place = optim.Muon([Parameter(torch.zeros(2, 2))], 1e-3, 0.2, dialect="keras")
    assert by_place.defaults["weight_decay"] == 0.2


def test_the_rest_of_a_model_is_stepped_as_the_library_does() -> None:
    for dialect, rule in (
        ("torch", "adam()"),
        ("keras", "adam_hat()"),
        ("optax", "nadam_constant()"),
    ):
        chains = optim.Muon(MoE(), dialect=dialect).routes().chains
        assert rule in chains["rest"]
        assert ("match_rms_adamw" in chains["hidden"]) == (dialect == "torch")
    plain = optim.Muon(MoE(), dialect="optax", nesterov=False)
    assert "adam()" in plain.routes().chains["rest"].split(", ")[0]


# -- stacks of matrices --------------------------------------------------------------------------------


def run(make: Any, starts: list[torch.Tensor], gradients: list[list[torch.Tensor]]) -> list[Any]:
    params = [Parameter(x.clone()) for x in starts]
    optimizer = make(params)
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return [p.detach() for p in params]


STACKED = [
    muon(precision="full"),
    muon(precision="full", adjust="match_rms_adamw", nesterov=False, blocks=2),
    muon(precision="full", iteration="polar_express", space="gram"),
    muon_heavy_ball(adjust="spectral"),
    muon_unbiased(eps=0.1),
    normuon(precision="full"),
    normuon(precision="full", adjust="original", nesterov=True),
]


@each_engine
@pytest.mark.parametrize("shape", [(3, 4, 3), (2, 2, 4, 6)], ids=str)
@pytest.mark.parametrize("link", STACKED, ids=repr)
def test_a_stack_is_stepped_as_its_matrices_are(link: Any, shape: Any, engine: Any) -> None:
    """The scales are those of the last two dimensions; sizes and norms of one matrix touch no other."""
    sizes = torch.logspace(-3, 3, shape[0], dtype=torch.float64).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    x, gradients = draw(*shape), [sizes * draw(*shape, seed=k) for k in range(1, 5)]
    rule = link.rule
    values = {name: link.values[name] for name in link.given}

    def stacked(params: Any) -> Any:
        return Optimizer(params, rule(**values, matrices="last"), lr=0.1, engine=engine)

    def alone(params: Any) -> Any:
        return Optimizer(params, rule(**values), lr=0.1, engine=engine)

    (found,) = run(stacked, [x], [[g] for g in gradients])
    expected = run(
        alone,
        list(x.reshape(-1, *shape[-2:])),
        [list(g.reshape(-1, *shape[-2:])) for g in gradients],
    )
    torch.testing.assert_close(
        found.reshape(-1, *shape[-2:]), torch.stack(expected), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("kind", [optim.Muon, optim.NorMuon])
def test_experts_of_a_model_are_stacks(kind: Any) -> None:
    together, apart = (torch.manual_seed(0) and MoE() for _ in range(2))
    common: dict[str, Any] = {"lr": 0.01}
    optimizer = kind(together, **common)
    routes = {row.name: row.route for row in optimizer.routes().rows}
    assert routes["experts.w1"] == routes["experts.w2"] == "experts"
    assert routes["gate.weight"] == "hidden"
    stacks = [apart.experts.w1, apart.experts.w2]
    given = {"adjust_lr_fn": "match_rms_adamw"} if kind is optim.Muon else {}
    other = kind([{"params": stacks, "matrices": "last"}], **common, **given)
    for p in together.parameters():
        p.grad = torch.zeros_like(p)
    for p, q in zip((together.experts.w1, together.experts.w2), stacks, strict=True):
        p.grad, q.grad = torch.ones_like(p).cumsum(-1), torch.ones_like(q).cumsum(-1)
    optimizer.step()
    other.step()
    same([together.experts.w1, together.experts.w2], stacks, because=RERUN)


def test_another_view_of_a_tensor_is_refused_by_name() -> None:
    with pytest.raises(RuleError, match="its switch matrices='rows' must be 'first' or 'last'"):
        muon(matrices="rows")
