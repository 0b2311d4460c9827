"""Results that were read from a file which someone edited: a page, or an error that says what it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.example import planted_race, planted_races
from thalweg.errors import TaskError
from thalweg.report import notes, plain_table, race_page, verdict

RACES = {"one": planted_race(), "several": planted_races()}
WRONG: list[Any] = [None, True, -1, 0.5, "", "x", [], [None], {}, {"a": 1}, float("nan")]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a result, but of a list only its first item."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))[:1]
    inner = [each for _, item in items if isinstance(item, dict | list) for each in places(item)]
    return [(value, key) for key, _ in items] + inner


@pytest.mark.parametrize("kind", RACES)
@given(data=st.data())
@settings(max_examples=15, derandomize=True, deadline=None)
def test_an_edited_result_is_shown_or_refused(kind: str, data: Any) -> None:
    made = copy.deepcopy(RACES[kind])
    holder, key = data.draw(st.sampled_from(places(made)))
    if data.draw(st.booleans()):
        holder[key] = data.draw(st.sampled_from(WRONG))
    else:
        del holder[key]
    for show in (race_page, plain_table, verdict, notes):
        try:
            show(made)
        except TaskError as error:
            message = str(error)
            assert "not the result of a race" in message
