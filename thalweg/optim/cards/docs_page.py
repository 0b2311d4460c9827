"""All cards as one page of Markdown: docs/optimizers.md.

python -m thalweg.optim.cards.docs_page docs/optimizers.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from thalweg.files import write_text
from thalweg.numeric import plural
from thalweg.optim.cards.by_name import card
from thalweg.optim.cards.card import Card
from thalweg.optim.cards.cost import StepCost
from thalweg.optim.cards.known import OF_MODELS, OPTIMIZERS, RULES, SOLVERS

WIDTH = 110

_HEAD = """\
# Optimizers

Every optimizer of `thalweg.optim`, and after them every rule of `thalweg.rules`, of which they are made. A
card is the docstring; what a step costs is counted in its compiled program. `thalweg explain NAME` prints one
card. This page is written by

    make docs

A state is one number for each number of a parameter: 4 bytes in float32. A pass is one sweep over the data of
a step; a reduction that must be known first adds one. Solvers evaluate a closure as often as they need; their
cards say what that costs. In the equations g is the gradient, u the update of the rule before, p the
parameter, x the point where the step leads, t the number of the step from 1, λ the weight decay; after the
last rule p ← p − lr·update. Under "weight decay" the first meaning is the default, and the others are
arguments, such as `decay="l2"`.

"""

_PLACES = (
    ("Rules that act on the gradient or the update", "acts on"),
    ("Rules that act after the step", "acts after"),
)


def optimizers_page() -> str:
    """Return the page."""
    every = [*OPTIMIZERS.values(), *SOLVERS.values(), *OF_MODELS.values()]
    optimizers = sorted((card(made) for made in every), key=_by_name)
    rules = [card(made) for made in RULES.values()]
    parts = [_HEAD + _table(optimizers, linked=True)]
    parts += [line for each in optimizers for line in _section(each)]
    for heading, place in _PLACES:
        chosen = [each for each in rules if each.kind.removeprefix("rule, ").startswith(place)]
        parts += [f"\n## {heading}\n", _table(chosen, linked=False)]
        # a rule with a card of its own is shown above, as an optimizer
        shown = (each for each in chosen if "Paper" not in each.text.fields)
        parts += [line for each in shown for line in _short_section(each)]
    return "\n".join(parts) + "\n"


def _by_name(each: Card) -> str:
    return each.name.lower()


def _table(cards: Sequence[Card], *, linked: bool) -> str:
    head = ("name", "year", "states", "passes", "what it is")
    rows = [
        (
            f"[{each.name}](#{each.name.lower()})" if linked else f"`{each.name}`",
            str(each.year or ""),
            "–" if each.cost is None else str(len(each.cost.states) + len(each.cost.matrices)),
            "–" if each.cost is None else str(each.cost.passes),
            each.summary.replace("|", "\\|"),
        )
        for each in cards
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _section(each: Card) -> Iterator[str]:
    yield f"\n## {each.name}\n"
    yield from _body(each)
    yield ""
    fields = [
        ("Paper", each.paper),
        ("Defaults", each.defaults),
        ("Use", each.use),
        ("Deviations", each.deviations),
        ("Cost", "; ".join(_costs(each))),
        ("Weight decay", ", ".join(each.decays)),
        ("Dialects", ", ".join(each.dialects)),
        ("Evaluation", "inside `optimizer.evaluating()`" if each.evaluates_elsewhere else ""),
    ]
    for name, text in fields:
        if text:
            yield _paragraph(f"- **{name}**: {text}", "  ")
    yield f"\n```python\n{_paragraph(f'optim.{each.signature}', '    ')}\n```"


def _short_section(each: Card) -> Iterator[str]:
    yield f"\n### `{each.name}`\n"
    yield from _body(each)
    yield f"\n```python\n{_paragraph(each.signature, '    ')}\n```"


def _body(each: Card) -> Iterator[str]:
    yield _paragraph(each.title)
    for block in each.blocks:
        if block.label:
            yield f"\n`{block.label}`:"
        yield f"\n```\n{block.text}\n```" if block.is_equation else f"\n{_paragraph(block.text)}"


def _costs(each: Card) -> Iterator[str]:
    if each.cost is None:
        yield each.text.fields["Cost"]
        return
    yield in_words(each.cost)
    for arguments, cost in each.variants.items():
        yield f"with {arguments}, {states_in_words(cost)}"


def in_words(cost: StepCost) -> str:
    """Return states and passes in words.

    >>> in_words(StepCost(("m",), ("d",), 2, None, True))
    '1 state (m), and for each tensor 1 number (d); 2 passes, over all tensors together'
    """
    kept = f", and for each tensor {_several(cost.numbers, 'number')}" if cost.numbers else ""
    together = ", over all tensors together" if cost.couples else ""
    passes = plural(cost.passes, "pass")
    return f"{states_in_words(cost)}{kept}; {passes}{together}"


def states_in_words(cost: StepCost) -> str:
    """Return the states in words; of other shapes with the size that a matrix of m × n has.

    >>> states_in_words(StepCost((), (), 2, None, False, {"v": "m × 1"}))
    '1 state (v: m × 1)'
    """
    return _several([*cost.states, *(f"{n}: {size}" for n, size in cost.matrices.items())], "state")


def _several(names: Sequence[str], noun: str) -> str:
    if not names:
        return f"no {noun}"
    return f"{plural(len(names), noun)} ({', '.join(names)})"


def _paragraph(text: str, indent: str = "") -> str:
    lines: Iterable[str] = wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file that is named, or print it."""
    if arguments:
        write_text(arguments[0], optimizers_page())
    else:
        sys.stdout.write(optimizers_page())


if __name__ == "__main__":
    main(sys.argv[1:])
