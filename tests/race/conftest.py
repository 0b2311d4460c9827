"""Races of tests measure their steps for milliseconds, not for the time a good figure takes."""

from __future__ import annotations

import pytest

from thalweg.race.trials import timing


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_SECONDS_A_TURN", 0.0)
