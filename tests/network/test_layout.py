"""Where nodes stand."""

from __future__ import annotations

import itertools

from thalweg.network.layout import NODE, laid_out


def test_a_chain_is_straight_and_what_passes_it_stands_beside() -> None:
    laid = laid_out([[], [0], [1], [2, 0], [3]])
    assert len({x for x, _ in laid.places}) == 1
    assert [layer for _, layer in laid.places] == [0, 1, 2, 3, 4]
    (way,) = [way for begin, end, way in laid.edges if (begin, end) == (0, 3)]
    assert [layer for _, layer in way] == [1, 2]
    assert all(abs(x - laid.places[1][0]) > NODE / 2 for x, _ in way)


def test_nodes_of_a_layer_do_not_overlap_and_inputs_stand_above() -> None:
    inputs = [[], [0], [0], [0], [1, 2], [2, 3], [4, 5, 0]]
    laid = laid_out(inputs)
    for _, group in itertools.groupby(sorted(laid.places, key=lambda p: p[1]), lambda p: p[1]):
        xs = sorted(x for x, _ in group)
        assert all(b - a >= NODE for a, b in itertools.pairwise(xs))
    for place, given in enumerate(inputs):
        assert all(laid.places[i][1] < laid.places[place][1] for i in given)
    assert laid_out([]).places == ()
