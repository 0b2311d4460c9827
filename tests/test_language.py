"""The words of the package: one spelling, and one form of message."""

from __future__ import annotations

import ast
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

WIDTH = 120
"""Columns of a line of prose in a document."""
WRITTEN_BY_COMMANDS = ("conformance.md", "optimizers.md")

ERRORS = (
    *("CheckpointError", "DataError", "DivergedError", "EngineError", "RuleError", "TaskError"),
    *("NotImplementedError", "RuntimeError", "TypeError", "ValueError"),
)
SENTENCE_BEGINS = re.compile(r"(a|an|the|this|that|there|no|its?|expected|products|parameters) ")
FRAGMENTS = re.compile(
    # what another message ends with: "… cannot be read: it is not JSON"
    r"(thalweg/(reading|files|train/(history|folder/(layout|writing|reading)|running/(archive|checkpoint))|"
    r"race/trials/records|optim/stepping/plan_check|tasks/formats/text|solvers/(preconditioner|descent/bounds)|engine/(program|language)/\w+|"
    r"engine/triton/printed|engine/cpu/(kernel_cache|object_file))\.py)"
)
STATES_A_FACT = re.compile(
    r"^[^.;]*?\b(is|are) (an?|one of|True|'[\w-]+'( or|,)|at least|above|finite) [^.]*; got "
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


# -- messages -----------------------------------------------------------------------------------------


def message_of(node: ast.expr) -> str | None:
    """Return a message with `{}` for each value in it; None where it is put together elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return None


def messages_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the messages of the errors that a module makes, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        message = message_of(node.args[0]) if node.func.id in ERRORS else None
        if message is not None:
            yield node.lineno, message


def faults_of(message: str) -> list[str]:
    """Return what is wrong with the form of a message."""
    found: list[str] = []
    if message.startswith("loaded state dict"):  # PyTorch's words
        return found
    if message.rstrip()[-1:] not in (".", "?", "!", ":", ")", "}", "…"):
        found.append("ends without a full stop")
    if SENTENCE_BEGINS.match(message):
        found.append("begins with a small letter")
    if STATES_A_FACT.match(message) and "must" not in message:
        found.append("states a fact where it means a demand: say what must be")
    return found


def test_messages_have_one_form() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {fault}: {message}"
        for path in PROSE
        if path.suffix == ".py" and not FRAGMENTS.fullmatch(str(path.relative_to(ROOT)))
        for line, message in messages_in(path.read_text(encoding="utf-8"))
        for fault in faults_of(message)
    ]
    assert not wrong, "\n".join(wrong)


def test_each_fault_of_a_message_is_seen() -> None:
    assert faults_of("--epochs must be an integer ≥ 0; got -1.") == []
    assert faults_of("--epochs must be an integer ≥ 0; got -1") == ["ends without a full stop"]
    assert faults_of("the state lacks m.") == ["begins with a small letter"]
    assert len(faults_of("--epochs is an integer ≥ 0; got {}.")) == 1
    assert [*messages_in("raise TaskError(f'rows must be {a}; got {b}.')")] == [
        (1, "rows must be {}; got {}.")
    ]


# -- documents ----------------------------------------------------------------------------------------


def too_wide(text: str) -> list[int]:
    """Return the numbers of the lines of prose that are too wide: tables and code are not prose."""
    lines = text.splitlines()
    fences = [line.startswith("```") for line in lines]
    return [
        k
        for k, line in enumerate(lines, 1)
        if len(line) > WIDTH and not line.startswith(("|", "    ")) and not sum(fences[:k]) % 2
    ]


def test_prose_of_documents_is_wrapped() -> None:
    pages = [p for p in PROSE if p.suffix == ".md" and p.name not in WRITTEN_BY_COMMANDS]
    wide = {p.name: too_wide(p.read_text(encoding="utf-8")) for p in pages}
    assert {name: lines for name, lines in wide.items() if lines} == {}


def test_a_wide_line_is_seen() -> None:
    wide = "word " * 30
    assert too_wide(f"short\n{wide}\n| {wide} |\n```\n{wide}\n```\n    {wide}") == [2]
