"""The results of a lab along its slider, computed ahead for its page."""

from __future__ import annotations

from collections.abc import Callable

from thalweg.errors import TaskError
from thalweg.labs.lab import LabResult, SliderSweep

Show = Callable[[int, int, str], None]
"""Told how many results are there, of how many, and what comes next."""


def sweep(result: LabResult, show: Show | None = None) -> SliderSweep:
    """Return the results at all stops of the slider, with the other settings as in a result, which is one.

    Where the slider cannot stand for the settings of the result, that is the only one. The doctor watches at
    each stop.

    >>> from thalweg import labs
    >>> found = labs.sweep(labs.run("many-layers"))
    >>> [each.slider for each in found.results], found.result.slider
    ([2, 5, 10, 20, 40, 60], 20)
    """
    lab, at = result.lab, result.slider
    if at is None:
        return SliderSweep((result,), 0)
    moved = lab.slider.settings_at(at)
    others = {name: value for name, value in result.settings.items() if name not in moved}
    found, left_out = [], []
    stops = lab.slider.stops_with(at)
    for place, stop in enumerate(stops):
        if show is not None:
            show(place, len(stops), f"{lab.slider.name} = {stop:g}")
        try:
            each = result if stop == at else lab.run(others, slider=stop)
        except TaskError:  # what its other settings do not allow
            left_out.append(stop)
            continue
        each.examinations  # noqa: B018 – computed now, while progress is shown
        found.append(each)
    first = next(place for place, each in enumerate(found) if each is result)
    return SliderSweep(tuple(found), first, tuple(left_out))
