from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.cli.curvature import EXAMPLES
from thalweg.curvature import hessian
from thalweg.curvature.spectrum import extremes
from thalweg.tasks import load_task
from thalweg.train import fit

FEW = ("--probes", "2", "--most", "20")


def test_the_table_has_figures_with_errors_and_costs(line_file: Path) -> None:
    result = call("curvature", "line.py", "-o", "momentum", "--lr", "0.1", *FEW)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "hessian of line, epochs of momentum: 1; 2 parameters, evaluation mode"
    names = (
        "largest eigenvalue", "smallest eigenvalue", "condition", "trace", "share below -1 %",
        "sharpness of SGD", "stable up to", "share of that", "layer (the model)", "note: ",
    )  # fmt: skip
    for name in names:
        assert any(line.strip().startswith(name) for line in lines), name
    assert any("stable up to" in line and " 38 " in line for line in lines)
    assert any("share below -1 % of largest  " in line for line in lines)
    assert lines[-1].endswith("gradients in all")


def test_json_is_what_the_functions_give(line_file: Path) -> None:
    result = call("curvature", "line.py:steep", "--epochs", "2", "--rows", "16", "--json", *FEW)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    task = load_task("line.py:steep")
    run = fit(task, "adam", epochs=2)
    assert (found["schema"], found["task"]) == ("thalweg.curvature/1", "steep")
    assert found["sharpness"]["optimizer"] == "Adam"
    assert found["noise_scale"] is None
    assert found["gradients"] > 10
    whole = call("curvature", "line.py:steep", "--epochs", "2", "--json", "--no-layers", *FEW)
    x, y = next(iter(task.data.train.batches(None)))
    expected = extremes(hessian(run.model, task.cost, (x, y)), most=20).top
    value = json.loads(whole.stdout)["eigenvalues"]["largest"][0]
    assert abs(value - expected.value) < 1e-3 * expected.value
    assert json.loads(whole.stdout)["layers"] == {}
    assert found["eigenvalues"]["largest"][0] != value, "of 16 rows alone"


def test_the_sharpness_along_the_run_and_the_page(line_file: Path) -> None:
    options = ("-o", "sgd", "--lr", "0.1", "--html", "page.html")
    along = ("--along", "2", "--epochs", "4", "--no-layers", *FEW)
    result = call("curvature", "line.py", *options, *along, "--json")
    assert result.exit_code == 0, result.stderr
    assert "Page: page.html" in result.stderr
    points = json.loads(result.stdout)["along"]
    assert [point["step"] for point in points][:2] == [1, 2]
    assert all(abs(point["stable_up_to"] - 20) < 1e-9 for point in points)
    assert "sharpness, step 2" in (line_file.parent / "page.html").read_text(encoding="utf-8")
    shown = call("curvature", "line.py", *along)
    assert "sharpness, step 2" in shown.stdout


@pytest.mark.parametrize("matrix", ["ggn", "fisher"])
def test_before_training_and_of_other_matrices(line_file: Path, matrix: str) -> None:
    result = call("curvature", "line.py", "--epochs", "0", "--matrix", matrix, "--training", *FEW)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(
        f"{matrix} of line, epochs of adam: 0; 2 parameters, training mode"
    )
    assert "Adam has not stepped" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--matrix", "hesian"), "Did you mean 'hessian'"),
        (("--epochs", "-1"), "--epochs"),
        (("--rows", "0"), "--rows must be at least 1"),
        (("-k", "0"), "-k must be at least 1"),
        (("--lr", "-1"), "--lr -1"),
        (("--along", "0"), "--along must be at least 1"),
        (("--along", "5", "--epochs", "0"), "--along needs training"),
        (("--html", "page.txt"), "ends in .html"),
    ],
)
def test_wrong_options_are_refused(line_file: Path, options: tuple[str, ...], said: str) -> None:
    result = call("curvature", "line.py", *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_there_are_examples() -> None:
    assert all(line.startswith("thalweg curvature ") for line in EXAMPLES)
