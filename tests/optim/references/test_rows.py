"""The transcriptions under the options of the case table: sound trajectories, every option in use."""

from __future__ import annotations

import numpy as np
import pytest

from ..cases import CASES, OPTIMIZERS, Case, each
from ..cases.around import AROUND
from ..cases.case import EMBODIED
from ..reference import Array, State
from .compose import options_of
from .decay import DECAYS
from .toy import NOISE, STARTS, STEPS, changing, constant, gradients

ROWS = [case for case in CASES if case.reference is not None and case not in AROUND]
NAMES = list(dict.fromkeys(case.optimizer for case in ROWS))


def follow(
    case: Case, options: dict[str, object], rate: object, jitter: float = 0.0
) -> list[Array]:
    """Return the points as one vector each; `jitter` disturbs every gradient, relative to it."""
    options = {key: value for key, value in options.items() if key not in EMBODIED}
    base = options.pop("lr", case.lr)
    rng = np.random.default_rng(7)
    ws, states, state, points = STARTS, [State() for _ in STARTS], State(), []
    for t in range(1, STEPS + 1):
        gs = [g * (1.0 + jitter * rng.standard_normal(g.shape)) for g in gradients(ws, t)]
        options |= {"t": t, "lr": base * rate(t)}
        if case.is_coupled:
            ws = case.reference(ws, gs, state, **options)
        else:
            given = [{"noise": n} if case.draws_noise else {} for n in NOISE[t - 1]]
            rows = zip(ws, gs, states, given, strict=True)
            ws = [case.reference(w, g, s, **options, **extra) for w, g, s, extra in rows]
        points.append(np.concatenate([np.ravel(w) for w in ws]))
    return points


def test_every_optimizer_that_torch_has_not_has_a_transcription() -> None:
    assert set(NAMES) == set(OPTIMIZERS)


def test_every_decay_has_rows() -> None:
    given = [case for case in ROWS if "weight_decay" in case.options]
    used = [options_of(case.reference) | case.options for case in given]
    for decay in DECAYS:
        assert sum(options.get("decay") == decay for options in used) >= 2, decay


@pytest.mark.sampled(4)
@pytest.mark.parametrize("rate", [constant, changing])
@each(ROWS)
def test_a_rounding_of_the_gradients_stays_a_rounding(case: Case, rate: object) -> None:
    """An oracle compared at 1e-12 must not magnify what two correct programs do differently."""
    exact, disturbed = (follow(case, case.options, rate, jitter) for jitter in (0.0, 2e-16))
    start = np.concatenate([np.ravel(w) for w in STARTS])
    worst = max(np.max(np.abs(a - b)) for a, b in zip(exact, disturbed, strict=True))
    assert worst < 1e-12 * max(1.0, np.max(np.abs(exact)))
    assert np.all(np.isfinite(exact))
    assert np.max(np.abs(exact[-1] - start)) > 1e-3


@pytest.mark.sampled(4)
@each(ROWS)
def test_every_option_of_a_row_changes_its_path(case: Case) -> None:
    plain = follow(case, case.options, changing)
    unchanged = EMBODIED | {"lr", "seed", "layerwise", "t0"}  # t0 changes the average alone
    for key in set(case.exercises) - unchanged:
        without = follow(case, case.without(key).options, changing)
        assert np.max(np.abs(np.array(plain) - np.array(without))) > 1e-9, key
