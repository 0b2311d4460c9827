"""What an optimizer does on purpose is not a fault, and one cause is reported once."""

from __future__ import annotations

import pytest

from thalweg.testing import check_optimizer

from . import unusual
from .broken import ReadsLrLate, ReadsLrOnce, Still
from .sound import Sound

# the optimizer; what it fails; what its note, or the detail of the check named, says
CASES = [
    ("WaitsFiveSteps", "", "its first 5 steps leave parameters where they are"),
    ("WaitsOneStep", "", "its first step leaves parameters where they are"),
    ("MovesEveryFourthStep", "", "its first 3 steps leave"),
    ("AddsNoise", "", "draws random numbers"),
    ("DrawsOfPython", "", "draws random numbers"),
    ("KeepsFloat32", "state_dtype", "keeps states in torch.float32"),
    ("ComputesInFloat32", "", "computes in torch.float32"),
    ("WantsTrainMode", "", "put into train mode first"),
    ("TakesFloat32Only", "", "run in float32"),
    ("MatricesOnly", "", "run on matrices only"),
    ("Unrepeatable", "determinism", ""),
    ("RefusesSparseInItsWay", "", ""),
    ("RefusesSparseInSilence", "sparse_gradient", ""),
    ("ReadsTheLoss", "", ""),
    ("AveragesAtLrZero", "", ""),
    ("LeansOnTheLargest", "", ""),
    ("KeepsObjects", "resume state_dtype", ""),
]


@pytest.mark.parametrize(("name", "fails", "note"), CASES, ids=[case[0] for case in CASES])
def test_purpose_is_told_from_fault(name: str, fails: str, note: str) -> None:
    found = check_optimizer(getattr(unusual, name))
    assert {result.name for result in found.failed} == set(fails.split()), str(found)
    assert note in " ".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_nothing_is_noted_of_the_sound_optimizer() -> None:
    assert check_optimizer(Sound).notes == ()


@pytest.mark.parametrize("broken", [ReadsLrLate, ReadsLrOnce])
def test_a_silent_phase_hides_no_fault(broken: type[Sound]) -> None:
    silent = type(broken.__name__, (broken, unusual.WaitsFiveSteps), {})
    assert "scheduler" in {result.name for result in check_optimizer(silent).failed}


def test_where_nothing_moves_the_checks_of_moves_say_so() -> None:
    found = check_optimizer(Still)
    assert "after 100 steps" in found["first_steps"].detail
    for name in ("scheduler", "learning_rate_zero", "stale_graph", "in_place", "bfloat16"):
        assert found[name].outcome == "skip"
        assert "first_steps" in found[name].detail


def test_runs_that_never_repeat_are_not_compared() -> None:
    found = check_optimizer(unusual.Unrepeatable)
    for name in ("groups", "resume", "deepcopied", "maximize"):
        assert found[name].outcome == "skip"
        assert "determinism" in found[name].detail
    for name in ("zero_grad", "none_gradient", "step_hooks", "in_place"):
        assert found[name].outcome == "pass"


def test_any_error_may_refuse_sparse_gradients_in_words() -> None:
    found = check_optimizer(unusual.RefusesSparseInItsWay)["sparse_gradient"]
    assert found.detail.startswith("refused: NoSparse: ")
    assert "RuntimeError" in found.detail
    silent = check_optimizer(unusual.RefusesSparseInSilence)["sparse_gradient"]
    assert "AssertionError without a word" in silent.detail


def test_a_cast_of_the_state_is_said_once() -> None:
    found = check_optimizer(unusual.KeepsFloat32)
    assert found["resume"].outcome == "skip"
    assert "state[p]['mean'] from torch.float32 to torch.float64" in found["resume"].detail


def test_a_step_that_reads_the_loss_is_no_fault() -> None:
    assert "depends on the loss" in check_optimizer(unusual.ReadsTheLoss)["closure"].detail


def test_where_rounding_decides_bfloat16_is_not_compared() -> None:
    found = check_optimizer(unusual.LeansOnTheLargest, only=["bfloat16"])["bfloat16"]
    assert (found.outcome, "differ by rounding" in found.detail) == ("skip", True)


def test_failures_of_one_cause_are_told_together() -> None:
    found = check_optimizer(unusual.KeepsObjects)
    assert [[result.name for result in alike] for alike in found.causes] == [
        ["resume", "state_dtype"]
    ]
    assert "testing.unusual.Projector. Keep" in found["resume"].detail
    assert "The same as `resume`." in str(found)
    with pytest.raises(AssertionError) as caught:
        found.raise_for_failures()
    assert str(caught.value).count("torch.load") == 1
