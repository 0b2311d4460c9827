"""What a lab is: a phenomenon that is computed, measured, compared with theory, and drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from thalweg.errors import TaskError
from thalweg.labs.picture import Picture
from thalweg.labs.settings import chosen, described

Settings = TypeVar("Settings")
Data = TypeVar("Data")

SCHEMA = "thalweg.lab/1"


@dataclass(frozen=True)
class Theory:
    """The value that theory gives a finding, how far it may be from it, and why."""

    value: float
    within: float
    because: str


@dataclass(frozen=True)
class Finding:
    """A number that a lab found, beside the one that theory gives."""

    name: str
    found: float
    theory: float
    within: float
    because: str

    @property
    def holds(self) -> bool:
        """Whether it lies within the bound; NaN does not."""
        return abs(self.found - self.theory) <= self.within

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return {**dataclasses.asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class LabResult:
    """What a lab found with its settings; `str()` is its text for a terminal."""

    lab: Lab[Any, Any]
    settings: Mapping[str, Any]
    findings: tuple[Finding, ...]
    picture: Picture = field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether every finding is what theory says."""
        return all(finding.holds for finding in self.findings)

    def figure(self) -> Any:
        """Return the picture as a Plotly figure.

        Raises MissingExtraError if Plotly is not installed.
        """
        return self.picture.plotly()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for a JSON document; points that are not finite are None."""
        return {
            "schema": SCHEMA,
            "lab": self.lab.name,
            "title": self.lab.title,
            "settings": dict(self.settings),
            "holds": self.holds,
            "findings": [finding.to_dict() for finding in self.findings],
            "curves": [
                {"name": curve.name, "x": _plain(curve.x), "y": _plain(curve.y)}
                for curve in self.picture.curves
            ],
        }

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = [self.lab.title, "", *_paragraphs(self.lab), ""]
        lines.append(f"{'finding':{width}}  {'found':>11}  {'theory':>11}  {'within':>8}")
        lines += [
            f"{each.name:{width}}  {each.found:11.5g}  {each.theory:11.5g}  {each.within:8.2g}  "
            f"{'holds' if each.holds else 'MISSED: ' + each.because}"
            for each in self.findings
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Lab(Generic[Settings, Data]):
    """One phenomenon, in four functions: compute, detect, prove, draw.

    Args:
        name: as it is called.
        title: what is to be seen, in a line.
        what: the first paragraph: what to see.
        why: the second: why it is so.
        source: where to read on.
        settings: a dataclass of what can be chosen, each field made by `settings.setting`.
        compute: the data from the settings; the same settings give the same data, in seconds.
        detect: named numbers, found in the data alone.
        prove: for each of these what theory says, from the data's problem, not from its result.
        draw: the picture.
    """

    name: str
    title: str
    what: str
    why: str
    source: str
    settings: type[Settings]
    compute: Callable[[Settings], Data]
    detect: Callable[[Data], Mapping[str, float]]
    prove: Callable[[Data], Mapping[str, Theory]]
    draw: Callable[[Data], Picture]

    def about(self) -> dict[str, Any]:
        """Return its name, title, text and settings as plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "what": self.what,
            "why": self.why,
            "source": self.source,
            "settings": described(self.settings),
        }

    def run(self, settings: Mapping[str, Any] | None = None) -> LabResult:
        """Run with other settings than the usual ones, as values or as texts.

        Raises TaskError for a setting that is not there or a value that it cannot have.
        """
        with_values = chosen(self.settings, settings or {}, self.name)
        data = self.compute(with_values)
        found, theory = self.detect(data), self.prove(data)
        if found.keys() != theory.keys():
            apart = sorted(found.keys() ^ theory.keys())
            raise TaskError(f"The lab {self.name!r} finds and proves different things: {apart}.")
        return LabResult(
            lab=self,
            settings=dataclasses.asdict(with_values),  # type: ignore[call-overload]
            findings=tuple(
                Finding(name, float(found[name]), each.value, each.within, each.because)
                for name, each in theory.items()
            ),
            picture=self.draw(data),
        )


def _paragraphs(lab: Lab[Any, Any]) -> list[str]:
    import textwrap

    parts = (lab.what, lab.why, f"Read on: {lab.source}.")
    return "\n\n".join(textwrap.fill(part, 100) for part in parts).split("\n")


def _plain(values: tuple[float, ...]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
