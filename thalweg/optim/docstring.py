"""Docstrings as cards: a title, displayed equations with remarks between them, and fields.

Lion (Chen et al. 2023): the sign of a momentum.            the title

    update = sign(β₁·m + (1 − β₁)·g)                        an equation: indented, or alone on its lines
    m ← β₂·m + (1 − β₂)·g

Paper: Chen et al. 2023, …                                  a field, until the next one or a blank line
Use: …
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

FIELDS = ("Paper", "Defaults", "Use", "Deviations", "Source", "Cost")
"""What a field of a card may be called."""

STRIPPED = "No description: python -OO (PYTHONOPTIMIZE=2) has taken the docstrings away."
"""What stands instead of a docstring that the interpreter left out."""

AROUND = """\
    decay: what `weight_decay` means: "l2" adds its gradient λ·p to the gradient; after the step,
        "decoupled" subtracts lr·λ·p, "independent" λ·p, "cautious" lr·λ·p where the step shrinks the
        weight too, and "proximal" divides by 1 + lr·λ; "inside", where it is the default, is the
        optimizer's own equation. By default {decay}.
    before, after: links, or lists of links, of a chain around the optimizer's own rules, such as
        `before=clip_by_global_norm(1.0)`, `after=ema(0.999)`. Their hyperparameters are entries of the
        param groups under "rule.name".
    engine: "auto" takes the fastest for each tensor, "eager" goes tensor by tensor; "fused", "foreach" and
        "triton" fail where they cannot run the rule.
    state_dtype: "float32", "bfloat16" (rounded stochastically) or "int8" (8 bits, with a scale for each 256
        numbers) for the states, by default the parameter's own dtype.
    rounding: of parameters in bfloat16: "nearest", "stochastic", or "remainder", which keeps what is rounded
        off as a state of 16 bits, so that they move as float32 parameters.
"""
"""What a docstring says of the arguments that every optimizer takes; `decay` is the default meaning."""

_FIELD = re.compile(rf"({'|'.join(FIELDS)}): *(.*)")
_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Examples?):$")
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")
_SOURCE = re.compile(r" ?\([^()]*\b(?:1[89]\d\d|20\d\d)\b[^()]*\)")


@dataclass(frozen=True)
class DocPart:
    """A part of a docstring's body: a displayed equation, or a remark."""

    text: str
    is_equation: bool
    label: str = ""
    """What the equation is of, where there are several."""


@dataclass(frozen=True)
class Text:
    """What a docstring says."""

    title: str
    blocks: tuple[DocPart, ...]
    fields: Mapping[str, str]

    @property
    def equation(self) -> str:
        """The displayed equations, or else the one in the title, or nothing."""
        shown = [block.text for block in self.blocks if block.is_equation]
        return "\n\n".join(shown) or _equation_within(self.title)

    @property
    def summary(self) -> str:
        """The title without its source and its full stop.

        >>> read_docstring("Lion (Chen et al. 2023): the sign of a momentum.").summary
        'Lion: the sign of a momentum'
        """
        return _SOURCE.sub("", self.title, count=1).removesuffix(".")

    @property
    def source(self) -> str:
        """The field Paper or Source, or else what stands in parentheses with a year in it."""
        given = self.fields.get("Paper") or self.fields.get("Source")
        prose = (self.title, *(block.text for block in self.blocks if not block.is_equation))
        within = (found for text in prose for found in _IN_PARENTHESES.findall(text))
        return given or next((found for found in within if _YEAR.search(found)), "")

    @property
    def year(self) -> int | None:
        """The first year in the source."""
        found = _YEAR.search(self.source)
        return int(found[1]) if found else None


def of(thing: Any) -> str:
    """Return a docstring, or what says why there is none."""
    found: str | None = thing.__doc__
    return STRIPPED if found is None and is_stripped() else inspect.cleandoc(found or "")


def is_stripped() -> bool:
    """Whether the interpreter runs without docstrings."""
    return sys.flags.optimize > 1


def read_docstring(docstring: str) -> Text:
    """Return what a docstring says; sections for arguments and examples are left out.

    >>> text = read_docstring('''Descent.
    ...
    ...     update = g
    ...
    ... Paper: Cauchy 1847,
    ... page 536.
    ... ''')
    >>> text.equation, text.fields["Paper"], text.year
    ('update = g', 'Cauchy 1847, page 536.', 1847)
    """
    paragraphs = list(_paragraphs(inspect.cleandoc(docstring).splitlines()))
    title = " ".join(paragraphs[0]) if paragraphs else ""
    blocks: list[DocPart] = []
    fields: dict[str, str] = {}
    among_arguments = False
    for lines in paragraphs[1:]:
        if lines[0].startswith(">>>"):
            continue
        among_arguments |= _SECTION.match(lines[0]) is not None
        if any(map(_FIELD.match, lines)):
            fields |= _fields(lines)
        elif not among_arguments and _is_displayed(lines):
            shown = dedent("\n".join(lines))
            if blocks and blocks[-1].is_equation:
                shown = f"{blocks.pop().text}\n\n{shown}"
            blocks.append(DocPart(shown, True))
        elif not among_arguments:
            blocks.append(DocPart(" ".join(line.strip() for line in lines), False))
    return Text(title, tuple(blocks), fields)


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    gathered: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            gathered.append(line)
        elif gathered:
            yield gathered
            gathered = []


def _fields(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        begun = _FIELD.match(line)
        if begun:
            current = found[begun[1]] = [begun[2]]
        else:
            current.append(line.strip())
    return {name: " ".join(parts).strip() for name, parts in found.items()}


def _is_displayed(lines: list[str]) -> bool:
    """Whether a paragraph is displayed: indented, or an equation that is not a sentence.

    A docstring of a title and equations alone has lost its indentation, which was that of all its lines.
    """
    if all(line.startswith(" ") for line in lines):
        return True
    return _has_equation(lines[0]) and not lines[-1].rstrip().endswith((".", ",", "and"))


def _has_equation(text: str) -> bool:
    return "←" in text or bool(re.search(r"\S += ?\S|dialect=", text))


def _equation_within(title: str) -> str:
    """Return the equation at the end of a title such as 'Decay: x ← x − λ·p.'."""
    sentence = re.split(r"(?<! al)\.(?: |$)", title)[0]
    last = sentence.rpartition(": ")[2]
    return last if _has_equation(last) else ""
