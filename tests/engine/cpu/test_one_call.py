"""A step in one compiled call: the bits of Python's step, and anything that has changed is seen."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import same
from thalweg import optim
from thalweg.engine.cpu.calls.foreign import exchange_function, handles, power_function
from thalweg.engine.cpu.calls.host_scalars import scalars_text
from thalweg.engine.cpu.calls.loops import loop_address
from thalweg.engine.cpu.calls.one_call import OneCall
from thalweg.engine.plan import Plan
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.printing import host_function
from thalweg.engine.program.program import Program, Value
from thalweg.engine.refusals import LONGEST_PAUSE
from thalweg.errors import EngineError
from thalweg.optim.stepping import plan_check

pytestmark = pytest.mark.skipif(
    exchange_function() is None or handles() is None or power_function() is None,
    reason="this PyTorch lays tensors out otherwise, or the C library's pow is not Python's",
)

THE_SAME_OPERATIONS = (
    "the same operations of float64 in the same order, each rounded once, and the same pow"
)
THE_SAME_KERNEL = "the same kernel on the same numbers, whoever made the checks before it"

# -- the scalars ------------------------------------------------------------------------------------------

REAL = ("add", "sub", "mul", "div", "pow", "maximum", "minimum")
TRUE = ("eq", "ne", "lt", "le", "gt", "ge")


def random_program(seed: int) -> Program:
    """Return a program whose scalars are a random tree of all operations that are compiled."""
    draw = random.Random(seed)
    b = Builder()
    pool: list[Value] = [b.scalar(name) for name in ("t", "lr", "x", "y", "kept")]
    pool += [b.constant(1.0), b.constant(-2.5), b.constant(0.0), b.constant(0.1)]
    truths: list[Value] = [b.constant(True)]
    for op in draw.sample([*REAL, *TRUE, "neg", "sqrt", "where", "where", "truth"], 16):
        one, two = draw.choices(pool, k=2)
        if op in TRUE:
            truths.append(b.apply(op, one, two))
        elif op == "where":
            pool.append(b.apply(op, draw.choice([*truths, one]), one, two))
        elif op == "truth":
            truths.append(b.apply("where", draw.choice(truths), truths[0], truths[-1]))
        else:
            pool.append(b.apply(op, one) if op in ("neg", "sqrt") else b.apply(op, one, two))
    update = b.tensor("gradient")
    for value in (*pool, *truths):
        update = b.apply("mul", update, value)
    return Program(
        tensors=("gradient", "p"),
        scalars=("t", "lr", "x", "y", "kept"),
        outputs=(update,),
        scalar_outputs={"kept": pool[-1]},
        number_outputs={},
        values=tuple(b.values),
    )


NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 0.999, 1e-8, -3.7, 1e200, math.inf, -math.inf, math.nan)


@pytest.mark.parametrize("seed", range(8))
def test_compiled_scalars_have_the_bits_of_python_or_are_refused(seed: int) -> None:
    program = random_program(seed)
    text = scalars_text(program)
    assert text is not None
    compiled = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 5)(
        loop_address(text, "scalars")
    )
    host = host_function(program)
    call = np.array([power_function()], dtype=np.int64)
    draw = random.Random(seed)
    computed = 0
    for _ in range(300):
        line = np.array([float(draw.randrange(100)), draw.choice(NUMBERS)])
        numbers = np.array(draw.choices(NUMBERS, k=3))
        reads, kept = np.full(len(program.host_reads), 7.0), np.full(2, 7.0)
        tables = (line, numbers, reads, kept, call)
        refused = compiled(*(x.ctypes.data for x in tables))
        arguments = [line[0].item() + 1.0, *numbers.tolist(), line[1].item()]
        try:
            expected = host._scalar(*arguments)
        except (ArithmeticError, ValueError):
            assert refused, arguments
            continue
        if not refused:
            computed += 1
            assert kept[0] == arguments[0]
            same(reads.tolist(), [*map(float, expected[0])], because=THE_SAME_OPERATIONS)
            same(kept[1:].tolist(), [*map(float, expected[1])], because=THE_SAME_OPERATIONS)
    assert computed > 5


def test_what_python_alone_can_compute_is_left_to_it() -> None:
    b = Builder()
    scalar = b.apply("exp", b.scalar("lr"))
    output = b.apply("mul", b.tensor("gradient"), scalar)
    program = Program(("gradient", "p"), ("t", "lr"), (output,), {}, {}, tuple(b.values))
    assert scalars_text(program) is None


# -- the step ---------------------------------------------------------------------------------------------

SHAPES = ((7, 5), (3,), (1,), (4, 6))


class Followed:
    """An optimizer of a few parameters, whose gradients are drawn again for each step."""

    def __init__(self, cls: Any = optim.Adam, **options: Any) -> None:
        draw = torch.Generator().manual_seed(3)
        self.params = [Parameter(torch.randn(s, generator=draw)) for s in SHAPES]
        groups = [{"params": self.params[:2]}, {"params": self.params[2:], "lr": 2e-3}]
        self.optimizer = cls(groups, **options)
        self.draw = draw

    def gradients(self) -> None:
        for p in self.params:
            p.grad = torch.randn(p.shape, generator=self.draw)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.gradients()
            self.optimizer.step()

    def tensors(self) -> list[Tensor]:
        states = [s for p in self.params for s in self.optimizer.state[p].values()]
        return [*self.params, *(s for s in states if isinstance(s, Tensor))]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each call of a step in one call returned."""
    returned: list[bool] = []
    step = OneCall.step

    def spied(self: OneCall, *arguments: Any) -> bool:
        returned.append(step(self, *arguments))
        return returned[-1]

    monkeypatch.setattr(OneCall, "step", spied)
    return returned


def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no plan steps in one call."""
    monkeypatch.setattr(Plan, "one_call", lambda self, same: None)


CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "Adam": (optim.Adam, {}),
    "AdamW amsgrad": (optim.AdamW, {"amsgrad": True}),
    "SGD momentum": (optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    "NAdam, which keeps a number": (optim.NAdam, {}),
    "RAdam, which takes a root of a negative number first": (optim.RAdam, {}),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_step_in_one_call_is_the_step_in_python(
    name: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, options = CLASSES[name]
    paths = []
    for _ in range(2):
        made = Followed(cls, **options)
        for k in range(12):
            made.optimizer.param_groups[1]["lr"] = 1e-3 * (1 + k % 3)
            made.step()
        paths.append(made.tensors())
        in_python(monkeypatch)
    assert taken[-5:] == [True] * 5
    for a, b in zip(*paths, strict=True):
        same(a, b, because=THE_SAME_KERNEL)


def replaced_state(made: Followed) -> None:
    state = made.optimizer.state[made.params[1]]
    state["exp_avg"] = 2 * state["exp_avg"]


def state_of_another_dtype(made: Followed) -> None:
    state = made.optimizer.state[made.params[1]]
    state["exp_avg"] = state["exp_avg"].double()


def replaced_dictionary(made: Followed) -> None:
    states = made.optimizer.state
    states[made.params[0]] = {k: 2 * v for k, v in states[made.params[0]].items()}


def no_state(made: Followed) -> None:
    made.optimizer.state.clear()


def counted_on(made: Followed) -> None:
    made.optimizer.state[made.params[2]]["step"] += 5


def other_count(made: Followed) -> None:
    made.optimizer.state[made.params[2]]["step"] = torch.tensor(9.0)


def moved_parameter(made: Followed) -> None:
    made.params[0].data = made.params[0].data.clone() + 1


def moved_onto_another(made: Followed) -> None:
    states = made.optimizer.state
    first, second = (states[p]["exp_avg"] for p in (made.params[0], made.params[3]))
    second.set_(first.untyped_storage(), 0, second.shape, second.stride())


def other_parameters(made: Followed) -> None:
    made.params[1] = Parameter(torch.ones(3))
    made.optimizer.param_groups[0]["params"][1] = made.params[1]


def other_order(made: Followed) -> None:
    made.optimizer.param_groups[0]["params"].reverse()


def one_more_group(made: Followed) -> None:
    made.params.append(Parameter(torch.ones(2, 2)))
    made.optimizer.add_param_group({"params": made.params[-1:]})


def other_numbers(made: Followed) -> None:
    made.optimizer.param_groups[0].update(lr=0.1, betas=(0.5, 0.6))


def other_switch(made: Followed) -> None:
    made.optimizer.param_groups[0]["maximize"] = True


def loaded(made: Followed) -> None:
    made.optimizer.load_state_dict(made.optimizer.state_dict())


CHANGES: tuple[Callable[[Followed], None], ...] = (
    *(replaced_state, state_of_another_dtype, replaced_dictionary, no_state),
    *(counted_on, other_count, moved_parameter, moved_onto_another),
    *(other_parameters, other_order, one_more_group, other_numbers, other_switch, loaded),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_a_change_is_seen(
    change: Callable[[Followed], None], taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for _ in range(2):
        made = Followed()
        made.step(5)
        assert taken[-1]
        change(made)
        made.step(5)
        paths.append(made.tensors())
        in_python(monkeypatch)
        taken.append(True)
    for a, b in zip(*paths, strict=True):
        same(a, b, because=THE_SAME_KERNEL)


def no_gradient(p: Tensor) -> None:
    p.grad = None


def gradient_in_another_order(p: Tensor) -> None:
    p.grad = torch.arange(24.0).view(6, 4).t()


def sparse_gradient(p: Tensor) -> None:
    assert p.grad is not None
    p.grad = p.grad.to_sparse()


@pytest.mark.parametrize(
    "change", [no_gradient, gradient_in_another_order, sparse_gradient], ids=lambda f: f.__name__
)
def test_another_kind_of_gradient_is_seen(
    change: Callable[[Tensor], None], taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for _ in range(2):
        made = Followed(optim.SGD, lr=0.01, momentum=0.9)
        made.step(5)
        made.gradients()
        change(made.params[3])
        made.optimizer.step()
        made.step(3)
        paths.append(made.tensors())
        in_python(monkeypatch)
    assert False in taken
    assert taken[-1]
    for a, b in zip(*paths, strict=True):
        same(a, b, because=THE_SAME_KERNEL)


def test_a_gradient_that_is_still_to_be_negated_is_seen(taken: list[bool]) -> None:
    p = Parameter(torch.zeros(1))
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = torch.ones(1)
    for _ in range(4):
        optimizer.step()
    p.grad = torch.complex(torch.zeros(1), torch.ones(1)).conj().imag
    assert p.grad.is_neg()
    optimizer.step()
    assert taken[-2:] == [True, False]
    assert p.item() == -3.0


@pytest.mark.parametrize("whose", ["gradient", "parameter"])
def test_memory_that_is_gone_is_an_error_before_anything_is_written(
    whose: str, taken: list[bool]
) -> None:
    made = Followed()
    made.step(4)
    made.gradients()
    assert taken[-1]
    before = [x.clone() for x in made.tensors()[1:]]
    emptied = made.params[0].grad if whose == "gradient" else made.params[0]
    assert isinstance(emptied, Tensor)
    emptied.untyped_storage().resize_(0)
    with pytest.raises(EngineError, match=r"parameter 0 .*has 35 numbers|parameter 0 has 35"):
        made.optimizer.step()
    for now, then in zip(made.tensors()[1:], before, strict=True):
        same(now, then, because="nothing was written")


def test_a_plan_that_is_refused_again_and_again_is_seldom_asked(taken: list[bool]) -> None:
    p = Parameter(torch.zeros(4, 6))
    optimizer = optim.SGD([p], lr=1.0)
    for k in range(3 * LONGEST_PAUSE):
        p.grad = torch.ones(6, 4).t()
        optimizer.step()
        assert p[0, 0].item() == -1.0 - k
    assert not any(taken)
    asked = optimizer._current._one_call  # type: ignore[union-attr]
    assert isinstance(asked, OneCall)
    assert asked._refusals._refused == LONGEST_PAUSE
    p.grad = torch.ones(4, 6)
    for _ in range(LONGEST_PAUSE + 1):
        optimizer.step()
    assert taken[-1]


def test_each_step_is_counted_for_autograd() -> None:
    made = Followed()
    made.step(4)
    before = [p._version for p in made.params]
    made.step(3)
    assert [p._version for p in made.params] == [n + 3 for n in before]


def test_a_plan_used_once_compiles_nothing_more() -> None:
    made = Followed()
    made.step(plan_check.USED - 1)
    assert made.optimizer._current._one_call is None


def test_parameters_may_be_any_sequence() -> None:
    p = Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    optimizer = optim.SGD([p], lr=1.0)
    for _ in range(4):
        optimizer.step()
    optimizer.param_groups[0]["params"] = (p,)
    for _ in range(4):
        optimizer.step()
    assert p.tolist() == [-8.0] * 3
