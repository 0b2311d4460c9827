"""The whole trajectory of every case, step by step, by both engines and against every oracle."""

from __future__ import annotations

import functools

import pytest
import torch

from .cases import Case, each_case, each_engine, each_optimizer
from .oracle import (
    QUADRATIC,
    RECORDED,
    Rate,
    changing,
    constant,
    expected_paths,
    path,
)
from .problem import Problem, assert_same_path, recorded

RUNS = {
    "float64": (RECORDED, torch.float64, constant),
    "float64, changing lr": (RECORDED, torch.float64, changing),
    "float64, quadratic": (QUADRATIC, torch.float64, constant),
    "float32": (RECORDED, torch.float32, constant),
    "float32, changing lr": (RECORDED, torch.float32, changing),
}


@pytest.mark.parametrize("run", RUNS)
@each_engine
@each_case
def test_every_step_agrees(case: Case, engine: str, run: str) -> None:
    problem, dtype, rate = RUNS[run]
    compare(case, engine, problem, dtype, rate)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@each_engine
@each_optimizer
def test_tensors_of_many_chunks_agree(case: Case, engine: str, dtype: torch.dtype) -> None:
    torch.set_num_threads(2)
    compare(case, engine, LARGE, dtype, constant)


def compare(case: Case, engine: str, problem: Problem, dtype: torch.dtype, rate: Rate) -> None:
    make = functools.partial(case.ours, engine=engine)
    actual = path(make, problem, dtype, rate)
    for expected, tolerance in expected_paths(case, problem, dtype, rate):
        assert_same_path(actual, expected, problem.starts, tolerance)


LARGE = recorded([(150_001,), (3,), (70, 997)], steps=4, seed=2)
