"""The Halton sequence: points that fill the unit cube evenly, however many are taken."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

from thalweg.hashing import hash_of_bytes


def halton(dimensions: int, seed: int | None = None) -> Iterator[tuple[float, ...]]:
    """Yield the points of the Halton sequence in [0, 1)^d, scrambled by a seed.

        x_i = Σ_j π_j(a_j) b^(−j−1)        where i = Σ_j a_j b^j

    with the i-th prime as base b of the i-th dimension, and for each digit j a random permutation
    π_j of 0 … b − 1; without a seed, the identity. The points are the same on every machine, with
    whatever version of whatever library.

    >>> [x for (x,) in itertools.islice(halton(1), 4)]
    [0.0, 0.5, 0.25, 0.75]

    Sources: J. H. Halton, Numerische Mathematik 2, 1960; A. B. Owen, A randomized Halton algorithm
    in R, 2017.
    """
    chance = None if seed is None else random.Random(seed)  # noqa: S311  (no secret depends on it)
    scrambled = [(base, _permutations(base, chance)) for base in _primes(dimensions)]
    for index in itertools.count():
        yield tuple(_radical_inverse(index, base, digits) for base, digits in scrambled)


def stream_seed(seed: int, name: str) -> int:
    """Return the seed of a stream of numbers that belongs to an entrant: 32 bits, the same on every
    machine.
    """
    return int(hash_of_bytes(f"{seed} {name}".encode())[:8], 16)


def _radical_inverse(index: int, base: int, digits: list[list[int]]) -> float:
    inverse, scale = 0, 1
    for permutation in digits:
        index, digit = divmod(index, base)
        inverse, scale = inverse * base + permutation[digit], scale * base
    return inverse / scale


def _permutations(base: int, chance: random.Random | None) -> list[list[int]]:
    """A permutation for each digit of the numbers below 2^53, so that x < 1 is not rounded to 1."""
    permutations = [list(range(base)) for _ in range(math.floor(53 / math.log2(base)))]
    if chance is not None:
        for permutation in permutations:
            chance.shuffle(permutation)
    return permutations


def _primes(count: int) -> list[int]:
    primes: list[int] = []
    candidates = itertools.count(2)
    while len(primes) < count:
        candidate = next(candidates)
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
    return primes
