from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.movies.equation import math_of
from thalweg.movies.surfaces import SHOWN


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_lists_surfaces(folder: Path) -> None:
    assert [*json.loads(call("movie", "--json").stdout)["surfaces"]] == [*SHOWN]
    assert "beale       f = (1.5 − x + xy)²" in call("movie").stdout
    assert list(folder.iterdir()) == []


def test_a_surface_of_the_user_s_own(folder: Path) -> None:
    (folder / "valley.py").write_text("def surface(x, y):\n    return x**2 + 2 * y**2\n")
    options = ("-o", "gd,newton", "--lr", "0.05", "--steps", "3", "--start=-3,3", "--json")
    result = call("movie", "valley.py", *options, "--gif", "valley.gif")
    document = json.loads(result.stdout)
    assert (document["schema"], document["surface"]) == ("thalweg.movie/1", "valley")
    path = [value for point in document["walkers"][0]["path"] for value in point]
    assert path == pytest.approx([-3, 3, -2.7, 2.4, -2.43, 1.92, -2.187, 1.536])
    assert document["walkers"][1]["kind"] == "recorded"
    assert result.stderr == "Movie: movie-valley.html\nGIF: valley.gif\n"
    assert {each.name for each in folder.glob("*.*")} == {
        "valley.py",
        "movie-valley.html",
        "valley.gif",
    }
    again = call("movie", "valley.py")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "movie-valley.html exists. --force writes over it" in again.stderr


def test_the_surface_of_the_documents(folder: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "movies.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (folder / "wells.py").write_text(block)
    arguments = ("--start=-1.8,1.5", "--view=-2,2,-2,2")
    assert f"thalweg movie wells.py {' '.join(arguments)}" in text
    result = call("movie", "wells.py", *arguments, "-o", "momentum,newton", "--steps", "40")
    assert result.exit_code == 0
    assert "<p class='verdict'>Two wells.</p>" in (folder / "movie-wells.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bowl", "-o", ","), "--optimizers is empty"),
        (("bowl", "-o", "gd,sgd,SGD"), "'sgd' is named twice"),
        (("bowl", "--start", "1;2"), "--start expects numbers separated by commas"),
        (("bowl", "--lr", "0"), "A learning rate must be a positive number"),
        (("bowl", "--steps", "0"), "steps"),
        (("bowl", "--steps", "100001"), "at most 100000 steps"),
        (("bowl", "--noise=-1"), "noise"),
        (("bowl", "--gif", "a.png"), "ends in .gif; got a.png"),
        (("bowl", "--out", "a.pdf"), "ends in .html; got a.pdf"),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[str, ...], said: str, folder: Path) -> None:
    result = call("movie", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())
    assert list(folder.iterdir()) == []


def test_each_name_that_is_known_is_said_once(folder: Path) -> None:
    said = call("movie", "bowl", "-o", "nothing-like-it").stderr
    known = said.partition("Known are: ")[2].strip(" .\n").split(", ")
    assert {"gd", "coordinate", "lbfgs", "adam"} < set(known)
    assert sorted(set(known)) == known


def test_a_card_with_its_movie(folder: Path) -> None:
    result = call("explain", "lion", "--html", "lion.html")
    assert result.exit_code == 0
    assert result.stderr == "Page: lion.html\n"
    page = (folder / "lion.html").read_text(encoding="utf-8")
    assert math_of("m ← β₂·m + (1 − β₂)·g") in page
    assert '"name":"lion"' in page
    refused = call("explain", "rules.adam", "--html", "rule.html")
    assert refused.exit_code == 2
    assert "--html works for optimizers only" in refused.stderr
