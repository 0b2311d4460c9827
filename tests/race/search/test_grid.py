from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.race.search.planted import RATES, bowl, conduct, entrant, missed, points
from thalweg.race.entrants.known import log_grid
from thalweg.race.search import Ask, GridSearch, Score

HALF_A_DECADE = 0.5


def rates_of(search: GridSearch) -> list[float]:
    return [ask.point.lr for ask, _ in search.told]


def searched(
    optimum: float, trials: int, misses: bool = False, lrs: tuple[float, ...] = RATES
) -> GridSearch:
    search = GridSearch(entrant(lrs), trials=trials, epochs=2)
    conduct(search, bowl(optimum, misses=misses))
    return search


def test_the_grid_as_it_stands_comes_first() -> None:
    assert [ask.point.lr for ask in GridSearch(entrant(), trials=9, epochs=1).ask()] == list(RATES)


def test_a_best_rate_inside_is_refined_on_both_sides_the_better_one_first() -> None:
    assert rates_of(searched(0.04, 9))[7:] == [0.0562, 0.0178]
    assert rates_of(searched(0.025, 9))[7:] == [0.0178, 0.0562]
    assert rates_of(searched(0.04, 8))[7:] == [0.0562]


def test_a_best_rate_on_the_edge_is_followed_beyond_it_step_by_step() -> None:
    assert rates_of(searched(30, 11))[7:] == [3.16, 10.0, 31.6, 100.0]
    assert rates_of(searched(3e-5, 11))[7:] == [0.000316, 0.0001, 3.16e-5, 1e-5]


def test_steps_beyond_the_edge_keep_to_the_grid() -> None:
    """The rounding of one rate does not grow with the next: after two decades it is a power of ten."""
    assert rates_of(searched(1e9, 15))[7:] == list(log_grid(3.16, 8))
    assert rates_of(searched(1e-9, 15))[7:] == list(reversed(log_grid(1e-7, 8)))


@pytest.mark.parametrize(
    "lrs", [(1e-300, 1e300), (1e-320, 1.0, 1e308), (5e-324,), (1.79e308,), (5e-324, 1e-323)]
)
def test_a_grid_at_the_ends_of_the_numbers_goes_on_to_positive_finite_rates(
    lrs: tuple[float, ...],
) -> None:
    for optimum in (-100, 100):
        search = GridSearch(entrant(lrs), trials=9, epochs=1)
        conduct(search, lambda ask, o=optimum: Score(abs(math.log10(ask.point.lr) - o), 0, 0))
        rates = rates_of(search)
        assert len(rates) == len(set(rates)) >= len(lrs)
        assert all(0 < lr < math.inf for lr in rates)


def test_the_spacing_is_the_grids_own() -> None:
    assert rates_of(searched(1e6, 5, lrs=(0.01, 0.1, 1.0)))[3:] == [10.0, 100.0]
    assert rates_of(searched(1e6, 4, lrs=(1.0, 1.5, 4.0)))[3:] == [8.0]  # uneven: the mean, 2
    assert rates_of(searched(1e6, 3, lrs=(1.0,))) == [1.0, 3.16, 0.316]


def test_after_widening_it_refines() -> None:
    assert rates_of(searched(2.5, 11))[7:] == [3.16, 10.0, 1.78, 5.62]


@given(st.floats(-5, 3), st.integers(9, 20), st.booleans())
def test_a_planted_optimum_is_found_within_one_spacing(
    exponent: float, trials: int, misses: bool
) -> None:
    """Inside the grid, or as far outside of it as the budget goes; by the figure, if all missed."""
    search = searched(10**exponent, trials, misses)
    reach = HALF_A_DECADE * (trials - len(RATES))
    beyond = max(0.0, -3 - exponent, exponent - 0.0)
    if beyond <= reach - HALF_A_DECADE:
        assert abs(math.log10(search.best().lr) - exponent) <= HALF_A_DECADE / 2 + 0.01


@pytest.mark.parametrize("optimum", [2e-3, 0.05, 0.6, 40.0])
def test_more_budget_comes_closer(optimum: float) -> None:
    """Each halving of the spacing costs two points: 24 more leave a thousandth of a decade at most,
    less than what three digits can tell apart.
    """
    best = searched(optimum, 40).best().lr
    assert best == pytest.approx(optimum, rel=5e-3)


def test_where_all_diverge_it_goes_to_smaller_rates() -> None:
    search = GridSearch(entrant(), trials=9, epochs=1)
    conduct(search, lambda _: missed(math.inf))
    assert rates_of(search)[7:] == [0.000316, 0.0001]


def test_a_share_of_seeds_that_reached_is_followed_before_the_figure() -> None:
    def score(ask: Ask) -> Score:
        return Score(math.inf, 2 / 3, 5.0) if ask.point.lr == 0.01 else missed(-5.0)

    search = GridSearch(entrant(), trials=9, epochs=1)
    conduct(search, score)
    assert search.best().lr == 0.01
    assert set(rates_of(search)[7:]) == {0.00562, 0.0178}


def test_a_grid_longer_than_the_budget_is_thinned_evenly() -> None:
    assert rates_of(searched(0.05, 4)) == [0.001, 0.01, 0.1, 1.0]
    assert rates_of(searched(0.05, 7)) == list(RATES)
    assert rates_of(searched(0.05, 1)) == [0.0316]


def test_it_goes_on_where_rates_can_no_longer_be_parted() -> None:
    """Between 1.00 and 1.01 there is nothing of three digits: the budget is spent around the others."""
    rates = rates_of(searched(1.0, 60, lrs=(0.99, 1.0, 1.01)))
    assert len(rates) == len(set(rates)) == 60
    assert all(lr == float(f"{lr:.3g}") for lr in rates)


@given(
    st.lists(
        st.floats(1e-6, 1e3).map(lambda x: float(f"{x:.3g}")), min_size=1, max_size=8, unique=True
    ),
    st.integers(1, 40),
    st.randoms(use_true_random=False),
)
def test_any_grid_and_any_scores_give_as_many_rates_as_the_budget(lrs, trials, chance) -> None:
    search = GridSearch(entrant(lrs), trials=trials, epochs=1)
    asked = points(conduct(search, lambda _: missed(chance.choice([1.0, 2.0, math.inf]))))
    assert len(asked) == len({point.lr for point in asked}) == trials == search.planned
    assert all(0 < point.lr < math.inf for point in asked)
