"""What was run: enough to judge the race, and to repeat it."""

from __future__ import annotations

from html import escape
from typing import Any

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import Record
from thalweg.report.parts.section import Section

_SEARCHES = {
    "grid": "a grid that widens or refines",
    "quasi-random": "quasi-random points",
    "halving": "successive halving",
    "tpe": "a tree of Parzen estimators",
}


def run_section(result: Record) -> Section:
    """Return the section of what was run, with everything to be saved."""
    entries = {
        "Task": result["task"],
        "Model": result["model"],
        "Metric": _metric(result["metric"]),
        "Target": _target(result["target"]),
        "Tuning": _tuning(result["budget"]),
        "Final trials": _final(result["budget"]),
        "A trial": _trial(result["budget"]),
        **_machine(result["run"]),
    }
    rows = "".join(
        f"<dt>{name}</dt><dd>{escape(entry)}</dd>" for name, entry in entries.items() if entry
    )
    command = result["run"]["command"]
    if command:
        rows += f"<dt>Command</dt><dd><code>{escape(command)}</code></dd>"
    return Section(
        key="run",
        title="What was run",
        body=(
            f"<dl>{rows}</dl>{_entrants(result)}"
            '<div class="save"><button data-save="json">Save everything (JSON)</button>'
            '<button data-save="trials">Save the trials (CSV)</button>'
            '<button data-save="curves">Save their curves (CSV)</button></div>'
        ),
    )


def _metric(metric: Record) -> str:
    better = "greater" if metric["direction"] == "max" else "smaller"
    return f"{text.spaced(metric['name'])} on the validation part, {better} is better"


def _target(target: Record | None) -> str:
    if target is None:
        return "none"
    source = {"given": "given", "task": "the task's own", "rule": "found from the baselines"}.get(
        target["source"], target["source"]
    )
    version = f", version {target['version']}" if target.get("version") is not None else ""
    return f"{target['text']} ({source}{version})"


def _tuning(budget: Record) -> str:
    search = _SEARCHES.get(budget["search"], budget["search"])
    same = "the same for every entrant" if budget.get("equal", True) else "not the same for all"
    seeds = plural(len(budget["tuning_seeds"]), "seed")
    points = plural(budget["trials"], "point")
    if (
        budget["search"] == "halving"
    ):  # it runs more points than that, most of them not to their end
        points = f"the budget of {plural(budget['trials'], 'full point')}"
    return f"{points} by {seeds}, {search}; {same}"


def _final(budget: Record) -> str:
    seeds = budget["final_seeds"]
    listed = f" ({', '.join(map(str, seeds))})" if len(seeds) <= 12 else ""
    return (
        f"{plural(len(seeds), 'seed')}{listed}, none of them tuned on; a seed fixes the initial "
        f"weights and the order of the data for every entrant{_more(budget)}"
    )


def _more(budget: Record) -> str:
    """The seeds that are added where they decide."""
    runoff, more = (budget.get(name) or () for name in ("runoff_seeds", "more_seeds"))
    if not runoff and not more:
        return ""
    return (
        f"; {len(runoff)} more seeds to choose among close points of an entrant, and {len(more)} more for "
        "the entrants that the first leave in question"
    )


def _trial(budget: Record) -> str:
    batches = (
        "whole batches" if budget["batch_size"] is None else f"batches of {budget['batch_size']}"
    )
    return (
        f"{plural(budget['epochs'], 'epoch')} of {batches}"
        + (f": {budget['steps']:,} steps" if budget["steps"] else "")
        + (f", {budget['gradients']:,.0f} gradient-equivalents" if budget["gradients"] else "")
    )


def _machine(run: Record) -> dict[str, str]:
    return {
        "Machine": f"{run['machine']}, {plural(run['threads'], 'thread')}",
        "Executor": "; ".join(filter(None, (_executor(run), run["stacking"]))),
        "Versions": ", ".join(f"{name} {v}" for name, v in run["versions"].items()),
        "Started": run["started"],
        "Trials": f"{run['finished']:,} of {run['planned']:,} finished"
        + (f", {run['reused']:,} of them from before" if run["reused"] else ""),
    }


def _executor(run: Record) -> str:
    """What ran the trials; older results call it "engine"."""
    return str(run["executor"] if "executor" in run else run["engine"])


def _entrants(result: Record) -> str:
    rows = "".join(
        f"<dt>{escape(entrant['name'])}</dt><dd>{'; '.join(map(escape, _entrant(entrant)))}</dd>"
        for entrant in result["entrants"]
    )
    return f"<details><summary>The entrants</summary><dl>{rows}</dl></details>"


def _entrant(entrant: Record) -> list[str]:
    """What an entrant is, in words; `lrs` are the rates that were tried."""
    parts = [entrant["description"]] if entrant["description"] else []
    if entrant["lrs"]:
        parts.append(f"learning rates {', '.join(map(text.rate, entrant['lrs']))}")
    parts += [f"searched: {n} in {space}" for n, space in entrant["search"].items() if n != "lr"]
    parts += _named("fixed", entrant["hyperparameters"])
    parts += [f"{k} {entrant[k]}" for k in ("schedule", "initialization") if entrant[k]]
    return parts


def _named(kind: str, values: Record) -> list[str]:
    given: list[Any] = [f"{name} {text.value(value)}" for name, value in values.items()]
    return [f"{kind}: {', '.join(given)}"] if given else []
