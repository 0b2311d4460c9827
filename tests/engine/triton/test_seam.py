"""What the plan and a user see of the engine, with or without Triton installed; nothing is compiled."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.fresh import Fresh
from tests.optim.cases import PRINTED_RICHEST, Case
from tests.optim.cases import each as each_of
from thalweg import optim
from thalweg.engine.backends import backends
from thalweg.engine.program.printing import layout_of
from thalweg.engine.triton import backend
from thalweg.engine.triton.kernel import print_pass
from thalweg.engine.triton.printed import unprintable
from thalweg.engine.triton.scalars import print_scalars
from thalweg.errors import EngineError

from .interpreter import IS_ASKED, program_of

outside = pytest.mark.skipif(IS_ASKED, reason="in the interpreter kernels run on the CPU")


def stepped(engine: str, rule: thalweg.Rule | None = None) -> thalweg.Optimizer:
    p = Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    chain = thalweg.chain(rule or thalweg.rules.adam())
    optimizer = thalweg.Optimizer([("weight", p)], chain, lr=0.1, engine=engine)  # type: ignore[arg-type]
    optimizer.step()
    return optimizer


def test_it_is_asked_only_by_name_and_before_the_engines_that_run_all() -> None:
    assert "triton" not in [engine.name for engine in backends("auto")]
    assert [engine.name for engine in backends("triton")] == ["triton", "foreach", "eager"]


@outside
def test_tensors_on_the_cpu_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "triton_problem", lambda: None)
    with pytest.raises(EngineError) as caught:
        stepped("triton")
    for words in ("parameter 0 (weight)", "'cpu'", "GPU", "engine='auto'", "TRITON_INTERPRET=1"):
        assert words in str(caught.value)


@outside
def test_without_triton_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backend, "triton_problem", lambda: "Triton is not installed (pip install …)"
    )
    with pytest.raises(EngineError, match="pip install"):
        stepped("triton")
    assert stepped("auto").plan().startswith("fused")


def test_a_toolchain_that_fails_leaves_the_step_to_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    why = "Triton cannot launch a kernel on cuda:0 (RuntimeError: Failed to find C compiler)"
    monkeypatch.setattr(backend, "triton_problem", lambda: None)
    monkeypatch.setattr(backend, "device_problem", lambda x: None)
    monkeypatch.setattr(backend, "_launch_problem", lambda device: why)
    assert stepped("auto").plan().startswith("fused")
    with pytest.raises(EngineError, match="Failed to find C compiler"):
        stepped("triton")


def test_a_program_that_cannot_be_printed_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "triton_problem", lambda: None)

    @thalweg.rule
    def sorted_rule(g):
        return torch.sort(g.reshape(-1)).values.reshape(g.shape)

    with pytest.raises(EngineError, match=r"no kernel can run .*sort"):
        stepped("triton", sorted_rule)


@outside
def test_a_step_on_the_cpu_prints_and_compiles_nothing_for_triton(fresh: Fresh) -> None:
    """PyTorch's own optimizers may import Triton; this package does so for tensors on a GPU alone."""
    code = (
        "import sys, torch, thalweg\n"
        "p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3)\n"
        "thalweg.Optimizer([p], thalweg.rules.adam()).step()\n"
        "print([m for m in sys.modules if m.startswith('thalweg.engine.triton.')])"
    )
    done = fresh.run(code)
    assert done.returncode == 0, done.stderr
    for name in ("batch", "source", "probe"):
        assert f"thalweg.engine.triton.{name}" not in done.stdout


@each_of(PRINTED_RICHEST)
def test_every_optimizer_is_printed_as_python(case: Case) -> None:
    """The text of a kernel is Python, whose every name is defined before it is used."""
    program = program_of(case)
    assert not unprintable(program)
    for dtype in ("float32", "float64", "bfloat16", "float16"):
        dtypes = (dtype,) * len(program.tensors)
        for stage in range(program.stages + 1):
            layout = layout_of(program, stage, dtypes)
            compile(print_pass(program, stage, layout), "<kernel>", "exec")
    if program.number_outputs:
        outputs = tuple(program.number_outputs.values())
        compile(print_scalars(program, outputs, of_tensors=True).text, "<kernel>", "exec")


def test_a_slot_that_keeps_its_numbers_is_not_written() -> None:
    """The memory of a GPU is what a step waits for."""

    @thalweg.rule
    def keeping(g, kept):
        return g + kept, kept

    program = thalweg.chain(keeping).program({})
    text = print_pass(program, 0, layout_of(program, 0, ("float32",) * 3))
    assert "tl.store(p1 + at" in text
    assert "tl.store(p2 + at" not in text


def test_the_names_of_engines_are_checked() -> None:
    with pytest.raises(ValueError, match="triton"):
        optim.Adam([Parameter(torch.ones(1))], engine="cuda")  # type: ignore[arg-type]
