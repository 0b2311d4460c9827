"""The NumPy transcriptions against torch.optim, where both know the rule."""

from __future__ import annotations

import pytest
import torch

from .cases import CASES, Case, each
from .oracle import QUADRATIC, RECORDED, TOLERANCE, changing, constant, reference_path, torch_path
from .problem import Problem, assert_same_path


@pytest.mark.sampled(3)
@pytest.mark.parametrize("rate", [constant, changing])
@pytest.mark.parametrize("problem", [RECORDED, QUADRATIC], ids=lambda problem: problem.name)
@each([case for case in CASES if case.reference is not None and case.has_twin])
def test_transcription_and_torch_agree(case: Case, problem: Problem, rate: object) -> None:
    dtype = torch.float64
    expected = torch_path(case, problem, dtype, rate)
    actual = reference_path(case, problem, dtype, rate)
    assert_same_path(actual, expected, problem.starts, TOLERANCE[dtype])
