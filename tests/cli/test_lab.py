from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.commands import call
from thalweg.labs import LABS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_lists_labs_and_their_settings(folder: Path) -> None:
    result = call("lab")
    assert result.exit_code == 0
    for name, lab in LABS.items():
        assert f"{name}  {lab.title}" in result.stdout
    assert "--set alphas=0.1,0.3,1,3  values of α" in result.stdout
    assert "--slider 0.1  alpha: smallest α; the others are 3, 10" in result.stdout
    document = json.loads(call("lab", "--json").stdout)
    assert [each["name"] for each in document["labs"]] == [*LABS]
    assert all(each["slider"]["ends"] for each in document["labs"])
    assert list(folder.iterdir()) == []


def test_they_are_listed_among_other_names() -> None:
    rows = json.loads(call("list", "labs", "--json").stdout)["labs"]
    assert [row["name"] for row in rows] == [*LABS]
    assert rows[0]["slider"]["name"] == "batch"
    text = call("list", "labs").stdout
    assert re.search(r"cliffs +A cliff throws the plain step +clip +1 +150", text)


def test_it_says_what_is_found_and_writes_a_page(folder: Path) -> None:
    result = call("lab", "Coordinate_Descent", "--set", "alphas=0.5", "--set", "sweeps=3")
    assert result.exit_code == 0
    lab = LABS["coordinate-descent"]
    assert lab.title in result.stdout
    assert lab.why.split(".")[0] in result.stdout.replace("\n", " ")
    assert "α = 0.5: x a sweep" in result.stdout
    assert result.stderr == "Picture: lab-coordinate-descent.html\n"
    page = (folder / "lab-coordinate-descent.html").read_text(encoding="utf-8")
    assert "α = 0.5: objective a sweep" in page


def test_the_slider_moves_and_the_page_has_all_of_its_stops(folder: Path) -> None:
    result = call("lab", "many-layers", "--slider", "7")
    assert result.exit_code == 0
    assert "Slider layers = 7 layers: layers of one unit each, from 2 to 60 layers" in result.stdout
    assert "There is nothing for the doctor to watch: one step" in result.stdout
    page = (folder / "lab-many-layers.html").read_text(encoding="utf-8")
    assert re.findall(r'<div data-stop="(\d)"( hidden)?>', page) == [
        (str(place), "" if place == 2 else " hidden") for place in range(7)
    ]
    found = re.search(r'id="stops">(.*?)</script>', page)
    assert found
    stops = json.loads(found.group(1))
    values = [2, 5, 7, 10, 20, 40, 60]
    assert [stop["value"] for stop in stops] == [f"{value} layers" for value in values]
    assert [stop["record"]["settings"]["layers"] for stop in stops] == values


def test_a_seed_is_that_of_what_is_drawn(folder: Path) -> None:
    settings = ("--set", "sets=100", "--json")
    documents = [
        json.loads(call("lab", "empirical-risk", "--force", "--seed", seed, *settings).stdout)
        for seed in ("3", "4")
    ]
    assert [each["settings"]["seed"] for each in documents] == [3, 4]
    assert documents[0]["findings"] != documents[1]["findings"]
    result = call("lab", "many-layers", "--seed", "3")
    assert result.exit_code == 0
    assert "The lab many-layers draws nothing: a seed changes nothing." in result.stderr


def test_json_alone_on_the_standard_output(folder: Path) -> None:
    result = call("lab", "coordinate-descent", "--json", "--out", "p/page.html")
    document = json.loads(result.stdout)
    assert (document["schema"], document["holds"]) == ("thalweg.lab/1", True)
    assert (folder / "p" / "page.html").exists()


def test_an_older_page_is_kept(folder: Path) -> None:
    (folder / "lab-coordinate-descent.html").write_text("mine")
    result = call("lab", "coordinate-descent")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "lab-coordinate-descent.html exists. --force writes over it" in result.stderr
    assert (folder / "lab-coordinate-descent.html").read_text() == "mine"
    assert call("lab", "coordinate-descent", "--force").exit_code == 0
    assert (folder / "lab-coordinate-descent.html").read_text(encoding="utf-8") != "mine"


def test_a_finding_that_misses_theory_is_a_failure_that_is_shown(folder: Path) -> None:
    """One round is too few to find the bars."""
    result = call("lab", "sparse-coding", "--set", "rounds=1", "--out", "page.html")
    assert result.exit_code == 1
    assert "MISSED" in result.stdout
    assert "error: 1 finding of 3 not as theory says." in result.stderr
    assert (folder / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("laso",), "no lab 'laso'. Did you mean 'lasso'?"),
        (("lasso", "--set", "rows"), "--set expects NAME=VALUE, such as rows=100; got 'rows'."),
        (("lasso", "--set", "rows=9", "--set", "rows=8"), "--set gives rows twice"),
        (("lasso", "--set", "rwos=9"), "no setting 'rwos'. Did you mean 'rows'"),
        (("lasso", "--set", "rows=few"), "an integer of at least 5"),
        (("lasso", "--out", "page.txt"), "ends in .html; got page.txt"),
        (
            ("lasso", "--slider", "13"),
            "The slider of the lab 'lasso', used, goes from 1 to 12 features; got '13'.",
        ),
        (("lasso", "--slider", "few"), "used, goes from 1 to 12 features; got 'few'."),
        (("lasso", "--slider", "1.5"), "used, must be an integer from 1 to 12 features"),
        (
            ("lasso", "--slider", "2", "--set", "used=3"),
            "sets used, which is given as a setting, too",
        ),
        (("lasso", "--seed", "2", "--set", "seed=3"), "The seed is given twice"),
        (("--slider", "2"), "--slider, --seed, --set and --out need the name of a lab"),
        (("--out", "page.html"), "--slider, --seed, --set and --out need the name of a lab"),
    ],
)
def test_wrong_input(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = call("lab", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_page_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("")
    result = call("lab", "coordinate-descent", "--out", "file/page.html")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: file/page.html cannot be written")
