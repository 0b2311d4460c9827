"""Muon against a transcription in float64 and against PyTorch's, and what PyTorch's does wrong."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import DOUBLE, draw
from thalweg import optim
from thalweg.rules import muon

from . import transcription

SHAPES: list[tuple[int, ...]] = [(5, 3), (3, 7), (6, 6), (4, 2, 3, 3), (5, 3), (1, 4), (4, 1)]
STEPS = 6
each_engine = pytest.mark.parametrize("engine", ["eager", "fused", "foreach"])
needs_torchs = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9")


def seen(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], -1)


def run(
    make: Any,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    dtype: torch.dtype = DOUBLE,
    steps: int = STEPS,
) -> tuple[list[Parameter], torch.optim.Optimizer]:
    params = [Parameter(draw(*s, seed=k, dtype=dtype)) for k, s in enumerate(shapes)]
    optimizer = make(params)
    for step in range(steps):
        for k, p in enumerate(params):
            p.grad = draw(*p.shape, seed=100 + 10 * step + k).to(dtype)
        optimizer.step()
    return params, optimizer


def given(shape: tuple[int, ...], k: int, steps: int = STEPS) -> list[Any]:
    return [seen(draw(*shape, seed=100 + 10 * step + k)).numpy() for step in range(steps)]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"nesterov": False, "momentum": 0.8},
    {"lr": 0.1, "weight_decay": 0.3},
    {"ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
    {"ns_steps": 0},
    {"adjust_lr_fn": "match_rms_adamw"},
    {"adjust_lr_fn": "spectral"},
]


@each_engine
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_trajectories_are_those_of_the_transcription(engine: Any, options: dict[str, Any]) -> None:
    """In full precision: the bound is the rounding of float64, through five products."""

    def make(params: list[Parameter]) -> optim.Muon:
        return optim.Muon([{"params": params, "precision": "full"}], engine=engine, **options)

    params, optimizer = run(make)
    known = {"weight_decay": 0.1, **options}
    known["adjust"] = known.pop("adjust_lr_fn", "original")
    for k, (p, shape) in enumerate(zip(params, SHAPES, strict=True)):
        start = seen(draw(*shape, seed=k)).numpy()
        expected, m = transcription.muon(start, given(shape, k), **known)
        np.testing.assert_allclose(seen(p.detach()).numpy(), expected, rtol=1e-10, atol=1e-11)
        kept = optimizer.state[p]["momentum_buffer"]
        np.testing.assert_allclose(seen(kept).numpy(), m, rtol=1e-12, atol=1e-14)


@needs_torchs
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", OPTIONS[:-1], ids=str)
def test_updates_are_pytorchs(options: dict[str, Any], dtype: torch.dtype) -> None:
    """PyTorch's products round to bfloat16 (2⁻⁹ of a number): one that is summed in another order may be
    rounded to the other side, and five steps carry that on. So updates agree to a few units of it."""
    if dtype == torch.bfloat16:
        options = {**options, "nesterov": True}  # the other is wrong in PyTorch, see below
    shapes = [s for s in SHAPES if len(s) == 2]
    ours, _ = run(lambda p: optim.Muon(p, **options), shapes, dtype)
    theirs, _ = run(lambda p: torch.optim.Muon(p, **options), shapes, dtype)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        moved = (b.detach() - draw(*b.shape, seed=k, dtype=dtype)).double().norm()
        apart = (a.detach() - b.detach()).double().norm()
        rounding = 2.0**-8 * float(b.detach().double().norm()) if dtype == torch.bfloat16 else 0.0
        assert float(apart) <= 0.02 * float(moved) + STEPS * rounding


@needs_torchs
def test_signature_defaults_and_errors_are_pytorchs() -> None:
    theirs = inspect.signature(torch.optim.Muon).parameters
    ours = inspect.signature(optim.Muon).parameters
    assert [(n, ours[n].default) for n in theirs] == [(n, p.default) for n, p in theirs.items()]
    p = Parameter(torch.zeros(2, 2))
    for wrong in (
        {"lr": -1.0},
        {"lr": torch.ones(2)},
        {"momentum": -0.1},
        {"weight_decay": -0.1},
        {"adjust_lr_fn": "other"},
    ):
        try:
            torch.optim.Muon([p], **wrong)
        except ValueError as expected:
            with pytest.raises(ValueError, match=f"^{re.escape(str(expected))}\\.?$"):
                optim.Muon([p], **wrong)
        else:
            pytest.fail(f"PyTorch takes {wrong}")


@pytest.mark.parametrize("wrong", [{"ns_steps": 100}, {"ns_coefficients": (1.0, 2.0)}], ids=str)
def test_what_pytorch_refuses_in_a_step_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Number of steps|exactly 3"):
        optim.Muon([Parameter(torch.zeros(2, 2))], **wrong)


@pytest.mark.parametrize("kind", [optim.Muon, optim.NorMuon])
def test_vectors_and_complex_numbers_are_refused_by_name(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"whereas parameter 1 \(bias\) has size \(2,\).*by AdamW"):
        kind(torch.nn.Linear(3, 2).named_parameters())
    optimizer = kind([Parameter(torch.zeros(2, 2))])
    with pytest.raises(ValueError, match=r"parameter 1 has size \(3,\)"):
        optimizer.add_param_group({"params": [Parameter(torch.zeros(3))]})
    with pytest.raises(ValueError, match="does not support complex"):
        kind([Parameter(torch.zeros(2, 2, dtype=torch.complex64))])


def test_a_sparse_gradient_is_refused() -> None:
    p = Parameter(torch.zeros(2, 2))
    p.grad = torch.ones(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="Muon does not support sparse gradients"):
        optim.Muon([p]).step()


def test_the_momentum_of_a_bfloat16_weight_is_not_its_direction() -> None:
    """PyTorch divides it by its own norm in place, so that it never turns."""
    p = Parameter(torch.zeros(4, 3, dtype=torch.bfloat16))
    p.grad = draw(4, 3, dtype=torch.bfloat16) * 100
    optimizer = optim.Muon([p], nesterov=False)
    optimizer.step()
    kept = optimizer.state[p]["momentum_buffer"].double().norm()
    assert float(kept) == pytest.approx(0.05 * float(p.grad.double().norm()), rel=2.0**-7)


@pytest.mark.parametrize("size", [1e-12, 1e-30, 1e25])
def test_the_size_of_the_gradient_does_not_matter(size: float) -> None:
    """PyTorch's update shrinks below a norm of 1e-7; here another rounding to bfloat16 is all there is."""
    moved = []
    for factor in (1.0, size):
        p = Parameter(torch.zeros(4, 3))
        p.grad = factor * draw(4, 3, dtype=torch.float32)
        optim.Muon([p], lr=1.0).step()
        moved.append(p.detach())
    assert float((moved[1] - moved[0]).norm()) < 0.1 * float(moved[0].norm())


def test_a_gradient_of_zero_leaves_the_weight() -> None:
    p = Parameter(torch.ones(4, 3))
    p.grad = torch.zeros(4, 3)
    optim.Muon([p], weight_decay=0.0).step()
    assert bool((p == 1).all())


def test_filters_of_a_convolution_are_rows() -> None:
    """The scale comes from 8 filters of 2·3·3 numbers, not from the size of the kernel."""
    p = Parameter(torch.zeros(8, 2, 1, 2))
    p.grad = draw(8, 2, 1, 2, dtype=torch.float32)
    optim.Muon([{"params": [p], "precision": "full"}], lr=1.0, weight_decay=0.0).step()
    values = torch.linalg.svdvals(p.detach().reshape(8, 4))
    expected = transcription.quintic(seen(p.grad).double().numpy(), 5, 3.4445, -4.7750, 2.0315)
    np.testing.assert_allclose(
        values, math.sqrt(2) * np.linalg.svd(expected, compute_uv=False), rtol=1e-4
    )


def test_a_fused_projection_is_three_matrices() -> None:
    whole = Parameter(torch.zeros(6, 4, dtype=DOUBLE))
    parts = [Parameter(torch.zeros(2, 4, dtype=DOUBLE)) for _ in range(3)]
    g = draw(6, 4)
    whole.grad = g.clone()
    for part, own in zip(parts, torch.split(g, 2), strict=True):
        part.grad = own.clone()
    common: dict[str, Any] = {"precision": "full"}
    optim.Muon([{"params": [whole], "blocks": 3, **common}], adjust_lr_fn="match_rms_adamw").step()
    optim.Muon([{"params": parts, **common}], adjust_lr_fn="match_rms_adamw").step()
    torch.testing.assert_close(whole.detach(), torch.cat([p.detach() for p in parts]))


@needs_torchs
def test_a_state_of_pytorchs_goes_on_here() -> None:
    shapes = [(5, 3), (3, 7)]
    theirs, optimizer = run(torch.optim.Muon, shapes, torch.float32)
    ours = [Parameter(p.detach().clone()) for p in theirs]
    other = optim.Muon(ours)
    other.load_state_dict(optimizer.state_dict())
    for k, (p, q) in enumerate(zip(theirs, ours, strict=True)):
        p.grad, q.grad = draw(*p.shape, seed=k).float(), draw(*p.shape, seed=k).float()
    optimizer.step()
    other.step()
    for p, q in zip(theirs, ours, strict=True):
        torch.testing.assert_close(q.detach(), p.detach(), rtol=0.0, atol=1e-3 * 0.03)
        torch.testing.assert_close(
            other.state[q]["momentum_buffer"], optimizer.state[p]["momentum_buffer"]
        )


@pytest.mark.parametrize("dialect", ["paper", "authors"])
@each_engine
def test_normuon_is_the_transcription(engine: Any, dialect: str) -> None:
    def make(params: list[Parameter]) -> torch.optim.Optimizer:
        return optim.NorMuon(params, precision="full", dialect=dialect, engine=engine)

    params, optimizer = run(make)
    for k, (p, shape) in enumerate(zip(params, SHAPES, strict=True)):
        start = seen(draw(*shape, seed=k)).numpy()
        authors = dialect == "authors"
        expected, v = transcription.normuon(
            start, given(shape, k), nesterov=authors, authors=authors
        )
        np.testing.assert_allclose(seen(p.detach()).numpy(), expected, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(optimizer.state[p]["v"].numpy(), v, rtol=1e-9)


def test_normuon_moves_every_row_alike() -> None:
    """In the first step rows of v are those of O², so every row of the update has the same length."""
    p = Parameter(torch.zeros(6, 4, dtype=DOUBLE))
    p.grad = draw(6, 4)
    optim.NorMuon([p], lr=1.0, precision="full").step()
    lengths = p.detach().norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.2 * math.sqrt(4)))


def test_a_zero_gradient_leaves_normuon_where_it_is() -> None:
    p = Parameter(torch.ones(3, 2))
    p.grad = torch.zeros(3, 2)
    optim.NorMuon([p], lr=1.0).step()
    assert bool((p == 1).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adjust": "other"}, "adjust must be"),
        ({"iteration": "other"}, "iteration must be"),
    ],
)
def test_unknown_switches_are_named(options: dict[str, str], message: str) -> None:
    with pytest.raises(thalweg.RuleError, match=message):
        muon(**options)


def test_polar_express_comes_closer_to_one() -> None:
    p, q = Parameter(torch.zeros(20, 30)), Parameter(torch.zeros(20, 30))
    p.grad, q.grad = draw(20, 30).float(), draw(20, 30).float()
    optim.Muon([{"params": [p], "precision": "full"}], lr=1.0).step()
    optim.Muon([{"params": [q], "precision": "full", "iteration": "polar_express"}], lr=1.0).step()
    away = [float((torch.linalg.svdvals(x.detach()) - 1).abs().max()) for x in (p, q)]
    assert away[1] < 0.5 * away[0]
