"""Each lab's proof, and what is the same for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.exact import RERUN, same
from tests.labs.conftest import TOGETHER
from thalweg import labs
from thalweg.errors import TaskError
from thalweg.labs.lab import Finding, Lab, LabResult, Theory
from thalweg.labs.page import lab_page
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.text_picture import text_picture

pytestmark = TOGETHER
DOCS = Path(__file__).parents[2] / "docs" / "labs.md"


@pytest.mark.parametrize("name", labs.LABS)
def test_each_finding_is_what_theory_says(name: str, results: dict[str, LabResult]) -> None:
    assert len(results[name].findings) >= 3
    for finding in results[name].findings:
        assert finding.holds, finding


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("linear-regression", {"seed": 1, "features": 3, "steps": 300}),
        ("ill-conditioning", {"kappas": "5,20,80", "size": 150}),
        ("saddle", {"curvatures": "4,1", "distances": (1e-3, 1e-9), "rate": 0.1, "seed": 7}),
        ("saddle", {"curvatures": 0.7, "noise": 1e-6, "runs": 100, "distances": "1e-2,1e-3,1e-12"}),
        ("coordinate-descent", {"alphas": (0.01, 50), "start": "3,-2", "sweeps": 2}),
        ("lasso", {"seed": 3, "penalties": 4, "used": 2}),
        ("sparse-coding", {"seed": 2, "side": 4}),
        ("many-layers", {"layers": 60, "rates": "0.5,1e-4"}),
        ("pca", {"seed": 4, "components": 1, "decay": 0.8}),
        ("pca", {"seed": 5, "components": 2, "decay": 0.4, "rows": 30, "size": 5}),
        ("batch-normalization", {"rows": 64, "channels": 100, "momentum": 0.3, "seed": 1}),
        ("batch-normalization", {"rows": 3, "channels": 101, "steps": 7, "seed": 2}),
        ("easy-models", {"layers": 12, "every": 4, "width": 64, "forget": -1, "seed": 2}),
        ("continuation", {"depth": 3, "waves": 6, "minimum": -0.4, "starts": 40, "seed": 3}),
        ("continuation", {"blurs": "1.5,0.8,0.4,0.1,0", "depth": 0.5, "seed": 2}),
    ],
)
def test_with_other_settings_too(name: str, settings: dict[str, Any]) -> None:
    result = labs.find(name).run(settings)
    for finding in result.findings:
        assert finding.holds, finding


def test_a_lab_gives_the_same_twice(results: dict[str, LabResult]) -> None:
    name = "sparse-coding"
    same(labs.run(name).to_dict(), results[name].to_dict(), because=RERUN)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if k % 4 == 0 else pytest.mark.full)
        for k, name in enumerate(labs.LABS)
    ],
)
def test_its_text_its_picture_and_its_page(name: str, results: dict[str, LabResult]) -> None:
    lab, result = labs.LABS[name], results[name]
    assert f"\n**{name}**: " in DOCS.read_text(encoding="utf-8")
    assert len(lab.what) > 150
    assert len(lab.why) > 150
    assert "Deep Learning, section" in lab.source
    assert str(result).count("  holds") == len(result.findings)
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document["schema"] == "thalweg.lab/1"
    assert document["holds"] is True
    figure = result.figure()
    for trace, each in zip(figure.data, result.picture.curves, strict=True):
        assert len(trace["x"]) == len(trace["y"]) == len(each.x) > 1
        assert None not in trace["y"]
    page = lab_page(result)
    assert f"<h1>{lab.title}</h1>" in page.replace("&#x27;", "'")
    assert page.count("<dt>") == len(result.findings) + len(result.settings)
    assert "<svg" in page or name != "sparse-coding"


def test_the_pictures_show_what_is_said(results: dict[str, LabResult]) -> None:
    curves = {
        name: {each.name: each for each in result.picture.curves}
        for name, result in results.items()
    }
    regression = curves["linear-regression"]
    assert list(regression) == ["GD", "SGD", "Newton", "CG", "L-BFGS"]
    assert regression["SGD"].y[-1] > 1e-4 > regression["GD"].y[-1]
    assert regression["Newton"].x[-1] < regression["GD"].x[-1]
    conditioning = curves["ill-conditioning"]
    assert conditioning["gradient descent"].y[-1] > conditioning["conjugate gradients"].y[-1] > 1
    saddle = curves["saddle"]
    assert saddle["GD from the ridge"].y[-1] == pytest.approx(0, abs=1e-6)
    assert saddle["GD from 1e-06"].y[-1] == pytest.approx(-1, abs=0.01)
    assert len(saddle["saddle-free Newton"].x) < 20
    staircase = curves["coordinate-descent"]["α = 0.1"]
    for i in range(len(staircase.x) - 1):  # one variable at a time
        moves = (staircase.x[i] != staircase.x[i + 1], staircase.y[i] != staircase.y[i + 1])
        assert sum(moves) == 1
    assert all(each.y[0] == 0 for each in curves["lasso"].values())
    layers = curves["many-layers"]
    assert layers["first order"].y[-1] < -1 < layers["actual"].y[-1] < layers["second order"].y[-1]
    norm = curves["batch-normalization"]
    assert (
        norm["PyTorch's running variance"].y[-1]
        > 1.2 * norm["the same of the biased variance"].y[-1]
    )
    models = curves["easy-models"]
    assert models["sigmoid"].y[0] < 1e-12 < 1e-2 < models["skip connections"].y[0]
    assert models["auxiliary heads"].y[0] > 1e10 * models["sigmoid"].y[0]
    wells = curves["continuation"]
    assert min(wells["ends of gradient descent"].y) == pytest.approx(wells["continuation"].y[-1])
    assert max(wells["ends of gradient descent"].y) > wells["continuation"].y[-1] + 1


def test_the_picture_for_a_terminal() -> None:
    lines = (
        curve("flat", [1, 10], [0, 0], dash=True),
        curve("rise", [1, 10], [0, 15]),
        curve("dots", [1, 10, 100], [0, 5, float("inf")], dots=True, line=False),
    )
    text = text_picture(Picture(lines, Axis("time", log=True), Axis("size"), "")).splitlines()
    assert text[0] == "    size"
    assert text[1] == f"15 │{' ' * 35}bb"
    assert text[11] == f"   │{' ' * 11}bbb{' ' * 22}c"
    assert text[16] == f" 0 │cb{'a' * 35}"
    assert text[17] == f"   └{'─' * 72}"
    assert (text[18].split(), len(text[18])) == (["1", "time", "(log)", "100"], 76)
    assert text[19:] == ["  a flat   b rise   c dots"]


@dataclass(frozen=True)
class Chosen:
    rows: int = setting(3, "rows", low=1)
    rates: tuple[float, ...] = setting((0.5, 1.0), "rates", low=0, high=2)
    noise: float = setting(0.5, "noise")


def made(found: float = 1.0) -> Lab[Chosen, Chosen]:
    return Lab(
        name="made",
        title="<b>Made</b>",
        what="What.",
        why="Why.",
        source="A book",
        settings=Chosen,
        compute=lambda chosen: chosen,
        detect=lambda data: {"one": found},
        prove=lambda data: {"one": Theory(1.0, 0.1, "it is 1")},
        draw=lambda data: Picture(
            (curve("<i>", [1, 2], [0, float("nan")]),), Axis("x"), Axis("y", log=True), "A line."
        ),
        slider=Slider("rows", "rows", (1, 3, 5), 3, "There is no more.", unit="<rows>"),
        patients="<nothing> is trained.",
    )


@pytest.mark.parametrize("found", [1.2, float("nan"), float("inf")])
def test_what_misses_theory_is_said(found: float) -> None:
    result = made(found).run()
    assert not result.holds
    assert "MISSED: it is 1" in str(result)
    page = lab_page(result) if found == 1.2 else ""
    assert "Some findings miss theory" in page or found != 1.2
    assert Finding("one", 1.1, 1.0, 0.2, "").holds


def test_a_page_escapes_and_shows_gaps_for_what_an_axis_cannot_show() -> None:
    result = made().run()
    assert "<h1>&lt;b&gt;Made&lt;/b&gt;</h1>" in lab_page(result)
    (trace,) = result.picture.description()["data"]
    assert trace["y"] == [None, None]
    assert trace["name"] == "<i>"
    assert result.to_dict()["curves"][0]["y"] == [0.0, None]


def test_settings_as_values_and_as_texts() -> None:
    texts = made().run({"rows": "4", "rates": "0.1, 2", "noise": "1e-3"})
    values = made().run({"rows": 4, "rates": [0.1, 2], "noise": 1e-3})
    assert texts.settings == values.settings == {"rows": 4, "rates": (0.1, 2.0), "noise": 1e-3}
    assert made().run({"rates": 2}).settings["rates"] == (2.0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"row": 1}, "The lab 'made' has no setting 'row'. Did you mean 'rows'"),
        ({"rows": 0}, "rows of the lab 'made' must be an integer of at least 1; got 0"),
        ({"rows": "2.5"}, "an integer of at least 1; got '2.5'"),
        ({"rows": True}, "got True"),
        ({"rates": "1,3"}, "finite numbers, separated by commas, of at least 0 and at most 2"),
        ({"rates": ""}, "got ''"),
        ({"rates": ()}, "needs at least one number"),
        ({"noise": "nan"}, "noise of the lab 'made' must be a finite number; got 'nan'"),
        ({"noise": None}, "got None"),
    ],
)
def test_settings_that_are_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as raised:
        made().run(settings)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("laso", {}, "no lab 'laso'. Did you mean 'lasso'"),
        ("ill-conditioning", {"kappas": (10, 10)}, "two different numbers"),
        ("coordinate-descent", {"start": (1, 0)}, "the second not 0"),
        ("saddle", {"distances": 0.01}, "two different numbers"),
        ("lasso", {"used": 20}, "used must be at most features, 12"),
        ("lasso", {"rows": 13}, "at least features"),
        ("easy-models", {"layers": 12, "every": 12}, "less than its layers"),
        ("continuation", {"blurs": (0.5, 1, 0)}, "fall, the last one to 0"),
        ("continuation", {"blurs": (1, 0.5)}, "fall, the last one to 0"),
        ("continuation", {"blurs": (0.3, 0)}, "larger than 0.507"),
    ],
)
def test_wrong_input(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as raised:
        labs.run(name, **settings)
    assert message in str(raised.value)


def test_an_older_page_is_kept(tmp_path: Path) -> None:
    result = made().run()
    page = labs.write_lab_page(result, tmp_path / "new" / "made.html")
    assert "it is 1" in page.read_text(encoding="utf-8")
    page.write_text("mine")
    with pytest.raises(TaskError, match="exists"):
        labs.write_lab_page(result, page)
    assert page.read_text() == "mine"
    labs.write_lab_page(result, page, over=True)
    assert "it is 1" in page.read_text(encoding="utf-8")
    with pytest.raises(TaskError, match="ends in"):
        labs.write_lab_page(result, tmp_path / "made.htm")
