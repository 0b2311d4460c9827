from __future__ import annotations

import logging
import math
import statistics
import sys

import optuna
import pytest

from tests.race.search.planted import bowl, conduct, entrant, missed, points
from thalweg.errors import MissingExtraError
from thalweg.race.entrants.space import choice, integers, log_uniform_below_one, uniform
from thalweg.race.search import Ask, QuasiRandomSearch, Score, Search, TpeSearch

SMOOTH = entrant(
    (1e-4, 1e2), {"momentum": uniform(0, 1), "beta": log_uniform_below_one(0.5, 0.9999)}
)


def height(ask: Ask) -> float:
    """A bowl in three dimensions; its lowest point is 0, at 5, 0.3 and 0.99."""
    values = ask.point.values
    return (
        math.log10(values["lr"] / 5) ** 2
        + (3 * (values["momentum"] - 0.3)) ** 2
        + math.log10((1 - values["beta"]) / 0.01) ** 2
    )


def lowest(search: Search) -> float:
    conduct(search, lambda ask: missed(height(ask)))
    return min(height(ask) for ask, _ in search.told)


def test_on_a_smooth_function_it_beats_points_drawn_blindly() -> None:
    found = {
        kind: statistics.median(
            lowest(kind(SMOOTH, trials=30, epochs=1, seed=seed)) for seed in range(9)
        )
        for kind in (TpeSearch, QuasiRandomSearch)
    }
    assert found[TpeSearch] < 0.6 * found[QuasiRandomSearch]


def test_steps_to_the_target_guide_it_as_the_figure_does() -> None:
    def score(ask: Ask) -> Score:
        return Score(100 + height(ask), 0.0, 0.0) if height(ask) < 3 else missed(height(ask))

    guided, blind = [], []
    for seed in range(9):
        for kind, found in ((TpeSearch, guided), (QuasiRandomSearch, blind)):
            search = kind(SMOOTH, trials=30, epochs=1, seed=seed)
            conduct(search, score)
            found.append(height(Ask(search.best(), 1)))
    assert statistics.median(guided) < 0.6 * statistics.median(blind)


def test_it_finds_the_better_choice() -> None:
    mixed = entrant((0.01, 1.0), {"kind": choice("a", "b", "c"), "k": integers(1, 9)})

    def score(ask: Ask) -> Score:
        values = ask.point.values
        return missed((values["kind"] != "b") + abs(values["k"] - 7) / 9)

    search = TpeSearch(mixed, trials=40, epochs=1)
    asked = points(conduct(search, score))
    assert search.best().values["kind"] == "b"
    late = [point.values["kind"] for point in asked[-16:]]
    assert late.count("b") > 8


def test_batches_follow_the_first_draw() -> None:
    asked = conduct(TpeSearch(entrant(), trials=20, epochs=4), bowl(0.05))
    assert [len(asks) for asks in asked] == [6, 4, 4, 4, 2]
    first = QuasiRandomSearch(entrant(), trials=6, epochs=4).ask()
    assert asked[0] == first


def test_what_is_told_changes_what_is_asked() -> None:
    asked = [conduct(TpeSearch(entrant(), trials=20, epochs=4), bowl(at)) for at in (0.005, 0.5)]
    assert asked[0][0] == asked[1][0]
    assert asked[0][1] != asked[1][1]


def test_all_diverged_is_no_obstacle() -> None:
    search = TpeSearch(SMOOTH, trials=20, epochs=1)
    assert len(points(conduct(search, lambda _: missed(math.inf)))) == 20


def test_optuna_stays_silent_and_as_it_was() -> None:
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    optuna.create_study()  # its logger is set up now, and speaks
    logger, before = logging.getLogger("optuna"), optuna.logging.get_verbosity()
    logger.addHandler(listener)
    try:
        conduct(TpeSearch(SMOOTH, trials=12, epochs=1), bowl(0.1))
        assert said == []
        optuna.create_study()
        assert len(said) == 1
    finally:
        logger.removeHandler(listener)
    assert optuna.logging.get_verbosity() == before


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"'optuna'.*thalweg\[optuna\]"):
        TpeSearch(entrant(), trials=9, epochs=1)
