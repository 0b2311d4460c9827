"""A movie as an animated GIF."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from thalweg.files import write_bytes
from thalweg.movies.drawn import needs_pillow, pictures, rgb
from thalweg.movies.page import SurfaceMovie
from thalweg.report.parts.target import free_file
from thalweg.whole import whole_number


def check_gif(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a GIF that may be written.

    Raises:
        TaskError: it does not end in .gif, or is there already, unless `over`.
        MissingExtraError: Pillow is not installed.
    """
    needs_pillow()
    return free_file(path, "An animated picture", "--gif", ".gif", over=over)


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
    steps = movie.course.steps
    shown = np.unique(np.linspace(0, steps, min(frames, steps + 1)).round().astype(int))
    palette = _palette(needs_pillow(), [rgb(colour.light) for colour in movie.colours()])
    made = [each.quantize(palette=palette, dither=0) for each in pictures(movie, width, shown)]
    last = len(made) - 1
    # GIF counts hundredths of a second
    each = max(20, round(1000 * seconds / max(last, 1) / 10) * 10)
    content = io.BytesIO()
    made[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=made[1:],
        duration=[each] * last + [each + 1000],
        loop=0,
    )
    write_bytes(file, content.getvalue())
    return file


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
