"""A race result made by hand: three entrants, two seeds, one miss, one diverged trial, one
selection on the edge.
"""

from __future__ import annotations

from typing import Any

EPOCHS = 4
STEPS = 10


def trial(
    entrant: str,
    lr: float,
    seed: int,
    metric: list[float],
    target: float = 0.9,
    status: str = "finished",
) -> dict[str, Any]:
    """A trial record whose curve is `metric`, one value an epoch."""
    steps = [STEPS * (epoch + 1) for epoch in range(len(metric))]
    hit = next((i for i, value in enumerate(metric) if value >= target), None)
    return {
        "version": 1,
        "key": f"{entrant}-{lr}-{seed}",
        "entrant": entrant,
        "lr": lr,
        "seed": seed,
        "status": status,
        "steps": steps[-1],
        "seconds": steps[-1] / 1000,
        "reached_steps": None if hit is None else steps[hit],
        "reached_seconds": None if hit is None else steps[hit] / 1000,
        "final": metric[-1] if status == "finished" else None,
        "error": None if status == "finished" else "the loss became NaN at step 31",
        "curve": {
            "epochs": list(range(1, len(metric) + 1)),
            "steps": steps,
            "seconds": [step / 1000 for step in steps],
            "loss": [1 - value for value in metric],
            "metric": metric,
        },
    }


def standing(rank: int, entrant: str, lr: float, **other: Any) -> dict[str, Any]:
    """One line of the ranking, of which only what matters to a test need be given."""
    return {
        "rank": rank, "entrant": entrant, "lr": lr, "edge": None, "trials": 2, "reached": 2,
        "steps": 20, "seconds": 0.02, "final": 0.95, "final_low": 0.94, "final_high": 0.96,
        "diverged": 0, "failed": 0, **other,
    }  # fmt: skip


def example() -> dict[str, Any]:
    """The whole result, as a race gives it."""
    trials = [
        trial("adam", 0.01, 0, [0.6, 0.91, 0.94, 0.94]),
        trial("adam", 0.01, 1, [0.7, 0.92, 0.95, 0.96]),
        trial("adam", 0.1, 0, [0.5, 0.6], status="diverged"),
        trial("adam", 0.1, 1, [0.5, 0.6, 0.91, 0.92]),
        trial("sgd", 0.1, 0, [0.3, 0.4, 0.5, 0.6]),
        trial("sgd", 1.0, 0, [0.5, 0.7, 0.8, 0.91]),
        trial("sgd", 1.0, 1, [0.5, 0.7, 0.8, 0.93]),
        trial("<b>&mine", 0.1, 0, [0.1, 0.1, 0.1, 0.1]),
    ]
    standings = [
        standing(1, "adam", 0.01),
        standing(
            2, "sgd", 1.0, edge="upper", steps=40, seconds=0.04,
            final=0.92, final_low=0.91, final_high=0.93,
        ),
        standing(
            3, "<b>&mine", 0.1, edge="single", steps=None, seconds=None, reached=0, trials=1,
            final=0.1, final_low=0.1, final_high=0.1,
        ),
    ]  # fmt: skip
    sensitivity = [
        standing(0, "adam", 0.01),
        standing(0, "adam", 0.1, steps=None, seconds=None, reached=1, final=None, diverged=1),
        standing(0, "sgd", 0.1, steps=None, seconds=None, reached=0, trials=1, final=0.6),
        standing(0, "sgd", 1.0, steps=40, seconds=0.04, final=0.92),
        standing(0, "<b>&mine", 0.1, steps=None, seconds=None, reached=0, trials=1, final=0.1),
    ]
    for summary in sensitivity:
        del summary["rank"], summary["edge"]
    return {
        "schema": "thalweg.race/1",
        "task": "digits </script>",
        "model": "Sequential, 2,410 parameters",
        "metric": {"name": "accuracy", "direction": "max"},
        "target": {"value": 0.9, "text": "validation accuracy 0.9"},
        "budget": {"epochs": EPOCHS, "batch_size": 128, "seeds": [0, 1]},
        "rank_by": "steps",
        "entrants": [
            {
                "name": "sgd",
                "description": "Gradient descent",
                "hyperparameters": {},
                "lrs": [0.1, 1.0],
            },
            {"name": "adam", "description": "Adam", "hyperparameters": {}, "lrs": [0.01, 0.1]},
            {"name": "<b>&mine", "description": "", "hyperparameters": {}, "lrs": [0.1]},
        ],
        "standings": standings,
        "sensitivity": sensitivity,
        "trials": trials,
        "run": {
            "command": "thalweg race digits",
            "started": "2025-01-02 03:04:05 UTC",
            "seconds": 1.5,
            "planned": 9,
            "finished": 8,
            "reused": 0,
            "interrupted": False,
            "machine": "x86_64, 2 cores",
            "threads": 1,
            "versions": {"thalweg": "0.1.0", "torch": "2.13.0"},
        },
    }
