"""Images in files, read by Pillow."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thalweg.errors import DataError, MissingExtraError

Mode = Literal["RGB", "L"]
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MODES = ("RGB", "L")


def read_picture(
    source: str | Path | bytes,
    mode: Mode = "RGB",
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return an image as bytes from 0 to 255: (height, width, 3) for "RGB", (height, width) for "L".

    Args:
        source: a file, or the content of one.
        mode: "RGB", or "L" for grey.
        size: (height, width) to scale it to, by bilinear interpolation; None keeps its own.

    Raises:
        DataError: the file is missing, damaged, or no image that Pillow reads.
        MissingExtraError: Pillow is not installed.
    """
    pillow = _pillow()
    where = "The content" if isinstance(source, bytes) else str(source)
    try:
        with pillow.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            picture = image.convert(mode)
    except FileNotFoundError:
        raise DataError(f"There is no file {where}.") from None
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, by the format and by what is damaged
        raise DataError(f"{where} cannot be read as an image: {error}") from error
    if size is not None and (picture.height, picture.width) != size:
        picture = picture.resize((size[1], size[0]), pillow.Resampling.BILINEAR)
    return np.array(picture)


def block_means(picture: np.ndarray, block: int) -> np.ndarray:
    """Return the means of blocks of `block` × `block` pixels, in float64; what is left over at the right
    and at the bottom is left out.

    >>> block_means(np.arange(12).reshape(2, 6, 1), 2).tolist()
    [[[3.5], [5.5], [7.5]]]
    """
    height, width = (length // block for length in picture.shape[:2])
    cut = picture[: height * block, : width * block].astype(np.float64)
    means: np.ndarray = cut.reshape(height, block, width, block, -1).mean((1, 3))
    return means


def read_image_folder(
    folder: str | os.PathLike[str], mode: Mode = "RGB", size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the images of a folder that has one folder of image files for each class.

    Classes are numbered in the order of their names, and files within a class are read in theirs, as
    torchvision's ImageFolder does; names that begin with a dot are left out.

    Returns:
        the images (rows, channels, height, width) as bytes, their class numbers, the names of the classes.

    Raises:
        DataError: there is no such folder, it holds no images, or the images differ in size and none is
            given.
    """
    root = Path(folder).expanduser()
    if mode not in MODES:
        raise DataError(f"mode must be 'RGB' or 'L'; got {mode!r}.")
    if not root.is_dir():
        raise DataError(f"There is no folder {root} to read images from.")
    found = {each.name: _files(each) for each in sorted(root.iterdir()) if _is_class(each)}
    if not found:
        raise DataError(
            f"{root} holds no folders. It needs one for each class, with the images of the class in it."
        )
    pictures: list[np.ndarray] = []
    labels: list[int] = []
    for label, (name, files) in enumerate(found.items()):
        if not files:
            raise DataError(
                f"The folder {root / name} holds no images ({', '.join(ENDINGS)}), so there is nothing "
                "to learn of this class."
            )
        for file in files:
            picture = read_picture(file, mode, size)
            if pictures and picture.shape != pictures[0].shape:
                raise DataError(
                    f"{file} has {_size(picture)} pixels and the images before it have "
                    f"{_size(pictures[0])}. Give one size for all: size=(height, width)."
                )
            pictures.append(picture)
            labels.append(label)
    stacked = np.stack(pictures)
    axes = (0, 3, 1, 2) if mode == "RGB" else (0, 1, 2)
    images = np.ascontiguousarray(stacked.transpose(axes))
    return (images if mode == "RGB" else images[:, None]), np.array(labels), tuple(found)


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
    )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]} × {picture.shape[1]}"


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "Reading images") from None
    return Image
