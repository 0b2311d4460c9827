"""Numbers as a reader wants them: the same words in the terminal, the page and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSED = "missed"
"""The cell of a censored time to the target."""

_SHARES = frozenset({"accuracy", "error_rate"})
_EDGE_WORDS = {
    "lower": "lower edge",
    "upper": "upper edge",
    "single": "only one",
}


@dataclass(frozen=True)
class Row:
    """The cells of one entrant in a ranked table."""

    rank: str
    entrant: str
    lr: str
    edge: str
    steps: str
    seconds: str
    reached: str
    final: str
    spread: str


def rows(result: Mapping[str, Any]) -> list[Row]:
    """Return the ranked table of a race, cell by cell."""
    metric = result["metric"]["name"]
    return [
        Row(
            rank=str(standing["rank"]),
            entrant=standing["entrant"],
            lr=rate(standing["lr"]),
            edge=_EDGE_WORDS.get(standing["edge"], ""),
            steps=count(standing["steps"]),
            seconds=seconds(standing["seconds"]),
            reached=f"{standing['reached']} of {standing['trials']}",
            final=metric_value(standing["final"], metric),
            spread=_spread(standing, metric),
        )
        for standing in result["standings"]
    ]


def headings(result: Mapping[str, Any]) -> list[str]:
    """Return the headings of the columns of `rows`, the edge belonging to the learning rate."""
    metric = result["metric"]["name"].replace("_", " ")
    return [
        "",
        "optimizer",
        "learning rate",
        "steps to target",
        "seconds to target",
        "reached",
        f"final {metric}",
    ]


def rate(lr: float) -> str:
    """Return a learning rate in its shortest form.

    >>> rate(0.0316), rate(1e-4), rate(1.0)
    ('0.0316', '0.0001', '1')
    """
    return f"{lr:g}"


def count(steps: float | None) -> str:
    """Return a count with thousands apart, or 'missed' for a censored one.

    >>> count(12345), count(66.5), count(None)
    ('12,345', '66.5', 'missed')
    """
    return MISSED if steps is None else f"{steps:,.1f}".removesuffix(".0")


def seconds(value: float | None) -> str:
    """Return a duration in seconds to three figures, or 'missed' for a censored one.

    >>> seconds(0.01234), seconds(3.21), seconds(75.2)
    ('0.0123', '3.21', '75.2')
    """
    if value is None:
        return MISSED
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def metric_value(value: float | None, metric: str) -> str:
    """Return a metric's value, a share as per cent.

    >>> metric_value(0.97222, "accuracy"), metric_value(2859.6963, "mse"), metric_value(None, "mse")
    ('97.2 %', '2860', 'none')
    """
    if value is None:
        return "none"
    return f"{100 * value:.1f} %" if metric in _SHARES else f"{value:.4g}"


def duration(value: float) -> str:
    """Return a span of time in words.

    >>> duration(4.2), duration(75), duration(7260)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _spread(standing: Mapping[str, Any], metric: str) -> str:
    low, high = standing["final_low"], standing["final_high"]
    lost = [f"{standing[what]} {what}" for what in ("diverged", "failed") if standing[what]]
    if low is None:
        return ", ".join(lost)
    low_text, high_text = metric_value(low, metric), metric_value(high, metric)
    spread = f"{low_text.removesuffix(' %')}–{high_text.removesuffix(' %')}"
    return ", ".join([spread, *lost])
