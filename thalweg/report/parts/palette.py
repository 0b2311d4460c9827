"""One colour for each optimizer, the same in every figure and every report.

The hues are those of Okabe & Ito (2008) and of Tol (2021), which stay distinct under the common
forms of colour blindness; each has a lighter twin for dark pages.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour for light pages and its twin for dark ones."""

    light: str
    dark: str


_BY_NAME = {
    "sgd": Colour("#5f6773", "#a3adba"),
    "momentum": Colour("#0072b2", "#4ba3e0"),
    "nesterov": Colour("#009e73", "#2cc79b"),
    "adagrad": Colour("#b8609a", "#e295c4"),
    "rmsprop": Colour("#d98f00", "#f2b53a"),
    "adam": Colour("#d04a02", "#ff8147"),
    "adamw": Colour("#882255", "#d1699c"),
    "nadam": Colour("#4b3fae", "#9a90f0"),
    "radam": Colour("#117733", "#5bbd78"),
    "adadelta": Colour("#8a8a20", "#c9c95a"),
    "adamax": Colour("#aa4499", "#da7fcb"),
    "asgd": Colour("#2f8f86", "#6fcfc4"),
    "rprop": Colour("#7a3b1e", "#c98a68"),
}


def colours(names: Sequence[str]) -> dict[str, Colour]:
    """Return the colour of each name: its own where it has one, else one that no other name here
    has.

    >>> colours(["mine", "adam"])["adam"].light
    '#d04a02'
    """
    taken = {name for name in names if name in _BY_NAME}
    free = [colour for name, colour in _BY_NAME.items() if name not in taken] or [
        *_BY_NAME.values()
    ]
    others = [name for name in names if name not in _BY_NAME]
    chosen = {name: free[index % len(free)] for index, name in enumerate(others)}
    return {name: _BY_NAME.get(name) or chosen[name] for name in names}


def variable(name: str) -> str:
    """Return the name of the CSS variable that holds an entrant's colour.

    It comes from the entrant's own name, which may hold anything, and not from its place: the same
    entrant has the same variable on every page and in every part of one.

    >>> variable("adam")
    '--ea2e56b85'
    """
    return f"--e{zlib.crc32(name.encode()):08x}"


def palette_style(palette: Sequence[Colour]) -> str:
    """Return the colours as CSS variables `--e0`, `--e1`, … of the light scheme and of the dark one."""
    light = "".join(f"--e{i}:{colour.light};" for i, colour in enumerate(palette))
    dark = "".join(f"--e{i}:{colour.dark};" for i, colour in enumerate(palette))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
