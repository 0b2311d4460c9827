"""Records of trials that never ran: what was planted in them is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from thalweg.race.judging.reached import Goal
from thalweg.race.trials.records import Curve, Stage, Status, TrialRecord

BUDGET = 1000
GOAL = Goal("accuracy", "max", 0.9)
NO_GOAL = Goal("accuracy", "max")
TUNING, FINAL = (0, 1, 2), tuple(range(3, 11))


def record(
    entrant: str,
    seed: int,
    reached: float | None,
    *,
    lr: float = 0.1,
    stage: Stage = "tuning",
    final: float | None = 0.95,
    status: Status = "finished",
    hyperparameters: dict[str, Any] | None = None,
    epochs: int = 10,
    budget: float = BUDGET,
    step_seconds: float = 0.01,
    gradients_a_step: float = 1.0,
) -> TrialRecord:
    """A trial whose curve meets the goal at the step `reached`, and not if None."""
    hits = [] if reached is None else [(reached, 0.9)]
    evaluations = [*hits, (budget, None if status != "finished" else 0.95 if hits else 0.5)]
    steps = tuple(step for step, _ in evaluations)
    return TrialRecord(
        key=f"{entrant} {lr} {hyperparameters} {seed} {stage} {epochs}",
        entrant=entrant,
        lr=lr,
        seed=seed,
        status=status,
        hyperparameters=hyperparameters or {},
        stage=stage,
        epochs=epochs,
        steps=budget,  # type: ignore[arg-type]
        seconds=budget * step_seconds,
        gradients=budget * gradients_a_step,
        final=final if status == "finished" else None,
        curve=Curve(
            epochs=tuple(range(1, len(steps) + 1)),
            steps=steps,  # type: ignore[arg-type]
            seconds=tuple(step * step_seconds for step in steps),
            gradients=tuple(step * gradients_a_step for step in steps),
            loss=(0.1,) * len(steps),
            metric=tuple(figure for _, figure in evaluations),
        ),
    )


def trials(
    entrant: str,
    reached: Iterable[float | None],
    seeds: Sequence[int] | None = None,
    **options: Any,
) -> list[TrialRecord]:
    """A trial for each seed: the first of them, or those given."""
    each = list(reached)
    return [
        record(entrant, seed, steps, **options)
        for seed, steps in zip(seeds or range(len(each)), each, strict=True)
    ]


def finals(entrant: str, reached: Iterable[float | None], **options: Any) -> list[TrialRecord]:
    """Final trials, on the seeds from 3."""
    each = list(reached)
    seeds = range(FINAL[0], FINAL[0] + len(each))
    return trials(entrant, each, seeds, stage="final", **options)


def curved(
    entrant: str, figures: Sequence[float | None], *, seed: int = 0, lr: float = 0.1, **options: Any
) -> TrialRecord:
    """A trial with the given validation figures, one every 100 steps."""
    plain = record(entrant, seed, None, lr=lr, final=figures[-1], **options)
    steps = tuple(100 * (place + 1) for place in range(len(figures)))
    curve = Curve(
        epochs=tuple(range(1, len(figures) + 1)),
        steps=steps,
        seconds=tuple(step * 0.01 for step in steps),
        gradients=tuple(float(step) for step in steps),
        loss=(0.1,) * len(figures),
        metric=tuple(figures),
    )
    values = {name: getattr(plain, name) for name in TrialRecord.__dataclass_fields__}
    return TrialRecord(**{**values, "steps": steps[-1], "gradients": steps[-1], "curve": curve})
