"""Students and teachers: the terms against their equations, what is trained, what it costs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, RESUMED, differs, same
from tests.strategies.killed import killed_and_resumed
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg import fit, load_task
from thalweg.errors import TaskError
from thalweg.objective import L2, Cost
from thalweg.strategies import distillation, hints
from thalweg.strategies.stages.identity import identified
from thalweg.strategies.teachers import soft_term
from thalweg.tasks import mlp
from thalweg.train import Callback


def thin() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)
    ).double()


def wide() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)).double()


TEACHER = quiet(blobs(model=wide)).model


def test_the_soft_term_has_the_gradient_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    s, t = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    s.requires_grad_()
    soft_term(3.0, 0.7)(s, t).backward()
    expected = 0.7 * 3.0 * (torch.softmax(s / 3, 1) - torch.softmax(t / 3, 1)) / 5
    assert s.grad is not None
    # T²·∂KL/∂s = T·(softmax(s/T) − softmax(t/T)), equation 2 times T²
    assert float((s.grad - expected).detach().abs().max()) < 1e-14


def test_a_student_is_pulled_to_its_teacher_and_the_teacher_is_left_alone() -> None:
    x = blobs().data.train.inputs  # type: ignore[attr-defined]
    before = {name: tensor.clone() for name, tensor in TEACHER.state_dict().items()}
    plain = quiet(blobs(model=thin), epochs=30)
    taught = quiet(blobs(model=thin), epochs=30, strategy=distillation(TEACHER, 2.0, 20.0))
    same(TEACHER.state_dict(), before, because="it is copied")
    said, told = (torch.softmax(model(x) / 2, 1) for model in (taught.model, TEACHER.eval()))
    without = torch.softmax(plain.model(x) / 2, 1)
    assert float((said - told).detach().norm()) < 0.5 * float((without - told).detach().norm())
    assert type(taught.model) is nn.Sequential
    assert taught.evaluate("validation").penalty == 0
    assert taught.gradients == pytest.approx(plain.gradients * 4 / 3)


@pytest.mark.parametrize("setting", [{"temperature": 1.0}, {"weight": 3.0}])
def test_every_setting_changes_the_run(setting: dict[str, Any]) -> None:
    task = blobs(model=thin, cost=Cost("cross_entropy", penalty=L2(0.01)))
    run = quiet(task, strategy=distillation(TEACHER), epochs=2)
    other_run(run, quiet(task, strategy=distillation(TEACHER, **setting), epochs=2))
    other_run(run, quiet(blobs(model=thin), strategy=distillation(TEACHER), epochs=2))


def test_a_teacher_that_is_built_is_trained_within_the_budget() -> None:
    strategy = distillation(wide, share=0.5)
    run = quiet(blobs(model=thin), strategy=strategy, epochs=6, gradient_budget=6.0)
    assert [stage.name for stage in run.stages] == ["teacher", "student"]
    assert 6 <= run.gradients < 6 + 4 / 3 * 8 / 35
    assert run.stages[0].gradients == pytest.approx(3, abs=8 / 35)


class Watch(Callback):
    """Keeps the loss of each step, and the weights after it."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seen: list[dict[str, Tensor]] = []

    def step(self, training: Any, loss: float) -> None:
        self.losses.append(loss)
        self.seen.append({k: v.detach().clone() for k, v in training.model.state_dict().items()})


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_hints_train_the_lower_layers_first(weight: float) -> None:
    watch = Watch()
    strategy = hints(TEACHER, "0", "2", share=0.5, weight=weight)
    run = quiet(blobs(model=thin), strategy=strategy, epochs=20, callbacks=[watch])
    assert sum(watch.losses[45:50]) < 0.5 * sum(watch.losses[:5])
    first, last = watch.seen[0], watch.seen[49]
    differs(first["student.0.weight"], last["student.0.weight"])
    same(
        first["student.4.weight"],
        last["student.4.weight"],
        because="nothing leads there from the hint",
    )
    prefix = "student." if weight else ""
    begun = watch.seen[50][f"{prefix}2.weight"]
    assert float((begun - last["student.2.weight"]).abs().max()) < 0.06, "a step of Adam at .05"
    assert list(run.model.state_dict()) == list(thin().state_dict())
    passes = 1 / 3 + (10 / 3 if weight else 0)
    assert run.gradients == pytest.approx(20 + passes)


@pytest.mark.parametrize("after", [3, 13])
@pytest.mark.parametrize(
    "strategy",
    [distillation(wide), hints(TEACHER, "0", "2", share=0.5, weight=1.0)],
    ids=lambda strategy: type(strategy).__name__,
)
def test_they_go_on_bit_for_bit(strategy: Any, after: int, tmp_path: Path) -> None:
    task = blobs(model=thin)
    resumed = killed_and_resumed(task, strategy, after, tmp_path / "kept.safetensors", epochs=4)
    whole = quiet(task, strategy=strategy, epochs=4)
    same_run(resumed, whole, because=RESUMED)
    assert resumed.gradients == whole.gradients
    same_run(whole, quiet(task, strategy=strategy, epochs=4), because=RERUN)


def test_what_cannot_teach_is_said() -> None:
    with pytest.raises(TaskError, match="The teacher has no layer '7'"):
        quiet(blobs(model=thin), strategy=hints(TEACHER, "7", "2"))
    with pytest.raises(TaskError, match="The student has no layer 'x'"):
        quiet(blobs(model=thin), strategy=hints(TEACHER, "0", "x"))
    other = nn.Linear(2, 7).double()
    broken = wide()
    nn.init.constant_(broken[3].bias, float("nan"))
    with pytest.raises(
        TaskError, match=r"teacher's outputs are not finite in 8 of 8 rows .* row 0"
    ):
        quiet(blobs(model=thin), strategy=distillation(broken))
    with pytest.raises(TaskError, match=r"teacher's outputs have the shape \(.*, 7\)"):
        quiet(blobs(model=thin), strategy=distillation(other))
    with pytest.raises(TaskError, match="temperature must be a number > 0; got 0"):
        distillation(TEACHER, temperature=0)
    with pytest.raises(TaskError, match="trained model, or a function that builds one; got 'big'"):
        distillation("big")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="trained model; got 'big'"):
        hints("big", "0", "0")  # type: ignore[arg-type]


def test_a_teacher_of_any_type_tells_two_strategies_apart() -> None:
    teacher = wide().bfloat16()
    strategy = distillation(teacher)
    assert strategy.identity() == distillation(copy.deepcopy(teacher)).identity()
    other = copy.deepcopy(teacher)
    other.get_parameter("0.weight").data[0, 0] += 1
    assert strategy.identity() != distillation(other).identity()
    quiet(blobs(model=thin), strategy=strategy, epochs=1)


def test_a_tensor_is_told_apart_as_it_always_was() -> None:
    """Checkpoints and records of races hold these texts."""
    assert identified(torch.arange(6.0).reshape(2, 3).mT) == (
        "float32(3, 2) 0c9d0bb54e4f5a0121543129f106617549c7ff2b34c6842c5a2e19186c5a7914"
    )
    assert (
        identified(torch.tensor(True))
        == "bool() 4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
    )
    assert (
        identified(torch.zeros(0, 2))
        == "float32(0, 2) e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@pytest.mark.full
def test_hints_train_a_thin_deep_student_that_does_not_learn_alone() -> None:
    """Five layers of 32 sigmoids on the digits: 52 to 66 % alone at its best rate, over 85 % by hints."""

    def sigmoids(*widths: int) -> nn.Sequential:
        return mlp([64, *widths, 10], nn.Sigmoid)

    digits = load_task("digits")
    wide = digits.replace(model=lambda: sigmoids(64))
    teacher = fit(wide, "adam", lr=1e-2, epochs=20, progress=False).model
    thin = digits.replace(model=lambda: sigmoids(*[32] * 5))

    def accuracy(strategy: hints | None, lr: float) -> float:
        run = fit(thin, "adam", lr=lr, epochs=25, strategy=strategy, progress=False)
        return run.evaluate("validation")["accuracy"]

    alone = max(accuracy(None, lr) for lr in (0.01, 0.03))
    assert accuracy(hints(teacher, "0", "4"), 0.03) > alone + 0.1
