"""The page on metrics names all of them, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from thalweg.objective import metric_names

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_table_has_every_name() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## The names")[1].split("They are")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(metric_names())
