"""How well the seconds of a step are known, and what a reader of claims by seconds should know of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from thalweg.race.judging.reached import StepSeconds
from thalweg.race.judging.scores import TIMING
from thalweg.statistics import SharedError

StepErrors = Mapping[str, SharedError | None]
"""How far the logarithm of the seconds of a step may be wrong, by entrant; None where unknown."""


def known_errors(
    step_seconds: StepSeconds | None, step_errors: StepErrors | None
) -> dict[str, SharedError]:
    """Return the errors that are known, of the entrants whose seconds are those of `step_seconds`."""
    timed = step_seconds or {}
    return {
        name: error
        for name, error in (step_errors or {}).items()
        if error is not None and name in timed
    }


def seconds_notes(
    entrants: Sequence[str], step_seconds: StepSeconds | None, errors: Mapping[str, SharedError]
) -> Iterator[str]:
    """Return a sentence on how well the seconds of a step are known, of a race that is judged by them.

    >>> errors = {"sgd": SharedError(0.02, 11), "adam": SharedError(0.09, 11)}
    >>> (note,) = seconds_notes(["adam", "sgd"], {"adam": 0.1, "sgd": 0.1}, errors)
    >>> note.partition(".")[0]
    'From turn to turn the seconds of a step spread by 2 % (sgd) to 9 % (adam)'
    """
    timed = [name for name in entrants if name in (step_seconds or {})]
    if not timed:
        return
    if any(name not in errors for name in timed):
        yield (
            "An earlier version measured the seconds of a step and did not keep how far they spread, so "
            f"claims by seconds take them as known to {100 * TIMING:g} %. Run the race again in its "
            "folder, and they are measured again."
        )
        return
    ordered = sorted((errors[name].spread, name) for name in timed)
    words = [f"{100 * spread:.2g} % ({name})" for spread, name in (ordered[0], ordered[-1])]
    span = " to ".join(words if len(timed) > 1 else words[:1])
    yield (
        f"From turn to turn the seconds of a step spread by {span}. Intervals and tests by seconds allow "
        "for as much."
    )
