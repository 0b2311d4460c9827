"""Trials that failed or diverged, in words: those of a kind in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import Record, names

_KINDS = 3
"""Kinds of errors that are told; of more, how many there are."""
_LONGEST = 240
"""Characters of an error."""


def failed_entrants(result: Record) -> Iterator[str]:
    """Return why each entrant failed of which no trial came to its end; those alike in one sentence."""
    of_kind: dict[tuple[str, str], list[str]] = {}
    for name in names(result):
        own = [trial for trial in result["trials"] if trial["entrant"] == name]
        if own and _is_lost(own):
            first = own[0]
            of_kind.setdefault((str(first["status"]), _kind(first)), []).append(name)
    for (status, _), alike in of_kind.items():
        one = next(trial for trial in result["trials"] if trial["entrant"] == alike[0])
        verb = "has" if len(alike) == 1 else "have"
        yield (
            f"{text.listed(alike)} {verb} no trial that came to its end. The first {status}: "
            f"{_reason(one)}"
        )


def lost_trials(result: Record) -> Iterator[str]:
    """Return how many trials of the other entrants failed or diverged, and an example of each kind."""
    wholly = {
        name
        for name in names(result)
        if _is_lost([trial for trial in result["trials"] if trial["entrant"] == name])
    }
    given = [trial for trial in result["trials"] if trial["entrant"] not in wholly]
    diverged = [trial for trial in given if trial["status"] == "diverged"]
    if diverged:
        yield _told(diverged, len(given), "diverged")
    failed: dict[str, list[Record]] = {}
    for trial in given:
        if trial["status"] == "failed":
            failed.setdefault(_kind(trial), []).append(trial)
    kinds = sorted(failed.values(), key=len, reverse=True)
    for alike in kinds[:_KINDS]:
        yield _told(alike, len(given), "failed")
    if rest := [trial for alike in kinds[_KINDS:] for trial in alike]:
        yield f"{plural(len(rest), 'more trial')} failed for other reasons."


def _told(lost: Sequence[Record], total: int, status: str) -> str:
    one, number = lost[0], len(lost)
    counts = Counter(str(trial["entrant"]) for trial in lost)
    if len(counts) > 1:
        whose = f" ({text.listed([f'{name} {count}' for name, count in counts.most_common()])})"
    else:
        whose = ""
    such = "" if number == 1 else "such as "
    return (
        f"{number} of {plural(total, 'trial')} {status} and "
        f"{'counts as a miss' if number == 1 else 'count as misses'}{whose}, {such}"
        f"{one['entrant']} at learning rate {text.rate(one['lr'])}, seed {one['seed']}: {_reason(one)}"
    )


def _is_lost(trials: Sequence[Record]) -> bool:
    return bool(trials) and all(trial["status"] != "finished" for trial in trials)


def _kind(trial: Record) -> str:
    """What errors of one kind have in common: all that diverged are alike."""
    return "" if trial["status"] == "diverged" else str(trial["error"]).partition("\n")[0]


def _reason(trial: Record) -> str:
    """The first line of an error; a long one is cut."""
    reason = str(trial["error"]).strip().partition("\n")[0]
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
