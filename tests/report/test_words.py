from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from tests.report.example import (
    ACCURACY,
    HOSTILE,
    awkward,
    example,
    planted_race,
    planted_races,
    trial,
)
from tests.report.judged import judged
from thalweg.report import notes, plain_table, race_page, race_table, verdict
from thalweg.report.data.reading import against, reached_at
from thalweg.report.data.text import duration
from thalweg.report.page import race_sections
from thalweg.report.parts.section import render
from thalweg.report.sections.across import across_sections

RACES = {
    "small": example(),
    "planted": planted_race(),
    "several": planted_races(),
    **awkward(),
}


def changed(race: dict[str, Any], outcome: str, **values: Any) -> dict[str, Any]:
    """The race, as an older version wrote it, with another outcome of every comparison with its first."""
    copied = copy.deepcopy(race)
    del copied["may_be_best"]
    first = copied["standings"][0]["entrant"]
    turned = {"worse": "better", "better": "worse"}
    for made in copied["comparisons"]:
        if made["second"] == first:
            made.update(outcome=outcome, **values)
        elif made["first"] == first:
            made.update(outcome=turned.get(outcome, outcome), **values)
    return copied


def test_verdict_names_the_first_those_like_it_and_how_far_the_next_is_behind() -> None:
    assert verdict(RACES["planted"]) == (
        "The fastest is among nesterov, adam and momentum: no winner. At learning rate 0.215 nesterov "
        "needs 180 steps (0.18 s) to validation accuracy 0.95, in the median of 8 seeds. rmsprop needs "
        "1.47 times as many steps (simultaneous 95 % interval 1.23–1.79). At least half of the seeds "
        "missed the target with sgd."
    )


@pytest.mark.parametrize(("value", "words"), [(1, "1 step"), (1.5, "1.5 steps"), (2, "2 steps")])
def test_one_step_is_not_several(value: float, words: str) -> None:
    race = copy.deepcopy(RACES["planted"])
    race["standings"][0]["steps"] = value
    assert f"nesterov needs {words} (0.18 s) to" in verdict(race)


def test_only_one_whom_nobody_may_equal_is_called_the_fastest() -> None:
    race = copy.deepcopy(RACES["planted"])
    race["may_be_best"] = ["nesterov"]
    assert verdict(race).startswith("nesterov is fastest. At learning rate")
    for name, given in RACES.items():
        assert "is fastest" not in verdict(given), name


def test_those_who_may_be_the_fastest_are_marked_in_the_table() -> None:
    lines = plain_table(RACES["planted"]).splitlines()
    assert [line[:3] for line in lines if line[:1].isdigit()] == ["1 *", "2 *", "3 *"]
    assert "* may be the fastest." in lines
    assert "* may be the best." in plain_table(RACES["no target"]).splitlines()
    for name in ("three final seeds", "one entrant", "no final trials yet"):
        assert "*" not in plain_table(RACES[name])


def test_whom_the_set_leaves_out_though_the_pair_does_not_tell_is_named() -> None:
    race = copy.deepcopy(RACES["planted"])
    race["may_be_best"] = ["nesterov", "adam"]
    words = (
        "Not distinguishable from nesterov as a pair, yet left out of those that may be the fastest: "
        "momentum."
    )
    assert words in verdict(race)
    assert "left out" not in verdict(RACES["planted"])
    assert "may be the best: rmsprop." in verdict(RACES["target reached by nobody"])


def test_an_older_result_without_the_set_is_read_by_its_comparisons() -> None:
    race = RACES["planted"]
    assert verdict(changed(race, "worse")).startswith("nesterov is fastest. ")
    alike = verdict(changed(race, "not distinguishable"))
    assert alike.startswith("The fastest is among nesterov, adam and momentum: no winner.")
    assert "simultaneous" not in verdict(changed(race, "worse"))
    turned = verdict(changed(race, "better"))
    assert turned.startswith("The fastest is among adam and momentum: no winner.")
    assert "of all pairs at once" not in race_page(changed(race, "worse"))


def test_a_ratio_with_misses_is_a_bound() -> None:
    race = changed(RACES["planted"], "worse", bound="exact")
    for made in race["comparisons"]:
        made["bound"] = "at most" if made["first"] == "nesterov" else "at least"
    assert "needs at least 1.10 times as many steps. " in verdict(race)
    for made in race["comparisons"]:
        made["bound"] = "unknown"
    assert "times as" not in verdict(race)
    assert "1.10, open" in plain_table(race)


@pytest.mark.parametrize("seeds", [1, 3])
def test_too_few_seeds_are_said_first(seeds: int) -> None:
    race = RACES[{1: "one final seed", 3: "three final seeds"}[seeds]]
    plural = "" if seeds == 1 else "s"
    start = "comes first, but one seed" if seeds == 1 else "comes first, but 3 seeds"
    assert f"{start} cannot show who is faster." in verdict(race)
    assert notes(race)[0] == (
        f"{seeds} final seed{plural} cannot tell two entrants apart, whatever they give. More seeds "
        "can."
    )
    assert f"{seeds} seed{plural} cannot claim 95 %" in notes(race)[1]


@pytest.mark.parametrize(
    ("rank_by", "words", "heading"),
    [
        ("steps", "rmsprop needs 1.47 times as many steps", "first's steps"),
        ("gradients", "rmsprop needs 1.47 times as many gradients", "first's gradients"),
        ("seconds", " times as long", "first's seconds"),
    ],
)
def test_a_ratio_is_told_in_what_it_counts(rank_by: str, words: str, heading: str) -> None:
    race = planted_race(rank_by=rank_by)
    assert words in verdict(race)
    assert ("times as long" in verdict(race)) is (rank_by == "seconds")
    assert heading in plain_table(race).splitlines()[1]


def test_one_seed_has_no_median_and_no_range() -> None:
    race = RACES["one final seed"]
    words = verdict(race)
    assert "in the median" not in words
    assert "of the seeds" not in words
    assert words.endswith("on one seed. sgd missed the target.")
    assert "–" not in plain_table(race, width=200)
    nobody = verdict(planted_race(target=0.999, final_seeds=1, diverged_final=False))
    assert " % on one seed." in nobody
    assert "1 seed" not in nobody


def test_a_race_that_lost_every_trial_was_not_stopped() -> None:
    lost = [trial(name, 9.0, seed, [0.1], status="diverged") for name in "ab" for seed in (0, 1)]
    race = judged(
        [{"name": "a"}, {"name": "b"}], lost, task="t", metric=ACCURACY, target=0.9, epochs=4, steps=40
    )  # fmt: skip
    assert verdict(race).startswith("No trial came to its end: every one diverged or failed")
    told = [*notes(race), verdict(race)]
    assert not any("stopped" in words or "yet" in words for words in told)
    assert any(words.startswith("No trial came to its end") for words in notes(race))
    assert "<h2" in "".join(render(section) for section in race_sections(race))
    assert "stopped" not in "".join(section.hint for section in race_sections(race))


def test_where_nobody_arrives_the_final_figure_is_compared_and_not_called_speed() -> None:
    for name in ("target reached by nobody", "no target"):
        words = verdict(RACES[name])
        assert "by its final figure the best is among adam, nesterov" in words
        assert "steps" not in words
        assert "minus" in plain_table(RACES[name])
    assert verdict(RACES["no target"]).startswith("No target was set; ")
    assert verdict(RACES["target reached by nobody"]).endswith(
        "At learning rate 0.01 adam's final accuracy is 97.3 % in the median of 8 seeds. That of "
        "adagrad is lower by 2.5 points (simultaneous 95 % interval 0.2–4.4). Not distinguishable from "
        "adam as a pair, yet left out of those that may be the best: rmsprop."
    )
    assert any("within reach" in note for note in notes(RACES["target reached by nobody"]))


def test_before_the_final_nothing_is_claimed() -> None:
    race = RACES["half of the final trials"]
    assert verdict(race).startswith(
        "The race was stopped before its final: adam led in tuning, which supports no claim."
    )
    assert notes(race)[0].startswith("Interrupted: 132 of 156 trials are finished.")
    assert any("supports no claim" in note for note in notes(race))
    nothing = RACES["nothing finished"]
    assert verdict(nothing) == "No trial is finished yet, so there is nothing to rank."
    assert plain_table(nothing) == ""


def test_one_alone_is_compared_with_nobody() -> None:
    words = verdict(RACES["one entrant"])
    assert words.startswith("adam ran alone: there is nothing to compare it with. At learning rate")
    assert "times first" not in plain_table(RACES["one entrant"])


def test_notes_tell_of_misses_edges_and_lost_trials() -> None:
    found = notes(example())
    assert f"Seeds that missed the target: {HOSTILE} (2 of 2)." in found[2]
    assert found[3] == (
        "A better learning rate may lie beyond those that were tried for adam (0.01, the lowest) and "
        "sgd (1, the highest): give more points, with which the grid goes on there (--trials 6), or "
        "rates that reach further (--lrs)."
    )
    assert found[4] == (
        "1 of 11 trials diverged and counts as a miss, adam at learning rate 0.1, seed 0: the loss "
        "became NaN at step 31"
    )
    drawn = example()
    drawn["budget"]["search"] = "quasi-random"
    assert "give rates between which there is more room (--lrs)." in notes(drawn)[3]


def test_an_entrant_that_failed_says_why_and_losses_are_told_by_their_kind() -> None:
    def lost(name: str, lr: float, seed: int, error: str, status: str = "failed") -> Any:
        return trial(name, lr, seed, [], status=status) | {"error": error}

    crash, full = "TypeError: step() takes no closure", "OutOfMemoryError: 3 GiB"
    trials = [
        *(lost(name, 0.1, seed, f"{crash}\n  at line 3") for name in ("b", "c") for seed in (0, 1)),
        *(trial("a", 0.1, seed, [0.9], stage) for seed, stage in ((0, "tuning"), (9, "final"))),
        *(trial("d", 0.1, seed, [0.9], stage) for seed, stage in ((0, "tuning"), (9, "final"))),
        *(lost("a", lr, 0, full) for lr in (0.2, 0.3)),
        lost("d", 0.2, 0, full),
        *(lost("d", lr, 0, f"the loss became NaN at step {lr}", "diverged") for lr in (1.0, 2.0)),
        *(lost("d", lr, 0, f"ValueError: {lr}") for lr in (4.0, 5.0, 6.0, 7.0)),
        lost("d", 8.0, 0, "x" * 999),
    ]
    race = judged(
        [{"name": name} for name in "abcd"], trials, task="t", metric=ACCURACY, target=0.9, epochs=4,
        steps=40,
    )  # fmt: skip
    told = notes(race)
    assert f"b and c have no trial that came to its end. The first failed: {crash}" in told
    assert (
        "2 of 14 trials diverged and count as misses, such as d at learning rate 1, seed 0: the loss "
        "became NaN at step 1.0" in told
    )
    assert (
        "3 of 14 trials failed and count as misses (a 2 and d 1), such as a at learning rate 0.2, seed "
        f"0: {full}" in told
    )
    assert "3 more trials failed for other reasons." in told
    assert sum("failed" in note for note in told) == 6


def test_a_target_that_is_met_at_once_is_said_to_be_too_easy() -> None:
    def race(*reached: int | None) -> Any:
        made = copy.deepcopy(RACES["planted"])
        for place, steps in zip(made["standings"], reached, strict=False):
            place["steps"] = steps
        for one in made["trials"]:
            one["curve"]["steps"][:1] = [1]
        return made

    said = "too easy to tell entrants apart"
    (easy,) = (note for note in notes(race(2, 3, 5, 40, None, None)) if said in note)
    assert easy == (
        "The median entrant reaches the target in 5 steps: it is too easy to tell entrants apart. Set "
        "one that takes longer (--target)."
    )
    assert not any(said in note for note in notes(race(2, 3, 6, 40, None, None)))
    late = race(20, 20, 20, 40, None, None)
    for one in late["trials"]:
        one["curve"]["steps"] = [20 + step for step in one["curve"]["steps"]]
        one["curve"]["steps"][0] = 20
    assert any("reaches the target when first looked at" in note for note in notes(late))


def test_notes_tell_how_a_target_came_about_and_of_unequal_budgets() -> None:
    race = example()
    race["target"]["how"] = "the median of the best baseline"
    race["budget"]["equal"] = False
    found = notes(race)
    assert found[-1] == "The target: the median of the best baseline."
    assert any("different budgets" in note for note in found)


def test_the_score_over_several_tasks_is_explained_with_how_firm_it_is() -> None:
    several = RACES["several"]
    score, firm, pairs = notes(several)[:3]
    first = max(several["scores"], key=several["scores"].__getitem__)
    assert score.startswith("The score is the mean height of an entrant's performance profile")
    assert "4 tasks that were chosen, not drawn, give a score no confidence interval." in firm
    low, high = several["score_ranges"][first]
    assert low <= several["scores"][first] <= high
    assert f"left out the scores are: {first} {low:.2f}–{high:.2f}, " in firm
    assert pairs.startswith(f"Pairwise, times as many steps as {first} in the geometric mean over")
    order = several["pairwise"]["entrants"]
    for name in order:
        ratio = several["pairwise"]["ratio"][order.index(name)][order.index(first)]
        bound = several["pairwise"]["bound"][order.index(name)][order.index(first)]
        if name != first and bound != "unknown":
            said = f"{name} {ratio:.2f}" if bound == "exact" else f"{name} {bound} {ratio:.2f}"
            assert said in pairs


def test_a_result_of_before_without_ranges_and_bounds_is_still_read() -> None:
    several = copy.deepcopy(RACES["several"])
    del several["score_ranges"], several["pairwise"]["bound"]
    assert "left out" not in " ".join(notes(several)[:2])
    assert "at least" not in notes(several)[1]
    assert "<h2" in "".join(render(section) for section in across_sections(several))


def test_several_tasks_are_summed_up_without_a_test_that_was_not_made() -> None:
    assert verdict(RACES["several"]) == (
        "First: nesterov on digits; momentum on breast_cancer; adam on parity. The first is the winner "
        "on breast_cancer and parity; elsewhere others may be as fast. Nobody has a median time to "
        "the target on deep_linear. The order by score depends on who else runs: read the pairwise "
        "ratios."
    )
    told = notes(RACES["several"])
    assert any(note.startswith("Rank reversal: sgd is above adagrad") for note in told)
    alone = copy.deepcopy(RACES["several"])
    alone["costs"]["tasks"] = alone["costs"]["tasks"][:1]
    alone["races"], alone["reversals"] = alone["races"][:1], []
    assert verdict(alone) == (
        "nesterov comes first on digits. On no task is there a winner: others may be as fast as the "
        "first."
    )


@pytest.mark.parametrize("name", RACES)
def test_tables_fit_80_columns_and_say_the_same_with_colours(name: str) -> None:
    result = RACES[name]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(race_table(result))
    coloured = console.export_text()
    plain = plain_table(result)
    for line in (*plain.splitlines(), *coloured.splitlines()):
        assert len(line.rstrip()) <= 80
    assert plain.replace("-", "").split() == coloured.replace("─", "").replace("-", "").split()


def test_a_table_is_aligned_and_grouped() -> None:
    lines = plain_table(RACES["planted"]).splitlines()
    assert " ".join(lines[0].split()) == "learning steps times final"
    assert " ".join(lines[1].split()) == "optimizer rate to target first's steps reached accuracy"
    rules = [number for number, line in enumerate(lines) if set(line) == {"-"}]
    assert rules == [2, 6, 8]
    assert " ".join(lines[3].split()) == "1 * nesterov 0.215 180 (159–220) 1 8 of 8 97.2 %"
    assert "1.10 (0.93–1.35)" in lines[4]
    assert "≥ 1.82" in lines[9]
    assert len({len(line) for line in lines[2:-2]}) == 1
    wide = plain_table(RACES["planted"], width=120)
    assert "seconds" in wide
    assert "93.0–96.3, 1 diverged" in wide


def test_a_table_of_many_tasks_goes_on_below() -> None:
    several = copy.deepcopy(RACES["several"])
    several["costs"]["tasks"] = [f"a_long_name_{k}" for k in range(9)]
    several["costs"]["table"] = [[1234.5, None] + [77.0] * 7 for _ in several["costs"]["entrants"]]
    blocks = plain_table(several).split("\n\n")
    assert len(blocks) > 1
    assert all("optimizer" in block and "rmsprop" in block for block in blocks)
    assert [block.count("score") for block in blocks][:2] == [1, 0]
    assert sum(block.count("name 8") for block in blocks) == 1
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 80


def test_a_comparison_can_be_read_from_either_side() -> None:
    race = RACES["planted"]
    for made in race["comparisons"]:
        a, b = made["first"], made["second"]
        assert against(race, a, b) == made
        turned = against(race, b, a)
        assert turned is not None
        assert turned["ratio"] == pytest.approx(1 / made["ratio"])
        assert turned["low"] <= turned["ratio"] <= turned["high"]
        back = against({"comparisons": [turned]}, a, b) or {}
        for key in made:
            same = pytest.approx(made[key]) if isinstance(made[key], float) else made[key]
            assert back[key] == same
    assert against(race, "adam", "adam") is None


@pytest.mark.parametrize("rank_by", ["steps", "seconds", "gradients"])
def test_when_a_trial_arrived_is_read_as_the_judge_reads_it(rank_by: str) -> None:
    race = planted_race(rank_by=rank_by)
    for place in race["standings"]:
        own = [
            t for t in race["trials"] if t["entrant"] == place["entrant"] and t["stage"] == "final"
        ]
        times = sorted(at for t in own if (at := reached_at(race, t)) is not None)
        assert len(times) == place["reached"]
        if len(times) == 8:
            assert (times[3] + times[4]) / 2 == pytest.approx(place[rank_by])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7322, "2 h 2 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words
