"""How `check_optimizer` is called, and what it reports."""

from __future__ import annotations

import functools
import random
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import same
from thalweg.testing import CHECKS, CheckResult, Conformance, check_optimizer

from .broken import DecaysWithoutGradient, NeverMade, NeverSteps
from .sound import Sound

ONE = ["gradient_untouched"]


def names(found: Conformance) -> list[str]:
    return [result.name for result in found.results]


def test_every_check_explains_itself() -> None:
    for name, function in CHECKS.items():
        first, _, rest = (function.__doc__ or "").partition("\n\n")
        assert first.endswith("."), name
        assert rest.strip(), f"{name} does not say why it matters"


def test_results_come_in_the_order_of_the_checks() -> None:
    assert names(check_optimizer(Sound)) == list(CHECKS)


def test_only_and_skip() -> None:
    assert names(check_optimizer(Sound, only=["resume", "groups"])) == ["groups", "resume"]
    found = check_optimizer(DecaysWithoutGradient, skip={"none_gradient": "decays on purpose"})
    assert found["none_gradient"].outcome == "skip"
    assert found["none_gradient"].detail == "decays on purpose"
    assert [result.name for result in found.failed] == ["late_gradient"]
    assert check_optimizer(Sound, skip=ONE)[ONE[0]].detail == "left out by the caller"


@pytest.mark.parametrize("argument", ["skip", "only"])
def test_unknown_checks_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=r"no check called 'resum'\. Did you mean 'resume'"):
        check_optimizer(Sound, **{argument: ["resum"]})


def test_the_string_is_a_table() -> None:
    lines = str(check_optimizer(DecaysWithoutGradient)).splitlines()
    assert lines[0] == "DecaysWithoutGradient: 33 passed, 2 failed, 0 skipped"
    assert "  pass  gradient_untouched" in lines
    assert any(line.startswith("  FAIL  none_gradient  ") for line in lines)
    assert max(map(len, lines)) <= 100


def test_raise_for_failures_lists_all() -> None:
    with pytest.raises(AssertionError) as caught:
        check_optimizer(DecaysWithoutGradient).raise_for_failures()
    text = str(caught.value)
    assert text.startswith("DecaysWithoutGradient fails 2 checks:")
    assert "none_gradient: A parameter whose gradient is None keeps its value" in text
    assert "late_gradient: " in text
    check_optimizer(Sound).raise_for_failures()


def test_an_unknown_result_is_a_key_error() -> None:
    found = Conformance("Some", [CheckResult("resume", "pass")])
    assert found["resume"].outcome == "pass"
    with pytest.raises(KeyError):
        found["groups"]


@pytest.mark.parametrize("broken", [NeverMade, NeverSteps])
def test_an_optimizer_that_cannot_run_fails_once(broken: Any) -> None:
    found = check_optimizer(broken)
    assert [result.name for result in found.failed] == ["first_steps"]
    assert {result.outcome for result in found.results[1:]} == {"skip"}
    assert "broken.py:" in found["first_steps"].detail
    assert len(str(found).splitlines()) < 10
    assert not check_optimizer(broken, only=["resume"]).ok


def test_something_that_is_no_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"has to return a torch.optim.Optimizer, got list"):
        check_optimizer(list)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (Sound([torch.nn.Parameter(torch.zeros(1))]), "an instance of Sound"),
        ("Adam", "an instance of str"),
        (None, "None"),
    ],
)
def test_what_cannot_make_optimizers_is_refused(given: Any, got: str) -> None:
    with pytest.raises(
        TypeError, match=f"Give the class, or a function of params, .* got {got}\\.$"
    ):
        check_optimizer(given)


class AsksForAClosure(Sound):
    def take(self, closure: Any) -> Any:
        if closure is None:
            raise RuntimeError("this optimizer takes its gradients in a closure")
        return super().take(closure)


class AssertsAClosure(Sound):
    def take(self, closure: Any) -> Any:
        assert closure is not None
        return super().take(closure)


def test_closures_are_given_where_they_are_needed() -> None:
    found = check_optimizer(AsksForAClosure)
    assert found.ok, str(found)
    assert "called with a closure" in found.notes[0]
    assert not check_optimizer(AssertsAClosure).ok
    assert check_optimizer(AssertsAClosure, needs_closure=True).ok
    assert not check_optimizer(AsksForAClosure, needs_closure=False).ok


class SharesItsNorm(Sound):
    """Divides by the norm of all gradients."""

    def update_all(self) -> None:
        grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        self.norm = torch.stack([g.norm() for g in grads]).norm() if grads else None
        super().update_all()

    def gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        assert self.norm is not None
        return super().gradient(p, group) / self.norm * (1 + p.abs())


def test_coupling_has_to_be_said() -> None:
    silent = {result.name for result in check_optimizer(SharesItsNorm).failed}
    assert silent == {"alone"}
    found = check_optimizer(SharesItsNorm, couples=True)
    assert found.ok, str(found)
    assert found["groups"].outcome == "skip"


class OnlyMatrices(Sound):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.ndim != 2:
            raise TypeError("matrices only")
        super().update(p, group)


def test_shapes_are_taken_from_the_caller() -> None:
    assert not check_optimizer(OnlyMatrices).ok
    assert check_optimizer(OnlyMatrices, shapes=[(4, 3), (3, 5), (2, 2)]).ok


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (5,)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    found = check_optimizer(Sound, shapes=[shape, (1, 2), (3,)])
    assert found.ok, str(found)


def test_a_factory_that_maximizes() -> None:
    found = check_optimizer(functools.partial(Sound, maximize=True))
    assert found.ok, str(found)


def test_a_learning_rate_in_a_tensor_is_each_trials_own() -> None:
    lr = torch.tensor(0.01)
    found = check_optimizer(functools.partial(torch.optim.Adam, lr=lr))
    assert found.ok, str(found)
    same(lr, torch.tensor(0.01), because="nobody wrote to it")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    found = check_optimizer(Sound, dtype=dtype)
    assert found.ok, str(found)


def test_a_class_inside_a_function_is_not_pickled() -> None:
    class Inside(Sound):
        pass

    found = check_optimizer(Inside, only=["pickled"])
    assert found["pickled"].outcome == "skip"
    assert "Inside" in found["pickled"].detail


def test_a_partial_is_a_factory() -> None:
    found = check_optimizer(functools.partial(Sound, weight_decay=0.0), only=ONE)
    assert found.ok
    assert found.optimizer == "Sound"


def test_nothing_of_the_caller_changes() -> None:
    class Noisy(Sound):
        def update_all(self) -> None:
            warnings.warn("slow", stacklevel=1)
            torch.rand(1)
            super().update_all()

    torch.manual_seed(1)
    before, python = torch.get_rng_state(), random.getstate()
    with torch.no_grad():
        check_optimizer(Noisy)
        assert not torch.is_grad_enabled()
    same(torch.get_rng_state(), before, because="no random number was drawn")
    assert random.getstate() == python
    assert not torch.are_deterministic_algorithms_enabled()
