"""The axes of a chart, as the pages' script computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.javascript.node import needs_javascript, run
from thalweg.report.parts.offline import asset

pytestmark = needs_javascript

NUMBERS = {
    0: "0", 0.25: "0.25", -1234.6: "−1,235", 123456: "123,456", 1e-5: "10⁻⁵", -2.5e7: "−2.5·10⁷",
    1 / 3: "0.3333",
}  # fmt: skip
"""What a number is written as."""

TICKS: list[tuple[dict[str, Any], list[float], int, list[str]]] = [
    ({}, [-0.1, 1.1], 4, ["0", "0.5", "1"]),
    ({}, [0.9501, 0.9503], 4, ["0.9501", "0.95015", "0.9502", "0.95025", "0.9503"]),
    ({}, [0, 3e6], 3, ["0", "10⁶", "2·10⁶", "3·10⁶"]),
    ({"tickformat": ".0%"}, [0, 1], 2, ["0\u00a0%", "50\u00a0%", "100\u00a0%"]),
    ({"type": "log"}, [-5, 1], 9, ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1", "10"]),
    ({"type": "log"}, [-4, 1], 4, ["0.0001", "0.01", "1"]),
    ({"type": "log"}, [0, 1], 9, ["1", "2", "5", "10"]),
    ({"type": "log"}, [0.3, 0.55], 4, ["2", "2.5", "3", "3.5"]),
    ({"type": "log", "tickvals": [1, 10], "ticktext": ["one", "ten"]}, [-0.1, 0.5], 9, ["one"]),
]
"""The axis, its ends (logarithms of a logarithmic one), the most ticks, and what stands there."""


def test_numbers_and_ticks_are_short_round_and_within_the_axis(tmp_path: Path) -> None:
    script = (
        asset("axes.js")
        + """
        return {
          numbers: given.numbers.map((value) => axes.number(value)),
          ticks: given.ticks.map(([axis, ends, most]) => axes.ticks(axis, ends, most)),
          ranges: given.ranges.map(([axis, values]) => axes.range(axis, values, 0.1)),
        };"""
    )
    ranges: dict[str, tuple[dict[str, Any], list[float | None], list[float]]] = {
        "with some room": ({}, [0, None, 10], [-1, 11]),
        "as logarithms": ({"type": "log"}, [1, 0, 100], [-0.2, 2.2]),
        "from 0": ({"rangemode": "tozero"}, [5, 10], [0, 11]),
        "of one value": ({}, [5], [4.5, 5.5]),
        "of none": ({}, [], [-0.1, 1.1]),
        "given": ({"range": [1, 2]}, [5], [1, 2]),
    }
    found = run(
        script,
        tmp_path,
        {
            "numbers": list(NUMBERS),
            "ticks": [each[:3] for each in TICKS],
            "ranges": [each[:2] for each in ranges.values()],
        },
    )
    assert found["numbers"] == list(NUMBERS.values())
    for (axis, (low, high), _, texts), ticks in zip(TICKS, found["ticks"], strict=True):
        assert [text for _, text in ticks] == texts, axis
        assert all(low - 1e-8 <= at <= high + 1e-8 for at, _ in ticks)
    for name, ends in zip(ranges, found["ranges"], strict=True):
        assert all(abs(a - b) < 1e-12 for a, b in zip(ends, ranges[name][2], strict=True)), name
