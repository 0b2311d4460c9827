"""Running races on the command line: progress, tables, reports, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from thalweg.numeric import plural

if TYPE_CHECKING:
    from thalweg.race import RacePlan, RaceProgress, RaceResult
    from thalweg.race.raced_task import RacedTask
    from thalweg.race.stack_decision import Stacking

JOINT = "races.html"
_WIDEST = 120


class Contest(Protocol):
    """What is run: a `thalweg.race.Race` that is prepared."""

    plan: RacePlan
    subject: RacedTask
    stacking: Stacking
    reused: int
    failed: int

    def run(self, progress: Callable[[RaceProgress], None]) -> None:
        """Run the trials."""

    def result(self) -> RaceResult:
        """Return what is finished."""

    def write_report(self) -> Path | None:
        """Write the report, and return where it is."""


def run_races(contests: Sequence[Contest], out: Path | None, *, as_json: bool) -> None:
    """Run races one after another, show each result, and end with the exit code of all.

    Raises:
        typer.Exit: 130 if interrupted, 1 if no trial of any race was finished.
    """
    results: list[RaceResult] = []
    interrupted, written = False, True
    for contest in contests:
        interrupted = _run(contest)
        result = contest.result()
        results.append(result)
        if not as_json:
            _show(result)
        elif len(contests) == 1:
            _print(result.to_dict())
        if result.records:
            written &= _report(contest.write_report)
        if interrupted:
            break
    if len(contests) > 1:
        written &= _joint(results, out, as_json=as_json)
    if interrupted:
        raise typer.Exit(130)
    records = [record for result in results for record in result.records]
    if not written or not any(record.status == "finished" for record in records):
        raise typer.Exit(1)


def _report(write: Callable[[], Path | None]) -> bool:
    """Write a report and return whether that worked; if not, say why. The result was printed before."""
    from thalweg.cli.shared.exits import complain, words

    try:
        _say(write())
    except OSError as error:
        complain(words(error))
        return False
    return True


def _run(contest: Contest) -> bool:
    """Run a race under a progress display; return whether it was interrupted."""
    from thalweg.cli.shared.progress import race_progress

    with race_progress(_opening(contest)) as progress:
        try:
            contest.run(progress)
        except KeyboardInterrupt:
            return True
    return False


def _opening(contest: Contest) -> str:
    """Say what a race is about to do, and how many trials it has from before."""
    plan, subject = contest.plan, contest.subject
    goal = (
        f"to validation {subject.metric.replace('_', ' ')} {subject.target:g}"
        if subject.target is not None
        else "to a target that tuning sets"
    )
    kept = (
        f" {plural(contest.reused, 'trial')} {'is' if contest.reused == 1 else 'are'} kept from "
        "before."
        if contest.reused
        else ""
    )
    if contest.failed:
        verb = "is" if contest.failed == 1 else "are"
        kept += f" {plural(contest.failed, 'trial')} that failed {verb} tried again."
    more = f" (and up to {len(plan.more_seeds)} more where they decide)" if plan.more_seeds else ""
    return (
        f"Racing {plural(len(plan.entrants), 'optimizer')} on {subject.task} {goal}: each is tuned "
        f"with {plural(plan.trials, 'point')} on {plural(len(plan.tuning_seeds), 'seed')}, then "
        f"judged on {plural(len(plan.final_seeds), 'other seed')}{more}, {plural(plan.epochs, 'epoch')} a "
        f"trial; {contest.stacking.why}.{kept}"
    )


def _show(result: RaceResult) -> None:
    from thalweg.cli.shared.console import err

    if result.circumstances.interrupted:
        err().print("Interrupted. What was finished is kept.", style="yellow")
    _print_words(result.to_dict())


def _print_words(values: dict[str, Any]) -> None:
    """Print what is claimed, the table, the details and the notes of a race or of several."""
    from thalweg.cli.shared.console import out
    from thalweg.report import notes, race_table
    from thalweg.report.words.verdict import detail, headline

    console = out()
    console.print(headline(values), markup=False)
    console.print()
    console.print(race_table(values, width=min(console.width, _WIDEST)))
    if said := detail(values):
        console.print()
        console.print(said, markup=False)
    for note in notes(values):
        console.print(f"- {note}", style="dim", markup=False)


def _joint(results: Sequence[RaceResult], folder: Path | None, *, as_json: bool) -> bool:
    """Sum up several races: the table of all, and a page of all. Return whether it is written."""
    from thalweg.race import sum_up
    from thalweg.report import write_race_report

    finished = [result for result in results if result.records]
    if len(finished) < 2:
        if as_json:
            _print(results[0].to_dict())
        return True
    values = sum_up(finished)
    if as_json:
        _print(values)
    else:
        _print_words(values)
    return _report(lambda: write_race_report(values, (folder or Path()) / JOINT))


def _say(report: Path | None) -> None:
    from thalweg.cli.shared.console import err

    if report is not None:
        err().print(f"Report: {report}", markup=False, soft_wrap=True)


def _print(values: dict[str, Any]) -> None:
    from thalweg.cli.shared.console import print_json

    print_json(values)
