"""Race optimizers on handwritten digits: named ones, one with a schedule, one that is tuned in more than
its learning rate, and a chain of rules of your own.

Every finished trial is appended to a file at once; run the script again and it goes on from there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from thalweg import chain, optim, rules
from thalweg.race import Entrant, log_uniform_below_one, race

FOLDER = Path(tempfile.gettempdir()) / "thalweg-race-digits"

entrants = [
    "sgd",
    "nesterov",
    "adam",
    "adam+cosine",
    Entrant(
        "momentum, tuned",
        optim.SGD,
        lrs=(0.01, 1.0),
        search={"momentum": log_uniform_below_one(0.5, 0.99)},
    ),
    Entrant("signs", chain(rules.clip_by_global_norm(1.0), rules.lion), lrs=(1e-4, 1e-2)),
]
result = race("digits", entrants, trials=6, search="quasi-random", epochs=10, out=FOLDER)

print(result)
print(f"\nThe winner: {result.standings[0].entrant}")
print(f"The report: {result.write_report(FOLDER / 'report.html')}")
