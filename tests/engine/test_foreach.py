"""Lists of tensors: memory, devices, and what is printed."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import thalweg
from tests.exact import same
from thalweg import optim, rules
from thalweg.engine.foreach import slices
from thalweg.engine.foreach.printed import Kind, printed
from thalweg.engine.foreach.slices import can_be_cut, largest_part, sliced
from thalweg.errors import EngineError

FAMILY = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Lion", "Adan", "AdEMAMix", "LAMB", "Yogi")


class Watched(TorchDispatchMode):
    """Counts the bytes of new tensors that are alive, and the devices of all that an operation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.devices: set[torch.device] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        self.devices.update(x.device for x in given)
        result = func(*args, **(kwargs or {}))
        known = {x.untyped_storage()._cdata for x in given}  # a view is not new memory
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in known:
                self._count(x.nbytes)
                weakref.finalize(x, self._count, -x.nbytes)
        return result

    def _count(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)


def stepped(params: Sequence[Tensor], name: str, **options: Any) -> tuple[Any, Watched]:
    """Take three steps, and watch the last one."""
    optimizer = getattr(optim, name)(params, engine="foreach", **options)
    watched = Watched()
    for number in range(3):
        for p in params:
            p.grad = torch.full_like(p, 0.5)
        if number < 2:
            optimizer.step()
            continue
        with watched:
            optimizer.step()
    return optimizer, watched


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FAMILY)
def test_temporary_tensors_take_no_more_than_one_copy(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large groups on a GPU, where parts are as large as that; the meta device stands for it."""
    monkeypatch.setattr(slices, "LEAST", 1)
    params = [Parameter(torch.empty(64, 8, dtype=dtype, device="meta")) for _ in range(64)]
    optimizer, watched = stepped(params, name)
    assert optimizer.plan().startswith("foreach  64 tensors")
    numbers = 64 * 8 * 40  # numbers for each tensor
    assert watched.most <= sum(p.nbytes for p in params) + numbers
    assert (watched.most > 0) == (name != "SGD" or dtype == torch.bfloat16)


@pytest.mark.parametrize("name", ["Adam", "Lion", "AdEMAMix"])
def test_one_large_tensor_is_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "CACHED", 1000)
    _, watched = stepped([Parameter(torch.ones(100_000))], name)
    assert 0 < watched.most <= 4 * 1000 * 4  # some temporary tensors of a part


@pytest.mark.parametrize(
    "options",
    [{}, {"state_dtype": "bfloat16"}, {"state_dtype": "int8"}, {"capturable": True}],
    ids=str,
)
@pytest.mark.parametrize("name", FAMILY)
def test_nothing_is_brought_from_another_device(name: str, options: dict[str, Any]) -> None:
    """A tensor of the CPU among those of a GPU would have to be copied."""
    if name == "SGD" and "capturable" in options:
        pytest.skip("PyTorch's SGD has no such argument")
    params = [Parameter(torch.empty(s, device="meta")) for s in ((3, 4), (), (4096,))]
    _, watched = stepped(params, name, **options)
    assert watched.devices == {torch.device("meta")}


def test_a_plain_optimizer_is_printed_as_by_hand() -> None:
    adam = thalweg.chain(rules.adam())
    program = adam.program(adam.hyperparameters)
    (segment,) = printed(program, (), Kind(on_cpu=False, widens=False))
    calls = [line.partition("(")[0] for line in segment.text.splitlines() if "list_" in line]
    assert calls == [
        *("list_mul_", "list_add_", "list_mul_", "list_addcmul_"),
        *("b0 = list_mul", "list_sqrt_", "list_shift_", "list_addcdiv_"),
    ]
    assert segment.temporaries == 1


def test_a_condition_of_the_step_is_no_work_for_tensors() -> None:
    p = Parameter(torch.zeros(2))
    sgd = optim.SGD([p], lr=0.1, momentum=0.9)
    (group,) = sgd.param_groups
    composition = sgd.composition(group)
    program = composition.chain.program(composition.switches(group))
    first, later = (printed(program, (t,), Kind(False, False))[0].text for t in (True, False))
    assert "where" not in first + later
    assert "list_mul_" not in first
    assert "list_mul_" in later


def test_what_reduces_writes_nothing() -> None:
    chain = thalweg.chain(rules.clip_by_global_norm(1.0), rules.adam())
    program = chain.program(chain.hyperparameters)
    reducing, last = printed(program, (), Kind(False, False))
    assert reducing.stage == 0
    assert not any(f"_(s{k}" in reducing.text for k in range(3))
    assert last.stage is None


def test_states_that_change_places() -> None:
    """Each new value stands where the other one is still to be read."""

    @thalweg.rule
    def swapped(g, a, b):
        return g, b, a

    p = Parameter(torch.zeros(3))
    optimizer = thalweg.Optimizer([p], swapped, lr=1.0, engine="foreach")
    p.grad = torch.ones(3)
    optimizer.step()
    optimizer.state[p]["a"].fill_(1.0)
    optimizer.step()
    state = optimizer.state[p]
    assert state["a"].tolist() == [0.0] * 3
    assert state["b"].tolist() == [1.0] * 3
    assert p.tolist() == [-2.0] * 3


def test_a_gradient_in_the_memory_of_a_parameter() -> None:
    ends = []
    for engine in ("eager", "foreach"):
        p = Parameter(torch.tensor([1.0, -2.0]))
        optimizer = optim.AdamW([p], lr=0.5, engine=engine)
        p.grad = p.detach()
        optimizer.step()
        ends.append((p.detach(), optimizer.state[p]["exp_avg"]))
    torch.testing.assert_close(ends[1], ends[0], rtol=2e-6, atol=0.0)


def test_what_lists_cannot_take_is_stepped_eagerly_and_named() -> None:
    whole = torch.zeros(4)
    params = [
        Parameter(torch.zeros(2, dtype=torch.complex64)),
        Parameter(whole[:3]),
        Parameter(whole[1:]),
        Parameter(torch.zeros(2)),
    ]
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer = optim.SGD(params, lr=0.1, engine="foreach")
    optimizer.step()
    shared = "float32 cpu; not foreach: memory that is shared with another tensor"
    assert optimizer.plan().splitlines() == [
        "foreach  1 tensor, 2 numbers, float32 cpu",
        "eager  (2,) complex64 cpu; not foreach: complex",
        f"eager  (3,) {shared}",
        f"eager  (3,) {shared}",
    ]


def test_a_call_outside_the_vocabulary_is_refused() -> None:
    @thalweg.rule
    def outside(g):
        return torch.lgamma(g)

    p = Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with pytest.raises(EngineError, match=r"engine='foreach' .*lgamma.*engine='auto'"):
        thalweg.Optimizer([p], outside, engine="foreach").step()


def test_memory_that_moves_and_memory_that_is_gone() -> None:
    ends = []
    for moves in (False, True):
        p, q = Parameter(torch.ones(3)), Parameter(torch.ones(2, 2))
        optimizer = optim.Adam([p, q], lr=0.1, engine="foreach")
        for _ in range(3):
            p.grad, q.grad = torch.ones(3), torch.ones(2, 2)
            optimizer.step()
            if moves:
                p.data = p.data.clone()
        ends.append([p.detach(), q.detach()])
    same(ends[1], ends[0], because="the same calls on the same numbers, elsewhere in memory")
    q.data.untyped_storage().resize_(0)
    with pytest.raises(EngineError, match="resized or offloaded"):
        optimizer.step()


def test_parts_hold_every_element_once() -> None:
    sizes = [(0, 5, True), (1, 30, True), (2, 0, True), (3, 30, False), (4, 7, True), (5, 2, True)]
    parts = list(sliced(sizes, 10))
    counts = dict.fromkeys(range(6), 0)
    for part in parts:
        for position, start, stop in part:
            whole = sizes[position][1]
            counts[position] += whole if start is None else min(stop or 0, whole) - start
    assert counts == {k: size for k, size, _ in sizes}
    assert max(sum(sizes[i.position][1] for i in p if i.start is None) for p in parts) == 30


def test_how_large_parts_are() -> None:
    gpu, total = torch.device("cuda"), 10 * slices.LEAST
    assert largest_part(gpu, total, 1) == largest_part(gpu, total, 0) == total
    assert largest_part(gpu, total, 4) == total // 4
    assert largest_part(gpu, total, 100) == slices.LEAST
    assert largest_part(torch.device("cpu"), total, 1) == slices.CACHED
    for chain, cuts in ((rules.adam(), True), (rules.trust_ratio(), False), (rules.langevin(), 0)):
        made = thalweg.chain(chain)
        assert can_be_cut(made.program(made.hyperparameters)) == bool(cuts)
