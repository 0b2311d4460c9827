"""What a picture has that is a file of its own: the colours that a page would give it, light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.report.parts.palette import Colour

_LIGHT = (
    "--page:#faf9f7;--card:#fff;--ink:#191b1e;--soft:#4c525a;--faint:#687079;--line:#e4e1dc;"
    "--accent:#0b5f8a;--bad:#c04a10;--warn:#855700;--text:system-ui,sans-serif;"
)
_DARK = (
    "--page:#111316;--card:#181b1f;--ink:#eaebed;--soft:#b0b6be;--faint:#8d959e;--line:#2b2f35;"
    "--accent:#6cb8e0;--bad:#ff8147;--warn:#f0c674;"
)


def standalone(entrants: Sequence[Colour] = ()) -> str:
    """Return the style of a picture by itself; `entrants` are its colours --e0, --e1, …"""
    light = "".join(f"--e{k}:{colour.light};" for k, colour in enumerate(entrants))
    dark = "".join(f"--e{k}:{colour.dark};" for k, colour in enumerate(entrants))
    return (
        f":root{{{_LIGHT}{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}{dark}}}}}"
        "svg{background:var(--page)}"
    )
