"""A movie as an MP4 film, which PyAV encodes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import MissingExtraError
from thalweg.files import write_bytes
from thalweg.movies.drawn import needs_pillow, pictures
from thalweg.movies.page import SurfaceMovie
from thalweg.report.parts.target import free_file
from thalweg.whole import whole_number

RATE = 30
"""Pictures a second."""


def check_mp4(path: str | os.PathLike[str], *, over: bool = False) -> Path:
    """Return the path of a film that may be written.

    Raises:
        TaskError: it does not end in .mp4, or is there already, unless `over`.
        MissingExtraError: PyAV or Pillow is not installed.
    """
    _av()
    needs_pillow()
    return free_file(path, "A film", "--mp4", ".mp4", over=over)


def write_mp4(
    movie: SurfaceMovie,
    path: str | os.PathLike[str],
    *,
    over: bool = False,
    width: int = 720,
    seconds: float = 8.0,
) -> Path:
    """Write a movie as a film (H.264, 30 pictures a second), whole or not at all.

    Args:
        movie: the paths, as Python has stepped them; between two steps they go straight on.
        path: a file that ends in .mp4.
        over: whether an older one may be replaced.
        width: of the picture in pixels; an odd one is made even.
        seconds: how long it plays; the last picture stays for one second more.

    Raises as `check_mp4` does.
    """
    file = check_mp4(path, over=over)
    whole_number("width", width, 100)
    moments = np.linspace(0, movie.course.steps, max(2, round(RATE * seconds)))
    moments = np.append(moments, [moments[-1]] * RATE)
    write_bytes(file, _encoded(pictures(movie, width, moments.tolist())))
    return file


def _encoded(drawn: Any) -> bytes:
    av, content = _av(), io.BytesIO()
    with av.open(content, "w", format="mp4") as film:
        stream = None
        for picture in drawn:
            if stream is None:
                stream = film.add_stream("libx264", rate=RATE, options={"crf": "18"})
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuv420p"  # what browsers and phones play
            film.mux(stream.encode(av.VideoFrame.from_image(picture)))
        assert stream is not None
        film.mux(stream.encode())
    return content.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "A film", "video") from None
    return av
