"""A movie as an animated GIF, drawn by Pillow: contour lines, paths, and who is who."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from thalweg.errors import MissingExtraError, TaskError
from thalweg.files import write_bytes
from thalweg.movies.contours import contours, levels_of
from thalweg.movies.page import SurfaceMovie
from thalweg.whole import whole_number

_FINE = 2  # drawn so many times larger, since Pillow draws lines with hard edges
_EDGE = 12
_PAPER, _INK = (255, 255, 255), (25, 27, 30)


def check_gif(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a GIF that may be written.

    Raises:
        TaskError: it does not end in .gif, or is there already, unless `over`.
        MissingExtraError: Pillow is not installed.
    """
    _pillow()
    file = Path(path)
    if file.suffix.lower() != ".gif":
        raise TaskError(f"An animated picture is a file that ends in .gif; got {file}.")
    if file.is_dir():
        raise TaskError(f"{file} is a folder; expected a file to write.")
    if file.exists() and not over:
        raise TaskError(f"{file} exists. --force writes over it; or name another file with --gif.")
    return file


def write_gif(
    movie: SurfaceMovie,
    path: str | os.PathLike[str],
    *,
    over: bool = False,
    width: int = 480,
    frames: int = 80,
    seconds: float = 8.0,
) -> Path:
    """Write a movie as an animated GIF, whole or not at all.

    Args:
        movie: the paths, as Python has stepped them.
        path: a file that ends in .gif.
        over: whether an older one may be replaced.
        width: of the picture in pixels.
        frames: at most; the first is the start, the last shows all steps.
        seconds: how long it plays; the last frame stays for one second more.

    Raises as `check_gif` does.
    """
    file = check_gif(path, over=over)
    whole_number("width", width, 100)
    whole_number("frames", frames, 2)
    pictures = _frames(movie, width, frames)
    last = len(pictures) - 1
    each = max(
        20, round(1000 * seconds / max(last, 1) / 10) * 10
    )  # GIF counts hundredths of a second
    content = io.BytesIO()
    pictures[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[each] * last + [each + 1000],
        loop=0,
    )
    write_bytes(file, content.getvalue())
    return file


def _frames(movie: SurfaceMovie, width: int, count: int) -> list[Any]:
    """Return the pictures, all of one palette."""
    pillow = _pillow()
    place = _Place(movie, width)
    ground = _ground(pillow, movie, place)
    steps = movie.course.steps
    shown = np.unique(np.linspace(0, steps, min(count, steps + 1)).round().astype(int))
    paths = [place.of(walker.path) for walker in movie.walkers]
    colours = [_rgb(colour.light) for colour in movie.colours()]

    def frame(step: int) -> Any:
        picture = ground.copy()
        draw = pillow.ImageDraw.Draw(picture)
        for path, colour in zip(paths, colours, strict=True):
            _trail(draw, path[: step + 1], colour)
        _around(draw, place)
        small = picture.resize((width, place.height), pillow.Image.Resampling.LANCZOS)
        _legend(pillow, small, movie, place, f"step {step}")
        return small

    pictures = [frame(int(step)) for step in shown]
    palette = _palette(pillow, colours)
    return [each.quantize(palette=palette, dither=pillow.Image.Dither.NONE) for each in pictures]


def _palette(pillow: ModuleType, colours: Sequence[tuple[int, ...]]) -> Any:
    """Return a picture whose palette has greys, and each colour on its way to white.

    One that Pillow finds by itself follows what most pixels are, which is grey, and loses colours of lines.
    """
    greys = 48
    shades = max(1, min(12, (256 - greys) // max(len(colours), 1)))
    found: list[tuple[int, ...]] = [(round(255 * k / (greys - 1)),) * 3 for k in range(greys)]
    for colour in colours[: 256 - greys]:
        found += [
            tuple(round(part + (255 - part) * k / shades) for part in colour) for k in range(shades)
        ]
    made = pillow.Image.new("P", (1, 1))
    made.putpalette([part for colour in found for part in colour])
    return made


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
    for k, level in enumerate(contours(movie.surface, levels, 100)):
        grey = round(150 + 75 * k / max(len(levels), 1))
        for line in level:
            draw.line(_flat(place.of(line)), fill=(grey, grey, grey), width=_FINE)
    return picture


def _trail(draw: Any, points: np.ndarray, colour: tuple[int, ...]) -> None:
    kept = points[np.isfinite(points).all(axis=1)]
    kept = np.clip(kept, -1e5, 1e5)  # Pillow counts pixels in 32 bits
    if len(kept) > 1:
        draw.line(_flat(kept), fill=colour, width=2 * _FINE, joint="curve")
    if len(kept):
        (x, y), radius = kept[-1], 4.5 * _FINE
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=_PAPER)


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
        draw.ellipse((x, y - 4, x + 8, y + 4), fill=_rgb(colour.light))
        draw.text((x + 14, y), walker.name, fill=_INK, font=font, anchor="lm")
        x += round(wide)
    draw.text((picture.width - _EDGE, picture.height - 14), said, fill=_INK, font=font, anchor="rm")


def _flat(points: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _pillow() -> ModuleType:
    try:
        import PIL
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError:
        raise MissingExtraError("pillow", "An animated picture") from None
    return PIL
