"""The doctor's verdicts at the nodes that they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from thalweg.errors import TaskError, sentence
from thalweg.network.nodes import Node
from thalweg.reading import UnreadableError, read_json

SCHEMA = "thalweg.doctor/1"
MARKS = ("fault", "warning", "information")
"""Kinds of verdicts; the first is the worst."""
_WORDS = ("symptom", "kind", "status", "where", "words")


def read_verdicts(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Return the verdicts in what `thalweg doctor --json` printed.

    Raises:
        TaskError: the file cannot be read, or is none of the doctor's.
    """
    try:
        document = read_json(path)
    except (OSError, UnreadableError) as error:
        raise TaskError(
            f"The verdicts {os.fspath(path)} cannot be read: {sentence(error)}"
        ) from error
    is_ours = isinstance(document, dict) and document.get("schema") == SCHEMA
    report = document.get("report") if is_ours else None
    verdicts = report.get("verdicts") if isinstance(report, dict) else None
    if not isinstance(verdicts, list) or not all(map(_is_verdict, verdicts)):
        raise TaskError(
            f"{os.fspath(path)} holds no report of the doctor. Write one: thalweg doctor TASK --json > FILE."
        )
    return [{name: each[name] for name in _WORDS} for each in verdicts]


def _is_verdict(value: Any) -> bool:
    words = isinstance(value, dict) and all(isinstance(value.get(name), str) for name in _WORDS)
    return words and value["kind"] in MARKS


def of_nodes(group: Sequence[Node], verdicts: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the verdicts on a layer, its parameters, or one of the equal layers that a node stands for."""
    names = {name for node in group if node.module for name in (node.module, *node.own)}
    return [each for each in verdicts if each["where"] in names]


def elsewhere(nodes: Sequence[Node], verdicts: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the verdicts that name no node: those on the whole run, or on data."""
    known = {name for node in nodes for name in (node.module, *node.own)}
    return [each for each in verdicts if each["where"] not in known or not each["where"]]
