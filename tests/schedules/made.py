"""Schedules of every kind, made by hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from thalweg.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    join,
    linear,
    one_cycle,
    piecewise,
    polynomial,
    warm_restarts,
    warmup,
    warmup_stable_decay,
)

values = st.floats(-10, 10, allow_subnormal=False)
lengths = st.integers(1, 300) | st.floats(0.25, 300)
steps_taken = st.integers(0, 1000) | st.floats(0, 1000)


@st.composite
def cosines(draw: st.DrawFn) -> cosine:
    warm = draw(st.just(0) | lengths)
    return cosine(draw(values), steps=warm + draw(lengths), floor=draw(values), warmup=warm)


@st.composite
def stables(draw: st.DrawFn) -> warmup_stable_decay:
    warm, stable = draw(st.just(0) | lengths), draw(st.just(0) | lengths)
    decay = draw(lengths)
    return warmup_stable_decay(
        draw(values),
        # the sum may round to a hair less than it must be
        steps=max(warm + stable + decay, warm + decay),
        warmup=warm,
        decay=decay,
        floor=draw(values),
        shape=draw(st.sampled_from(["linear", "sqrt", "cosine"])),
    )


@st.composite
def pieces(draw: st.DrawFn) -> piecewise:
    steps = draw(st.lists(lengths, max_size=5, unique=True))
    return piecewise({step: draw(values) for step in [0, *steps]})


polynomials = st.builds(polynomial, values, steps=lengths, power=st.floats(0.1, 5), floor=values)
restarts = st.builds(
    warm_restarts,
    values,
    period=lengths,
    growth=st.just(1) | st.integers(1, 4) | st.floats(1.01, 3),
    floor=values,
)
cycles = st.builds(
    one_cycle,
    values,
    steps=st.integers(1, 300),
    warmup_fraction=st.floats(0, 1),
    start_factor=st.floats(1, 100),
    end_factor=st.floats(1, 1e5),
    anneal=st.sampled_from(["cos", "linear"]),
)
simple: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(constant, values),
    st.builds(linear, values, values, lengths),
    cosines(),
    stables(),
    pieces(),
    polynomials,
    restarts,
    cycles,
    st.builds(
        exponential, values, rate=st.floats(0.5, 1.1), every=lengths, staircase=st.booleans()
    ),
    st.builds(inverse_sqrt, values, warmup=lengths),
)


def _joined(inner: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
    pair = st.tuples(inner, lengths)
    return st.builds(lambda some, last: join(*some, last), st.lists(pair, max_size=3), inner | pair)


schedules: st.SearchStrategy[Schedule] = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(warmup, inner, lengths, start=st.none() | st.floats(0, 1)),
        st.builds(lambda schedule, factor: schedule * factor, inner, values),
        _joined(inner),
    ),
    max_leaves=4,
)
