from __future__ import annotations

import pytest

from thalweg.optim.docstring import DocPart, read_docstring

CARD = """Name (Author and Other 2001, algorithm 1): what it does.

        m ← β·m + g
        update = m

    A remark that is
    long.

        d = 1

        e = 2

    Paper: Author and Other 2001,
    "A Title: With a Colon", arXiv:0101.00001.
    Defaults: of the paper.
    Use: when: it helps;
    not when it does not.
    Deviations: none.


    Args:
        params: what to step.

            an = indented example

    All other arguments are as usual, with x ← y.

    >>> 1 + 1
    2
    """


def test_a_card_is_read_in_order() -> None:
    text = read_docstring(CARD)
    assert text.title == "Name (Author and Other 2001, algorithm 1): what it does."
    assert text.summary == "Name: what it does"
    assert text.blocks == (
        DocPart("m ← β·m + g\nupdate = m", True),
        DocPart("A remark that is long.", False),
        DocPart("d = 1\n\ne = 2", True),
    )
    assert text.equation == "m ← β·m + g\nupdate = m\n\nd = 1\n\ne = 2"
    assert text.fields == {
        "Paper": 'Author and Other 2001, "A Title: With a Colon", arXiv:0101.00001.',
        "Defaults": "of the paper.",
        "Use": "when: it helps; not when it does not.",
        "Deviations": "none.",
    }
    assert text.year == 2001


def test_equations_alone_have_lost_their_indentation() -> None:
    text = read_docstring(
        """Adam (A 2015).

        m ← β₁·m
        update = m

        The paper has no lr: it is = 1.
        """
    )
    assert text.equation == "m ← β₁·m\nupdate = m"
    assert text.blocks[1:] == (DocPart("The paper has no lr: it is = 1.", False),)


@pytest.mark.parametrize(
    ("title", "equation", "source", "year"),
    [
        ("Decay (L and H 2019, algorithm 2): x ← x − λ·p.", "x ← x − λ·p", "L and H 2019, algorithm 2", 2019),
        ("Decay (Z et al. 2022): x ← x / (1 + λ).", "x ← x / (1 + λ)", "Z et al. 2022", 2022),
        ("Turn round: update = −g. At the head of a chain.", "update = −g", "", None),
        ("Clip every element to [−c, c].", "", "", None),
        ("A thing (as in a library): no year.", "", "", None),
    ],
)  # fmt: skip
def test_a_title_may_hold_equation_and_source(
    title: str, equation: str, source: str, year: int | None
) -> None:
    text = read_docstring(title)
    assert (text.equation, text.source, text.year) == (equation, source, year)


def test_a_source_in_a_remark_or_a_field_counts() -> None:
    assert read_docstring("A.\n\nAs in B (C 1999).").year == 1999
    assert read_docstring("A (B 2000).\n\nSource: C 1950, page 3.").year == 1950


@pytest.mark.parametrize("docstring", ["", "   ", "\n\n"])
def test_nothing_gives_nothing(docstring: str) -> None:
    text = read_docstring(docstring)
    assert (text.title, text.summary, text.equation, text.source) == ("", "", "", "")
    assert (text.blocks, text.fields, text.year) == ((), {}, None)
