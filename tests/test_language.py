"""The words of the package: one spelling, and one form of message."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROSE = sorted(
    path
    for place in ("thalweg", "docs", "README.md", "CONTRIBUTING.md")
    for path in ([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    if path.suffix in (".py", ".md")
)

BRITISH = re.compile(r"(?<![\w/.-])[a-z]{3,}is(?:e|ed|es|er|ers|ing|ation|ations)\b(?![_/]|\.py)")
ALWAYS_WITH_S = re.compile(
    r".*wise|(?:un)?supervised|promise[sd]?|advise[sd]?|.*precise|.*noising|.*raise[sd]?|"
    r"comprise[sd]?|exercise[sd]?|surprise[sd]?|revise[sd]?|disguise[sd]?"
)
TITLES = ("Compressed Optimisation",)
"""Titles of papers keep their spelling."""


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what people read in a file, by line: all of a page; the strings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            for k, line in enumerate(token.string.splitlines()):
                yield token.start[0] + k, line


def british(text: str) -> list[str]:
    for title in TITLES:
        text = text.replace(title, "")
    found = BRITISH.findall(text.lower())
    return [word for word in found if not ALWAYS_WITH_S.fullmatch(word)]


def test_words_are_spelled_with_ize() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in PROSE
        for line, text in words_of(path)
        for word in british(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_british_spelling_is_seen_and_a_name_in_code_is_none() -> None:
    assert british("Batch Normalisation is otherwise minimised.") == ["normalisation", "minimised"]
    assert british("parts/normalisation.py has _normalised, and noise is precise.") == []
