"""The public names are pinned: growth is deliberate."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import subprocess
import sys

import pytest
import torch

import thalweg
from tests.fresh import Fresh
from tests.optim.cases import OPTIMIZERS
from tests.optim.kronecker import OF_MODELS
from tests.optim.matrix import OF_MATRICES
from tests.optim.solvers import SOLVERS
from tests.optim.sparse import SPARSE_ONLY

NAMES = """
Callback Chain Checkpoint CheckpointError ColumnsByColumns Cost Data DataError DivergedError EachColumn
EachRow EarlyStopping EngineError L1 L2 Link Metric MissingExtraError Optimizer RangeTest Recipe
RowsByRows Rule RuleError Run Scalar Target Task TaskError ThalwegError __version__ best_orthogonal chain
curvature dimensions doctor find_lr fit flat_objective gram gram_of_columns init labs largest
least_squares load_run load_task matrix_function mean meta minimize minimize_many newton_schulz noise
norm optim plot_range_test plot_schedules race route rule rules schedules solvers strategies summary tasks
testing total
"""

FORMS = {
    f"{name}_{form}"
    for name in ("shampoo", "soap", "soap_skipping")
    for form in ("blocks", "columns", "identity", "rows")
}
"""Rules that the size of a parameter chooses (`optim/sides.py`), and no user."""


def test_the_public_names_are_these() -> None:
    assert sorted(thalweg.__all__) == sorted(NAMES.split())


def test_every_optimizer_has_cases_and_every_case_is_of_an_optimizer() -> None:
    tested = [*OPTIMIZERS, *SOLVERS, *OF_MODELS, *OF_MATRICES, *SPARSE_ONLY, "Optimizer"]
    assert sorted(thalweg.optim.__all__) == sorted(tested)


def test_every_rule_is_exported() -> None:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(thalweg.rules.__path__, "thalweg.rules.")
    ]
    made = {v for m in modules for v in vars(m).values() if isinstance(v, thalweg.Rule)}
    public = {rule for rule in made if rule.name not in FORMS}
    assert len(made) - len(public) == len(FORMS)
    assert thalweg.rules.__all__ == sorted(rule.name for rule in public)
    assert all(getattr(thalweg.rules, rule.name) is rule for rule in public)


@pytest.mark.parametrize("name", thalweg.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(thalweg, name)
    assert name in dir(thalweg)
    if name not in (
        "__version__",
        "Scalar",
        "RowsByRows",
        "ColumnsByColumns",
        "EachRow",
        "EachColumn",
    ):
        assert value.__doc__, f"{name} has no docstring"


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'Optimizer'"):
        _ = thalweg.Optimiser


def test_the_race_can_be_pickled_as_any_function_can() -> None:
    assert pickle.loads(pickle.dumps(thalweg.race)) is thalweg.race
    assert copy.deepcopy({"run": thalweg.race})["run"] is thalweg.race


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("thalweg.race", marks=pytest.mark.full),
        pytest.param("thalweg.race.entrants.known", marks=pytest.mark.full),
        "thalweg.cli.app",
    ],
)
def test_race_can_be_called_whatever_was_imported_before(first: str, fresh: Fresh) -> None:
    code = f"import thalweg, {first}; assert callable(thalweg.race); thalweg.race.Entrant"
    if first == "thalweg.race":
        code += "; from thalweg import race; assert callable(race)"
    done = fresh.run(code)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, thalweg; "
        "heavy = {'torch', 'numpy', 'llvmlite', 'sklearn', 'rich', 'typer'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_optimizers_do_not_load_the_laboratory(fresh: Fresh) -> None:
    code = (
        "import sys, thalweg.optim; "
        "heavy = {'llvmlite', 'sklearn', 'rich', 'typer', 'scipy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = fresh.run(code)
    assert done.returncode == 0, done.stderr


def test_every_optimizer_of_pytorch_is_ours() -> None:
    made = {name: getattr(torch.optim, name) for name in torch.optim.__all__}
    classes = {name for name, each in made.items() if isinstance(each, type)} - {"Optimizer"}
    assert classes <= set(thalweg.optim.__all__)


def test_what_is_missing_in_optim_is_pytorchs_own() -> None:
    assert thalweg.optim.lr_scheduler.StepLR is torch.optim.lr_scheduler.StepLR
    assert thalweg.optim.swa_utils is torch.optim.swa_utils
    with pytest.raises(AttributeError, match="Did you mean 'AdamW'"):
        _ = thalweg.optim.AdamWw
