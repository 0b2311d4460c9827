"""Formats numbers as text: the same in the terminal, on the page and in the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

MISSED = "missed"
"""The cell of a censored time to the target."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHARES = frozenset({"accuracy", "error_rate"})


def rate(lr: float) -> str:
    """Return a learning rate in its shortest form.

    >>> rate(0.0316), rate(1e-4), rate(1.0), rate(0.21544346900318845)
    ('0.0316', '0.0001', '1', '0.215')
    """
    return f"{lr:.3g}"


def number(given: float, digits: int = 6) -> str:
    """Return a number as a page shows it: plain, or as a multiple of a power of ten where that would be long.

    >>> number(0.002), number(-5000), number(1e-5), number(2e7), number(123456.7, 5)
    ('0.002', '−5,000', '10⁻⁵', '2·10⁷', '123,457')
    """
    rounded = float(f"{given:.{digits}g}")
    if not math.isfinite(given) or given == 0 or 1e-4 <= abs(rounded) < 1e6:
        whole = abs(given) >= 10**digits
        return (f"{given:,.0f}" if whole else f"{rounded:,.12g}").replace("-", "−")
    factor, exponent = f"{rounded:.{digits - 1}e}".split("e")
    ten = f"10{str(int(exponent)).translate(_RAISED)}"
    shown = ten if float(factor) == 1 else f"{float(factor):g}·{ten}"
    return shown.replace("-", "−")


def value(given: object) -> str:
    """Return the value of a hyperparameter in its shortest form.

    >>> value(0.9), value(1e-8), value(True), value("cosine")
    ('0.9', '1e-08', 'True', 'cosine')
    """
    return f"{given:.4g}" if isinstance(given, float) else str(given)


def count(steps: float | None) -> str:
    """Return a count with separated thousands, or 'missed' for a censored one.

    >>> count(12345), count(66.5), count(None)
    ('12,345', '66.5', 'missed')
    """
    return MISSED if steps is None else f"{steps:,.1f}".removesuffix(".0")


def seconds(value: float | None) -> str:
    """Return a duration in seconds to three figures, or 'missed' for a censored one.

    >>> seconds(0.01234), seconds(3.21), seconds(75.2), seconds(1234.5)
    ('0.0123', '3.21', '75.2', '1,234')
    """
    if value is None:
        return MISSED
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost(value: float | None, unit: str) -> str:
    """Return a cost in its unit's own form: "steps", "gradients" or "seconds"."""
    return seconds(value) if unit == "seconds" else count(value)


def factor(ratio: float) -> str:
    """Return a ratio of costs to three figures.

    >>> factor(1.0), factor(1.514), factor(12.34), factor(230.0)
    ('1.00', '1.51', '12.3', '230')
    """
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:,.0f}"


def times(ratio: str, unit: str) -> str:
    """Return what a ratio of costs means in their unit.

    >>> times("1.37", "steps"), times("at least 1.37", "seconds")
    ('needs 1.37 times as many steps', 'takes at least 1.37 times as long')
    """
    return (
        f"takes {ratio} {times_as(unit)}"
        if unit == "seconds"
        else f"needs {ratio} {times_as(unit)}"
    )


def times_as(unit: str) -> str:
    """Return what a ratio of costs counts: times as long, or times as many of their unit."""
    return "times as long" if unit == "seconds" else f"times as many {unit}"


def unbroken(html: str) -> str:
    """Return HTML in which no line ends between a number and its per cent sign or its unit of time.

    >>> unbroken("88.3 % of 7 % 2 in 3 s")
    '88.3\\xa0% of 7\\xa0% 2 in 3\\xa0s'
    """
    return re.sub(r"(?<=\d) (?=%|(?:ms|s|min|h)\b)", "\u00a0", html)


def typeset(words: str) -> str:
    """Return words with their numbers as a page shows them: with a minus, and powers of ten.

    >>> typeset("-0.37 ± 2e-05 to 3.8e+04, x-1"), typeset("[-0.02, +1]")
    ('−0.37 ± 2·10⁻⁵ to 38,000, x-1', '[−0.02, +1]')
    """
    short = re.sub(
        r"(?<![\w.])\d+(?:\.\d+)?e[+-]?\d+\b", lambda found: number(float(found[0])), words
    )
    return re.sub(r"(?<![\w.-])-(?=\.?\d)", "−", short)


def span(low: str, high: str) -> str:
    """Return two ends as one range, with their common unit written once.

    >>> span("55", "77"), span("94.0 %", "96.0 %"), span("55", "missed")
    ('55–77', '94.0–96.0', '55–∞')
    """
    start, end = (text.removesuffix(" %") for text in (low, high))
    return f"{start}–{'∞' if end == MISSED else end}"


def metric_value(value: float | None, metric: str) -> str:
    """Return a metric's value, a share as per cent.

    >>> metric_value(0.97222, "accuracy"), metric_value(2859.6963, "mse"), metric_value(None, "mse")
    ('97.2 %', '2860', 'none')
    >>> metric_value(0.053735, "mse")
    '0.0537'
    """
    if value is None:
        return "none"
    if is_share(metric):
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


def is_share(metric: str) -> bool:
    """Say whether a metric is a share, which is shown in per cent."""
    return metric in _SHARES


def points(metric: str) -> float:
    """Return the factor by which a difference of the metric is shown: that of a share in points."""
    return 100.0 if is_share(metric) else 1.0


def difference(value: float, metric: str) -> str:
    """Return a difference of a metric's values, that of shares in points.

    >>> difference(-0.0112, "accuracy"), difference(0.25, "mse"), difference(0.0, "mse")
    ('−1.1', '+0.25', '0')
    """
    told = f"{100 * value:+.1f}" if is_share(metric) else f"{value:+.3g}"
    return "0" if float(told) == 0 else told.replace("-", "−")


def metric_format(metric: str) -> str:
    """Return the format of a metric's values on an axis, in the words of D3."""
    return ".1~%" if is_share(metric) else ".4~g"


def spaced(name: str) -> str:
    """Return a name as words.

    >>> spaced("cross_entropy")
    'cross entropy'
    """
    return name.replace("_", " ")


def percent(share: float) -> str:
    """Return a level of confidence in per cent.

    >>> percent(0.95), percent(0.9921875), percent(0.75)
    ('95 %', '99 %', '75 %')
    """
    return f"{100 * share:.0f} %"


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


def listed(names: Sequence[str], most: int = 7) -> str:
    """Return names as a clause; of more than `most`, the first and how many others.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c", "d"], most=3)
    ('a', 'a, b and c', 'a, b and 2 others')
    """
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def cut(name: str, width: int) -> str:
    """Return a name, without its middle if it is longer than so many characters: names of one family
    differ at their ends.

    >>> cut("adam", 6), cut("adam(beta2=0.95)", 11)
    ('adam', 'adam(…0.95)')
    """
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
