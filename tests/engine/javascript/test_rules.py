"""Every optimizer of the case table, stepped by its printed JavaScript and by the eager engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.javascript.node import needs_javascript, run
from tests.optim.cases import CASES, PRINTED_PROGRAMS, Case
from tests.optim.oracle import TOLERANCE
from tests.optim.problem import Problem, assert_same_path, follow, recorded
from thalweg import optim
from thalweg.engine import chain, rule
from thalweg.engine.javascript.operations import library
from thalweg.engine.javascript.printed import print_rule
from thalweg.errors import EngineError, TaskError
from thalweg.movies.rules import print_optimizer

PROBLEM = recorded([(), (7,), (5, 3), (2, 3, 2), (0,)], steps=7, seed=3)

STEPPED = """
const path = [];
const points = (given) => given.map((x) => Float64Array.from(x));
const makers = {%s};
return Object.fromEntries(Object.entries(makers).map(([name, rule]) => {
  const point = points(given.starts), state = maths.init(rule, given.shapes);
  return [name, given.gradients.map((gradient, k) => {
    rule.step(point, points(gradient), state, given.hyperparameters[name], k + 1);
    return point.map((x) => Array.from(x));
  })];
}));
"""


def flat(x: torch.Tensor) -> list[float]:
    return [float(v) for v in x.reshape(-1)]


def by_javascript(cases: list[Case], problem: Problem, folder: Path) -> Mapping[str, Any]:
    printed = {
        case.name: print_optimizer(case.ours(problem.parameters(), engine="eager"))
        for case in cases
    }
    makers = ",\n".join(f"{name!r}: {each.text}" for name, each in printed.items())
    given = {
        "starts": [flat(x) for x in problem.starts],
        "shapes": [list(x.shape) for x in problem.starts],
        "gradients": [
            [flat(g) for g in problem.gradient(k, problem.starts)] for k in range(problem.steps)
        ],
        "hyperparameters": {name: each.hyperparameters for name, each in printed.items()},
    }
    found: Mapping[str, Any] = run(library() + STEPPED % makers, folder, given)
    return found


def shaped(point: list[list[float]]) -> list[torch.Tensor]:
    return [
        torch.tensor(x, dtype=torch.float64).reshape(start.shape)
        for x, start in zip(point, PROBLEM.starts, strict=True)
    ]


def compare(cases: list[Case], folder: Path) -> None:
    paths = by_javascript(cases, PROBLEM, folder)
    wrong = {}
    for case in cases:
        parameters = PROBLEM.parameters()
        expected = follow(PROBLEM, parameters, case.ours(parameters, engine="eager"))
        actual = [
            [
                torch.tensor(x, dtype=torch.float64).reshape(s.shape)
                for x, s in zip(point, PROBLEM.starts, strict=True)
            ]
            for point in paths[case.name]
        ]
        try:
            assert_same_path(actual, expected, PROBLEM.starts, TOLERANCE[torch.float64])
        except AssertionError as error:
            wrong[case.name] = str(error)
    assert wrong == {}


@needs_javascript
def test_every_program_is_what_the_eager_engine_runs(tmp_path: Path) -> None:
    compare(PRINTED_PROGRAMS, tmp_path)


@pytest.mark.full
@needs_javascript
def test_every_case_is_what_the_eager_engine_runs(tmp_path: Path) -> None:
    compare([case for case in CASES if not case.is_of_matrices], tmp_path)


def test_a_rule_of_matrices_is_refused() -> None:
    with pytest.raises(EngineError, match="whole matrices"):
        print_optimizer(optim.SOAP([torch.nn.Parameter(torch.zeros(3, 2))]))


def test_a_call_outside_the_vocabulary_is_refused_by_name() -> None:
    @rule
    def sorted_step(g, /):  # type: ignore[no-untyped-def]
        return torch.sort(g.reshape(-1)).values.reshape(g.shape)

    program = chain(sorted_step()).program({})
    with pytest.raises(EngineError, match=r"sorted_step.*cannot be printed as JavaScript.*sort"):
        print_rule(program, {})


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(TaskError, match="Adam is not a chain of rules"):
        print_optimizer(torch.optim.Adam([torch.zeros(2)]))
