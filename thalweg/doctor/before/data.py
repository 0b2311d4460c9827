"""Checks of the data: rows in two sets, classes that are missing, sets that differ, rows that contradict."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from thalweg.doctor.before.rows import SeenRows
from thalweg.doctor.forks.remedies import advice
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.objective.cost import Cost

LEAKED = 0.02
"""Share of a set that is also in the training set, less the share that repeats within the training set."""
CERTAIN = 6.0
"""Standard errors by which a difference must exceed its bound: p < 1e-9, so that many columns may be
compared."""
CONTRADICTING = 0.05
"""Share of training rows whose inputs also occur with another class."""
RARE = 0.01
"""Share of a class that is rare, as a multiple of an equal share."""
APART = 1.0
"""A column is shifted if its means in two sets differ by more than this many standard deviations."""
WIDER = 1.5
"""A column is shifted if the ratio of its standard deviations in two sets is above this."""
MOST, ALL = 0.5, 0.9
"""Shares of shifted columns: for a warning, and for a fault, since then all columns are scaled together."""
REPEATED = 0.25
"""A training set with a lower share of distinct rows is probably read wrongly."""
VARIED = 0.9
"""The least share of distinct rows in another set before that counts: rows of a few numbers repeat in
both."""
STRANGE = 10.0
"""A row whose size is above this multiple of the median is left out of the comparison of sets."""
FEW = 0.8
"""Rows are left out only if more than this share of the set remains."""
FEWEST = 100
"""The fewest rows of a set in which repetitions are looked for."""


def data_verdicts(sets: dict[str, SeenRows], cost: Cost) -> list[Verdict]:
    """Return what is to be said of the sets of a task, the training set among them."""
    train = sets.get("train")
    if train is None:
        return []
    others = {name: seen for name, seen in sets.items() if name != "train"}
    found = [_contradicting(train), _rare_class(train)]
    if cost.surrogate.kind != "free":  # a loss of one's own may not look at the targets
        found.append(_one_target(train))
    for name, seen in others.items():
        found += [_leaked(name, seen, train), _unknown_class(name, seen, train)]
        found += [_shifted(name, seen, train), _repeated(name, seen, train)]
    return [verdict for verdict in found if verdict is not None]


def _leaked(name: str, seen: SeenRows, train: SeenRows) -> Verdict | None:
    """Rows of a set that the training set has: more than rows repeat by chance."""
    counts = Counter(train.hashes)
    share = sum(h in counts for h in seen.hashes) / seen.rows
    repeated = sum(n for n in counts.values() if n > 1) / train.rows
    error = math.sqrt(max(share * (1 - share), 1 / seen.rows) / seen.rows)
    if share - repeated <= LEAKED or share - repeated < 2 * error:
        return None
    words = f"{share:.1%} of the {name} rows are also training rows, so its figures are too good."
    return Verdict(
        "leak",
        Statistic(
            f"share of {name} rows that are trained on", share, error, high=LEAKED + repeated
        ),
        status="confirmed",
        where=name,
        words=words,
        remedy=advice("split", "remove repeated rows before the split"),
    )


def _repeated(name: str, seen: SeenRows, train: SeenRows) -> Verdict | None:
    """Few rows again and again, where another set has different ones."""
    different, others = (len(set(each.hashes)) for each in (train, seen))
    share = different / train.rows
    if min(train.rows, seen.rows) < FEWEST or share > REPEATED or others < VARIED * seen.rows:
        return None
    return Verdict(
        "repeated_rows",
        Statistic("share of distinct training rows", share, low=REPEATED),
        status="confirmed",
        where="train",
        words=f"Only {different} of the {train.rows} training rows are distinct, but most {name} rows are.",
        remedy=advice(
            "rows", "look at how the training rows are read: one batch may be read again and again"
        ),
    )


def _contradicting(train: SeenRows) -> Verdict | None:
    if train.labels is None:
        return None
    classes: dict[bytes, set[int]] = {}
    for digest, label in zip(train.hashes, train.labels.tolist(), strict=True):
        classes.setdefault(digest, set()).add(label)
    share = sum(len(classes[digest]) > 1 for digest in train.hashes) / train.rows
    if share <= CONTRADICTING:
        return None
    words = f"{share:.1%} of the rows appear with different labels, so no label can be learned from them."
    return Verdict(
        "contradicting_labels",
        Statistic("share of rows with several classes", share, high=CONTRADICTING),
        kind="warning",
        status="confirmed",
        where="train",
        words=words,
        remedy=advice("labels", "look at these rows: inputs or labels lost their order"),
    )


def _one_target(train: SeenRows) -> Verdict | None:
    targets = train.values if train.labels is None else train.labels
    if targets is None or train.rows < 2 or bool((targets != targets[0]).any()):
        return None
    return Verdict(
        "constant_targets",
        Statistic("number of distinct targets", 1.0, low=2.0),
        status="confirmed",
        where="train",
        words="All targets are the same, so there is nothing to learn.",
        remedy=advice("targets", "look at what the targets are read from"),
    )


def _rare_class(train: SeenRows) -> Verdict | None:
    if train.labels is None:
        return None
    counts = Counter(train.labels.tolist())
    if len(counts) < 2:
        return None
    label, count = min(counts.items(), key=lambda each: each[1])
    relative = count * len(counts) / train.rows
    if relative >= RARE:
        return None
    return Verdict(
        "rare_class",
        Statistic(f"share of class {label}, of an equal share", relative, low=RARE),
        kind="information",
        status="confirmed",
        where="train",
        words=f"Class {label} has {count} of {train.rows} rows; accuracy hardly depends on it.",
        remedy=advice("class_weights", "class weights, or a metric by class"),
    )


def _unknown_class(name: str, seen: SeenRows, train: SeenRows) -> Verdict | None:
    if seen.labels is None or train.labels is None:
        return None
    missing = set(seen.labels.tolist()) - set(train.labels.tolist())
    share = sum(int((seen.labels == label).sum()) for label in missing) / seen.rows
    if share <= LEAKED:  # a rare class may miss the training rows by chance
        return None
    return Verdict(
        "unknown_class",
        Statistic(f"share of {name} rows of classes without a training row", share, high=LEAKED),
        status="confirmed",
        where=name,
        words=f"Classes {', '.join(map(str, sorted(missing)[:5]))} cannot be learned.",
        remedy=advice("split", "draw the sets at random, or stratified"),
    )


def _shifted(name: str, seen: SeenRows, train: SeenRows) -> Verdict | None:
    """A set whose columns lie elsewhere: another scaling, another order of the columns."""
    if seen.inputs is None or train.inputs is None:
        return None
    if seen.inputs.shape[1] != train.inputs.shape[1] or min(seen.rows, train.rows) < 20:
        return None
    own, others = _usual(seen.inputs), _usual(train.inputs)
    varied = (others.std(0) > 0) & (own.std(0) > 0)
    if not varied.any():
        return None
    apart = _distances(own, others) > APART
    apart |= _ratios(own, others) > WIDER
    share = float(apart[varied].double().mean())
    if share <= MOST:
        return None
    words = (
        f"In {share:.0%} of the columns the {name} set has a different mean or deviation than the "
        "training set: is it scaled in the same way?"
    )
    return Verdict(
        "shifted_set",
        Statistic("share of shifted columns", share, high=MOST),
        kind="fault" if share > ALL else "warning",
        behind=("loss_spike", "broken_inputs"),
        status="confirmed",
        where=name,
        words=words,
        remedy=advice("scaling", "scale all sets by the figures of the training set"),
    )


def _usual(inputs: Tensor) -> Tensor:
    """Return the rows that are not far larger than most, which few rows of other units are."""
    sizes = inputs.double().norm(dim=1)
    usual = sizes <= STRANGE * sizes.median()
    return inputs[usual] if bool(usual.double().mean() > FEW) else inputs


def _distances(seen: Tensor, train: Tensor) -> Tensor:
    """Return by how many deviations the means of each column surely differ, 0 where it is not sure."""
    deviation = train.std(0)
    spread = torch.maximum(deviation, seen.std(0))
    error = spread * (1 / len(seen) + 1 / len(train)) ** 0.5
    distance = (seen.mean(0) - train.mean(0)).abs()
    known = (spread > 0) & (distance > CERTAIN * error)
    return torch.where(known, distance / spread, torch.zeros_like(distance))


def _ratios(seen: Tensor, train: Tensor) -> Tensor:
    """Return how many times the deviation of each column is that of the other set, 1 where it is not sure.

    The error of the logarithm of a deviation is sqrt((κ - 1) / 4n), with the fourth moment κ of the column.
    """
    a, b = (x - x.mean(0) for x in (seen, train))
    first, second = (x.square().mean(0).sqrt().clamp_min(1e-300) for x in (a, b))
    fourth = torch.maximum((a / first).pow(4).mean(0), (b / second).pow(4).mean(0))
    error = ((fourth - 1) / 4 * (1 / len(seen) + 1 / len(train))).clamp_min(0).sqrt()
    distance = (first / second).log().abs()
    return torch.where(distance > CERTAIN * error, distance.exp(), torch.ones_like(distance))
