"""Verdicts and reports as text, table and plain data."""

from __future__ import annotations

import json
import math

import pytest

from thalweg.doctor import Effect, Remedy, Report, Statistic, Verdict, WatchingCost

HIGH = Statistic("share of steps that raise the loss", 0.8, 0.05, high=0.5)
LOWER = Remedy("lower_rate", "lr / 10", {"lr_factor": 0.1})
HELPED = Effect("loss", 2.0, 0.5, 0.2, 0.3, steps=40, forks=6, before=2.5)


def test_a_verdict_reads_as_the_catalogue_has_it() -> None:
    verdict = Verdict(
        "lr_too_high", HIGH, status="confirmed", where="layer 3", since=12, words="Steps overshoot.",
        remedy=LOWER, effect=HELPED,
    )  # fmt: skip
    assert str(verdict) == (
        "lr_too_high in layer 3 (fault, confirmed): share of steps that raise the loss = 0.8 ± 0.05 "
        "(healthy: below 0.5), since step 12. Steps overshoot. Remedy: lr / 10. Effect measured: "
        "loss 2 → 0.5 over 40 steps (ratio, 95 %: 0.2 to 0.3, 6 forks)."
    )


def test_a_verdict_without_a_statistic_reads_well() -> None:
    assert (
        str(Verdict("mixed_rows", words="Rows mix.")) == "mixed_rows (fault, suspected). Rows mix."
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-math.inf, math.inf, "x = 1"),
        (2.0, math.inf, "x = 1 (healthy: above 2)"),
        (-1.0, 0.5, "x = 1 (healthy: -1 to 0.5)"),
    ],
)
def test_a_statistic_says_what_is_healthy(low: float, high: float, words: str) -> None:
    assert str(Statistic("x", 1.0, low=low, high=high)) == words


def test_an_effect_says_how_much_faster_the_loss_falls() -> None:
    assert HELPED.ratio == 0.25
    assert HELPED.progress == 4.0
    assert Effect("loss", 3.0, 2.0, 0.6, 0.7, 40, 6, before=2.5).progress == math.inf
    assert Effect("loss", 3.0, 2.9, 0.9, 1.0, 40, 6, before=2.5).progress == -math.inf


def test_a_report_puts_first_what_matters_most() -> None:
    verdicts = [
        Verdict("a", kind="information", status="refuted"),
        Verdict("b", kind="warning"),
        Verdict("c"),
        Verdict("d", status="confirmed", effect=HELPED),
        Verdict("e", status="cannot be told"),
    ]
    found = Report(tuple(verdicts), ("activations: compiled",), WatchingCost(1.0, 50.0, 30.0), 9)
    assert [v.symptom for v in found.verdicts] == ["d", "c", "e", "b", "a"]
    assert [v.symptom for v in found.faults] == ["d", "c"]
    assert not found.healthy
    assert found["b"].kind == "warning"
    assert "a" in found
    assert "z" not in found
    with pytest.raises(KeyError):
        _ = found["z"]
    lines = str(found).splitlines()
    assert lines[-2] == "Could not be watched: activations: compiled"
    assert "2.0 % of training" in lines[-1]
    assert json.loads(json.dumps(found.to_dict()))["cost"]["share"] == 0.02
    assert json.loads(json.dumps(found.to_dict()))["verdicts"][0]["effect"]["forks"] == 6


def test_what_says_more_stands_first_whatever_its_effect() -> None:
    strong = Verdict("start", status="confirmed", effect=HELPED, behind=("dead", "absent"))
    specific = Verdict("dead", status="confirmed")
    plateau = Verdict("plateau", status="confirmed", effect=HELPED, behind=("start", "dead"))
    assert [v.symptom for v in Report((plateau, strong, specific)).faults] == [
        "dead",
        "start",
        "plateau",
    ]
    refuted = Verdict("dead", kind="information", status="refuted")
    other = Verdict("other", status="confirmed")
    assert [v.symptom for v in Report((other, strong, refuted)).faults] == ["start", "other"]


def test_a_table_for_notebooks_is_escaped() -> None:
    table = Report((Verdict("a", where="<b>"),))._repr_html_()
    assert "&lt;b&gt;" in table
    assert "<b>" not in table


def test_a_healthy_report_says_so() -> None:
    assert str(Report(steps=5)).startswith("No fault was found in 5 steps.")
