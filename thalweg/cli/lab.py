"""`thalweg lab`: see a phenomenon of optimization, measured and compared with theory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.values import path_of, seed_of
from thalweg.numeric import plural

if TYPE_CHECKING:
    from thalweg.labs import Lab, LabResult
    from thalweg.labs.sweep import Show

EXAMPLES = (
    "thalweg lab",
    "thalweg lab ill-conditioning",
    "thalweg lab cliffs --slider 30 --out cliffs.html",
    "thalweg lab coordinate-descent --set alphas=0.01,1 --out slow.html",
    "thalweg lab lasso --seed 3 --json",
)


def lab(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the lab.", show_default="lists them"),
    ] = None,
    slider: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Value of the lab's slider; `thalweg lab` lists sliders and ranges.",
            show_default="the lab's own",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the random numbers.", show_default="0", parser=seed_of, metavar="N"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be given several times."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to write.", show_default="lab-NAME.html", parser=path_of, metavar="PATH"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing page.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of text.")
    ] = False,
) -> None:
    """See a phenomenon of optimization, measured and compared with theory.

    Without a name, lists the labs, their sliders and settings. With one, says
    what to see and why, what was found and what theory says, and what the
    doctor says of the lab's trainings; and writes a page with the picture,
    where the slider moves between results that are computed ahead. The exit
    code is 1 if a finding misses theory.
    """
    if name is None:
        _list(settings, out, [slider, seed], as_json=as_json)
        return
    from thalweg.cli.shared.console import err, print_json
    from thalweg.cli.shared.console import out as console
    from thalweg.labs import find
    from thalweg.labs.page import check_page

    found = find(name)
    page = check_page(Path(f"lab-{found.name}.html") if out is None else out, over=force)
    result = found.run(_seeded(found, _read(settings), seed), slider=slider)
    if as_json:
        print_json(result.to_dict())
    else:
        console().print(str(result), markup=False, soft_wrap=True)
    if seed is not None and not found.has_seed:
        err().print(f"The lab {found.name} draws nothing: a seed changes nothing.", markup=False)
    _write(result, page, over=force)
    _end(result)


def _seeded(lab: Lab[Any, Any], settings: dict[str, str], seed: int | None) -> dict[str, Any]:
    """Return the settings with the seed, where the lab has one."""
    from thalweg.errors import TaskError

    if seed is None or not lab.has_seed:
        return {**settings}
    if "seed" in settings:
        raise TaskError("The seed is given twice: by --seed and by --set seed=….")
    return {**settings, "seed": seed}


def _write(result: LabResult, page: Path, *, over: bool) -> None:
    """Compute the stops of the slider, and write the page."""
    from thalweg.cli.shared.console import err
    from thalweg.labs import sweep, write_lab_page

    with _progress() as show:
        found = sweep(result, show)
    write_lab_page(found, page, over=over)
    err().print(f"Picture: {page}", markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Show | None]:
    """Give a function that shows how many stops are computed, as a bar on a terminal; elsewhere None."""
    from thalweg.cli.shared.console import err

    console = err()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(
        BarColumn(bar_width=28),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    ) as bar:
        row = bar.add_task("", total=None)

        def show(done: int, planned: int, what: str) -> None:
            bar.update(row, completed=done, total=planned, description=what, refresh=True)

        yield show


def _end(result: LabResult) -> None:
    from thalweg.cli.shared.exits import FAILED, complain

    missed = sum(not finding.holds for finding in result.findings)
    if missed:
        complain(f"{plural(missed, 'finding')} of {len(result.findings)} not as theory says.")
        raise typer.Exit(FAILED)


def _read(settings: list[str] | None) -> dict[str, str]:
    """Read settings such as rows=100.

    >>> _read(["rows=100", "alphas=0.1,1"])
    {'rows': '100', 'alphas': '0.1,1'}
    """
    from thalweg.errors import TaskError

    found: dict[str, str] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise TaskError(f"--set expects NAME=VALUE, such as rows=100; got {text!r}.")
        if name.strip() in found:
            raise TaskError(f"--set gives {name.strip()} twice.")
        found[name.strip()] = value.strip()
    return found


def _list(
    settings: list[str] | None, out: Path | None, others: list[Any], *, as_json: bool
) -> None:
    from rich.text import Text

    from thalweg.cli.shared.console import out as console
    from thalweg.cli.shared.console import print_json
    from thalweg.errors import TaskError
    from thalweg.labs import LABS

    if settings or out is not None or any(each is not None for each in others):
        raise TaskError(
            "--slider, --seed, --set and --out need the name of a lab, as in `thalweg lab lasso`."
        )
    if as_json:
        print_json({"labs": [each.about() for each in LABS.values()]})
        return
    for each in LABS.values():
        shown, slider = console(), each.slider
        shown.print(Text(each.name, style="bold"), Text(each.title), sep="  ", soft_wrap=True)
        line = f"  --slider {slider.default:g}  {slider.name}: {slider.about}, {slider.range}"
        shown.print(line, markup=False, soft_wrap=True)
        for row in each.about()["settings"]:
            line = f"  --set {row['name']}={row['default']}  {row['about']}"
            shown.print(line, style="dim", markup=False, soft_wrap=True)
