"""Every check can fail: an optimizer broken in one way fails the check that is about it."""

from __future__ import annotations

import pytest

from thalweg.testing import CHECKS, check_optimizer

from . import broken
from .sound import Sound

COPIES = "deepcopied pickled"

# the broken optimizer; all the checks that it fails, first the one it is about; what its message says
CASES = [
    ("Still", "first_steps", "has not changed"),
    ("Overflowing", "first_steps", "not finite"),
    ("DecaysTheGradient", "gradient_untouched", "Compute on a copy"),
    ("ReplacesTheGradient", "gradient_untouched maximize", "another object"),
    ("KeepsTheGradient", "reused_gradient autograd_left_alone", "p.grad.clone()"),
    ("RemembersTheLast", "alone", "state[p]"),
    (
        "DecaysWithoutGradient",
        "none_gradient late_gradient",
        "Skip a parameter where p.grad is None",
    ),
    ("CountsWithoutGradient", "none_gradient", "['t'] is 5, expected 3"),
    ("NeedsAGradient", "none_gradient sparse_gradient", "broken.py"),
    ("CountsForTheGroup", "late_gradient sparse_gradient", "step count in state[p]"),
    ("CountsBackwardPasses", "accumulation", "two micro-batches"),
    ("GivesUpOnNaN", "non_finite", "couples=True"),
    ("TakesTheLastEntry", "sparse_gradient", "grad.coalesce()"),
    ("FailsOnSparse", "sparse_gradient", "IndexError"),
    ("ClampsTheGradient", "sparse_gradient", "clamp_"),
    ("RefusesTooLate", "sparse_gradient", "after a change: the parameter"),
    ("RefusesAfterCounting", "sparse_gradient", "after a change: the state"),
    ("AlwaysSetsToNone", "zero_grad", "set_to_none=False"),
    ("ReadsTheFirstGroup", "groups", "self.param_groups"),
    ("ReadsLrLate", "scheduler", "first effect in step 5"),
    ("ReadsLrOnce", "scheduler learning_rate_zero sparse_gradient", "no effect"),
    ("DecaysWithoutLr", "learning_rate_zero", "group['lr'] = 0"),
    ("DividesByLr", "learning_rate_zero", "not finite"),
    ("BeginsAnew", "add_param_group", "go on undisturbed"),
    ("NegatesInPlace", "maximize", "Compute on a copy"),
    ("IgnoresMaximize", "maximize", "minimizing f"),
    ("TakesNothing", "empty_refused", "it was accepted"),
    ("DropsDuplicates", "duplicates_refused", "it was accepted"),
    ("GoesThroughTwice", "generator", "empty parameter list"),
    ("KeepsItsGroups", "resume", "bit by bit"),
    ("CountsInAnAttribute", f"resume {COPIES}", "bit by bit"),
    ("KeepsAnObject", "resume state_dtype", "weights_only=True"),
    ("CastsItsState", "state_dtype", "torch.float32"),
    ("CopiesShallowly", "deepcopied", "leave the original's parameters alone"),
    ("HoldsALock", f"pickled {COPIES}", "_thread.lock"),
    ("Misplaced", "pickled", "testing.broken.Elsewhere"),
    ("CountsForTheClass", "determinism", "Keep state in self.state"),
    ("EvaluatesWithoutGrad", "closure closure_released", "torch.enable_grad()"),
    ("ReturnsNothing", "closure", "got None"),
    ("IgnoresTheClosure", "closure", "did not call the closure"),
    ("KeepsTheClosure", "closure_released", "still referenced"),
    ("RunsNoHooks", "step_hooks", "got none"),
    ("ClaimsToScale", "grad_scaler", "found_inf"),
    ("WritesThroughData", "stale_graph", "not p.data"),
    ("RecordsAGraph", "autograd_left_alone", "state[p]['mean']"),
    ("LeavesGradOff", "autograd_left_alone", "left gradients disabled"),
    ("ReplacesTheData", "in_place", "moved in memory"),
    ("UpdatesACopy", "layouts", "transposed parameters"),
    ("FlattensParameters", "layouts", "view size is not compatible"),
    ("TrustsTheLayout", "gradient_layout", "transposed gradients"),
    ("LoopsOverRows", "scalar_parameter", "IndexError"),
    ("TakesTheMean", "empty_parameter", "ZeroDivisionError"),
    ("RoundsItsScalars", "bfloat16", "Python floats"),
]

# what these break shows in many places, and differently from one check to the next
FAIL_MORE = {"Overflowing", "CountsBackwardPasses", "CountsForTheClass", "LeavesGradOff"}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("name", "checks", "says"), CASES, ids=[case[0] for case in CASES])
def test_a_broken_optimizer_fails(name: str, checks: str, says: str) -> None:
    found = check_optimizer(getattr(broken, name))
    expected = checks.split()
    failed = {result.name for result in found.failed}
    if name in FAIL_MORE:
        assert expected[0] in failed
    else:
        assert failed == set(expected)
    assert says in found[expected[0]].detail


def test_the_sound_optimizer_passes_every_check() -> None:
    found = check_optimizer(Sound)
    assert [result.outcome for result in found.results] == ["pass"] * len(CHECKS), str(found)


def test_every_check_has_a_broken_optimizer() -> None:
    assert {checks.split()[0] for _, checks, _ in CASES} == set(CHECKS)
