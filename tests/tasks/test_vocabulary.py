"""Text as numbers and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.exact import same
from thalweg.errors import DataError
from thalweg.tasks import Vocabulary, characters, one_hot, pad, words

SIGNS = st.sampled_from("ab9_ß語ж é.,!'<>-\n\t\u00a0")
WORDS = st.lists(st.text(SIGNS, min_size=1, max_size=3), min_size=1, max_size=20)
BATCHES = st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=1, max_size=6).filter(any)


@given(st.text(SIGNS))
def test_tokens_hold_all_of_the_text_but_white_space(text: str) -> None:
    assert "".join(characters(text)) == text
    assert "".join(words(text)) == "".join(text.split())
    assert all(len(word) == 1 or word.replace("_", "a").isalnum() for word in words(text))


def test_words_of_other_scripts() -> None:
    assert words("Größe: 3,5 метра!") == ["Größe", ":", "3", ",", "5", "метра", "!"]


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_known_tokens_come_back(texts: list[list[str]]) -> None:
    vocabulary = Vocabulary.of(texts)
    for tokens in texts:
        numbers = vocabulary.encode(tokens)
        assert all(2 <= number < len(vocabulary) for number in numbers)
        assert vocabulary.decode(numbers) == tokens
        assert vocabulary.decode(torch.tensor(numbers)) == tokens
    batch = pad(map(vocabulary.encode, texts))
    assert [vocabulary.decode(row) for row in batch.tokens] == texts


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(3, 12))
def test_the_most_frequent_tokens_are_taken(texts: list[list[str]], size: int) -> None:
    vocabulary = Vocabulary.of(texts, size)
    every = [token for tokens in texts for token in tokens]
    counts = [every.count(token) for token in vocabulary.tokens[2:]]
    assert len(vocabulary) == min(size, 2 + len(set(every)))
    assert counts == sorted(counts, reverse=True)
    left = [every.count(token) for token in set(every) - set(vocabulary.tokens)]
    assert max(left, default=0) <= min(counts)
    assert Vocabulary.of(texts[::-1], size) == vocabulary  # whatever the order of the texts


@given(BATCHES, st.none() | st.integers(1, 9))
def test_padding(rows: list[list[int]], length: int | None) -> None:
    batch = pad(rows, length, value=77)
    width = max(map(len, rows)) if length is None else length
    assert batch.tokens.shape == batch.mask.shape == (len(rows), width)
    for row, tokens, count, mask in zip(rows, *batch, strict=True):
        assert list(map(int, tokens[mask])) == row[:width]
        assert (int(count), int(mask.sum())) == (len(row[:width]), len(row[:width]))
        assert (tokens[~mask] == 77).all()
        filled = list(map(bool, mask))
        assert filled == sorted(filled, reverse=True)  # at the end


def test_padding_is_that_of_torch() -> None:
    rows = [[1, 2, 3], [4], [5, 6]]
    theirs = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    same(pad(rows).tokens, theirs, because="integers")


def test_one_hot_of_a_batch() -> None:
    batch = pad([[2, 1], [1]])
    assert one_hot(batch.tokens, 3).tolist() == [[[0, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 0, 0]]]


def test_specials_and_unknown_tokens() -> None:
    vocabulary = Vocabulary.of([["b", "a", "b"]], specials=["<start>"], least=2)
    assert vocabulary.tokens == ("<pad>", "<unk>", "<start>", "b")
    assert ("b" in vocabulary, "a" in vocabulary) == (True, False)
    assert vocabulary.encode(["<start>", "a", "b"]) == [2, 1, 3]
    bare = Vocabulary.of([["b", "a", "b"]], padding=None, unknown=None)
    assert bare.tokens == ("b", "a")
    with pytest.raises(DataError, match="token 'c' is not in the vocabulary"):
        bare.encode(["c"])
    assert repr(bare) == "<Vocabulary of 2 tokens>"


def test_what_is_refused() -> None:
    for make, message in (
        (lambda: Vocabulary.of(["a text"]), "got a text: split it"),
        (lambda: Vocabulary("abc"), "not the text itself"),  # type: ignore[arg-type]
        (lambda: Vocabulary(()), "at least one token"),
        (lambda: Vocabulary(("a", "a"), None, None), "'a' is in the vocabulary more than once"),
        (lambda: Vocabulary(("a",)), "no token '<pad>', which is to be the padding one"),
        (lambda: Vocabulary.of([["a"]], 2), "has room for <pad>, <unk> and no token"),
        (lambda: Vocabulary.of([["a"]]).decode([3]), "numbers 0 to 2; got 3"),
        (lambda: Vocabulary.of([["a"]]).decode([-1]), "got -1"),
        (lambda: pad([]), "at least one sequence"),
        (lambda: pad([[]]), "the longest of 0"),
        (lambda: pad([[1]], 0), "length=0"),
    ):
        with pytest.raises(DataError, match=message):
            make()
