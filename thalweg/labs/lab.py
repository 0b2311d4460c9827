"""What a lab is: a phenomenon that is computed, measured, compared with theory, and drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from thalweg.errors import TaskError
from thalweg.labs.picture import Picture
from thalweg.labs.settings import chosen, described
from thalweg.labs.slider import Slider
from thalweg.labs.text_picture import text_picture
from thalweg.labs.watching import Examination, Patient, examine
from thalweg.report.parts.drawn import Chart

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
    """A number that a lab found, and the one that theory gives."""

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
    """What a lab found with its settings; `str()` is its text for a terminal.

    `slider` is where the slider stands; None where other settings than the slider's values were given.
    """

    lab: Lab[Any, Any]
    settings: Mapping[str, Any]
    slider: float | None
    findings: tuple[Finding, ...]
    picture: Picture = field(repr=False)
    chosen: Any = field(repr=False)
    """The settings as the lab's own dataclass."""

    @property
    def holds(self) -> bool:
        """Whether every finding is what theory says."""
        return all(finding.holds for finding in self.findings)

    @cached_property
    def examinations(self) -> tuple[Examination, ...]:
        """What the doctor says of the trainings of the lab with these settings, each watched once."""
        patients = self.lab.patients
        return () if isinstance(patients, str) else tuple(map(examine, patients(self.chosen)))

    def doctor_lines(self) -> list[str]:
        """Return what the doctor says, a line each, or why there is nothing for it to watch."""
        if isinstance(self.lab.patients, str):
            return [f"There is nothing for the doctor to watch: {self.lab.patients}"]
        return [
            line
            for each in self.examinations
            for line in (each.summary(), *(f"  {verdict}" for verdict in each.lines()))
        ]

    def slider_line(self) -> str:
        """Return where the slider stands, and how far it goes."""
        slider = self.lab.slider
        at = "not at a value of its own" if self.slider is None else slider.shown(self.slider)
        return f"Slider {slider.name} = {at}: {slider.about}, from {slider.range}"

    def figure(self) -> Chart:
        """Return the picture as a chart, which a notebook shows."""
        return self.picture.chart(self.lab.title)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for a JSON document; points that are not finite are None."""
        return {
            "schema": SCHEMA,
            "lab": self.lab.name,
            "title": self.lab.title,
            "settings": dict(self.settings),
            "slider": {**self.lab.slider.to_dict(), "value": self.slider},
            "holds": self.holds,
            "findings": [finding.to_dict() for finding in self.findings],
            "curves": [
                {"name": curve.name, "x": _plain(curve.x), "y": _plain(curve.y)}
                for curve in self.picture.curves
            ],
            "doctor": self._doctor(),
        }

    def _doctor(self) -> dict[str, Any]:
        nothing = self.lab.patients if isinstance(self.lab.patients, str) else None
        return {"runs": [each.to_dict() for each in self.examinations], "nothing": nothing}

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = [self.lab.title, "", *_paragraphs(self.lab), "", self.slider_line(), ""]
        lines.append(f"{'finding':{width}}  {'found':>11}  {'theory':>11}  {'within':>8}")
        lines += [
            f"{each.name:{width}}  {each.found:11.5g}  {each.theory:11.5g}  {each.within:8.2g}  "
            f"{'holds' if each.holds else 'MISSED: ' + each.because}"
            for each in self.findings
        ]
        return "\n".join([*lines, "", text_picture(self.picture), "", *self.doctor_lines()])


@dataclass(frozen=True)
class SliderSweep:
    """Results of a lab in the order of the slider's values.

    `at` is the place of the one that is shown first, `left_out` the values that a lab cannot have with its
    other settings.
    """

    results: tuple[LabResult, ...]
    at: int
    left_out: tuple[float, ...] = ()

    @property
    def result(self) -> LabResult:
        """The result that is shown first."""
        return self.results[self.at]


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
        slider: the one number that is there to be moved.
        patients: the trainings for the doctor to watch, before they have begun; or why there are none.
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
    slider: Slider
    patients: Callable[[Settings], Sequence[Patient]] | str

    @property
    def has_seed(self) -> bool:
        """Whether it draws anything at random."""
        return any(each.name == "seed" for each in dataclasses.fields(self.settings))  # type: ignore[arg-type]

    def about(self) -> dict[str, Any]:
        """Return its name, title, text and settings as plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "what": self.what,
            "why": self.why,
            "source": self.source,
            "settings": described(self.settings),
            "slider": self.slider.to_dict(),
        }

    def run(self, settings: Mapping[str, Any] | None = None, *, slider: Any = None) -> LabResult:
        """Run with other settings than the usual ones, as values or as texts.

        Args:
            settings: what is not as usual.
            slider: where the slider stands; its settings must not be given, too.

        Raises:
            TaskError: for a setting that is not there or a value that it cannot have.
        """
        given, at = self._given(settings or {}, slider)
        with_values = chosen(self.settings, given, self.name)
        data = self.compute(with_values)
        found, theory = self.detect(data), self.prove(data)
        if found.keys() != theory.keys():
            apart = sorted(found.keys() ^ theory.keys())
            raise TaskError(f"The lab {self.name!r} finds and proves different things: {apart}.")
        return LabResult(
            lab=self,
            settings=dataclasses.asdict(with_values),  # type: ignore[call-overload]
            slider=self._position(with_values) if at is None else at,
            findings=tuple(
                Finding(name, float(found[name]), each.value, each.within, each.because)
                for name, each in theory.items()
            ),
            picture=self.draw(data),
            chosen=with_values,
        )

    def _given(
        self, settings: Mapping[str, Any], slider: Any
    ) -> tuple[Mapping[str, Any], float | None]:
        """Return the settings with those of the slider, and where it stands if that is given."""
        if slider is None:
            return settings, None
        at = self.slider.read(slider, self.name)
        moved = self.slider.settings_at(at)
        both = moved.keys() & {name.replace("-", "_") for name in settings}
        if both:
            raise TaskError(
                f"The slider of the lab {self.name!r} sets {', '.join(sorted(both))}, which is given as a "
                "setting, too; give one of them."
            )
        return {**settings, **moved}, at

    def _position(self, chosen: Settings) -> float | None:
        """Return where the slider stands with these settings; None for what it cannot stand for."""
        slider = self.slider
        if slider.settings is None:
            value: float = getattr(chosen, slider.name)
            return value if slider.stops[0] <= value <= slider.stops[-1] else None
        moved = slider.settings_at(slider.default)
        is_usual = all(getattr(chosen, name) == value for name, value in moved.items())
        return slider.default if is_usual else None


def _paragraphs(lab: Lab[Any, Any]) -> list[str]:
    import textwrap

    parts = (lab.what, lab.why, f"Read on: {lab.source}.")
    return "\n\n".join(textwrap.fill(part, 100) for part in parts).split("\n")


def _plain(values: tuple[float, ...]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
