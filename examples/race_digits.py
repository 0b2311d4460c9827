"""Race three optimizers on handwritten digits, and one of your own.

Every finished trial is appended to a file at once; run the script again and it goes on from there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from thalweg import optim
from thalweg.race import Entrant, race

FOLDER = Path(tempfile.gettempdir()) / "thalweg-race-digits"

entrants = [
    "sgd",
    "nesterov",
    "adam",
    Entrant("adam, slow average", optim.Adam, {"betas": (0.95, 0.999)}, lrs=(0.01, 0.0316, 0.1)),
]
result = race("digits", entrants, seeds=2, epochs=10, out=FOLDER)

print(result)
print(f"\nThe winner: {result.standings[0].best.entrant}")
print(f"The report: {result.write_report(FOLDER / 'report.html')}")
