"""Text as numbers: tokens, a vocabulary of them, and batches of sequences of different lengths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.numeric import as_whole, plural

_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Return the words of a text and its other signs, one by one; white space is left out.

    A word is a run of letters, digits and underscores of any script (`\\w` of Python's `re`). For words
    without regard to case, give `text.lower()`.

    >>> words("It's 3 o'clock.")
    ['It', "'", 's', '3', 'o', "'", 'clock', '.']
    """
    return _WORD.findall(text)


def characters(text: str) -> list[str]:
    """Return the characters of a text: its code points.

    >>> characters("naïve")
    ['n', 'a', 'ï', 'v', 'e']
    """
    return list(text)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their numbers: the place of each in `tokens`.

    `padding` is the token that fills up sequences, and `unknown` the one that stands for tokens that are
    not there; None where there is none.

    >>> vocabulary = Vocabulary.of(words(text) for text in ["to be or not to be", "to do"])
    >>> vocabulary.tokens
    ('<pad>', '<unk>', 'to', 'be', 'do', 'not', 'or')
    >>> vocabulary.encode(words("to be seen")), vocabulary.decode([2, 3, 1])
    ([2, 3, 1], ['to', 'be', '<unk>'])
    """

    tokens: tuple[str, ...]
    padding: str | None = "<pad>"
    unknown: str | None = "<unk>"

    def __post_init__(self) -> None:
        given: object = self.tokens
        if isinstance(given, str):
            raise DataError(
                "A vocabulary is of tokens: give characters(text), not the text itself."
            )
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if not self.tokens:
            raise DataError("A vocabulary has at least one token.")
        twice = [token for token, count in Counter(self.tokens).items() if count > 1]
        if twice:
            raise DataError(f"The token {twice[0]!r} is in the vocabulary more than once.")
        for name in ("padding", "unknown"):
            token = getattr(self, name)
            if token is not None and token not in self.numbers:
                raise DataError(
                    f"The vocabulary has no token {token!r}, which is to be the {name} one. Put it among "
                    f"the tokens, or say {name}=None."
                )

    @classmethod
    def of(
        cls,
        sequences: Iterable[Sequence[str]],
        size: int | None = None,
        *,
        least: int = 1,
        padding: str | None = "<pad>",
        unknown: str | None = "<unk>",
        specials: Sequence[str] = (),
    ) -> Vocabulary:
        """Return the vocabulary of the tokens in some sequences: the training texts.

        Padding, unknown and `specials` come first; then the tokens by how often they occur, of those as
        frequent in the order of their text.

        Args:
            sequences: lists of tokens, such as `words(text)` gives.
            size: how many tokens it has at most, with the first ones; None takes all.
            least: how often a token must occur to be taken.
            padding: the token that fills up sequences, number 0; None for none.
            unknown: the token that stands for all others; None for none.
            specials: further tokens, such as "<start>".

        Raises:
            DataError: `size` leaves room for no token of the text, or a sequence is a text.
        """
        counts: Counter[str] = Counter()
        for sequence in sequences:
            if isinstance(sequence, str):
                raise DataError(
                    "Vocabulary.of takes lists of tokens, and got a text: split it by words(text) or "
                    "characters(text)."
                )
            counts.update(sequence)
        first = [token for token in (padding, unknown, *specials) if token is not None]
        often = [token for token, count in counts.items() if count >= least and token not in first]
        often.sort(key=lambda token: (-counts[token], token))
        if size is not None:
            if size <= len(first):
                raise DataError(
                    f"A vocabulary of size {size} has room for {', '.join(first)} and no token of the text."
                )
            often = often[: size - len(first)]
        return cls((*first, *often), padding, unknown)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self.numbers

    def __repr__(self) -> str:
        return f"<Vocabulary of {plural(len(self), 'token')}>"

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each token."""
        return {token: number for number, token in enumerate(self.tokens)}

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the number of each token; that of `unknown` for tokens that are not there.

        Raises:
            DataError: a token is not there and the vocabulary has no unknown one.
        """
        numbers = self.numbers
        if self.unknown is not None:
            other = numbers[self.unknown]
            return [numbers.get(token, other) for token in tokens]
        try:
            return [numbers[token] for token in tokens]
        except KeyError as error:
            raise DataError(
                f"The token {error.args[0]!r} is not in the vocabulary, which has no token for unknown ones."
            ) from None

    def decode(self, numbers: Iterable[int] | Tensor) -> list[str]:
        """Return the token of each number, padding left out.

        Raises:
            DataError: a number is none of the vocabulary's.
        """
        flat = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
        found = []
        for number in flat:
            place = as_whole(number)
            if place is None or not 0 <= place < len(self.tokens):
                raise DataError(
                    f"Tokens have the numbers 0 to {len(self.tokens) - 1}; got {number!r}."
                )
            found.append(self.tokens[place])
        return [token for token in found if token != self.padding]


class Padded(NamedTuple):
    """A batch of sequences filled up to one length.

    `tokens` (rows, length) has the numbers, `lengths` (rows,) how many of them are the sequence's own, and
    `mask` (rows, length) is True where they are.
    """

    tokens: Tensor
    lengths: Tensor
    mask: Tensor


def pad(sequences: Iterable[Sequence[int]], length: int | None = None, *, value: int = 0) -> Padded:
    """Return sequences of numbers as one tensor, each filled up at its end with `value`.

    Args:
        sequences: lists of numbers, as `Vocabulary.encode` gives them.
        length: the length of all; longer ones are cut at their end. None is that of the longest.
        value: what fills up, the number of the padding token.

    Raises:
        DataError: there is no sequence, or all of them are empty and no length is given.

    >>> batch = pad([[5, 6, 7], [8]])
    >>> batch.tokens.tolist(), batch.lengths.tolist(), batch.mask.tolist()
    ([[5, 6, 7], [8, 0, 0]], [3, 1], [[True, True, True], [True, False, False]])
    """
    rows = [list(sequence) for sequence in sequences]
    longest = max(map(len, rows), default=0)
    width = longest if length is None else as_whole(length)
    if not rows or width is None or width < 1:
        raise DataError(
            "pad takes at least one sequence that is not empty, and a length of at least 1; got "
            f"{len(rows)} sequences, the longest of {longest}, and length={length!r}."
        )
    tokens = torch.full((len(rows), width), value, dtype=torch.int64)
    for place, row in enumerate(rows):
        cut = row[:width]
        tokens[place, : len(cut)] = torch.tensor(cut, dtype=torch.int64)
    lengths = torch.tensor([min(len(row), width) for row in rows])
    return Padded(tokens, lengths, torch.arange(width) < lengths[:, None])
