from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.race.search.planted import RATES, entrant, missed
from thalweg.errors import TaskError
from thalweg.race.entrants.space import uniform
from thalweg.race.search import SEARCHES, GridSearch, QuasiRandomSearch, Score, make_search

BADNESS = st.floats(-1e6, 1e6) | st.just(math.inf)
STEPS = st.floats(0, 300) | st.just(math.inf)


@st.composite
def scores_over_seeds(draw: st.DrawFn) -> list[Score]:
    seeds = draw(st.integers(1, 60))
    share = st.integers(0, seeds).map(lambda misses: misses / seeds)
    return draw(st.lists(st.builds(Score, STEPS, share, BADNESS), min_size=2, max_size=6))


@given(scores_over_seeds())
def test_the_scalar_keeps_the_order_of_scores(scores: list[Score]) -> None:
    for first, second in itertools.pairwise(sorted(scores)):
        assert first.scalar(300) <= second.scalar(300)


@given(st.builds(Score, STEPS, st.sampled_from([0, 1 / 3, 2 / 3, 1]), BADNESS))
def test_the_scalar_lies_where_it_should(score: Score) -> None:
    scalar = score.scalar(300)
    if math.isfinite(score.steps):
        assert scalar == score.steps / 300
    elif score.missed == 1:
        assert (scalar == 2) == math.isinf(score.badness)
        assert 1.5 < scalar <= 2
    else:
        assert 1 < scalar < 1.5


def test_the_scalar_tells_close_figures_apart() -> None:
    accuracies = [missed(-0.9001), missed(-0.9000), missed(2.3), missed(2.3001)]
    scalars = [score.scalar(100) for score in accuracies]
    assert scalars == sorted(set(scalars))


def test_fewer_steps_come_first_then_fewer_misses_then_the_better_figure() -> None:
    order = [
        Score(10, 1 / 3, 9),
        Score(11, 0, -9),
        Score(11, 1 / 3, -9),
        Score(math.inf, 2 / 3, math.inf),
        missed(-9),
        missed(9),
        missed(math.inf),
    ]
    shuffled = order[3:] + order[:3]
    assert sorted(shuffled) == order


@pytest.mark.parametrize(
    "numbers",
    [
        (math.nan, 0, 0),
        (-1, 0, 0),
        (1, 1.1, 0),
        (1, math.nan, 0),
        (1, 0, math.nan),
        (1, 0, -math.inf),
    ],
)
def test_a_score_that_has_no_place_in_an_order_is_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="A score must have steps ≥ 0"):
        Score(*numbers)


@pytest.mark.parametrize("name", SEARCHES)
def test_asking_and_telling_take_turns(name: str) -> None:
    search = make_search(name, entrant(), trials=9, epochs=3)
    with pytest.raises(RuntimeError, match="No point was told at the full 3 epochs"):
        search.best()
    asks = search.ask()
    with pytest.raises(RuntimeError, match=f"{len(asks)} points were asked for and not told"):
        search.ask()
    with pytest.raises(ValueError, match=f"{len(asks)} points were asked for, and 0 scores"):
        search.tell([])
    search.tell([missed(1.0)] * len(asks))
    with pytest.raises(ValueError, match="0 points were asked for, and 1 scores"):
        search.tell([missed(1.0)])
    assert [ask for ask, _ in search.told] == list(asks)


def test_of_equal_points_the_smallest_rate_is_the_best() -> None:
    search = GridSearch(entrant(), trials=7, epochs=1)
    asks = search.ask()
    search.tell([Score(10, 0, 0) if ask.point.lr > 0.01 else missed(0) for ask in asks])
    assert search.best().lr == 0.0316


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("budget", [{"trials": 0, "epochs": 1}, {"trials": 1, "epochs": 0}])
def test_a_budget_of_nothing_is_refused(name: str, budget: dict[str, int]) -> None:
    with pytest.raises(TaskError, match=r"(trials|epochs) of at least 1, got \1=0"):
        make_search(name, entrant(), **budget)


def test_a_search_that_is_not_known_is_refused() -> None:
    with pytest.raises(TaskError, match=r"No search is called 'gird'\. Did you mean 'grid'"):
        make_search("gird", entrant(), trials=1, epochs=1)
    with pytest.raises(TaskError, match="Known are: grid, quasi-random, halving, tpe"):
        make_search("xyz", entrant(), trials=1, epochs=1)


def test_an_entrant_without_rates_is_refused() -> None:
    with pytest.raises(TaskError, match="'sgd' has no learning rates"):
        make_search("grid", entrant(lrs=()), trials=1, epochs=1)


def test_the_grid_says_what_else_searches_more_than_the_rate() -> None:
    wide = entrant(search={"momentum": uniform(0, 0.99)})
    with pytest.raises(TaskError, match=r"more to search: momentum\. Search with 'quasi-random'"):
        make_search("grid", wide, trials=9, epochs=1)


def test_each_entrant_and_seed_has_a_stream_of_its_own() -> None:
    asked = {
        QuasiRandomSearch(replace(entrant(), name=name), trials=5, epochs=1, seed=seed).ask()
        for name in ("adam", "sgd")
        for seed in (0, 1)
    }
    assert len(asked) == 4
    assert min(RATES) <= min(ask.point.lr for asks in asked for ask in asks)
