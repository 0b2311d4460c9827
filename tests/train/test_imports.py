from __future__ import annotations

import subprocess
import sys

HEAVY = ("sklearn", "scipy", "rich", "plotly", "typer")


def test_importing_is_light() -> None:
    code = (
        f"import sys, thalweg.objective, thalweg.tasks, thalweg.train; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
