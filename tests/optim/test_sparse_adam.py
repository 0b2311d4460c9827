"""SparseAdam beside PyTorch's: the whole trajectory, the rows that rest, errors and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, same
from thalweg import optim
from thalweg.rules import clip_by_norm

from .problem import outcome

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")

Make = Callable[..., torch.optim.Optimizer]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.1, "betas": (0.8, 0.95)},
    {"lr": 0.1, "eps": 0.01},
    {"lr": 0.1, "maximize": True},
]
SIZES = ((10, 4), (6,), (5, 2, 3))


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(size, generator=generator, dtype=torch.float64) for size in SIZES)
    return [nn.Parameter(x.to(dtype)) for x in drawn]


def set_gradients(params: list[nn.Parameter], step: int) -> list[set[int]]:
    """Give each parameter a gradient of a few rows, some of them twice; return which."""
    generator = torch.Generator().manual_seed(step)
    met = []
    for k, p in enumerate(params):
        count = 0 if step % 7 == 3 else 4  # now and then no row at all
        rows = torch.randint(0, len(p), (1, count), generator=generator)
        values = torch.randn((count, *p.shape[1:]), generator=generator, dtype=torch.float64)
        p.grad = torch.sparse_coo_tensor(rows, values.to(p.dtype), p.shape)
        if k == 1 and step % 5 == 2:
            p.grad = None
        met.append(set() if p.grad is None else set(rows[0].tolist()))
    return met


def steps(
    optimizer: torch.optim.Optimizer, params: list[nn.Parameter], of: range
) -> list[list[Tensor]]:
    path = []
    for step in of:
        set_gradients(params, step)
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_whole_path_is_pytorchs(options: dict[str, Any], dtype: torch.dtype) -> None:
    paths = []
    for make in (torch.optim.SparseAdam, optim.SparseAdam):
        params = parameters(dtype)
        paths.append(steps(make(params, **options), params, range(30)))
    # a few roundings a step, in another order: PyTorch updates averages by differences
    bound = 30 * 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(paths[1], paths[0], rtol=bound, atol=bound)


def test_rows_without_a_gradient_rest() -> None:
    params = parameters()
    optimizer = optim.SparseAdam(params, lr=0.1)
    for step in range(8):
        before = [p.detach().clone() for p in params]
        states = [{k: v.clone() for k, v in optimizer.state[p].items()} for p in params]
        met = set_gradients(params, step)
        optimizer.step()
        for p, old, kept, rows in zip(params, before, states, met, strict=True):
            rest = [k for k in range(len(p)) if k not in rows]
            same(p.detach()[rest], old[rest], because="nothing wrote to these rows")
            for name in ("exp_avg", "exp_avg_sq"):
                if name in kept:
                    now = optimizer.state[p][name]
                    same(now[rest], kept[name][rest], because="nothing wrote to these rows")
            moved = (p.detach() - old).reshape(len(p), -1).abs().amax(1)
            assert all(float(moved[k]) > 0 for k in rows)


def test_an_embedding_with_every_row_is_adam_with_epsilon_hat() -> None:
    """Where each row has a gradient in each step, it is Adam; ε alone stands elsewhere."""
    found = []
    for name, options in (("SparseAdam", {}), ("Adam", {"dialect": "keras"})):
        (p, *_) = parameters()
        optimizer = getattr(optim, name)([p], lr=0.1, eps=0.01, **options)
        for step in range(10):
            grad = torch.sin(p.detach() + step)
            p.grad = grad.to_sparse(1) if name == "SparseAdam" else grad
            optimizer.step()
        found.append(p.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [{"lr": 0.0}, {"lr": -1.0}, {"eps": 0.0}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}],
    ids=str,
)
def test_arguments_are_refused_as_by_pytorch(options: dict[str, Any]) -> None:
    def refusal(make: Make) -> Any:
        return outcome(lambda: make(parameters(), **options))

    assert refusal(optim.SparseAdam) == refusal(torch.optim.SparseAdam) is not None


@pytest.mark.parametrize("kind", ["sparse", "complex"])
def test_parameters_are_refused_as_by_pytorch(kind: str) -> None:
    def refusal(make: Make) -> Any:
        x = torch.eye(3).to_sparse() if kind == "sparse" else torch.eye(3, dtype=torch.complex64)
        return outcome(lambda: make([nn.Parameter(torch.ones(2)), nn.Parameter(x)]))

    assert refusal(optim.SparseAdam) == refusal(torch.optim.SparseAdam) is not None


def test_a_dense_gradient_is_refused_as_by_pytorch_also_later() -> None:
    def refusal(make: Make) -> Any:
        params = parameters()
        optimizer = make(params)
        steps(optimizer, params, range(2))
        params[0].grad = torch.ones_like(params[0])
        return outcome(optimizer.step)

    (kind, words), theirs = refusal(optim.SparseAdam), refusal(torch.optim.SparseAdam)
    assert (kind, words.rstrip(".")) == theirs


def test_it_resumes_to_the_bit_and_from_pytorch() -> None:
    params = parameters()
    whole = steps(optim.SparseAdam(params, lr=0.1), params, range(12))
    for make in (optim.SparseAdam, torch.optim.SparseAdam):
        before = parameters()
        first: torch.optim.Optimizer = make(before, lr=0.1)
        steps(first, before, range(5))
        after = [nn.Parameter(p.detach().clone()) for p in before]
        second = optim.SparseAdam(after, lr=0.1)
        second.load_state_dict(first.state_dict())
        end = steps(second, after, range(5, 12))[-1]
        if make is optim.SparseAdam:
            same(end, whole[-1], because=RERUN)
        torch.testing.assert_close(end, whole[-1], rtol=1e-12, atol=1e-12)
    theirs = torch.optim.SparseAdam(after, lr=0.1)
    theirs.load_state_dict(second.state_dict())
    steps(theirs, after, range(12, 14))


def test_links_around_it_see_the_rows_alone() -> None:
    paths = []
    for around in (False, True):
        (p, *_) = parameters()
        options: dict[str, Any] = {"before": clip_by_norm(0.5)} if around else {}
        optimizer = optim.SparseAdam([p], lr=0.1, **options)
        for step in range(5):
            set_gradients([p], step)
            assert p.grad is not None
            if not around:
                grad = p.grad.coalesce()
                scale = min(1.0, 0.5 / max(float(grad.values().norm()), 1e-30))
                p.grad = grad * scale
            optimizer.step()
        paths.append(p.detach())
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-12, atol=1e-12)


def test_engines_that_step_whole_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="engine must be 'auto' or 'eager', got 'fused'"):
        optim.SparseAdam(parameters(), engine="fused")
    params = parameters()
    optimizer = optim.SparseAdam(params)
    set_gradients(params, 0)
    optimizer.step()
    assert "(10, 4) float64 cpu, those that a sparse gradient has" in optimizer.plan()
