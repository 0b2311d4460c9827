"""`thalweg runs`: the runs on disk, listed, compared, gone on with, drawn and removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.values import checked_page, path_of
from thalweg.cli.train import RUNS

if TYPE_CHECKING:
    from thalweg.train import SavedRun

EXAMPLES = (
    "thalweg runs",
    "thalweg runs compare digits-adam-1 digits-sgd-1",
    "thalweg runs open digits-adam-1",
    "thalweg runs export digits-adam-1 --out digits.onnx",
    "thalweg runs resume digits-adam-1 --epochs 60",
    "thalweg runs remove digits-adam-1",
)


def runs(
    act: Annotated[
        str, typer.Argument(metavar="ACT", help="list, compare, open, export, resume or remove.")
    ] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN…", help="Names of runs, or their folders.", show_default="all"),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--in", help="Where the runs are.", parser=path_of, metavar="PATH")
    ] = RUNS,
    epochs: Annotated[
        int | None,
        typer.Option(help="resume: how many epochs in all.", show_default="as before"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to draw on; export: the model's file, .pt2 or .onnx.",
            show_default="open: report.html of the run",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """List the runs that `thalweg train` left, or do something with them.

    compare shows how recipes and results differ, and draws the runs in one
    picture with --out; open draws the page of a run; export writes its model
    as a program of torch.export or as ONNX; resume goes on with a run that was
    killed, or for more epochs; remove deletes the folders named.
    """
    from thalweg.errors import TaskError, suggest

    if act not in ACTS:
        raise TaskError(
            f"There is no act {act!r} on runs.{suggest(act, ACTS)} There are: {', '.join(ACTS)}."
        )
    found = _named(folder, names or [])
    if act in ("open", "export", "resume") and len(found) != 1:
        raise TaskError(f"{act} takes one run: thalweg runs {act} NAME.")
    if act == "remove" and not names:
        raise TaskError("remove takes the names of the runs to remove: thalweg runs remove NAME.")
    if act == "compare" and len(found) < 2:
        raise TaskError("compare takes at least two runs.")
    ACTS[act](found, epochs=epochs, out=out, as_json=as_json)


def _named(folder: Path, names: list[str]) -> list[SavedRun]:
    """Return the runs of these names or folders, or all in the folder."""
    from thalweg.errors import TaskError, check_each_once, suggest
    from thalweg.train import find_runs, load_run

    there = find_runs(folder)
    if not names:
        return _readable(there)
    check_each_once("run", names)
    found = []
    for name in names:
        by_name = [each for each in there if each.name == name]
        path = by_name[0] if by_name else Path(name)
        if not by_name and not (path / "run.json").is_file():
            hint = suggest(name, [each.name for each in there])
            raise TaskError(f"There is no run {name!r} in {folder}.{hint}")
        found.append(load_run(path))
    return found


def _readable(folders: list[Path]) -> list[SavedRun]:
    """Return the runs in these folders; what cannot be read is said, and hides no other."""
    from thalweg.cli.shared.console import err
    from thalweg.errors import CheckpointError
    from thalweg.train import load_run

    found = []
    for folder in folders:
        try:
            found.append(load_run(folder))
        except CheckpointError as error:
            err().print(f"Left out: {error}", markup=False, soft_wrap=True)
    return found


def _list(found: list[SavedRun], *, as_json: bool, **_: Any) -> None:
    from thalweg.cli.shared.console import out, print_json

    rows = [_row(run) for run in found]
    if as_json:
        print_json({"schema": "thalweg.runs/1", "runs": rows})
        return
    if not rows:
        out().print("There are no runs yet: thalweg train TASK makes one.", markup=False)
        return
    _print_table(rows)


def _row(run: SavedRun) -> dict[str, Any]:
    last = run.history[-1] if run.epochs else None
    scores = None if last is None else last.validation or last.train
    figures = {} if scores is None else {"loss": scores.loss, **scores.metrics}
    recipe = run.record["recipe"]
    return {
        "name": run.name,
        "task": run.task_name,
        "optimizer": run.optimizer_name,
        "lr": recipe.get("lr"),
        "seed": recipe.get("seed"),
        "epochs": run.epochs,
        "ended": run.state,
        "started": run.record.get("started"),
        **figures,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from thalweg.cli.shared.console import out

    columns = list(dict.fromkeys(name for row in rows for name in row if name != "started"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        is_figure = any(isinstance(row.get(name), int | float) for row in rows)
        table.add_column(name, justify="right" if is_figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_words(row.get(name)) for name in columns))
    out().print(table)


def _compare(found: list[SavedRun], *, out: Path | None, as_json: bool, **_: Any) -> None:
    from thalweg.cli.shared.console import err, print_json
    from thalweg.report.plots.runs import plot_runs

    settings = {run.name: _settings(run) for run in found}
    names = list(dict.fromkeys(key for each in settings.values() for key in each))
    differ = [key for key in names if len({repr(each.get(key)) for each in settings.values()}) > 1]
    rows = [
        {"name": run.name, **{key: settings[run.name].get(key) for key in differ}} for run in found
    ]
    if as_json:
        print_json({"schema": "thalweg.runs/1", "differ": differ, "runs": rows})
    else:
        _print_table(rows)
    if out is not None:
        plot_runs({run.name: [each.as_dict() for each in run.history] for run in found}, out)
        err().print(f"Picture: {out}", markup=False, soft_wrap=True)


def _settings(run: SavedRun) -> dict[str, Any]:
    """Return recipe and results of a run as one flat list of settings."""
    recipe = {k: v for k, v in run.record["recipe"].items() if k not in ("by_name",)}
    given = recipe.pop("hyperparameters", None) or {}
    figures = {k: v for k, v in _row(run).items() if k not in ("name", "started", "lr", "seed")}
    return {"task": run.task_name, **recipe, **given, **figures}


def _open(found: list[SavedRun], *, out: Path | None, **_: Any) -> None:
    from thalweg.cli.shared.console import err

    (run,) = found
    path = draw(run, out)
    err().print(f"Page: {path}", markup=False, soft_wrap=True)


def _export(found: list[SavedRun], *, out: Path | None, **_: Any) -> None:
    from thalweg.cli.shared.console import err
    from thalweg.errors import TaskError

    (run,) = found
    if out is None:
        raise TaskError("export writes a file: --out MODEL.pt2 or --out MODEL.onnx.")
    err().print(f"Model: {run.export(out)}", markup=False, soft_wrap=True)


def draw(run: SavedRun, path: Path | None = None) -> Path:
    """Write the page of a run, by default into its folder; return the path."""
    from thalweg.errors import TaskError
    from thalweg.report.plots.runs import write_run_page
    from thalweg.train.folder.layout import REPORT

    checked_page(path, "--out")
    if not run.epochs:
        raise TaskError(f"The run {run.name} has no finished epoch to draw.")
    rows = [each.as_dict() for each in run.history]
    return write_run_page(run.record, rows, path or run.folder / REPORT)


def _resume(found: list[SavedRun], *, epochs: int | None, as_json: bool, **_: Any) -> None:
    from thalweg.cli.train import train_in
    from thalweg.strategies import strategy_named
    from thalweg.train.rebuilt import recipe_of

    (run,) = found
    recipe = recipe_of(run, epochs, strategy_named)
    train_in(recipe, run.folder, resume=True, as_json=as_json)


def _remove(found: list[SavedRun], **_: Any) -> None:
    from thalweg.cli.shared.console import err
    from thalweg.train.folder.writing import remove_run

    for run in found:
        left = remove_run(run.folder)
        kept = f"; kept what is not the run's: {', '.join(left)}" if left else ""
        err().print(f"Removed {run.folder}{kept}.", markup=False, soft_wrap=True)


def _words(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


ACTS: dict[str, Callable[..., None]] = {
    "list": _list,
    "compare": _compare,
    "open": _open,
    "export": _export,
    "resume": _resume,
    "remove": _remove,
}
