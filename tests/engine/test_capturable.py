"""Steps over lists whose numbers live on the device: counted there, and repeated without the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.capturing import assert_alike, captured, composed, give
from tests.engine.triton.recorder import Recorder
from tests.exact import same
from tests.optim.cases import Case, each_program
from thalweg import optim, rules
from thalweg.engine.eager import backend
from thalweg.engine.foreach import batch, slices
from thalweg.engine.matrix.function import matrix_function
from thalweg.errors import EngineError
from thalweg.optim.stepping import stepper

SHAPES = ((), (7,), (5, 3), (37,), (0,))
ON_DEVICE: dict[str, Any] = {"engine": "foreach", "capturable": True}

Build = Callable[..., torch.optim.Optimizer]


def orthogonal(params: Any, **options: Any) -> torch.optim.Optimizer:
    """Give hyperparameters, plain numbers, to a matrix function."""
    return thalweg.Optimizer(params, rules.muon(precision="full"), lr=0.1, **options)


BUILDS: dict[str, Build] = {
    "Adam": optim.Adam,
    "NAdam": optim.NAdam,  # a scalar state
    "RAdam": optim.RAdam,  # a condition on the step
    "clipped Prodigy": composed,
    "Muon": orthogonal,
}
each_build = pytest.mark.parametrize("name", BUILDS)


def drawn(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]


def started() -> list[Parameter]:
    return [Parameter(x) for x in drawn(0)]


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Record a step as a graph does; what reads a number of the device is an error."""
    recorder = Recorder()
    with monkeypatch.context() as patched:
        for module in (batch, backend):
            patched.setattr(module, "is_capturing", lambda device: True)
        patched.setattr(stepper, "is_capturing", lambda: True)
        with recorder:
            yield recorder


@pytest.mark.parametrize("most", [slices.CACHED, 10])
@each_build
def test_steps_are_those_of_the_eager_engine(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts and pieces, too: each tensor is counted once."""
    monkeypatch.setattr(slices, "CACHED", most)
    ends = []
    for options in (ON_DEVICE, {"engine": "eager"}):
        params = started()
        optimizer = BUILDS[name]([{"params": params[::2]}, {"params": params[1::2]}], **options)
        optimizer.param_groups[1]["lr"] = 0.03
        for k in range(7):
            give(params, drawn(k + 1))
            if k == 2:  # one is left out, and counts one step less
                params[2].grad = None
            optimizer.step()
        ends.append(optimizer)
    assert ends[0].plan().startswith("foreach")  # type: ignore[attr-defined]
    assert_alike(*ends)


@each_build
def test_a_graph_repeats_a_step_that_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """New gradients in the same memory, another learning rate, and steps of other gradients in between."""
    rate = torch.tensor(0.1, dtype=torch.float64)
    params, others = started(), started()
    ours, theirs = BUILDS[name](params, **ON_DEVICE), BUILDS[name](others, engine="eager")
    ours.param_groups[0]["lr"] = rate

    def expect(grads: list[Tensor]) -> None:
        theirs.param_groups[0]["lr"] = float(rate)
        give(others, grads)
        theirs.step()
        assert_alike(ours, theirs)

    give(params, drawn(1))
    ours.step()
    expect(drawn(1))
    give(params, drawn(2))
    graph = captured(ours, recording(monkeypatch))
    held = [p.grad for p in params]
    for k in range(6):
        for p, g, new in zip(params, held, drawn(10 + k), strict=True):
            assert g is not None
            p.grad = g.copy_(new)
        rate.fill_(0.1 / (k + 1))
        with torch.no_grad():
            graph.replay()
        expect(drawn(10 + k))
    give(params, drawn(30))
    ours.step()
    expect(drawn(30))


@pytest.mark.sampled(6)
@each_program
def test_every_program_counts_on_the_device(case: Case) -> None:
    """Tensors of the meta device have no numbers: to ask for one is an error."""
    if case.optimizer in ("SOAP", "Shampoo"):
        pytest.skip("bases and roots take the step as a plain number")
    params = [Parameter(torch.empty(s, device="meta")) for s in SHAPES]
    optimizer: Any = case.ours(params, engine="foreach")
    optimizer.defaults["capturable"] = True
    for _ in range(2):
        give(params, [torch.empty_like(p) for p in params])
        try:
            optimizer.step()
        except EngineError as error:
            # a distance and its like would be read for the next step of tensors that have none
            if "keeps a number" not in str(error):
                raise
            pytest.skip(str(error))
    assert all(optimizer.state[p]["step"].device.type == "meta" for p in params)
    assert all(line.endswith("meta") for line in optimizer.plan().splitlines())


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_small_states_are_rounded_by_the_step_of_the_device(rounding: Any) -> None:
    ends = []
    for options in (ON_DEVICE, {"engine": "eager"}):
        p = Parameter(torch.ones(5000, dtype=torch.bfloat16))
        made: Any = {"state_dtype": "bfloat16", "rounding": rounding, **options}
        optimizer = optim.Adam([p], lr=1e-2, **made)
        for k in range(3):
            p.grad = torch.full_like(p, 0.1 * (k + 1))
            optimizer.step()
        ends.append(optimizer.state[p]["exp_avg"])
    agree = (ends[0] == ends[1]).float().mean()
    assert agree > 0.99  # a product of lists may round an element to its other neighbour


def test_plain_numbers_divide_by_zero() -> None:
    @thalweg.rule
    def divided(g: Any, *, t: Any, scale: float = 0.0) -> Any:
        return g / (t + 1.0 / scale) + g * 0.5**t

    ends = []
    for options in (ON_DEVICE, {"engine": "eager"}):
        params = started()
        optimizer = thalweg.Optimizer(params, divided, lr=0.1, **options)
        for k in range(2):
            give(params, drawn(k))
            optimizer.step()
        ends.append(optimizer)
    assert_alike(*ends)


def test_what_cannot_be_captured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    params = started()
    give(params, drawn(1))
    unready = optim.Adam(params, **ON_DEVICE)
    with recording(monkeypatch), pytest.raises(EngineError, match="Step once before the capture"):
        unready.step()
    scheduled = optim.Adam(params, lr=lambda k: 0.1, **ON_DEVICE)
    scheduled.step()
    with recording(monkeypatch), pytest.raises(EngineError, match="is a schedule"):
        scheduled.step()
    for engine in ("foreach", "eager"):
        on_host = optim.Adam(params, engine=engine)
        on_host.step()
        with recording(monkeypatch), pytest.raises(EngineError, match="capturable=True"):
            on_host.step()
    unready.step()
    params[1].data = params[1].detach().clone()
    with recording(monkeypatch), pytest.raises(EngineError, match="have moved"):
        unready.step()


def test_what_lists_cannot_count_is_refused() -> None:
    whole = torch.zeros(8)
    params = [Parameter(torch.zeros(3)), Parameter(whole[:6]), Parameter(whole[2:])]
    give(params, [torch.ones_like(p) for p in params])
    with pytest.raises(EngineError, match="parameter 1: memory that is shared"):
        optim.Adam(params, **ON_DEVICE).step()
    p = Parameter(torch.ones(3, 2))
    p.grad = torch.ones(3, 2)

    @matrix_function
    def times(x: Tensor, number: float) -> Tensor:
        return x * number

    @thalweg.rule
    def faster(g: Any, *, t: Any) -> Any:
        return times(g, t)

    with pytest.raises(EngineError, match=r"faster.*'times'.*capturable=True"):
        thalweg.Optimizer([p], faster(), lr=0.1, **ON_DEVICE).step()
    same(p.detach(), torch.ones(3, 2), because="a step that is refused writes nothing")


@pytest.mark.parametrize("engine", ["eager", "fused"])
@pytest.mark.parametrize("name", ["AdamW", "Lion"])
def test_other_engines_refuse_at_once(name: str, engine: str) -> None:
    with pytest.raises(
        ValueError, match=f"needs engine='foreach' .*'triton', got engine='{engine}'"
    ):
        getattr(optim, name)(started(), engine=engine, capturable=True)


def shampoo(params: Any, **options: Any) -> torch.optim.Optimizer:
    return optim.Shampoo(params, every=3, **options)


def soap(params: Any, **options: Any) -> torch.optim.Optimizer:
    return optim.SOAP(params, every=3, **options)


def of_authors(params: Any, **options: Any) -> torch.optim.Optimizer:
    """The authors' SOAP computes bases in steps 1, 4, 7."""
    return optim.SOAP(params, every=3, dialect="authors", **options)


@pytest.mark.parametrize(("build", "due"), [(shampoo, 0), (soap, 0), (of_authors, 1)])
def test_a_step_with_new_bases_is_taken_outside_the_graph(
    build: Build, due: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph repeats a step without; the host asks the device for its number in all others."""
    shapes = ((5, 3), (4,), (3, 6))
    generator = torch.Generator().manual_seed(0)

    def new() -> list[Tensor]:
        return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]

    start = new()
    params, others = ([Parameter(x.clone()) for x in start] for _ in range(2))
    ours, theirs = build(params, lr=0.1, **ON_DEVICE), build(others, lr=0.1, engine="eager")
    give(params, first := new())
    ours.step()
    give(others, first)
    theirs.step()
    give(params, new())
    graph = captured(ours, recording(monkeypatch))
    held = [p.grad for p in params]
    for step in range(2, 9):
        for g, x in zip(held, grads := new(), strict=True):
            assert g is not None
            g.copy_(x)
        if step % 3 == due:
            ours.step()
        else:
            with torch.no_grad():
                graph.replay()
        give(others, grads)
        theirs.step()
        assert_alike(ours, theirs, 1e-9)


def test_tensors_that_are_at_other_steps_have_no_common_bases() -> None:
    params = [Parameter(torch.ones(3, 2)) for _ in range(2)]
    optimizer = soap(params, **ON_DEVICE)
    params[0].grad = torch.ones(3, 2)
    optimizer.step()
    give(params, [torch.ones(3, 2)] * 2)
    before = [p.detach().clone() for p in params]
    with pytest.raises(EngineError, match="different numbers of steps, 0, 1, and rule 'soap'"):
        optimizer.step()
    same([p.detach() for p in params], before, because="nothing wrote to them")


@pytest.mark.parametrize(
    "build", [optim.Adam, optim.Lion, lambda p, **o: thalweg.Optimizer(p, rules.adam(), **o)]
)
def test_auto_chooses_lists_on_a_device(build: Build) -> None:
    """On the CPU there is no graph: PyTorch's names take the argument, the others refuse it."""
    made: Any = build([Parameter(torch.empty(3, device="meta"))], capturable=True)
    assert made.engine == "foreach"
    here = [Parameter(torch.ones(3))]
    if build is optim.Adam:
        assert build(here, capturable=True).engine == "auto"  # type: ignore[attr-defined]
        return
    with pytest.raises(ValueError, match="got engine='auto', with a parameter on the CPU"):
        build(here, capturable=True)
