"""Equations of cards as MathML: hats, scripts and roots as a page sets them, words and columns as they stand.

What is read is plain text: √ before what it is of, scripts in Unicode's own letters or after ^ and _, hats as
combining marks. A fraction stays on its line, so what is read is what was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

_HATS = {"\u0302": "^", "\u0303": "~", "\u0304": "¯"}
_LOW = "₀₁₂₃₄₅₆₇₈₉₊₋₌ₜₖᵢⱼ"
_HIGH = "¹²³ᵀᵗʳ⁺⁻′"
_OPENING, _CLOSING = "([⟨", ")]⟩"
_PRODUCTS = frozenset(["Hy", "ss", "sy", "vv", "ys", "ρss", "ρsy", "ρys"])
"""Letters that stand side by side for a product."""
_GAP = re.compile(r" {2,}")
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    |(?P<code>`[^`]+`|"[^"]+")
    |(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?|½)
    |(?P<word>[A-Za-zΑ-Ωα-ω][{"".join(_HATS)}]?(?:[A-Za-zΑ-Ωα-ω]|[_-][A-Za-z]|'s)*)
    |(?P<low>[{_LOW}∞]+)
    |(?P<high>[{_HIGH}]+)
    |(?P<operator>.)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    after_space: bool


def equation_html(text: str) -> str:
    """Return the text of an equation, of one line or several, as HTML: a table whose cells are MathML.

    What begins at the same place in several lines is a column.

    >>> "<mover accent='true'><mi>m</mi><mo>^</mo></mover>" in equation_html("update = m̂")
    True
    """
    lines = [unicodedata.normalize("NFD", line) for line in text.splitlines()]
    cells = [list(_cells(line)) for line in lines]
    counts = Counter(place for line in cells for place, _ in line[1:])
    columns = sorted(place for place, count in counts.items() if count > 1)
    rows = "".join(f"<tr>{_row(line, columns)}</tr>" for line in cells)
    return f"<table class='equation'><tbody>{rows}</tbody></table>"


def _cells(line: str) -> Iterator[tuple[int, str]]:
    """Return the parts of a line that gaps divide, each with its place; an indent belongs to its part."""
    start = len(line) - len(line.lstrip())
    begin = 0
    for gap in _GAP.finditer(line, start):
        yield _width(line[:begin]), line[begin : gap.start()]
        begin = gap.end()
    yield _width(line[:begin]), line[begin:]


def _width(text: str) -> int:
    return sum(not unicodedata.combining(c) for c in text)


def _row(line: list[tuple[int, str]], columns: list[int]) -> str:
    """Return the cells of a row; what starts at no column stays with what is before it, after a gap."""
    held: list[tuple[int, list[str]]] = []
    for place, part in line:
        if held and place not in columns:
            held[-1][1].append(part)
        else:
            held.append((columns.index(place) + 1 if held else 0, [part]))
    ends = [column for column, _ in held[1:]] + [len(columns) + 1]
    found = []
    for (column, parts), end in zip(held, ends, strict=True):
        span = f" colspan='{end - column}'" if end - column > 1 else ""
        found.append(f"<td{span}>{' '.join(map(_part, parts))}</td>")
    return "".join(found)


def _part(part: str) -> str:
    indent = len(part) - len(part.lstrip())
    style = f" style='margin-left:{0.5 * indent:g}em'" if indent else ""
    return f"<math{style}>{math_of(part.strip())}</math>" if part.strip() else ""


def math_of(text: str) -> str:
    """Return an expression, with words or without, as MathML.

    >>> math_of("β₁ᵗ")
    '<msubsup><mi>β</mi><mn>1</mn><mi>t</mi></msubsup>'
    >>> math_of("√(r + ε)")
    '<msqrt><mi>r</mi><mo>+</mo><mi>ε</mi></msqrt>'
    """
    return _Reader(list(_tokens(unicodedata.normalize("NFD", text)))).row()


def _tokens(text: str) -> Iterator[_Token]:
    after_space = False
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind != "space":
            yield _Token(kind, match[0], after_space)
        after_space = kind == "space"


class _Reader:
    """Reads tokens one after the other."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.at = tokens, 0

    def row(self, closing: str = "") -> str:
        """Return what stands up to a closing bracket, which is read too, or to the end."""
        parts: list[str] = []
        before: _Token | None = None
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.text == closing:
                self.at += 1
                break
            if token.after_space and before and not (_sets_apart(token) or _sets_apart(before)):
                parts.append("<mspace width='.35em'></mspace>")
            parts.append(self.scripted(before))
            before = self.tokens[self.at - 1]
        return "".join(parts)

    def scripted(self, before: _Token | None = None) -> str:
        """Return the next thing with its scripts."""
        token = self.tokens[self.at]
        if token.kind == "word" and self._is_product(token.text):
            others, last = token.text[:-1], token.text[-1]
            return "".join(f"<mi>{each}</mi>" for each in others) + self._with_scripts(
                f"<mi>{last}</mi>"
            )
        name, _, under = token.text.partition("_")
        if token.kind == "word" and under and len(name) - _marks(name) == 1:
            self.at += 1
            return self._with_scripts(_letters(name), _letters(under))
        return self._with_scripts(self._atom(before))

    def _is_product(self, word: str) -> bool:
        if word not in _PRODUCTS:
            return False
        self.at += 1
        return True

    def _with_scripts(self, base: str, low: str = "") -> str:
        high = ""
        while self.at < len(self.tokens) and not self.tokens[self.at].after_space:
            token = self.tokens[self.at]
            if token.kind == "low" and not low:
                low = _script(token.text)
                self.at += 1
            elif token.kind == "high" and not high:
                high = _script(token.text)
                self.at += 1
            elif token.text == "^" and not high:
                self.at += 1
                high = self._argument()
            else:
                break
        if low and high:
            return f"<msubsup>{base}{low}{high}</msubsup>"
        if low or high:
            kind = "msub" if low else "msup"
            return f"<{kind}>{base}{low or high}</{kind}>"
        return base

    def _argument(self) -> str:
        """Return what a root or an exponent is of, without the brackets around it."""
        if self.at < len(self.tokens) and self.tokens[self.at].text == "(":
            self.at += 1
            return f"<mrow>{self.row(')')}</mrow>"
        return f"<mrow>{self.scripted()}</mrow>"

    def _atom(self, before: _Token | None) -> str:
        token = self.tokens[self.at]
        self.at += 1
        if token.text == "√":
            return (
                f"<msqrt>{self._argument().removeprefix('<mrow>').removesuffix('</mrow>')}</msqrt>"
            )
        if token.kind == "number":
            return f"<mn>{token.text}</mn>"
        if token.kind == "code":
            return f"<mtext class='code'>{escape(token.text.strip('`'), quote=False)}</mtext>"
        if token.kind == "word":
            following = self.tokens[self.at] if self.at < len(self.tokens) else None
            if (
                token.text == "a"
                and following
                and following.kind == "word"
                and len(following.text) > 2
            ):
                return "<mtext>a</mtext>"  # the article
            return _letters(token.text)
        if token.kind in ("low", "high"):
            return _script(token.text)
        return _operator(token, before)


def _sets_apart(token: _Token) -> bool:
    """Whether it is an operator, which has room around it by itself."""
    return token.kind == "operator" and token.text not in "‖|√Σ" + _OPENING + _CLOSING


def _operator(token: _Token, before: _Token | None) -> str:
    text = escape(token.text, quote=False)
    if token.text in "‖|" + _OPENING + _CLOSING:
        return f"<mo stretchy='false' lspace='0' rspace='0'>{text}</mo>"
    first = before is None or (before.kind == "operator" and before.text not in "‖|" + _CLOSING)
    if token.text in "+−·" and first:
        return f"<mo form='prefix' lspace='0' rspace='0'>{text}</mo>"
    if token.text in ",;:":
        return f"<mo lspace='0' rspace='.4em'>{text}</mo>"
    if token.text in "·/":
        return f"<mo lspace='.14em' rspace='.14em'>{text}</mo>"
    return f"<mo>{text}</mo>"


def _marks(word: str) -> int:
    return sum(c in _HATS for c in word)


def _letters(word: str) -> str:
    """Return a name: one letter with its hat, or a word."""
    hat = next((_HATS[c] for c in word if c in _HATS), "")
    plain = escape("".join(c for c in word if c not in _HATS), quote=False)
    name = f"<mi>{plain}</mi>" if len(plain) == 1 else f"<mtext>{plain}</mtext>"
    return f"<mover accent='true'>{name}<mo>{hat}</mo></mover>" if hat else name


def _script(text: str) -> str:
    parts = []
    for c in text.replace("′′", "″"):
        plain = unicodedata.normalize("NFKC", c) if c not in "′″∞" else c
        kind = "mn" if plain.isdigit() else "mi" if plain.isalpha() else "mo"
        upright = " mathvariant='normal'" if plain == "T" else ""
        parts.append(f"<{kind}{upright}>{plain}</{kind}>")
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"
