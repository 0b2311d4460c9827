from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.report.example import example, standing, trial
from thalweg.report import notes, plain_table, race_table, verdict
from thalweg.report.text import duration


def test_verdict_names_the_first_the_last_and_those_who_missed() -> None:
    words = verdict(example())
    assert words.startswith(
        "adam comes first: at learning rate 0.01 it needs 20 steps (0.02 s) to validation accuracy "
        "0.9, in the median of 2 seeds."
    )
    assert words.endswith("The target was missed by <b>&mine.")
    without = example()
    del without["standings"][2]
    assert verdict(without).endswith("The slowest, sgd, needs 40.")


def test_verdict_when_nobody_reached_the_target() -> None:
    result = example()
    for place in result["standings"]:
        place.update(steps=None, seconds=None, reached=0)
    assert verdict(result) == (
        "No entrant reached validation accuracy 0.9 in the median of its seeds. By its final "
        "accuracy, 95.0 % in the median of 2 seeds, adam comes first."
    )
    result["standings"][0]["final"] = None
    assert verdict(result).endswith("No entrant came to its end either.")


def test_notes_tell_of_gaps_edges_and_lost_trials() -> None:
    found = notes(example())
    assert len(found) == 3
    assert found[0].startswith("Incomplete: 8 of 9 trials")
    assert found[1].startswith("sgd: its best learning rate, 1, is the highest tried")
    assert found[2] == (
        "1 of 8 trials diverged and count as misses, such as adam at learning rate 0.1, seed 0: "
        "the loss became NaN at step 31"
    )


@pytest.mark.parametrize(("fast_seed", "close"), [(0.95, True), (0.3, False)])
def test_notes_tell_of_seeds_that_overlap(fast_seed: float, close: bool) -> None:
    # adam needs 20 steps with both seeds; one seed of sgd needs 20 or 30.
    result = example()
    result["trials"] = [
        trial("adam", 0.01, 0, [0.5, 0.95, 0.95]),
        trial("adam", 0.01, 1, [0.5, 0.95, 0.95]),
        trial("sgd", 1.0, 0, [0.5, fast_seed, 0.95]),
        trial("sgd", 1.0, 1, [0.5, 0.5, 0.95]),
    ]
    result["standings"] = [standing(1, "adam", 0.01), standing(2, "sgd", 1.0, steps=30)]
    told = "The seeds of adam overlap with those of sgd: 2 seeds cannot tell them apart."
    assert (told in notes(result)) is close


def test_plain_table_is_aligned_and_complete() -> None:
    lines = plain_table(example()).splitlines()
    assert len(lines) == 4
    assert lines[0].split() == (
        [
            "optimizer",
            "learning",
            "rate",
            "steps",
            "to",
            "target",
            "seconds",
            "to",
            "target",
            "reached",
            "final",
            "accuracy",
        ]
    )
    assert lines[1].split()[:5] == ["1", "adam", "0.01", "20", "0.02"]
    assert lines[1].endswith("2 of 2  95.0 % (94.0–96.0)")
    assert "1 (edge)" in lines[2]
    assert "0.1 (only one)" in lines[3]
    assert lines[3].count("missed") == 2
    ends = {line.index("of") for line in lines[1:]}
    assert len(ends) == 1


def test_rich_table_fits_a_terminal_of_80_columns_and_says_the_same() -> None:
    result = example()
    for place in result["standings"]:
        place["edge"] = None
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(race_table(result))
    text = console.export_text()
    assert len([line for line in text.splitlines() if " of " in line]) == 3
    for cell in ("adam", "<b>&mine", "95.0 % (94.0–96.0)", "missed"):
        assert cell in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7322, "2 h 2 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words
