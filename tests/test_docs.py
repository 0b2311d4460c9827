"""What the documents show must run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.commands import call
from tests.race.conftest import short_turns

__all__ = ["short_turns"]

DOCS = Path(__file__).parent.parent / "docs"


def blocks(name: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_entrants_of_the_race_can_be_raced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import thalweg

    monkeypatch.chdir(tmp_path)
    (block,) = blocks("race.md")
    raced: list[Any] = []

    def small(task: str, entrants: list[Any]) -> None:
        raced.append(
            thalweg.race(task, entrants, trials=2, seeds=1, final_seeds=1, epochs=1, out=None)
        )

    # the block imports the race: what it calls is made small
    names: dict[str, Any] = {}
    exec(block.replace("race(\n", "small(\n", 1), {"small": small, **names})
    assert len(raced[0].standings) == 5
    assert {record.status for record in raced[0].records} == {"finished"}


def test_the_page_on_training_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("training.md"):
        exec(block, names)
    assert names["run"].epochs == 4, "gone on with"
    assert names["saved"].predict(names["x"], output="class").shape == (3,)
    assert (tmp_path / "logs" / "tensorboard" / "digits-adam-1").is_dir()
    assert (tmp_path / "mine.pt2").exists()


def test_the_commands_on_training_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("new.npy", np.zeros((2, 64), dtype="float32"))
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    commands = re.findall(r"^thalweg (.*)$", text, flags=re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        ended = call(*shlex.split(command))
        assert ended.exit_code == 0, (command, ended.output)


def test_the_page_on_initialization_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    for block in blocks("init.md"):
        exec(block, names)
    assert names["run"].epochs == 2
    assert names["report"].untouched == ()


def test_the_page_on_wrappers_runs_and_names_every_wrapper() -> None:
    from thalweg import meta

    names: dict[str, Any] = {}
    for block in blocks("wrappers.md"):
        exec(block, names)
    assert names["skipped"] == 1
    assert names["run"].evaluate("test")["accuracy"] > 0.8
    text = (DOCS / "wrappers.md").read_text(encoding="utf-8")
    assert [name for name in meta.__all__ if name != "Wrapper" and name not in text] == []


def test_the_page_on_curvature_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    for block in blocks("curvature.md"):
        exec(block, names)
    assert 0 < names["found"].ratio < 1
    assert names["density"].products == 180


def test_the_page_on_kronecker_factors_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    for block in blocks("kfac.md"):
        exec(block, names)
    assert names["K"].shape == (67, 67)
    assert names["run"].steps == 20


def test_the_commands_on_curvature_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "curvature.md").read_text(encoding="utf-8")
    commands = re.findall(r"^thalweg (.*)$", text, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        quick = ("--rows", "64", "--probes", "2", "--most", "20", "--no-layers")
        ended = call(*shlex.split(command), *quick)
        assert ended.exit_code == 0, (command, ended.output)
    assert [each.name for each in tmp_path.iterdir()] == ["curvature.html"]


def test_the_commands_on_pictures_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "pictures.md").read_text(encoding="utf-8")
    commands = re.findall(r"^thalweg (.*)$", text, flags=re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        quick = command.replace("--points 21", "--points 5").replace("--epochs 3", "--epochs 1")
        ended = call(*shlex.split(quick))
        assert ended.exit_code == 0, (command, ended.output)
    pages = ["coloured.html", "graph.html", "landscape.html", "movie.html"]
    assert sorted(each.name for each in tmp_path.glob("*.html")) == pages


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in DOCS.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (DOCS / target).exists(), f"{document.name} links to {target}"


def test_every_file_that_the_documents_name_is_there() -> None:
    root = DOCS.parent
    for page in (*DOCS.glob("*.md"), root / "README.md", root / "CONTRIBUTING.md"):
        for name in re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py)?)`", page.read_text(encoding="utf-8")):
            assert (root / "thalweg" / name).exists() or (root / name).exists(), (page.name, name)


def test_the_page_on_the_doctor_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    for block in blocks("doctor.md"):
        exec(block, names)
    assert names["report"]["lr_too_high"].status == "confirmed"
    assert names["diagnosis"].report.healthy


def test_the_page_on_routing_runs_and_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    from thalweg.model.kinds import PARAMETER_KINDS

    names: dict[str, Any] = {}
    for block in blocks("routing.md"):
        exec(block, names)
    printed = capsys.readouterr().out
    assert (
        "hidden: 4,096 numbers by chain(clip_by_global_norm(max_norm=1.0), muon(adjust='match"
        in printed
    )
    assert "'rest': 'chain(adam(), decay(weight_decay=0.1))'" in printed
    assert printed.endswith("lion/adam+decay\n")
    text = (DOCS / "routing.md").read_text(encoding="utf-8")
    assert [kind for kind in PARAMETER_KINDS if f"| `{kind}` |" not in text] == []
