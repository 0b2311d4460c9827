from __future__ import annotations

from tests.fresh import Fresh

HEAVY = ("sklearn", "scipy", "rich", "typer")


def test_importing_is_light(fresh: Fresh) -> None:
    code = (
        f"import sys, thalweg.objective, thalweg.tasks, thalweg.train; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ended = fresh.run(code)
    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")
