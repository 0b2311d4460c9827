"""The table of option sets: every option has a row, and every row a sound trajectory."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ..reference import Array, State
from .decay import DECAYS
from .table import CASES_NEW, DIALECTS, Row
from .toy import NOISE, STARTS, STEPS, changing, constant, gradients

ROWS = [*CASES_NEW, *DIALECTS]
NAMES = list(dict.fromkeys(row[0] for row in ROWS))
# parameters of a step that are no option of an optimizer
NOT_AN_OPTION = {"t", "noise"}
DEFAULT_DECAY = {"Adan": "proximal"}  # of all others "decoupled"


def label(row: Row) -> str:
    return "-".join([row[0], *(f"{key}={value}" for key, value in row[1].items())])


def follow(row: Row, options: dict[str, object], rate: object, jitter: float = 0.0) -> list[Array]:
    """Return the points as one vector each; `jitter` disturbs every gradient, relative to it."""
    _, _, step, kind = row
    options = dict(options)
    base = options.pop("lr")
    rng = np.random.default_rng(7)
    ws, states, state, points = STARTS, [State() for _ in STARTS], State(), []
    for t in range(1, STEPS + 1):
        gs = [g * (1.0 + jitter * rng.standard_normal(g.shape)) for g in gradients(ws, t)]
        options |= {"t": t, "lr": base * rate(t)}
        if kind == "model":
            ws = step(ws, gs, state, **options)
        else:
            given = [{"noise": n} if kind == "noise" else {} for n in NOISE[t - 1]]
            rows = zip(ws, gs, states, given, strict=True)
            ws = [step(w, g, s, **options, **extra) for w, g, s, extra in rows]
        points.append(np.concatenate([np.ravel(w) for w in ws]))
    return points


@pytest.mark.parametrize("name", NAMES)
def test_every_option_leaves_its_default_in_some_row(name: str) -> None:
    rows = [row for row in ROWS if row[0] == name]
    assert 3 <= len(rows) <= 6
    signature = inspect.signature(inspect.unwrap(rows[0][2])).parameters.values()
    options = [p for p in signature if p.kind is p.KEYWORD_ONLY and p.name not in NOT_AN_OPTION]
    for parameter in options:
        values = [row[1][parameter.name] for row in rows if parameter.name in row[1]]
        assert any(value != parameter.default for value in values), parameter.name
    assert sum(bool(row[1].get("maximize")) for row in rows) == 1
    assert sum("weight_decay" in row[1] for row in rows) >= 1


def test_every_decay_has_rows() -> None:
    given = [row for row in CASES_NEW if "weight_decay" in row[1]]
    used = [row[1].get("decay", DEFAULT_DECAY.get(row[0])) for row in given]
    for decay in DECAYS:
        assert used.count(decay) >= 2, decay


@pytest.mark.parametrize("rate", [constant, changing])
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_rounding_of_the_gradients_stays_a_rounding(row: Row, rate: object) -> None:
    """An oracle compared at 1e-12 must not magnify what two correct programs do differently."""
    exact, disturbed = (follow(row, row[1], rate, jitter) for jitter in (0.0, 2e-16))
    start = np.concatenate([np.ravel(w) for w in STARTS])
    worst = max(np.max(np.abs(a - b)) for a, b in zip(exact, disturbed, strict=True))
    assert worst < 1e-12 * max(1.0, np.max(np.abs(exact)))
    assert np.all(np.isfinite(exact))
    assert np.max(np.abs(exact[-1] - start)) > 1e-3


# Dropped without a change: the noise is drawn elsewhere, and L2 is decoupled for plain descent.
WITHOUT_EFFECT = {("SGLD", "seed"), ("SGLD", "decay")}


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_every_option_of_a_row_changes_its_path(row: Row) -> None:
    plain = follow(row, row[1], changing)
    for key in row[1]:
        default = DEFAULT_DECAY.get(row[0], "decoupled")
        if (
            key == "lr"
            or (row[0], key) in WITHOUT_EFFECT
            or (key, row[1][key]) == ("decay", default)
        ):
            continue
        dropped = {key, "decay"} if key == "weight_decay" else {key}
        others = {k: v for k, v in row[1].items() if k not in dropped}
        without = follow(row, others, changing)
        assert np.max(np.abs(np.array(plain) - np.array(without))) > 1e-9, key
