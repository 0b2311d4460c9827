"""Equations of cards as MathML: nothing is lost, and scripts, hats and roots are where they belong."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest

from thalweg.movies.equation import equation_html, math_of
from thalweg.optim.cards import known
from thalweg.optim.cards.by_name import card

KNOWN = [
    *(f"optim.{name}" for name in (*known.OPTIMIZERS, *known.SOLVERS, *known.OF_MODELS)),
    *(f"rules.{name}" for name in known.RULES),
]
DROPPED = " \n()^_`"
"""What markup stands for, or what it leaves out: spaces, brackets of roots and exponents."""
HATS = {"^": "\u0302", "~": "\u0303"}


def plain(text: str) -> str:
    found = unicodedata.normalize("NFKD", text).replace("\u2033", "\u2032\u2032")
    return "".join(c for c in found if c not in DROPPED)


def read_back(element: ElementTree.Element) -> str:
    """The text of MathML in the order of what was written."""
    if element.tag == "mover":
        base, mark = element
        return read_back(base) + HATS[str(mark.text)]
    inside = (element.text or "") + "".join(map(read_back, element))
    return f"√{inside}" if element.tag == "msqrt" else inside


def test_every_card_is_set_and_nothing_is_lost() -> None:
    equations = {b.text for name in KNOWN for b in card(name).blocks if b.is_equation}
    assert len(equations) > 80
    for text in equations:
        table = ElementTree.fromstring(equation_html(text))
        assert plain(read_back(table)) == plain(text)
        for leaf in table.iter():
            if leaf.text and leaf.get("class") != "code":
                assert not set(leaf.text) & set("₀₁₂₃ₜₖᵢⱼ₊²ᵀᵗ√\u0302"), text
                assert leaf.text == "^" or "^" not in leaf.text, text
        for row in table.iter("tr"):
            assert sum(int(cell.get("colspan", 1)) for cell in row) == sum(
                int(cell.get("colspan", 1)) for cell in table[0][0]
            )


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("Q_Lᵀ", "msubsup mi mi mi"),
        ("Πᵢ₌₁ᵗ⁺¹ μᵢ", "msubsup mi mrow mi mo mn mrow mi mo mn mspace msub mi mi"),
        ("√V̂ + ε", "msqrt mover mi mo mo mi"),
        ("(L + ε)^(−2e)", "mo mi mo mi msup mo mrow mo mn mi"),
        ("final_lr·d_coef", "mtext mo msub mi mtext"),
        ("0.96^(t·decay)", "msup mn mrow mi mo mtext"),
        ("yᵀHy", "msup mi mi mi mi"),
    ],
)
def test_the_markup_of(text: str, tags: str) -> None:
    found = ElementTree.fromstring(f"<math>{math_of(text)}</math>")
    assert [each.tag for each in found.iter()][1:] == tags.split()


def test_what_stands_below_one_another_is_a_column() -> None:
    table = ElementTree.fromstring(
        equation_html("m ← g      m̂ = m\nv ← g²     v̂ = v\nupdate = m  or v")
    )
    assert [[cell.get("colspan") for cell in row] for row in table.iter("tr")] == [
        [None, None],
        [None, None],
        ["2"],
    ]
