"""Character language models, on the names of Unicode's characters or on any text file."""

from __future__ import annotations

import os
from collections.abc import Callable

from torch import nn

from thalweg.objective import Cost
from thalweg.tasks.char_models import LSTM, Transformer
from thalweg.tasks.data import Data
from thalweg.tasks.functions import count
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.tasks.text import read_text, unicode_names, windows

_WINDOWS = 2048
_VALIDATION = 0.125


def char_transformer(text: str | os.PathLike[str] | None = None, length: int = 32) -> Task:
    """Character language model: a small transformer on Unicode's names, to 1.4 nats a character.

    Two blocks of width 32 with two heads. `text` is a UTF-8 file of your own; without it the text
    is the names of Unicode 3.2's characters ("GREEK SMALL LETTER ALPHA"), which Python brings
    along. Of windows of `length` characters 2,048 are taken, evenly spaced, and an eighth of them
    validates. A task of your own text has no target. 30 epochs in batches of 128 are 420 steps,
    about 10 s on one core; Adam at lr = 0.003 is there after some 290.
    """
    return _task(
        "char_transformer",
        text,
        length,
        lambda characters: Transformer(characters, length),
        1.4,
    )


def char_lstm(text: str | os.PathLike[str] | None = None, length: int = 32) -> Task:
    """Character language model: an LSTM on Unicode's names, to 1.2 nats a character.

    One layer of 64 units. `text` and `length` are as in `char_transformer`. 30 epochs in batches of
    128 are 420 steps, about 4 s on one core; Adam at lr = 0.03 is there after some 130.
    """
    return _task("char_lstm", text, length, LSTM, 1.2)


def _task(
    name: str,
    text: str | os.PathLike[str] | None,
    length: int,
    build: Callable[[int], nn.Module],
    goal: float,
) -> Task:
    count("length", length, 2)
    cut = windows(unicode_names() if text is None else read_text(text), length, _WINDOWS)
    characters = len(cut.alphabet)
    return Task(
        data=Data.arrays(cut.inputs, cut.targets, validation=_VALIDATION),
        cost=Cost("cross_entropy"),
        model=lambda: build(characters),
        name=name,
        target=Target("loss", goal) if text is None else None,
        description="Character language model",
    )
