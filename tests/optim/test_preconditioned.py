"""Adafactor, SOAP and Shampoo where the case table does not reach: bases, forms, intervals, dtypes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import RESUMED, differs, is_same, same
from thalweg import EngineError, optim

from .cases import each_engine
from .references import preconditioned

Make = Callable[..., torch.optim.Optimizer]
STEPS = 12


def start(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(p: Tensor, step: int) -> Tensor:
    return start(*p.shape, seed=100 + step).to(p.dtype)


def steps(optimizer: torch.optim.Optimizer, params: Sequence[Parameter], of: range) -> list[Tensor]:
    for step in of:
        for p in params:
            p.grad = gradient(p, step)
        optimizer.step()
    return [p.detach().clone() for p in params]


def run(make: Make, starts: Sequence[Tensor], count: int = STEPS) -> list[Tensor]:
    params = [Parameter(x.clone()) for x in starts]
    return steps(make(params), params, range(count))


def transcribed(step: Callable[..., Any], x: Tensor, count: int = STEPS, **options: Any) -> Tensor:
    w, s = x.numpy(), dict[str, Any]()
    for k in range(count):
        w = step(w, gradient(x, k).numpy(), s, t=k + 1, **options)
    return torch.from_numpy(np.asarray(w))


def close(a: Tensor, b: Tensor, bound: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=bound, atol=bound)


# -- SOAP ---------------------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("shape", [(4, 4), (6, 6), (4, 2, 2)])
def test_soap_with_both_bases_is_the_papers(engine: str, shape: tuple[int, ...]) -> None:
    """Gradients are square, so that no eigenvector is left open; signs of eigenvectors do not matter."""
    x = start(*shape)
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.8), "every": 3}
    (found,) = run(lambda ps: optim.SOAP(ps, engine=engine, **options), [x])
    close(found, transcribed(preconditioned.soap, x, **options))


@each_engine
@pytest.mark.parametrize("shape", [(4, 4), (6, 6), (4, 2, 2)])
def test_soap_of_the_authors_is_their_code(engine: str, shape: tuple[int, ...]) -> None:
    """Gradients are square, as above; the order of the columns decides what a QR decomposition finds."""
    x = start(*shape)
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.8), "every": 2, "shampoo_beta": 0.7}
    make = functools.partial(optim.SOAP, dialect="authors", engine=engine, **options)
    (found,) = run(make, [x])
    close(found, transcribed(preconditioned.soap_of_authors, x, **options))
    (first,) = run(make, [x], 1)
    same(first, x, because="a step of zero")


@each_engine
@pytest.mark.parametrize("dialect", ["paper", "authors"])
def test_a_vector_has_a_matrix_where_it_is_asked_for(engine: str, dialect: str) -> None:
    x = start(5)
    make = functools.partial(optim.SOAP, lr=0.01, dialect=dialect, engine=engine)
    (asked,) = run(functools.partial(make, precondition_1d=True), [x])
    column, plain = run(make, [x[:, None], x])
    close(asked, column[:, 0])
    assert float((asked - plain).abs().max()) > 1e-4
    reference = preconditioned.soap if dialect == "paper" else preconditioned.soap_of_authors
    (found,) = run(functools.partial(make, precondition_1d=True), [x[:2]])
    close(found, transcribed(reference, x[:2], lr=0.01, precondition_1d=True))


def test_bases_turn_with_the_problem() -> None:
    """From step 2 on SOAP sees its bases alone: rotated gradients give rotated steps, unlike Adam's."""
    u, _ = torch.linalg.qr(start(5, 5, seed=7))
    scales = torch.logspace(0, -2, 5, dtype=torch.float64)
    moved = {}
    for name in ("SOAP", "Adam"):
        ends = []
        for turn in (torch.eye(5).double(), u):
            p = Parameter(torch.zeros(5, 5).double())
            optimizer = getattr(optim, name)([p], lr=0.0, betas=(0.95, 0.95))
            for step in range(30):
                p.grad = turn @ (scales[:, None] * gradient(p, step))
                optimizer.param_groups[0]["lr"] = 0.0 if step < 29 else 1.0
                optimizer.step()
            ends.append(turn.mT @ p.detach())
        moved[name] = float((ends[0] - ends[1]).norm() / ends[0].norm())
    assert moved["SOAP"] < 1e-9
    assert moved["Adam"] > 0.5


@each_engine
def test_soap_with_identity_bases_is_adam(engine: Any) -> None:
    """The same operations in the same order, but for the last bits of a compiled loop."""
    starts = [start(4, 3), start(5), start(2, 3, 3)]
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.8), "eps": 0.01}
    soap = run(lambda ps: optim.SOAP(ps, max_dim=0, engine=engine, **options), starts)
    adam = run(lambda ps: optim.Adam(ps, engine=engine, **options), starts)
    for a, b in zip(soap, adam, strict=True):
        close(a, b, 1e-14)


def test_soaps_first_step_is_adams_and_its_second_is_not() -> None:
    for count, differ in ((1, False), (2, True)):
        (soap,) = run(lambda ps: optim.SOAP(ps, lr=0.01), [start(5, 3)], count)
        (adam,) = run(lambda ps: optim.Adam(ps, lr=0.01, betas=(0.95, 0.95)), [start(5, 3)], count)
        distance = float((soap - adam).abs().max())
        assert distance > 1e-4 if differ else distance < 1e-15


# -- Shampoo ------------------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize(("grafting", "rule"), [("adam", "Adam"), ("sgd", None), ("none", None)])
def test_shampoo_before_its_first_roots_is_the_grafted_rule(
    engine: str, grafting: str, rule: str | None
) -> None:
    starts = [start(4, 3), start(5)]
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.8)}
    for count in (9, 10):
        make = functools.partial(optim.Shampoo, grafting=grafting, engine=engine, **options)
        found = run(make, starts, count)
        for k, x in enumerate(starts):
            if rule is not None:
                (expected,) = run(lambda ps: optim.Adam(ps, **options), [x], count)
            else:
                m, expected = torch.zeros_like(x), x.clone()
                for step in range(count):
                    m = 0.9 * m + 0.1 * gradient(x, step)
                    expected = expected - 0.01 * m / (1 - 0.9 ** (step + 1))
            distance = float((found[k] - expected).abs().max())
            assert distance < 1e-14 if count < 10 or x.ndim < 2 else distance > 1e-4


def test_grafting_gives_the_length_and_shampoo_the_direction() -> None:
    """At one point, with the momentum off: ‖step‖ is the grafted rule's, and S is along L^(−¼)·G·R^(−¼)."""
    x, g = start(4, 4), gradient(start(4, 4), 0)
    values_l, u = torch.linalg.eigh(g @ g.T)
    values_r, v = torch.linalg.eigh(g.T @ g)
    plain = (u * values_l**-0.25) @ u.T @ g @ (v * values_r**-0.25) @ v.T
    options: dict[str, Any] = {"every": 1, "eps": 0.0, "betas": (0.0, 0.0), "lr": 1.0}
    moved = {}
    for grafting in ("adam", "sgd", "none"):
        make = functools.partial(optim.Shampoo, grafting=grafting, **options)
        (end,) = run(make, [x], 1)
        moved[grafting] = x - end
        cosine = torch.sum(moved[grafting] * plain) / moved[grafting].norm() / plain.norm()
        assert abs(float(cosine) - 1.0) < 1e-12
    assert abs(float(moved["adam"].norm()) - 4.0) < 1e-6  # 16 signs
    assert abs(float(moved["sgd"].norm() / g.norm()) - 1.0) < 1e-12
    close(moved["none"], plain)


@each_engine
def test_shampoo_with_sums_is_the_papers_first_algorithm(engine: str) -> None:
    """W ← W − η·L^(−¼)·G·R^(−¼) with L = ε·I + Σ G·Gᵀ: nothing that was is forgotten, at any scale."""
    x, eps = start(4, 3), 0.1
    given: dict[str, Any] = {"sums": True, "grafting": "none", "betas": (0.0, 0.9), "every": 1}
    (found,) = run(functools.partial(optim.Shampoo, lr=0.1, eps=eps, engine=engine, **given), [x])
    left, right, w = eps * torch.eye(4).double(), eps * torch.eye(3).double(), x
    for step in range(STEPS):
        g = gradient(x, step)
        left, right = left + g @ g.mT, right + g.mT @ g
        roots = []
        for a in (left, right):
            values, vectors = torch.linalg.eigh(a)
            roots.append((vectors * values**-0.25) @ vectors.mT)
        w = w - 0.1 * roots[0] @ g @ roots[1]
    close(found, w)


# -- forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((4, 3), {"L": (4, 4), "R": (3, 3)}),
        ((4, 9), {"L": (4, 4)}),
        ((9, 4), {"R": (4, 4)}),
        ((9, 9), {}),
        ((4, 1), {"L": (4, 4)}),
        ((4,), {}),
        ((), {}),
        ((3, 2, 2), {"L": (3, 3), "R": (4, 4)}),
        ((2, 3, 3), {"L": (2, 2)}),
    ],
)
@pytest.mark.parametrize("name", ["SOAP", "Shampoo"])
def test_a_side_that_is_too_long_has_no_matrix(
    name: str, shape: tuple[int, ...], kept: dict[str, Any]
) -> None:
    p = Parameter(start(*shape))
    optimizer = getattr(optim, name)([p], max_dim=5)
    steps(optimizer, [p], range(2))
    found = {n: tuple(optimizer.state[p][n].shape) for n in ("L", "R") if n in optimizer.state[p]}
    assert found == kept
    differs(p.detach(), start(*shape))


# -- intervals ----------------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SOAP", {"every": 4}),
        ("Shampoo", {"every": 4}),
        ("Shampoo", {"every": 4, "newton": True}),
        ("Adafactor", {"beta1": 0.9}),
    ],
)
def test_a_run_resumes_in_the_middle_of_an_interval(
    engine: str, name: str, options: dict[str, Any]
) -> None:
    shapes = ((4, 3), (5,), (2, 3, 2), (4, 3))
    for dtype in (torch.float64, torch.bfloat16):
        starts = [start(*s, seed=k).to(dtype) for k, s in enumerate(shapes)]

        def make(ps: list[Parameter]) -> torch.optim.Optimizer:
            made: torch.optim.Optimizer = getattr(optim, name)(
                ps, lr=0.01, engine=engine, **options
            )
            return made

        whole = run(make, starts, 11)
        before = [Parameter(x.clone()) for x in starts]
        first = make(before)
        steps(first, before, range(6))
        after = [Parameter(p.detach().clone()) for p in before]
        second = make(after)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        same(steps(second, after, range(6, 11)), whole, because=RESUMED)


@pytest.mark.parametrize("name", ["SOAP", "Shampoo"])
def test_what_is_kept_changes_in_the_steps_of_the_interval_alone(name: str) -> None:
    (kept,) = {"SOAP": ("Q_L",), "Shampoo": ("X",)}[name]
    p = Parameter(start(4, 3))
    optimizer = getattr(optim, name)([p], every=3)
    changed = []
    for step in range(9):
        before = optimizer.state[p][kept].clone() if step else torch.zeros(4, 4).double()
        steps(optimizer, [p], range(step, step + 1))
        if not is_same(optimizer.state[p][kept], before, because="kept between refreshes"):
            changed.append(step + 1)
    assert changed == ([1, 3, 6, 9] if name == "SOAP" else [3, 6, 9])


@each_engine
def test_roots_by_products_have_whole_orders(engine: str) -> None:
    """Before the first step that would take one, and nothing is rounded silently."""
    p = Parameter(start(4, 3))
    optimizer = optim.Shampoo([p], newton=True, exponent=0.3, every=10, engine=engine)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=r"exponent 0\.3 asks for the order 1/0\.3 = 3\.33333"):
        steps(optimizer, [p], range(1))
    # 1/3 is not a number of float64, and 0.333333 is near enough
    ends = []
    for exponent in (1 / 3, 0.333333):
        p = Parameter(start(4, 3))
        optimizer = optim.Shampoo([p], newton=True, exponent=exponent, every=1, engine=engine)  # type: ignore[arg-type]
        steps(optimizer, [p], range(3))
        ends.append(p.detach())
    same(ends[0], ends[1], because="both take the third root")


# -- hard gradients -----------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SOAP", {"every": 2}),
        ("Shampoo", {"every": 2}),
        ("Shampoo", {"every": 2, "newton": True}),
        ("Adafactor", {}),
    ],
)
def test_zero_tiny_and_rank_one_gradients(engine: str, name: str, options: dict[str, Any]) -> None:
    given = {
        "zero": torch.zeros(4, 3),
        "tiny": torch.full((4, 3), 1e-15),
        "one": torch.outer(torch.arange(4.0), torch.arange(3.0)),
        "huge": 1e15 * start(4, 3).float(),
    }
    for kind, g in given.items():
        p = Parameter(start(4, 3).float())
        optimizer = getattr(optim, name)([p], lr=0.01, engine=engine, **options)
        for _ in range(5):
            p.grad = g.clone()
            optimizer.step()
        assert bool(p.isfinite().all()), kind
        moved = float((p.detach() - start(4, 3).float()).abs().max())
        assert moved < 1.0, kind
        if kind != "tiny":  # where ε is more than the gradient
            assert (moved > 0.0) == (kind != "zero"), kind


@each_engine
@pytest.mark.parametrize("name", ["SOAP", "Shampoo", "Adafactor"])
def test_a_nan_stays_in_its_own_matrix_of_a_stack(engine: str, name: str) -> None:
    starts = [start(4, 3, seed=k) for k in range(3)]
    options: dict[str, Any] = {} if name == "Adafactor" else {"every": 2}
    ends = []
    for bad in (False, True):
        params = [Parameter(x.clone()) for x in starts]
        optimizer = getattr(optim, name)(params, lr=0.01, engine=engine, **options)
        for step in range(5):
            for p in params:
                p.grad = gradient(p, step)
            if bad and step == 1:
                assert params[1].grad is not None
                params[1].grad[2, 2] = torch.nan
            optimizer.step()
        ends.append([p.detach() for p in params])
    assert bool(ends[1][1].isnan().all())
    for k in (0, 2):
        close(ends[1][k], ends[0][k], 1e-13)


# -- Adafactor ----------------------------------------------------------------------------------------


@each_engine
def test_every_parameter_has_the_epsilon_of_its_own_dtype(engine: Any) -> None:
    """PyTorch takes that of the first parameter with a gradient for all of its group."""
    ends = []
    for others in ([], [torch.bfloat16], [torch.float64]):
        x = start(4, 3).float()
        params = [Parameter(start(3, 2).to(dtype)) for dtype in others]
        params.append(Parameter(x.clone()))
        optimizer = optim.Adafactor(params, lr=0.01, engine=engine)
        for step in range(3):
            for p in params:
                p.grad = 1e-5 * gradient(p, step)
            optimizer.step()
        ends.append(params[-1].detach())
    for end in ends[1:]:
        close(end, ends[0], 1e-7)
    alone = Parameter(start(4, 3).float())
    theirs: torch.optim.Optimizer = torch.optim.Adafactor([alone], lr=0.01)
    for step in range(3):
        alone.grad = 1e-5 * gradient(alone, step)
        theirs.step()
    close(ends[0], alone.detach(), 1e-7)


def test_adafactor_goes_on_from_pytorchs_state_and_back() -> None:
    shapes = ((4, 3), (5,), (2, 3, 2))
    for one, other in ((torch.optim, optim), (optim, torch.optim)):
        params = [Parameter(start(*s)) for s in shapes]
        whole = run(lambda ps: torch.optim.Adafactor(ps, lr=0.1), [p.detach() for p in params])
        first = one.Adafactor(params, lr=0.1)
        steps(first, params, range(5))
        second = other.Adafactor(params, lr=0.1)
        second.load_state_dict(first.state_dict())
        for a, b in zip(steps(second, params, range(5, STEPS)), whole, strict=True):
            close(a, b, 1e-12)


def test_adafactor_refuses_what_pytorch_refuses() -> None:
    p = Parameter(torch.ones(2, 2, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match="Adafactor does not support complex parameters"):
        optim.Adafactor([p]).step()
    for wrong in ({"d": 0.5}, {"beta2_decay": 0.1}, {"eps": (-1.0, 1e-3)}, {"lr": -1.0}):
        with pytest.raises(ValueError, match=r"should be") as caught:
            torch.optim.Adafactor([p], **wrong)
        with pytest.raises(ValueError, match=r"should be") as ours:
            optim.Adafactor([p], **wrong)
        assert str(ours.value) == str(caught.value)
