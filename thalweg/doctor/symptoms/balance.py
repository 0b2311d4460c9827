"""The balance of updates: decay against the gradient, one layer against the others, the schedule."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.forks.remedies import advice, equal_rates, scaled_decay, scaled_rate
from thalweg.doctor.symptoms.reading import matrices, median, update_ratios
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Kind, Statistic, Verdict
from thalweg.doctor.watched import Floats, Watched

DECAYED = 0.5
"""Decay as a share of the update. At the equilibrium of normalised weights it is sqrt(lr wd / 2) (Kosson and
others, 2023), which is far below."""
APART = 2.0
"""Decades between the update of one matrix, as a share of its weights, and the median of the others
(TheDeepChecker, 2021; Karpathy)."""
APART_BY_GROUP = 1.3
"""The same where the groups have different learning rates, which a fork can make equal."""
COLLAPSED = 0.1
"""Weights as a share of those of the start that decay alone explains."""
FEWEST_MATRICES = 3
LONG = 160
"""Steps of a longer fork: a rate that is too high for one layer is quicker at first."""
AT_END, SETTLED = 80, 0.75
"""Steps of a fork from where the run ended, when the others have made the best of a layer that hardly moves,
and what equal rates must leave of the loss there."""
OVER = 0.1
"""A rate below this share of the largest is over …"""
EARLY = 0.35
"""… and that before this share of the run is too early."""


class DecayImbalance(Symptom):
    """Weight decay undoes what the gradient does."""

    name = "decay_imbalance"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where decay makes most of the update."""
        shares = self._shares(watched)
        if not len(shares):
            return []
        late = shares[len(shares) // 2 :]
        value = median(late)
        if not value > DECAYED:
            return []
        error = float(np.nanstd(late) / math.sqrt(late.size))
        found = Statistic("decay as a share of the update", value, error, high=DECAYED)
        words = f"Of the update, decay is {value:.2g} times as much."
        remedies = (scaled_decay(0.1), scaled_decay(0.0))
        left = self._left(watched)
        if left < COLLAPSED:  # no fork leads out of there, and none is needed
            words += f" The weights have shrunk to {left:.1g} of what they were."
            return [
                Verdict(
                    self.name, found, status="confirmed", since=1, words=words, remedy=remedies[1]
                )
            ]  # fmt: skip
        return [
            Verdict(
                self.name, found, since=1, words=words, remedy=remedies[0], others=remedies[1:]
            )
        ]  # fmt: skip

    def _left(self, watched: Watched) -> float:
        """Return the size of the weights at the last look as a share of that at the first, a median."""
        chosen = matrices(watched)
        samples = [s for s in watched.updates if len(s.weight) == len(chosen)]
        first, last = samples[0].weight[chosen], samples[-1].weight[chosen]
        known = first > 0
        return median(last[known] / first[known])

    def _shares(self, watched: Watched) -> Floats:
        """Return lr·wd·|w| / |update| by sample and matrix; wd·|w| / |g| in L2."""
        chosen = matrices(watched)
        decays = group_values(watched, "weight_decay", 0.0)[chosen]
        if not chosen.any() or not decays.any():
            return np.zeros((0, 0))
        rates = group_values(watched, "lr", math.nan)[chosen]
        rates = rates / rates[0] if rates[0] else rates
        name = type(watched.optimizer).__name__.lower()
        is_adaptive = "adam" in name and not name.endswith("w")
        rows = []
        for s in watched.updates:
            if len(s.update) != len(chosen):
                continue
            weight, gradient = s.weight[chosen], s.gradient[chosen]
            with np.errstate(divide="ignore", invalid="ignore"):
                if is_adaptive or "sgd" in name:
                    rows.append(decays * weight / gradient)
                else:
                    rows.append(s.lr * rates * decays * weight / s.update[chosen])
        return np.array(rows)


class LayerImbalance(Symptom):
    """One matrix moves by a far larger or smaller share of its weights than the others."""

    name = "layer_imbalance"
    after = ("vanishing_gradient", "exploding_gradient", "init_scale", "plateau_or_saddle")

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion for the matrix that is farthest from the others."""
        ratios = update_ratios(watched)
        if ratios.ndim < 2 or ratios.shape[1] < FEWEST_MATRICES or len(ratios) < 3:
            return []
        names = [p.name for p in watched.parameters if p.is_matrix]
        same = len(set(group_values(watched, "lr", math.nan).tolist())) < 2
        spans = [ratios] if same else [ratios, ratios[:1]]  # weights grow with their rate
        places, values = zip(*(self._farthest(span) for span in spans), strict=True)
        best = int(np.argmax(np.abs(values)))
        place, value = places[best], values[best]
        if not abs(value) > (APART if same else APART_BY_GROUP):
            return []
        word = "more" if value > 0 else "less"
        found = Statistic("decades from the median of the others", value, low=-APART, high=APART)
        words = f"{names[place]} moves {10 ** abs(value):.3g} times {word} than the others."
        at_end = equal_rates(AT_END, from_end=True, least=SETTLED)
        remedies = [equal_rates(), equal_rates(LONG) if value > 0 else at_end]
        if same:
            remedies = [advice("layer_rates", "a learning rate for each layer, or muP")]
        kind: Kind = "warning" if same else "fault"
        return [
            Verdict(
                self.name, found, kind=kind, where=names[place], since=1, words=words,
                remedy=remedies[0], others=tuple(remedies[1:]),
            )
        ]  # fmt: skip

    def _farthest(self, ratios: Floats) -> tuple[int, float]:
        """Return the matrix that is farthest from the median of the others, and by how many decades."""
        usual = np.array([median(column) for column in ratios.T])
        apart = np.array([u - median(np.delete(usual, i)) for i, u in enumerate(usual)])
        known = np.where(np.isfinite(apart), apart, 0.0)
        place = int(np.argmax(np.abs(known)))
        return place, float(known[place])


class EarlySchedule(Symptom):
    """The schedule lowers the learning rate long before the run is over."""

    name = "schedule"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where most steps were made at a small share of the largest rate."""
        rates = np.concatenate([watched.rates.first(), watched.rates.last()])
        if len(watched.rates) < 50 or not np.isfinite(rates).all() or not rates.max() > 0:
            return []
        steps = watched.rates.first() if len(watched.rates) <= len(watched.rates.first()) else rates
        share = float((steps > OVER * rates.max()).mean())
        last = float(np.median(steps))
        if (
            share > EARLY
            or steps[: max(len(steps) // 10, 1)].max() < 0.5 * rates.max()
            or last <= 0
        ):
            return []
        found = Statistic("share of steps at a tenth of the largest rate or more", share, low=EARLY)
        words = f"The rate falls from {rates.max():.2g} to {steps[-1]:.2g} too early."
        factor = float(rates.max() / last)
        return [
            Verdict(
                self.name, found, since=1, words=words, remedy=scaled_rate(factor, from_start=False)
            )
        ]  # fmt: skip


def group_values(watched: Watched, name: str, default: float) -> Floats:
    """Return a number of the groups for each parameter, in the order of samples."""
    found: dict[int, float] = {}
    for group in watched.optimizer.param_groups:
        value = group.get(name, default)
        number = (
            float(value) if isinstance(value, (int, float)) or hasattr(value, "item") else default
        )
        for p in group["params"]:
            found.setdefault(id(p), number)
    return np.array(list(found.values()))
