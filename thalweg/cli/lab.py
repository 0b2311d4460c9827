"""`thalweg lab`: see a phenomenon of optimization, measured and compared with theory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.shared.values import path_of

if TYPE_CHECKING:
    from thalweg.labs import LabResult

EXAMPLES = (
    "thalweg lab",
    "thalweg lab ill-conditioning",
    "thalweg lab coordinate-descent --set alphas=0.01,1 --out slow.html",
    "thalweg lab lasso --json",
)


def lab(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which lab.", show_default="lists them"),
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

    Without a name, lists the labs and their settings. With one, says what to
    see and why, what was found beside what theory says, and writes a page
    with the picture. The exit code is 1 if a finding misses theory.
    """
    if name is None:
        _list(settings, out, as_json=as_json)
        return
    from thalweg.cli.shared.console import err, print_json
    from thalweg.cli.shared.console import out as console
    from thalweg.errors import MissingExtraError
    from thalweg.labs import find, write_lab_page
    from thalweg.labs.page import check_page

    found = find(name)
    page = check_page(Path(f"lab-{found.name}.html") if out is None else out, over=force)
    result = found.run(_read(settings))
    if as_json:
        print_json(result.to_dict())
    else:
        console().print(str(result), markup=False, soft_wrap=True)
    try:
        write_lab_page(result, page, over=force)
    except MissingExtraError as error:  # what was found is worth having without a picture
        err().print(str(error), style="yellow", markup=False, soft_wrap=True)
    else:
        err().print(f"Picture: {page}", markup=False, soft_wrap=True)
    _end(result)


def _end(result: LabResult) -> None:
    from thalweg.cli.shared.console import counted
    from thalweg.cli.shared.exits import FAILED, complain

    missed = sum(not finding.holds for finding in result.findings)
    if missed:
        complain(f"{counted(missed, 'finding')} of {len(result.findings)} not as theory says.")
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


def _list(settings: list[str] | None, out: Path | None, *, as_json: bool) -> None:
    from rich.text import Text

    from thalweg.cli.shared.console import out as console
    from thalweg.cli.shared.console import print_json
    from thalweg.errors import TaskError
    from thalweg.labs import LABS

    if settings or out is not None:
        raise TaskError("--set and --out are of one lab: name it, as in `thalweg lab lasso`.")
    if as_json:
        print_json({"labs": [each.about() for each in LABS.values()]})
        return
    for each in LABS.values():
        shown = console()
        shown.print(Text(each.name, style="bold"), Text(each.title), sep="  ", soft_wrap=True)
        for row in each.about()["settings"]:
            line = f"  --set {row['name']}={row['default']}  {row['about']}"
            shown.print(line, style="dim", markup=False, soft_wrap=True)
