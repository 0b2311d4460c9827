"""The code of the winning optimizer, ready to paste; that of the others is folded away."""

from __future__ import annotations

from html import escape

from thalweg.report.data import text
from thalweg.report.data.reading import Record, is_judged, names, tied
from thalweg.report.parts.palette import variable
from thalweg.report.parts.section import Section


def winner_section(result: Record) -> Section | None:
    """Return the section with the code of the first, None where nothing is ranked."""
    codes = {entrant["name"]: entrant["code"] for entrant in result["entrants"] if entrant["code"]}
    order = [place["entrant"] for place in result["standings"] if place["entrant"] in codes]
    if not order:
        return None
    first, others = order[0], order[1:]
    alike = [name for name in tied(result) if name != first and name in codes]
    tuned = "as it was tuned here" if is_judged(result) else "as tuned so far"
    hint = f"{escape(first)} {tuned}, ready to paste."
    if alike:
        hint += f" It may be no faster than {escape(text.listed(alike))}."
    folded = "".join(_block(name, codes[name]) for name in others)
    rest = f"<details><summary>The others</summary>{folded}</details>" if others else ""
    return Section(
        key="code",
        title="To paste" if len(names(result)) == 1 else "The first, to paste",
        hint=hint,
        body=_block(first, codes[first]) + rest,
    )


def _block(name: str, code: str) -> str:
    return (
        f'<div class="code" style="--c:var({variable(name)})">'
        f'<div class="code-head"><span class="name">{escape(name)}</span>'
        '<button type="button" class="copy">Copy</button></div>'
        f"<pre tabindex=0><code>{escape(code.strip())}</code></pre></div>"
    )
