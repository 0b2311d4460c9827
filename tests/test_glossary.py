"""The glossary names files that exist, and explains the classes that a reader of a step or a race meets."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "thalweg"
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^- (?:.+\n?(?:  .+\n)*)", GLOSSARY, re.MULTILINE)
EXPLAINED = (
    "engine/backend.py",
    "engine/cohort.py",
    "engine/plan.py",
    "engine/member.py",
    "engine/rows.py",
    "optim/stepping",
    "train/running",
    "race/trials",
    "race/judging",
)


def files_of(text: str) -> list[str]:
    return re.findall(r"`([\w/]+\.py)`", text)


def classes() -> list[tuple[str, str]]:
    """Return the public classes of the parts that the glossary explains in full, with their files."""
    found = []
    for part in EXPLAINED:
        path = PACKAGE / part
        assert path.exists(), part
        for module in [path] if path.is_file() else sorted(path.rglob("*.py")):
            tree = ast.parse(module.read_text(encoding="utf-8"))
            found += [
                (node.name, module.relative_to(PACKAGE).as_posix())
                for node in tree.body
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            ]
    return found


def test_every_entry_says_where_its_word_lives() -> None:
    assert len(ENTRIES) > 100
    for entry in ENTRIES:
        assert entry.startswith("- **"), entry
        assert files_of(entry), entry
        for file in files_of(entry):
            assert (PACKAGE / file).is_file(), f"{file} in {entry}"


def test_no_word_is_explained_twice() -> None:
    words = Counter(re.findall(r"^- \*\*(.+?)\*\*", GLOSSARY, re.MULTILINE))
    assert len(words) == len(ENTRIES)
    assert [word for word, count in words.items() if count > 1] == []


@pytest.mark.parametrize(("name", "file"), classes())
def test_every_class_of_a_step_and_a_race_is_explained_with_its_file(name: str, file: str) -> None:
    entries = [entry for entry in ENTRIES if f"`{name}`" in entry]
    assert entries, f"docs/glossary.md does not explain {name} of {file}"
    assert any(file in files_of(entry) for entry in entries), f"{name} lives in {file}"


def test_every_class_that_the_glossary_names_is_in_its_file() -> None:
    for entry in ENTRIES:
        for name in re.findall(r"\(`(\w+)`\)", entry):
            text = "".join((PACKAGE / file).read_text(encoding="utf-8") for file in files_of(entry))
            assert re.search(rf"^class {name}\b", text, re.MULTILINE), (name, entry)
