"""The whole trajectory of every case, step by step, by both engines and against every oracle."""

from __future__ import annotations

import functools

import pytest
import torch

from thalweg.engine.cpu.batch import CHUNK

from .cases import CASES, Case, each, each_case, each_engine, each_optimizer
from .oracle import (
    FEW,
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
    "float64, quadratic, changing lr": (QUADRATIC, torch.float64, changing),
    "float32": (FEW, torch.float32, constant),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("run", RUNS)
@each_engine
@each_case
def test_every_step_agrees(case: Case, engine: str, run: str) -> None:
    problem, dtype, rate = RUNS[run]
    compare(case, engine, problem, dtype, rate)


FURTHER = {
    "float64, changing lr": (FEW, torch.float64, changing),
    "float64, quadratic": (QUADRATIC, torch.float64, constant),
    "float32, changing lr": (FEW, torch.float32, changing),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("run", FURTHER)
@each_engine
@each([case for case in CASES if case.has_twin or case.is_coupled])
def test_every_step_agrees_further(case: Case, engine: str, run: str) -> None:
    """One thing at a time, where it may matter: beside torch, and where estimates grow."""
    problem, dtype, rate = FURTHER[run]
    compare(case, engine, problem, dtype, rate)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@each_engine
@each_optimizer
def test_tensors_of_many_chunks_agree(case: Case, engine: str, dtype: torch.dtype) -> None:
    if engine == "fused":  # PyTorch's own threads only wait for one another on a busy machine
        torch.set_num_threads(2)
    compare(case, engine, LARGE, dtype, constant)


def compare(case: Case, engine: str, problem: Problem, dtype: torch.dtype, rate: Rate) -> None:
    make = functools.partial(case.ours, engine=engine)
    actual = path(make, problem, dtype, rate)
    for expected, tolerance in expected_paths(case, problem, dtype, rate):
        strays = 0.005 if case.decays_cautiously and dtype != torch.float64 else 0.0
        assert_same_path(actual, expected, problem.starts, tolerance, strays)


LARGE = recorded([(CHUNK + 1037,), (3,), (70, 97)], steps=3, seed=2)
