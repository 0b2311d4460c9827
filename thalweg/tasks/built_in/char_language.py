"""Character language models, on the names of Unicode's characters or on any text file."""

from __future__ import annotations

import os
from collections.abc import Callable

from torch import nn

from thalweg.objective import Cost
from thalweg.tasks.built_in.char_models import LSTM, Transformer
from thalweg.tasks.data import Data
from thalweg.tasks.formats.text import read_text, unicode_names, windows
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_WINDOWS = 2048
_VALIDATION = 0.125
_NAMES = "8d1ca0239975af053e4bc4555f51db8b1a2763bc4664335f3a2cf9fd28747367"  # Unicode's, cut up


@built_in(
    target=Target("loss", 1.4),
    seconds=10.0,
    data_hash=_NAMES,
    other_data=("file",),
)
def char_transformer(file: str | os.PathLike[str] | None = None, length: int = 32) -> Task:
    """Character language model: a small transformer on Unicode's names.

    Two blocks of width 32 with two heads. `file` is a UTF-8 text file of your own; without it the
    text is the names of Unicode 3.2's characters ("GREEK SMALL LETTER ALPHA"), which Python brings
    along. Of windows of `length` characters 2,048 are taken, evenly spaced, and an eighth of them
    validates. A task of your own text has no target. 30 epochs in batches of 128 are 420 steps;
    Adam at lr = 0.003 is there after some 290.
    """
    return _task(file, length, lambda characters: Transformer(characters, length))


@built_in(
    target=Target("loss", 1.2),
    seconds=6.0,
    data_hash=_NAMES,
    other_data=("file",),
)
def char_lstm(file: str | os.PathLike[str] | None = None, length: int = 32) -> Task:
    """Character language model: an LSTM on Unicode's names.

    One layer of 64 units. `file` and `length` are as in `char_transformer`. 30 epochs in batches of
    128 are 420 steps; Adam at lr = 0.03 is there after some 130.
    """
    return _task(file, length, LSTM)


def _task(
    file: str | os.PathLike[str] | None, length: int, build: Callable[[int], nn.Module]
) -> Task:
    whole_number("length", length, 2)
    cut = windows(unicode_names() if file is None else read_text(file), length, _WINDOWS)
    characters = len(cut.alphabet)
    return Task(
        data=Data.arrays(cut.inputs, cut.targets, validation=_VALIDATION),
        cost=Cost("cross_entropy"),
        model=lambda: build(characters),
        description="Character language model",
    )
