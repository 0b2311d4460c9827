"""States in bfloat16 and 8 bits, and parameters in bfloat16: the same in every engine, near the wide ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import RERUN, RESUMED, same
from thalweg import Optimizer, chain, optim, rule
from thalweg.engine.foreach import batch
from thalweg.engine.program.coded import decode
from thalweg.errors import EngineError
from thalweg.optim.stepping.merged import can_merge
from thalweg.rules import adam, clip_by_norm, clip_by_unit, ema

from .cases import RICHEST, Case, each

SHAPE = (64, 80)
STEPS = 20
FEW = [case for case in RICHEST if case.optimizer in ("Adam", "SGD", "Lion")]
OFF = {"bfloat16": 0.015, "int8": 0.1}
"""How far from the float32 trajectory a run may end, as a share of its way: measured, at most 0.0055 and
0.053 over the case table."""
KEPT: list[dict[str, Any]] = [{"state_dtype": "bfloat16"}, {"state_dtype": "int8"}]
ROUNDED: list[dict[str, Any]] = [
    {"rounding": "stochastic"},
    {"rounding": "remainder", "state_dtype": "float32"},
    {"rounding": "remainder", "state_dtype": "int8"},
]


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    start, target = (torch.randn(SHAPE, generator=generator).to(dtype) for _ in range(2))
    return start, target, torch.logspace(-2, 0, SHAPE[1]).to(dtype)


def descend(optimizer: Any, p: Tensor, steps: range) -> None:
    _, target, scale = problem(p.dtype)
    for step in steps:
        noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1 + step))
        p.grad = ((p.detach() - target) * scale + 0.3 * scale * noise).to(p.dtype)
        optimizer.step()


def run(case: Case, dtype: torch.dtype = torch.float32, **options: Any) -> tuple[Any, Tensor]:
    p = Parameter(problem(dtype)[0].clone())
    optimizer = case.ours([p], **options)
    descend(optimizer, p, range(STEPS))
    return optimizer, p.detach()


def assert_near(case: Case) -> None:
    start, whole = problem()[0], run(case)[1]
    for state_dtype, bound in OFF.items():
        near = run(case, state_dtype=state_dtype)[1]
        assert (near - whole).norm() <= bound * (whole - start).norm(), state_dtype


@each(FEW)
def test_small_states_stay_near_the_wide_trajectory(case: Case) -> None:
    assert_near(case)


@pytest.mark.full
@each([case for case in RICHEST if case not in FEW])
def test_small_states_of_every_rule_stay_near(case: Case) -> None:
    assert_near(case)


@pytest.mark.parametrize("kept", [*KEPT, *ROUNDED], ids=str)
def test_every_engine_rounds_as_the_eager_one(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam's states do not depend on the parameter here, so they agree to the bit."""
    monkeypatch.setattr(batch, "FUSES", False)  # each operation is rounded by itself
    found = []
    for engine in ("eager", "fused", "foreach"):
        p = Parameter(torch.ones(70_000, dtype=torch.bfloat16 if "rounding" in kept else None))
        optimizer = optim.Adam([p], lr=1e-3, engine=engine, **kept)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            p.grad = torch.randn(70_000, generator=generator).to(p.dtype)
            optimizer.step()
        assert optimizer.plan().startswith(f"{engine} ")
        found.append((p.detach(), optimizer.state[p]))
    (one, eager), *others = found
    names = [name for name in eager if name != "remainder"]
    assert set(names) >= {"exp_avg", "exp_avg_sq"}
    spacing = 2.0**-7 if one.dtype == torch.bfloat16 else 2.0**-22
    for other, state in others:
        same(
            {name: eager[name] for name in names},
            {name: state[name] for name in names},
            because="products and sums without a fused product, and integers",
        )
        assert (one.float() - other.float()).abs().max() <= spacing


def test_numbers_of_8_bits_go_where_others_stand() -> None:
    """A parameter becomes what a state was, while the state becomes what the parameter was."""

    @rule(after_step=True)
    def swapped(x: Any, kept: Any) -> Any:
        return kept, x

    ends = []
    for engine in ("eager", "foreach"):
        p = Parameter(torch.linspace(-1, 1, 5000))
        made = chain(ema(), swapped())
        optimizer = Optimizer([p], made, lr=0.1, engine=engine, state_dtype="int8")
        for step in range(4):
            p.grad = torch.randn(5000, generator=torch.Generator().manual_seed(step))
            optimizer.step()
        assert optimizer.plan().startswith(engine)
        ends.append(p.detach())
    # a fused product of lists may round an element to another code: 6 % of it
    off = (ends[0] - ends[1]).abs() > 1e-6
    assert off.float().mean() < 0.01
    assert ((ends[0] - ends[1]).abs() <= 0.07 * ends[0].abs() + 1e-3).all()


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("view", ["transposed", "channels last"])
def test_other_orders_in_memory_agree(view: str, state_dtype: Any) -> None:
    found = []
    for engine in ("eager", "fused", "foreach"):
        whole = torch.linspace(-1, 1, 8192)
        p = Parameter(whole.view(64, 128).t())
        if view == "channels last":
            p = Parameter(whole.view(4, 8, 16, 16).to(memory_format=torch.channels_last))
        optimizer = optim.SGD([p], lr=0.1, momentum=0.9, engine=engine, state_dtype=state_dtype)
        for step in range(3):
            p.grad = torch.cos(p.detach() * (step + 1))
            optimizer.step()
        found.append(optimizer.state[p]["momentum_buffer"])
        assert engine in optimizer.plan()
    for other in found[1:]:
        agree = (found[0] == other).float().mean()
        assert agree > 0.99  # the cosine of a rounding may round to another code


def test_units_that_are_no_whole_blocks_are_stepped_eagerly() -> None:
    p = Parameter(torch.ones(100, 50))
    optimizer = Optimizer([p], chain(clip_by_unit(1.0), adam()), state_dtype="int8")
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert "not whole blocks" in optimizer.plan()
    assert p.detach().lt(1).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Muon", {"state_dtype": "bfloat16"}),
        ("Muon", {"state_dtype": "int8"}),
        ("SOAP", {"state_dtype": "int8", "every": 2}),
        ("Shampoo", {"state_dtype": "int8", "every": 2, "eps": 0.1}),
    ],
)
def test_small_states_beside_matrix_functions_are_in_kernels(
    name: str, options: dict[str, Any]
) -> None:
    """A block of 256 numbers goes over the ends of rows, and the last one is not full."""
    ends = []
    for engine in ("eager", "fused"):
        params = [Parameter(torch.eye(n).double()) for n in (65, 65, 7)]
        optimizer = getattr(optim, name)(params, lr=0.01, engine=engine, **options)
        for step in range(5):
            for k, p in enumerate(params):
                generator = torch.Generator().manual_seed(10 * step + k)
                p.grad = torch.randn(p.shape, generator=generator).double()
            optimizer.step()
        assert optimizer.plan().startswith(engine)
        kept = {str(x.dtype) for x in optimizer.state[params[0]].values()}
        assert f"torch.{options['state_dtype']}" in kept
        ends.append([p.detach() for p in params])
    for a, b in zip(*ends, strict=True):
        # products of a stack are summed in another order, and roots and bases magnify it; a code that were
        # another one would be off by a hundredth of a step
        torch.testing.assert_close(a, b, rtol=0.0, atol=1e-6)


def test_a_reduction_reads_states_of_8_bits() -> None:
    ways = []
    for engine in ("eager", "fused"):
        p = Parameter(problem()[0].clone())
        rules = chain(adam(), clip_by_norm(0.5))
        optimizer = Optimizer([p], rules, lr=0.1, engine=engine, state_dtype="int8")
        descend(optimizer, p, range(3))
        ways.append(p.detach())
    assert (ways[0] - ways[1]).norm() <= 1e-3 * (ways[0] - problem()[0]).norm()


@pytest.mark.parametrize("rounding", ["stochastic", "remainder"])
def test_a_small_learning_rate_moves_a_weight_of_1(rounding: str) -> None:
    """A bfloat16 of 1 is 0.004 from its neighbour below; lr is 1e-5, and 200 steps are 0.002."""
    ways = {}
    for chosen in ("nearest", rounding):
        p = Parameter(torch.ones(4096, dtype=torch.bfloat16))
        optimizer = built(p, lr=1e-5, state_dtype="float32", rounding=chosen)
        for _ in range(200):
            p.grad = torch.ones_like(p)
            optimizer.step()
        whole = p.detach().float()
        if rounding == chosen == "remainder":
            whole = with_remainder(p, optimizer.state[p])
        ways[chosen] = 1 - whole.mean().item()
    assert ways["nearest"] == 0
    # 0.002 of 0.0039 is a share of 0.51 that moves; 4096 weights, so five deviations are 0.04 of it
    assert abs(ways[rounding] - 0.002) < 0.00016


def test_a_remainder_makes_a_bfloat16_parameter_a_float32_one() -> None:
    """Given the same gradients, the float32 of both halves takes the steps of a float32 parameter."""
    p = Parameter(torch.linspace(-2, 2, 5000).bfloat16())
    q = Parameter(p.detach().float())
    one = optim.AdamW([p], lr=1e-4, rounding="remainder", state_dtype="float32", engine="eager")
    other = optim.AdamW([q], lr=1e-4, engine="eager")
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        p.grad = torch.randn(5000, generator=generator).bfloat16()
        q.grad = p.grad.float()
        one.step()
        other.step()
    same(with_remainder(p, one.state[p]), q.detach(), because=RERUN)


def built(p: Tensor, **options: Any) -> Any:
    return optim.Adam([p], **options)


def with_remainder(p: Tensor, state: dict[str, Any]) -> Tensor:
    whole: Tensor = p.detach().float().view(torch.int32) + state["remainder"].int()
    return whole.view(torch.float32)


@pytest.mark.parametrize("kept", [*KEPT, {"state_dtype": "int8", "rounding": "remainder"}], ids=str)
def test_a_run_is_resumed_to_the_bit(kept: dict[str, Any]) -> None:
    dtype = torch.bfloat16 if "rounding" in kept else torch.float32
    p = Parameter(problem(dtype)[0].clone())
    whole = optim.Adam([p], lr=1e-2, **kept)
    descend(whole, p, range(3))
    q = Parameter(p.detach().clone())
    resumed = optim.Adam([q], lr=1e-2, **kept)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for optimizer, param in ((whole, p), (resumed, q)):
        descend(optimizer, param, range(3, 6))
    same(p.detach(), q.detach(), because=RESUMED)
    same(dict(whole.state[p]), dict(resumed.state[q]), because=RESUMED)


def test_states_are_converted_when_they_are_loaded() -> None:
    p = Parameter(problem()[0].clone())
    wide = torch.optim.Adam([p], lr=1e-2)
    descend(wide, p, range(3))
    first = wide.state[p]["exp_avg"]
    expected = {"float32": 0.0, "bfloat16": 2.0**-8, "int8": 2.0**-4}
    for name, share in expected.items():
        small = built(p, lr=1e-2, state_dtype=name)
        small.load_state_dict(wide.state_dict())
        state = small.state[p]
        assert str(state["exp_avg"].dtype) == f"torch.{name}"
        back = optim.Adam([p], lr=1e-2)
        back.load_state_dict(small.state_dict())
        again = back.state[p]["exp_avg"]
        assert again.dtype == torch.float32
        assert "exp_avg_scale" not in back.state[p]
        assert ((again - first).abs() <= share * (first.abs() + first.abs().max() / 240)).all()
        descend(back, p, range(3, 4))
        assert float(back.state[p]["step"]) == 4


def test_scales_of_another_model_are_refused() -> None:
    p, q = Parameter(torch.ones(5000)), Parameter(torch.ones(5000))
    one, other = (optim.Adam([x], state_dtype="int8") for x in (p, q))
    p.grad = torch.ones_like(p)
    one.step()
    saved = one.state_dict()
    saved["state"][0]["exp_avg_scale"] = torch.ones(3)
    with pytest.raises(EngineError, match="exp_avg_scale"):
        other.load_state_dict(saved)


def test_what_must_not_be_small_stays_wide() -> None:
    def dtypes(optimizer: Any) -> dict[str, str]:
        return {name: next(iter(of)) for name, of in optimizer.memory().states.items()}

    p = Parameter(torch.ones(5000))
    averaged = Optimizer([p], chain(adam(), ema()), state_dtype="bfloat16")
    assert dtypes(averaged) == {"m": "bfloat16", "v": "bfloat16", "average": "float32"}
    assert set(dtypes(optim.Rprop([p], state_dtype="int8")).values()) == {"float32"}
    assert dtypes(optim.ScheduleFreeSGD([p], state_dtype="int8")) == {"z": "float32"}
    amsgrad = dtypes(optim.Adam([p], amsgrad=True, state_dtype="int8"))
    assert amsgrad["max_exp_avg_sq"] == "float32"
    assert amsgrad["exp_avg"] == "int8"
    matrix = Parameter(torch.ones(100, 50))
    for options in ({}, {"block_size": 40}, {"dialect": "authors"}):
        soap = dtypes(optim.SOAP([matrix], state_dtype="int8", **options))
        small = {name for name, dtype in soap.items() if dtype == "int8"}
        assert small == {"m", "v"}
        assert {"L", "R", "Q_L", "Q_R"} <= set(soap)
    few = Parameter(torch.ones(10))
    assert dtypes(optim.Adam([few], state_dtype="int8"))["exp_avg"] == "float32"


def test_memory_is_what_there_is() -> None:
    p = Parameter(torch.ones(256, 256))
    optimizer = optim.Adam([p], state_dtype="int8")
    before = optimizer.memory()
    p.grad = torch.ones_like(p)
    optimizer.step()
    after = optimizer.memory()
    assert before.states == after.states
    kept = sum(x.nbytes for x in optimizer.state[p].values() if x.ndim)
    assert after.state == kept
    assert (after.parameters, after.gradients) == (p.nbytes, p.nbytes)
    assert after.state_bytes_per_parameter == 2 + 2 * 4 / 256
    assert after.as_dict()["total"] == after.total == 2 * p.nbytes + kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state_dtype": "float16"}, "float32, bfloat16, int8"),
        ({"rounding": "up"}, "nearest, stochastic, remainder"),
        ({"state_dtype": "int8", "differentiable": True}, "differentiable"),
    ],
)
def test_what_is_not_known_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optim.Adam([Parameter(torch.ones(3))], **options)


def test_what_is_not_finite_is_seen_in_8_bits() -> None:
    p = Parameter(torch.ones(5000))
    optimizer = optim.Adam([p], state_dtype="int8")
    p.grad = torch.ones_like(p)
    p.grad[300] = float("nan")
    optimizer.step()
    state = optimizer.state[p]
    first = decode(state["exp_avg"], state["exp_avg_scale"], p)
    assert first[256:512].isnan().all()
    assert first[:256].isfinite().all()
    assert first[512:].isfinite().all()
    assert p.detach()[300].isnan()
    assert p.detach()[:300].isfinite().all()


def test_optimizers_that_round_by_place_are_not_merged() -> None:
    """A draw depends on the place of a tensor in its optimizer, which a stack of models changes."""
    p = Parameter(torch.ones(3))
    assert can_merge(optim.Adam([p]))
    assert not can_merge(optim.Adam([p], state_dtype="bfloat16"))
