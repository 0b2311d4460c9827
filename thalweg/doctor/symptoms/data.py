"""The data path: sorted data, features of very different scale, numbers that are not finite."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.forks.remedies import advice, shuffled, standardized
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Status, Verdict
from thalweg.doctor.watched import Floats, Watched

FEWEST_BATCHES = 6
SORTED = 8.0
"""Standard deviations by which label counts differ more between batches than drawn ones (p < 1e-6 allows 4.8;
counts with small expectations have longer tails)."""
TIMES = 2.0
"""The least variance of label counts between batches, as a multiple of that of randomly drawn batches."""
CORRELATED = 0.5
"""Correlation of the targets of neighbouring steps, where a batch has one row and so no spread of its own."""
BETWEEN = 0.5
"""Share of the spread of the targets that lies between batches, and not within them."""
UNEQUAL = 100.0
"""Ratio of the standard deviations of features whose square, 1e4, is the condition of their covariance (LeCun
and others, 1998)."""
OFFSET = 30.0
"""Mean of a feature as a multiple of its deviation."""


class DataOrder(Symptom):
    """Targets arrive in an order, so that a batch does not stand for the data."""

    name = "data_order"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where batches differ more than drawn ones, in counts of classes or in means.

        Where most of the spread lies between batches, the order is evident and needs no fork.
        """
        found = self._classes(watched) or self._numbers(watched) or self._single(watched)
        if found is None:
            return []
        statistic, words, between = found
        status: Status = "confirmed" if between > BETWEEN else "suspected"
        return [
            Verdict(
                self.name, statistic, status=status, since=1, words=words, remedy=shuffled()
            )
        ]  # fmt: skip

    def _classes(self, watched: Watched) -> tuple[Statistic, str, float] | None:
        batches = watched.labels.counts
        if len(batches) < FEWEST_BATCHES:
            return None
        classes = sorted({label for counts in batches for label in counts})
        table = np.array([[c.get(label, 0) for label in classes] for c in batches], dtype=float)
        if len(classes) < 2:
            return None
        value, times = overdispersion(table)
        if value < SORTED or times < TIMES:
            return None
        name = "differences of label counts between batches, in deviations of drawn ones"
        largest = (table.max(1) / np.maximum(table.sum(1), 1)).mean()
        words = f"Classes arrive sorted: on average {largest:.0%} of a batch is of one class."
        between = (
            times * (len(table) - 1) / float(table.sum())
        )  # of χ², the part that can be at most
        return Statistic(name, value, 1.0, high=SORTED), words, between

    def _numbers(self, watched: Watched) -> tuple[Statistic, str, float] | None:
        columns = watched.labels.columns
        if len(columns) < FEWEST_BATCHES or len({means.shape for means, _, _ in columns}) > 1:
            return None
        means, within, rows = (np.array(part) for part in zip(*columns, strict=True))
        if not (np.isfinite(means).all() and np.isfinite(within).all()):
            return None
        # a batch that comes again says nothing new
        _, first = np.unique(means, axis=0, return_index=True)
        means, within, rows = means[first], within[first], rows[first]
        if len(rows) < FEWEST_BATCHES:
            return None
        weights = rows[:, None] / rows.sum()
        between = (weights * np.square(means - (weights * means).sum(0))).sum(0)
        drawn = (weights * within).sum(0) * len(rows) / rows.sum()
        known = drawn > 0
        if not known.any():
            return None
        times = float((between[known] / drawn[known]).max())
        value = (times - 1) * math.sqrt((len(rows) - 1) / 2)
        if value < SORTED or times < TIMES:
            return None
        name = "differences of mean targets between batches, in deviations of drawn ones"
        words = f"Targets arrive in an order: means of batches vary {times:.2g} times as much as drawn ones."
        share = times / (times + float(rows.mean()))
        return Statistic(name, value, 1.0, high=SORTED), words, share

    def _single(self, watched: Watched) -> tuple[Statistic, str, float] | None:
        """Look at batches of one row, which have no spread of their own."""
        labels = watched.labels
        means = np.array(labels.means)
        if labels.counts or labels.columns or len(means) < 4 * FEWEST_BATCHES:
            return None
        if not np.isfinite(means).all() or means.std() == 0:
            return None
        centred = means - means.mean()
        value = float((centred[1:] * centred[:-1]).sum() / np.square(centred).sum())
        if value < CORRELATED:
            return None
        name = "correlation of the targets of neighbouring steps"
        statistic = Statistic(name, value, 1 / math.sqrt(len(means)), high=CORRELATED)
        return statistic, "Rows arrive in the order of their targets.", 0.0


def overdispersion(table: Floats) -> tuple[float, float]:
    """Return by how many standard deviations χ² of a table, batches × classes, is above that of drawn ones,
    and χ² as a multiple of its degrees of freedom.
    """
    rows, shares = table.sum(1, keepdims=True), table.sum(0) / table.sum()
    expected = rows * shares
    freedom = (len(table) - 1) * (table.shape[1] - 1)
    squared = float((np.square(table - expected) / np.maximum(expected, 1e-12)).sum())
    return (squared - freedom) / math.sqrt(2 * freedom), squared / freedom


class InputScale(Symptom):
    """Features of the inputs differ in scale so much that the loss is ill-conditioned."""

    name = "ill_conditioning"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion by the deviations and means of the features."""
        seen = watched.inputs
        if seen.total is None or seen.squares is None or seen.rows < 2:
            return []
        mean = seen.total / seen.rows
        deviation = np.sqrt(np.maximum(seen.squares / seen.rows - np.square(mean), 0.0))
        varied = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300)
        if not varied.any():
            return []
        usual = float(np.median(deviation[varied]))
        ratio = float(deviation[varied].max() / usual)
        size = float(deviation[varied].max())
        offset = float((np.abs(mean[varied]) / deviation[varied]).max())
        if ratio > UNEQUAL:
            worst = int(np.where(varied, deviation, 0).argmax())
            found = Statistic("largest deviation of a feature / median", ratio, high=UNEQUAL)
            words = f"Feature {worst} has {ratio:.3g} times the deviation of the others."
        elif size > UNEQUAL:
            found = Statistic("deviation of the inputs", size, high=UNEQUAL)
            words = "The inputs are large for the initialization of the layers."
        elif offset > OFFSET:
            found = Statistic("mean of a feature / its deviation", offset, high=OFFSET)
            words = "The inputs lie far from zero."
        else:
            return []
        # the curvature of a layer grows with the square of its inputs, and the rate must be that much smaller
        size = math.sqrt(float((np.square(deviation) + np.square(mean)).max()))
        others = (standardized(size**2),) if size > 1 else ()
        return [
            Verdict(
                self.name, found, where="inputs", since=1, words=words, remedy=standardized(), others=others
            )
        ]  # fmt: skip


class BrokenInputs(Symptom):
    """Inputs that are NaN or infinite."""

    name = "broken_inputs"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where a batch held such numbers."""
        seen = watched.inputs
        if not seen.nonfinite:
            return []
        found = Statistic("numbers in the inputs that are not finite", seen.nonfinite, high=0)
        remedy = advice("fill_gaps", "remove these rows or fill the gaps")
        return [
            Verdict(
                self.name, found, status="confirmed", where="inputs", since=seen.nonfinite_step,
                words="The inputs hold NaN or infinity.", remedy=remedy,
            )
        ]  # fmt: skip
