from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest

from tests.report.example import awkward, example, planted_race
from thalweg.report import plain_table
from thalweg.report.parts.forest import EffectAxis
from thalweg.report.sections.ranking import ranking_section
from thalweg.report.words.effects import every_pair, per_seed


def rows(race: dict[str, Any]) -> list[str]:
    section = ranking_section(race)
    assert section is not None
    body = re.search(r"<tbody>(.*?)</tbody>", section.body, re.DOTALL)
    assert body is not None
    return body[1].split("</tr>")[:-1]


def hint(race: dict[str, Any]) -> str:
    section = ranking_section(race)
    assert section is not None
    return section.hint


def test_rows_stand_in_the_order_of_the_ranking_with_what_they_are_sorted_by() -> None:
    race = planted_race()
    found = rows(race)
    assert len(found) == 6
    for row, place in zip(found, race["standings"], strict=True):
        keys = re.findall(r'data-key="([^"]*)"', row)
        assert len(keys) == 8
        assert keys[1] == place["entrant"]
        assert float(keys[2]) == (9e99 if place["steps"] is None else place["steps"])
        assert float(keys[6]) == place["final"]
    ratios = [float(re.findall(r'data-key="([^"]*)"', row)[3]) for row in found]
    assert ratios[0] == 1
    assert ratios == sorted(ratios)


def test_intervals_edges_misses_and_outcomes_are_told() -> None:
    found = rows(planted_race())
    assert '180<span class="minor">159–220</span>' in found[0]
    assert '1.10 (0.93–1.35)<span class="minor">not distinguishable</span>' in found[1]
    assert '≥ 1.82<span class="minor">slower</span>' in found[4]
    assert "299–∞" in found[4]
    assert "1 diverged" in found[4]
    assert '<span class="missed">missed</span>' in found[5]
    small = rows(example())
    assert '<span class="edge">lower edge</span>' in small[0]
    assert '<span class="edge">upper edge</span>' in small[1]
    assert '<span class="edge">only one</span>' in small[2]


def test_the_forest_shows_every_seed_and_tells_outcomes_by_its_marks() -> None:
    race = planted_race()
    for row, place in zip(rows(race), race["standings"], strict=True):
        both = sum(
            1 for ratio in per_seed(race, place["entrant"], "nesterov") if math.isfinite(ratio)
        )
        assert row.count('class="seed"') == both
        assert ("not distinguishable" in row) is ('class="effect open"' in row)
        assert ('class="more"' in row) is ("≥" in row)
    assert rows(race)[5].count('class="seed"') == 0  # it missed with every seed


def test_a_scale_has_a_place_for_every_effect_and_for_equals() -> None:
    for kind, effects in (("ratio", [0.5, 3.0, None]), ("ratio", []), ("difference", [-0.1, 0.02])):
        scale = EffectAxis.over(kind, effects)  # type: ignore[arg-type]
        places = [scale.x(e) for e in effects if e is not None]
        assert places == sorted(set(places))
        assert scale.equals in scale.ticks
        assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert scale.x(1e9) < 200


def test_bold_lines_part_groups_and_letters_do_where_lines_cannot() -> None:
    race = planted_race()
    assert [row.count('class="group"') for row in rows(race)] == [0, 0, 0, 1, 1, 0]
    assert "Between two lines" in hint(race)
    scattered = copy.deepcopy(race)
    scattered["standings"][2]["group"], scattered["standings"][3]["group"] = 2, 1
    assert not any('class="group"' in row for row in rows(scattered))
    assert "same letter" in hint(scattered)
    assert '3<span class="minor">b</span>' in rows(scattered)[2]
    lines = plain_table(scattered).splitlines()
    assert [line.split()[:2] for line in lines[3:9]] == [
        [str(rank), letter] for rank, letter in enumerate("aabacc", start=1)
    ]
    assert lines[-1].endswith("same letter.")


def test_where_nobody_arrives_differences_are_drawn() -> None:
    race = awkward()["target reached by nobody"]
    found = rows(race)
    assert "−1.2 (−2.8 to +0.2)" in found[3]
    assert "−2.5 (−4.4 to −0.2)" in found[4]
    assert ">worse<" in found[4]
    assert [">may be the best<" in row for row in found] == [True] * 3 + [False] * 3
    assert found[3].count('class="seed"') == 8
    section = ranking_section(race)
    assert section is not None
    assert "points" in section.body
    assert section.table is not None
    assert "against_first_difference" in section.table["columns"]


def test_before_the_final_there_is_no_forest_and_no_claim() -> None:
    race = awkward()["no final trials yet"]
    assert "supports no claim" in hint(race)
    assert not any("forest" in row for row in rows(race))


def test_every_pair_is_there_and_tinted_only_where_told_apart() -> None:
    race = planted_race()
    table = every_pair(race)
    assert table.count("<td class=") - table.count('"none"') == 30
    apart = sum(c["outcome"] != "not distinguishable" for c in race["comparisons"])
    assert table.count('class="good"') == table.count('class="bad"') == apart
    assert table.count('class="alike"') == 2 * (15 - apart)
    assert every_pair(awkward()["one entrant"]) == ""


def test_every_pair_has_the_bounds_of_the_ranking() -> None:
    race = planted_race()
    table = every_pair(race)
    assert "≥ 1.82" in table
    assert table.count("≥ ") == table.count("≤ ")
    bounded = [c for c in race["comparisons"] if c["bound"] in ("at least", "at most")]
    assert table.count("≥ ") == len(bounded) > 0
    for made in race["comparisons"]:
        made["bound"] = "unknown"
    table = every_pair(race)
    assert table.count(">–</td>") == 30
    assert "How many times as many steps the entrant of the row needs" in table


def test_marks_are_explained_as_far_as_they_are_there() -> None:
    assert "A full mark is told from the first" in hint(planted_race())
    one = hint(awkward()["one final seed"])
    assert "full mark" not in one
    assert "A hollow mark is not distinguishable" in one
    assert "1 fresh seed, the same for all." in one


@pytest.mark.parametrize("name", ["no target", "three final seeds", "one final seed", "by seconds"])
def test_odd_races_have_whole_rows(name: str) -> None:
    found = rows(awkward()[name])
    assert len({row.count("<td") for row in found}) == 1
    assert len(found) == 6
