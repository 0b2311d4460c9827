from __future__ import annotations

from typing import Any

from thalweg.report.data.curves import Band, band


def trial(metric: list[float | None], seconds: list[float]) -> dict[str, Any]:
    steps = [10 * (i + 1) for i in range(len(metric))]
    return {"curve": {"steps": steps, "seconds": seconds, "metric": metric}}


def test_median_and_range_of_three_seeds() -> None:
    trials = [
        trial([0.1, 0.9], [1.0, 2.0]),
        trial([0.3, 0.7], [1.5, 2.5]),
        trial([0.2, 0.8], [9.0, 9.5]),
    ]
    assert band(trials, "steps") == Band((10, 20), (0.1, 0.7), (0.2, 0.8), (0.3, 0.9))
    assert band(trials, "seconds").x == (1.5, 2.5)
    assert band(trials, "steps", scale=0.5).x == (5, 10)


def test_the_middle_half_lies_between_the_quartiles() -> None:
    trials = [trial([value], [1.0]) for value in (0.5, 0.1, 0.4, 0.2, 0.3)]
    assert band(trials, "steps", around="middle half") == Band((10,), (0.2,), (0.3,), (0.4,))
    assert band(trials[:1], "steps", around="middle half").low == (0.5,)


def test_best_so_far_goes_the_metrics_way() -> None:
    trials = [trial([0.5, 0.7, 0.6, None, 0.8], [1, 2, 3, 4, 5])]
    assert band(trials, "steps", "max").middle == (0.5, 0.7, 0.7, 0.7, 0.8)
    assert band(trials, "steps", "min").middle == (0.5, 0.5, 0.5, 0.5, 0.5)
    assert band(trials, "steps").middle == (0.5, 0.7, 0.6, 0.8)


def test_a_curve_that_ended_early_counts_while_it_lasts_and_its_best_stays() -> None:
    trials = [trial([0.1], [1.0]), trial([0.3, 0.5], [1.0, 2.0])]
    assert band(trials, "steps") == Band((10, 20), (0.1, 0.5), (0.2, 0.5), (0.3, 0.5))
    assert band(trials, "steps", "max") == Band((10, 20), (0.1, 0.1), (0.2, 0.3), (0.3, 0.5))


def test_no_curve_is_an_empty_band() -> None:
    empty = Band()
    assert band([], "steps") == empty
    assert band([trial([], [])], "steps") == empty
    assert band([trial([None], [1.0])], "steps") == empty
    assert band([trial([], []), trial([0.1], [1.0])], "steps", "max").middle == (0.1,)
