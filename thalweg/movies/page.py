"""The page of a surface: one file that needs nothing else, in which the optimizers run."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.engine.javascript.operations import library
from thalweg.errors import TaskError, check_each_once
from thalweg.files import write_text
from thalweg.movies.contours import contours, levels_of
from thalweg.movies.surface import Surface
from thalweg.movies.walkers import Course, Walker, find_walker, losses
from thalweg.report.parts.offline import asset, framed
from thalweg.report.parts.palette import Colour, colours, palette_style
from thalweg.report.parts.target import free_page

DEFAULT_WALKERS = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam")
"""Who walks where nobody is named."""

own = partial(asset, package="thalweg.movies")

GRAIN = 4000
"""Contour lines are kept on a grid of so many steps over the view."""


@dataclass(frozen=True)
class SurfaceMovie:
    """Walkers over one course."""

    course: Course
    walkers: tuple[Walker, ...]

    @property
    def surface(self) -> Surface:
        """The surface."""
        return self.course.surface

    def colours(self) -> list[Colour]:
        """Return the colour of each walker."""
        found = colours([each.name for each in self.walkers])
        return [found[each.name] for each in self.walkers]

    def lowest(self) -> float:
        """Return the lowest value known: of the view's grid and of all paths."""
        values = [self.surface.grid()[2], *(losses(self.surface, w.path) for w in self.walkers)]
        finite = [v[np.isfinite(v)] for v in values]
        return min(float(v.min()) for v in finite if v.size)

    def to_dict(self) -> dict[str, Any]:
        """Return the movie as plain data: the course, and each walker's rate, path and losses."""
        return {
            "schema": "thalweg.movie/1",
            "surface": self.surface.name,
            "start": list(self.surface.start),
            "view": list(self.surface.view),
            "steps": self.course.steps,
            "noise": self.course.noise,
            "seed": self.course.seed,
            "walkers": [self._walker(each) for each in self.walkers],
        }

    def _walker(self, walker: Walker) -> dict[str, Any]:
        heights = losses(self.surface, walker.path)
        return {
            "name": walker.name,
            "kind": walker.kind,
            "lr": walker.lr,
            "chosen": walker.chosen,
            "path": [[_plain(x), _plain(y)] for x, y in walker.path.tolist()],
            "loss": [_plain(f) for f in heights.tolist()],
            "average": None
            if walker.average is None
            else [[_plain(x), _plain(y)] for x, y in walker.average.tolist()],
        }


def surface_movie(
    course: Course, names: Sequence[str] = DEFAULT_WALKERS, lr: float | None = None
) -> SurfaceMovie:
    """Return the movie of optimizers and solvers by name; without `lr`, each has the best of a grid.

    Raises:
        TaskError: for unknown and repeated names, and where f or its gradient is not finite at the start.

    >>> from thalweg.movies.surfaces import find_surface
    >>> movie = surface_movie(Course(find_surface("bowl"), steps=2), ["gd"], lr=0.05)
    >>> movie.walkers[0].path.round(4).tolist()
    [[-3.0, 3.0], [-2.7, 2.4], [-2.43, 1.92]]
    """
    f = course.surface.at(*course.surface.start)
    if not all(map(math.isfinite, f)):
        raise TaskError(
            f"{course.surface.name} has no finite value and gradient at its start {course.surface.start}: "
            f"f = {f[0]}, ∇f = {f[1:]}. Choose another one with --start."
        )
    check_each_once("optimizer", [name.strip().lower() for name in names])
    return SurfaceMovie(course, tuple(find_walker(name, course, lr) for name in names))


def write_movie(
    movie: SurfaceMovie, path: str | os.PathLike[str], *, over: bool = False, card: str = ""
) -> Path:
    """Write the page of a movie, whole or not at all.

    Raises TaskError as `free_page` does.
    """
    page = free_page(path, "The page of a movie", "--out", over=over)
    write_text(page, movie_page(movie, card))
    return page


def movie_page(movie: SurfaceMovie, card: str = "") -> str:
    """Return the page as the text of one HTML file; `card` is HTML that stands above the movie."""
    surface = movie.surface
    left, right, bottom, top = surface.view
    shape = min(max((right - left) / (top - bottom), 0.75), 1.6)
    palette = movie.colours()
    title = f"{surface.name}: {', '.join(each.name for each in movie.walkers)}"
    printed = ", ".join(each.printed.text if each.printed else "null" for each in movie.walkers)
    program = f"""{library()}
const printed = {{
surface: {surface.javascript()},
rules: [{printed}],
}};"""
    body = f"""{card or _header(movie)}
<section class="card" aria-label="Movie">
{_stages(movie)}
<noscript><p>The movie needs JavaScript.</p></noscript>
</section>"""
    own_style = f"{own('movie.css')}{own('surface.css')}"
    return framed(
        body,
        title=escape(title),
        style=f"{asset('page.css')}{own_style}\n{palette_style(palette)}:root{{--shape:{shape:.4g}}}",
        head='<meta name="color-scheme" content="light dark">\n',
        data={"film": film(movie)},
        scripts=[
            *(program, asset("save.js")),
            *map(own, ("player.js", "gif.js", "walk.js", "surface.js")),
        ],
        layout="beside" if card else "",
    )


def film(movie: SurfaceMovie) -> dict[str, Any]:
    """Return what the page's script reads: the course, contour lines, and the walkers."""
    course, surface = movie.course, movie.surface
    lowest = movie.lowest()
    levels = levels_of(surface.grid()[2], lowest)
    left, right, bottom, top = surface.view
    low, span = np.array([left, bottom]), np.array([right - left, top - bottom])
    return {
        "name": surface.name,
        "view": list(surface.view),
        "start": list(surface.start),
        "steps": course.steps,
        "noise": course.noise,
        "seed": course.seed,
        "lowest": lowest,
        "levels": levels,
        "grain": GRAIN,
        "lines": [
            [_grained((line - low) / span) for line in level] for level in contours(surface, levels)
        ],
        "walkers": [
            {
                "name": each.name,
                "kind": each.kind,
                "lr": each.lr,
                "chosen": each.chosen,
                "noisy": each.noisy,
                "hyperparameters": {name: _spelled(x) for name, x in _numbers(each).items()},
                "path": [_spelled(x) for x in each.path.reshape(-1).tolist()]
                if each.kind == "recorded"
                else None,
            }
            for each in movie.walkers
        ],
    }


def _grained(line: np.ndarray) -> list[int]:
    """Return points as whole steps from one to the next, which take few characters."""
    whole = _simplified(np.rint(line * GRAIN)).astype(int)
    steps = np.diff(whole, axis=0, prepend=np.zeros((1, 2), dtype=int))
    found: list[int] = steps[(np.arange(len(steps)) == 0) | steps.any(axis=1)].reshape(-1).tolist()
    return found


def _simplified(points: np.ndarray) -> np.ndarray:
    """Leave out points that lie between their neighbours, to a third of a pixel of a wide screen.

    At most every second one is left out in a round, so that a curve does not become its chord.
    """
    for _ in range(3):
        before, at, after = points[:-2:2], points[1:-1:2], points[2::2]
        along, away = after - before, at - before
        area = np.abs(along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0])
        kept = np.ones(len(points), dtype=bool)
        kept[1 : 1 + 2 * len(at) : 2] = area > 2 * np.hypot(along[:, 0], along[:, 1])
        points = points[kept]
    return points


def _header(movie: SurfaceMovie) -> str:
    course, surface = movie.course, movie.surface
    about = f"<p class='verdict'>{escape(surface.about)}</p>" if surface.about else ""
    return f"""<header>
<p class="kicker">thalweg movie · {escape(surface.name)}</p>
<h1>{escape(surface.name[:1].upper() + surface.name[1:])}</h1>
{about}
<p class="hint">{len(movie.walkers)} paths of {course.steps} steps. Drag the start, or change a rate: the \
optimizers run again here, by the same rules as in Python.</p>
</header>"""


def _stages(movie: SurfaceMovie) -> str:
    surface = movie.surface
    return f"""<div class="views2">
<div class="stage" id="map" role="img" aria-label="Contour lines of {escape(surface.name)} and the paths">\
<button type="button" id="start" data-keys aria-label="The start; drag it, or move it with the arrow keys" \
title="The start: drag it"></button></div>
<div class="stage" id="loss" role="img" aria-label="f minus its lowest value, against the step"></div>
</div>
<div id="player"></div>
<table class="walkers"><thead><tr><th>Optimizer</th><th>Learning rate</th><th>f</th></tr></thead>
<tbody>{"".join(_row(i, each) for i, each in enumerate(movie.walkers))}</tbody></table>
<div class="turns">
<label>Noise <input type="range" id="noise" min="0" max="50" step="1" \
title="Standard deviation on each coordinate of the gradient"> <output id="noise-is"></output></label>
<label>Seed <input type="number" id="seed" min="0" step="1"></label>
<span>Start <output id="at"></output></span>
<button type="button" id="again" title="Start, rates and noise as they were">Reset</button>
</div>
<div class="save"><button type="button" data-save="png">PNG</button>\
<button type="button" data-save="svg">SVG</button>\
<button type="button" data-save="gif" title="An animated picture of the map">GIF</button>\
<button type="button" data-save="loss-svg" title="The losses">SVG of losses</button>\
<button type="button" data-save="csv" title="All paths">CSV</button></div>
<p class="hint">Keys: space plays, ← and → step, with shift ten steps, Home and End. {_said(movie)}</p>"""


def _said(movie: SurfaceMovie) -> str:
    kinds = {each.kind for each in movie.walkers}
    words = [
        "Noise is added to the gradients of all but gd; it is the same for every optimizer at a step."
    ]
    if any(each.chosen for each in movie.walkers):
        words.append(
            "A rate that was not given is the best of a grid, of those whose paths stay in view."
        )
    if "recorded" in kinds:
        words.append("Dashed paths are recorded: they stay as they are when the start is moved.")
    if any(each.average is not None for each in movie.walkers):
        words.append(
            "Dotted paths with a hollow end are averages, at which the model is to be evaluated; f in the "
            "table is that of the path itself."
        )
    return " ".join(words)


def _row(place: int, walker: Walker) -> str:
    name = escape(walker.name)
    if walker.kind == "rule" and walker.lr is not None and walker.lr > 0:
        log = math.log10(walker.lr)
        turn = (
            f'<div class="turn"><input type="range" data-rate min="{min(-5.0, log):.4g}" '
            f'max="{max(1.5, log):.4g}" step="any" aria-label="Learning rate of {name}">'
            '<output class="rate"></output><span class="how"></span></div>'
        )
    else:
        turn = f'<span class="said">{escape(walker.said or "recorded")}</span>'
    return (
        f'<tr data-walker="{place}" style="--c:var(--e{place})"><td><label><input type="checkbox" data-seen '
        f'checked aria-label="Show {name}"><span class="name">{name}</span></label></td><td>{turn}</td>'
        '<td><output class="now"></output></td></tr>'
    )


def _numbers(walker: Walker) -> dict[str, float]:
    return walker.printed.hyperparameters if walker.printed else {}


def _plain(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _spelled(x: float) -> float | str:
    """Return a number as the page's script reads it: JSON has no infinity, JavaScript reads it from text.

    >>> _spelled(0.5), _spelled(math.inf), _spelled(-math.inf), _spelled(math.nan)
    (0.5, 'Infinity', '-Infinity', 'NaN')
    """
    if math.isfinite(x):
        return x
    return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
