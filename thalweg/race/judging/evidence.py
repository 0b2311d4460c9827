"""The trials that judge the entrants: those of the final, on the seeds that all of them ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import CostUnit, candidates, select
from thalweg.race.judging.summary import point_of
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import Stage, TrialRecord

_BySeed = Mapping[int, TrialRecord]


@dataclass(frozen=True)
class Evidence:
    """The trials that judge.

    `trials` holds, for every entrant that is judged, those of its chosen point in the order of
    `seeds`. `more` holds those of the entrants that ran more seeds, with the trials on these added in the
    order of `more_seeds`; none where a seed is missing. `lost` holds the tuning trials of entrants that
    have no final because every one of them was lost. `notes` says in sentences what is not as it should be.
    """

    stage: Stage
    seeds: tuple[int, ...]
    trials: Mapping[str, tuple[TrialRecord, ...]]
    lost: Mapping[str, tuple[TrialRecord, ...]]
    notes: tuple[str, ...]
    more: Mapping[str, tuple[TrialRecord, ...]] = field(default_factory=dict)
    more_seeds: tuple[int, ...] = ()


def chosen_points(
    records: Iterable[TrialRecord], entrants: Sequence[str], goal: Goal, by: CostUnit = "steps"
) -> dict[str, Point]:
    """Return the point of every entrant that has one: that of its final, else the best tuned."""
    chosen = {}
    for name, trials in _by_entrant(records, entrants).items():
        tuned = select(trials, goal, by)
        final = Counter(point_of(record) for record in trials if record.stage == "final")
        point = tuned if tuned in final or not final else final.most_common(1)[0][0]
        if point is not None:
            chosen[name] = point
    return chosen


def gather_evidence(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    by: CostUnit = "steps",
    more_seeds: Sequence[int] = (),
) -> Evidence:
    """Return the trials that judge the entrants, of those that are finished.

    They are those of the final, if there is a seed that all entrants have run; otherwise, where a
    race was interrupted before, the very trials that chose the points. The trials of the final on
    `more_seeds` are those of entrants that were in question after the others.
    """
    given = tuple(records)
    points = chosen_points(given, entrants, goal, by)
    of_entrant = {
        name: trials for name, trials in _by_entrant(given, entrants).items() if name in points
    }
    tuned = {name: _tuning(trials, goal, by) for name, trials in of_entrant.items()}
    final = {name: _final(trials, points[name]) for name, trials in of_entrant.items()}
    lost = [name for name in final if not final[name] and _all_lost(of_entrant[name])]
    later = {name: _on(by_seed, more_seeds) for name, by_seed in final.items()}
    judged = {
        name: {seed: record for seed, record in by_seed.items() if seed not in later[name]}
        for name, by_seed in final.items()
        if name not in lost
    }
    seeds = tuple(sorted(set.intersection(*map(set, judged.values())))) if judged else ()
    if not seeds:
        return _evidence_of_tuning(tuned)
    trials = {name: tuple(by_seed[seed] for seed in seeds) for name, by_seed in judged.items()}
    whole = all(len(by_seed) in (0, len(more_seeds)) for by_seed in later.values())
    return Evidence(
        stage="final",
        seeds=seeds,
        trials=trials,
        lost={name: tuned[name] for name in lost},
        notes=(*_of_missing_seeds(judged, seeds), *_of_second_look(whole), *_of_lost(lost)),
        more={
            name: (*trials[name], *by_seed.values())
            for name, by_seed in later.items()
            if by_seed and whole
        },
        more_seeds=tuple(more_seeds) if whole and any(later.values()) else (),
    )


def _evidence_of_tuning(tuned: Mapping[str, tuple[TrialRecord, ...]]) -> Evidence:
    judged = {name: trials for name, trials in tuned.items() if trials}
    seeds = sorted({record.seed for trials in judged.values() for record in trials})
    note = (
        "No seed of the final has been run by all entrants yet. The order is that of the trials "
        "that chose the hyperparameters, which flatters whoever was lucky in them: it supports no "
        "claim."
    )
    return Evidence("tuning", tuple(seeds), judged, {}, (note,) if judged else ())


def _of_missing_seeds(judged: Mapping[str, _BySeed], seeds: Sequence[int]) -> Iterable[str]:
    everyone = {seed for by_seed in judged.values() for seed in by_seed}
    if left_out := sorted(everyone - set(seeds)):
        yield (
            f"The final is not complete: entrants are judged on the {len(seeds)} of "
            f"{len(everyone)} seeds that all of them have run. Left out: {_listed(left_out)}."
        )


def _of_second_look(whole: bool) -> Iterable[str]:
    if not whole:
        yield (
            "The entrants in question have not run all of their further seeds yet: they are judged on "
            "the seeds that everyone has run."
        )


def _of_lost(lost: Sequence[str]) -> Iterable[str]:
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        yield (
            f"{_listed(lost)} {verb} no final: every trial of tuning diverged or failed. Such an "
            "entrant comes last and is compared with nobody."
        )


def _by_entrant(
    records: Iterable[TrialRecord], entrants: Sequence[str]
) -> dict[str, list[TrialRecord]]:
    """The trials of each entrant, in the order of the entrants."""
    of_entrant: dict[str, list[TrialRecord]] = {name: [] for name in entrants}
    for record in records:
        if record.entrant in of_entrant:
            of_entrant[record.entrant].append(record)
    return of_entrant


def _tuning(trials: Sequence[TrialRecord], goal: Goal, by: CostUnit) -> tuple[TrialRecord, ...]:
    point = select(trials, goal, by)
    return () if point is None else tuple(candidates(trials)[point])


def _final(trials: Sequence[TrialRecord], point: Point) -> dict[int, TrialRecord]:
    return {
        record.seed: record
        for record in trials
        if record.stage == "final" and point_of(record) == point
    }


def _on(by_seed: _BySeed, seeds: Sequence[int]) -> dict[int, TrialRecord]:
    return {seed: by_seed[seed] for seed in seeds if seed in by_seed}


def _all_lost(trials: Sequence[TrialRecord]) -> bool:
    return all(record.status != "finished" for record in trials)


def _listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))
