"""The pictures of a movie, drawn by Pillow: contour lines, paths, and who is who."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from thalweg.errors import MissingExtraError
from thalweg.movies.contours import contours, levels_of
from thalweg.movies.page import SurfaceMovie

_FINE = 2  # drawn so many times larger, since Pillow draws lines with hard edges
_EDGE = 12
_PAPER, _INK = (255, 255, 255), (25, 27, 30)


def pictures(movie: SurfaceMovie, width: int, moments: Iterable[float]) -> Iterator[Any]:
    """Draw a movie at moments counted in steps; between two steps a path goes straight on.

    Both sides of a picture are even numbers, as films need them.
    """
    pillow = needs_pillow()
    place = _Place(movie, width + width % 2)
    ground = _ground(pillow, movie, place)
    trails = []
    for walker, colour in zip(movie.walkers, movie.colours(), strict=True):
        trails.append((place.of(walker.path), rgb(colour.light), False))
        if walker.average is not None:
            trails.append((place.of(walker.average), rgb(colour.light), True))
    for moment in moments:
        picture = ground.copy()
        draw = pillow.ImageDraw.Draw(picture)
        walked = [(_until(path, moment), ink, is_average) for path, ink, is_average in trails]
        for path, ink, is_average in walked:
            _trail(draw, path, ink, thin=is_average)
        for path, ink, is_average in walked:  # no path hides where another walker is
            _head(draw, path, ink, hollow=is_average)
        _around(draw, place)
        small = picture.reduce(_FINE)
        _legend(pillow, small, movie, place, f"step {int(moment)}")
        yield small


def _until(path: np.ndarray, moment: float) -> np.ndarray:
    """Return the points of a path up to a moment, with the one there.

    >>> _until(np.array([[0.0, 0.0], [2.0, 4.0], [3.0, 3.0]]), 0.5).tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """
    step = int(moment)
    known = path[: step + 1]
    if moment == step or step + 1 >= len(path):
        return known
    return np.vstack([known, path[step] + (moment - step) * (path[step + 1] - path[step])])


class _Place:
    """Where the surface is in the picture, in fine pixels."""

    def __init__(self, movie: SurfaceMovie, width: int) -> None:
        left, right, bottom, top = movie.surface.view
        shape = min(max((right - left) / (top - bottom), 0.75), 1.6)
        side = width - 2 * _EDGE
        tall = round(side / shape)
        lines = 1 + sum(len(each.name) + 4 for each in movie.walkers) * 7 // side
        self.legend = tall + 2 * _EDGE
        self.height = self.legend + 18 * (lines + 1)
        self.height += self.height % 2
        self.box = tuple(_FINE * x for x in (_EDGE, _EDGE, _EDGE + side, _EDGE + tall))
        self._low, self._span = np.array([left, top]), np.array([right - left, bottom - top])

    def of(self, points: np.ndarray) -> np.ndarray:
        """Return points of the surface as fine pixels (points, 2)."""
        x0, y0, x1, y1 = self.box
        share = (points - self._low) / self._span
        pixels: np.ndarray = np.array([x0, y0]) + share * np.array([x1 - x0, y1 - y0])
        return pixels


def _ground(pillow: ModuleType, movie: SurfaceMovie, place: _Place) -> Any:
    size = (_FINE * (place.box[0] // _FINE + place.box[2] // _FINE), _FINE * place.height)
    picture = pillow.Image.new("RGB", size, _PAPER)
    draw = pillow.ImageDraw.Draw(picture)
    levels = levels_of(movie.surface.grid()[2], movie.lowest())
    for k, level in enumerate(contours(movie.surface, levels)):
        grey = round(150 + 75 * k / max(len(levels), 1))
        for line in level:
            draw.line(_flat(place.of(line)), fill=(grey, grey, grey), width=_FINE)
    return picture


def _trail(draw: Any, points: np.ndarray, colour: tuple[int, ...], thin: bool = False) -> None:
    """Draw a path; that of an average is thin."""
    kept = _finite(points)
    if len(kept) > 1:
        draw.line(_flat(kept), fill=colour, width=_FINE if thin else 2 * _FINE, joint="curve")


def _head(draw: Any, points: np.ndarray, colour: tuple[int, ...], hollow: bool = False) -> None:
    """Draw where a path has come to; that of an average is hollow."""
    kept = _finite(points)
    if len(kept):
        (x, y), radius = kept[-1], 4.5 * _FINE
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=_PAPER if hollow else colour,
            outline=colour if hollow else _PAPER,
            width=_FINE,
        )


def _finite(points: np.ndarray) -> np.ndarray:
    known = points[np.isfinite(points).all(axis=1)]
    kept: np.ndarray = np.clip(known, -1e5, 1e5)  # Pillow counts pixels in 32 bits
    return kept


def _around(draw: Any, place: _Place) -> None:
    """Cover what lies outside the surface, and frame it."""
    x0, y0, x1, y1 = place.box
    far = 10**5
    for strip in (
        (-far, -far, far, y0 - 1),
        (-far, y1 + 1, far, far),
        (-far, -far, x0 - 1, far),
        (x1 + 1, -far, far, far),
    ):
        draw.rectangle(strip, fill=_PAPER)
    draw.rectangle(place.box, outline=(200, 197, 192), width=_FINE)


def _legend(
    pillow: ModuleType, picture: Any, movie: SurfaceMovie, place: _Place, said: str
) -> None:
    draw = pillow.ImageDraw.Draw(picture)
    font = pillow.ImageFont.load_default(12)
    x, y = _EDGE, place.legend
    for walker, colour in zip(movie.walkers, movie.colours(), strict=True):
        wide = 14 + draw.textlength(walker.name, font=font) + 14
        if x + wide > picture.width - _EDGE:
            x, y = _EDGE, y + 18
        draw.ellipse((x, y - 4, x + 8, y + 4), fill=rgb(colour.light))
        draw.text((x + 14, y), walker.name, fill=_INK, font=font, anchor="lm")
        x += round(wide)
    draw.text((picture.width - _EDGE, picture.height - 14), said, fill=_INK, font=font, anchor="rm")


def _flat(points: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def rgb(colour: str) -> tuple[int, ...]:
    """Return red, green and blue of a colour as #rrggbb."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def needs_pillow() -> ModuleType:
    """Return Pillow with the parts that draw; raises MissingExtraError where it is not installed."""
    try:
        import PIL
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError:
        raise MissingExtraError("pillow", "An animated picture") from None
    return PIL
