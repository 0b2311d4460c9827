"""A landscape as a picture that is a file of its own, with who is who."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.landscape.drawing import WIDE, drawing
from thalweg.landscape.runs import names_of
from thalweg.numeric import without_nonfinite
from thalweg.report.data.text import cut
from thalweg.report.parts.palette import colours
from thalweg.report.parts.standalone import standalone
from thalweg.report.parts.target import free_file

_ROW, _COLUMNS, _LEFT = 30, 3, 58


def write_landscape_picture(
    record: Mapping[str, Any], path: str | os.PathLike[str], *, over: bool = False
) -> Path:
    """Write the plane of a landscape with its runs as an SVG file, whole or not at all.

    Raises TaskError as `free_file` does.
    """
    file = free_file(path, "The picture", "--svg", ".svg", over=over)
    write_text(file, landscape_picture(record) + "\n")
    return file


def landscape_picture(record: Mapping[str, Any]) -> str:
    """Return the plane of a landscape as the text of an SVG document, light or dark as the reader has it."""
    plain = without_nonfinite(record)
    names = names_of(plain["paths"])
    known = colours(names)
    return drawing(
        plain,
        style=standalone([known[name] for name in names]),
        below=_legend(names),
        room=_ROW * (-(-len(names) // _COLUMNS)) + 8,
    )


def _legend(names: list[str]) -> str:
    """Return who is who, from the left to the right, above 0 the plane."""
    parts = []
    column = (WIDE - _LEFT) / _COLUMNS
    for k, name in enumerate(names):
        x, y = _LEFT + column * (k % _COLUMNS), _ROW * (k // _COLUMNS) + _ROW / 2
        parts.append(
            f'<circle cx="{x + 6:.1f}" cy="{y:.1f}" r="6" style="fill:var(--e{k})"/>'
            f'<text class="who" x="{x + 20:.1f}" y="{y + 5:.1f}">{escape(cut(name, 24))}</text>'
        )
    return "".join(parts)
