"""Cards: what an optimizer or a rule is, and what it costs.

What it is stands in its docstring (see `thalweg.optim.docstring`); what it costs is counted in the program of
its chain, and how it is called is read from its signature, so neither can be out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.optim.cards.cost import StepCost
from thalweg.optim.docstring import DocPart, Text


@dataclass(frozen=True)
class Card:
    """What there is to know of an optimizer, or of a rule."""

    name: str
    kind: str
    """What it is: an optimizer, or a rule and where in a chain it acts."""
    text: Text
    blocks: tuple[DocPart, ...]
    """Equations and remarks in order; those of several rules, one rule after another."""
    signature: str
    example: str
    links: tuple[str, ...] = ()
    """The rules it is made of."""
    cost: StepCost | None = None
    variants: Mapping[str, StepCost] = field(default_factory=dict)
    """The cost with arguments that change the states."""
    dialects: tuple[str, ...] = ()
    decays: tuple[str, ...] = ()
    """The meanings of weight decay that it can be given; the first is the default."""
    evaluates_elsewhere: bool = False
    """Whether the model is to be evaluated elsewhere than where its parameters are."""

    @property
    def title(self) -> str:
        """What it is, in one line, with its source."""
        return self.text.title

    @property
    def equation(self) -> str:
        """Its equations."""
        if not any(block.is_equation for block in self.blocks):
            return self.text.equation
        return "\n\n".join(
            f"{block.label}:\n{block.text}" if block.label else block.text
            for block in self.blocks
            if block.is_equation
        )

    @property
    def remarks(self) -> str:
        """What is said in addition to the equations."""
        return "\n\n".join(block.text for block in self.blocks if not block.is_equation)

    @property
    def summary(self) -> str:
        """What it is, in a few words, without its own name.

        >>> from thalweg.optim.cards.by_name import card
        >>> card("Lion").summary
        'The sign of a momentum that weighs the present gradient more'
        """
        text = self.text.summary
        before, colon, after = text.partition(": ")
        found = after if colon and _plain(before) == _plain(self.name) else text
        if "←" in found or found.startswith("update ="):
            found = text
        made = f" ({' → '.join(self.links)})" if self.is_composite else ""
        return found[:1].upper() + found[1:] + made

    @property
    def is_composite(self) -> bool:
        """Whether it is made of several rules, or of one with hyperparameters of its own."""
        return len(self.links) > 1 or any("(" in link for link in self.links)

    @property
    def paper(self) -> str:
        """Where it comes from."""
        return self.text.source

    @property
    def year(self) -> int | None:
        """The year of its paper."""
        return self.text.year

    @property
    def defaults(self) -> str:
        """Where its defaults come from."""
        return self.text.fields.get("Defaults", "")

    @property
    def use(self) -> str:
        """When to use it, and when not."""
        return self.text.fields.get("Use", "")

    @property
    def deviations(self) -> str:
        """Where it differs from its paper and from other libraries."""
        return self.text.fields.get("Deviations", "")

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        own = ("name", "kind", "title", "summary", "equation", "remarks", "paper", "year")
        fields = ("defaults", "use", "deviations", "signature", "example", "evaluates_elsewhere")
        return {
            **{name: getattr(self, name) for name in (*own, *fields)},
            "rules": list(self.links),
            "dialects": list(self.dialects),
            "decays": list(self.decays),
            "cost": None if self.cost is None else self.cost.as_dict(),
            "variants": {name: cost.as_dict() for name, cost in self.variants.items()},
        }


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
