"""Sets of images in IDX files, in a folder of the user's: MNIST, and what has its form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalweg.errors import DataError
from thalweg.tasks.data import Data
from thalweg.tasks.formats.idx import read_idx

FOLDER_VARIABLE = "THALWEG_DATA"
PARTS = {"train": "train", "test": "t10k"}
_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


@dataclass(frozen=True)
class ImageFiles:
    """A set of images and labels 0 to 9 in four IDX files.

    The files of all such sets have the same names, so `subfolders` tells where this one may lie in
    a folder that holds several, and `first_labels`, those of its first training images, which set
    it is.
    """

    name: str
    subfolders: tuple[str, ...]
    first_labels: tuple[int, ...]

    def load(
        self, folder: str | os.PathLike[str] | None, part: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images (rows, pixels; float32, 0 to 255) and labels (rows,) of "train" or
        "test".

        The files may lie in one of the subfolders of `folder` or in `folder` itself, and be called
        `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, each with or without `.gz` (`t10k-…`
        for the test set).

        Raises:
            DataError: for a missing, truncated or wrong file.
        """
        root = self._folder(folder)
        image_file, label_file = (self._find(root, f"{PARTS[part]}-{kind}") for kind in _KINDS)
        images, labels = read_idx(image_file, axes=3), read_idx(label_file, axes=1)
        if len(images) != len(labels):
            raise DataError(
                f"{label_file} has {len(labels)} labels for {len(images)} images: the files do not "
                "belong together."
            )
        if not len(images):
            raise DataError(f"{label_file} and its images are empty.")
        wrong = labels[~((labels >= 0) & (labels <= 9))]  # NaN among them
        if len(wrong):
            raise DataError(f"{label_file} has the label {wrong.max()}; expected 0 to 9.")
        if part == "train":
            self._check_identity(labels, label_file)
        return images.reshape(len(images), -1).astype(np.float32), labels.astype(np.int64)

    def data(self, folder: str | os.PathLike[str] | None, divisor: float = 255.0) -> Data:
        """Return both parts as `Data`: pixels divided by `divisor`, the last 10 % of the training
        rows for validation.
        """
        x, y = self.load(folder, "train")
        x_test, y_test = self.load(folder, "test")
        scale = np.float32(divisor)
        return Data.arrays(
            x / scale, y, validation=0.1, split="last", test=(x_test / scale, y_test)
        )

    def _check_identity(self, labels: np.ndarray, file: Path) -> None:
        found = tuple(int(label) for label in labels[: len(self.first_labels)])
        for other in KNOWN:
            if other is not self and found == other.first_labels:
                raise DataError(
                    f"{file} belongs to {other.name}, not to {self.name}; their files have the same "
                    f"names. Put those of {self.name} in a folder {self.subfolders[0]}/ beside it."
                )

    def _folder(self, folder: str | os.PathLike[str] | None) -> Path:
        given = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
        if not given:
            files = [f"{part}-{kind}" for part in PARTS.values() for kind in _KINDS]
            raise DataError(
                f"{self.name} is read from your own files and never downloaded: give the folder "
                f"that holds them (folder=…), or set the environment variable {FOLDER_VARIABLE} to "
                f"it. It needs {', '.join(files[:3])} and {files[3]}, plain or .gz, in the folder "
                f"itself or in {self.subfolders[0]}/."
            )
        root = Path(given).expanduser()
        if not root.is_dir():
            source = "" if folder is not None else f" (from {FOLDER_VARIABLE})"
            raise DataError(f"There is no folder {root}{source} to read {self.name} from.")
        return root

    def _find(self, root: Path, name: str) -> Path:
        dotted = name.replace("s-idx", "s.idx")
        for folder in (*(root / sub for sub in self.subfolders), root):
            for each in (name, dotted):
                for path in (folder / each, folder / f"{each}.gz"):
                    if path.is_file():
                        return path
        within = " or ".join(f"{sub}/" for sub in self.subfolders)
        raise DataError(
            f"{root} has no file {name} (nor {dotted}, nor either with .gz, nor in {within})."
        )


MNIST = ImageFiles("MNIST", ("mnist", "MNIST/raw"), (5, 0, 4, 1, 9, 2, 1, 3, 1, 4))
FASHION_MNIST = ImageFiles(
    "Fashion-MNIST",
    ("fashion_mnist", "fashion-mnist", "fashion", "FashionMNIST/raw"),
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
)
KNOWN = (MNIST, FASHION_MNIST)
