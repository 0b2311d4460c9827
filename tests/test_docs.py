"""What the documents show must run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.race.conftest import short_turns

__all__ = ["short_turns"]

DOCS = Path(__file__).parent.parent / "docs"


def blocks(name: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_entrants_of_the_race_can_be_raced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import thalweg

    monkeypatch.chdir(tmp_path)
    (block,) = blocks("race.md")
    raced: list[Any] = []

    def small(task: str, entrants: list[Any]) -> None:
        raced.append(
            thalweg.race(task, entrants, trials=2, seeds=1, final_seeds=1, epochs=1, out=None)
        )

    # the block imports the race: what it calls is made small
    names: dict[str, Any] = {}
    exec(block.replace("race(\n", "small(\n", 1), {"small": small, **names})
    assert len(raced[0].standings) == 5
    assert {record.status for record in raced[0].records} == {"finished"}


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in DOCS.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (DOCS / target).exists(), f"{document.name} links to {target}"


def test_every_file_that_the_documents_name_is_there() -> None:
    root = DOCS.parent
    for page in (*DOCS.glob("*.md"), root / "README.md", root / "CONTRIBUTING.md"):
        for name in re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py)?)`", page.read_text(encoding="utf-8")):
            assert (root / "thalweg" / name).exists() or (root / name).exists(), (page.name, name)
