"""`thalweg movie`: optimizers on their way over a surface, in a page that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.shared.values import path_of, seed_of

if TYPE_CHECKING:
    from thalweg.movies.page import SurfaceMovie

EXAMPLES = (
    "thalweg movie rosenbrock -o sgd,momentum,adam,lion",
    "thalweg movie bowl -o gd,coordinate,newton --lr 0.05 --start=-3,3",
    "thalweg movie saddle --noise 0.1 --gif saddle.gif",
    "thalweg movie my_surface.py --steps 300 --view=-2,2,-2,2",
    "thalweg movie digits-adam-1 --out digits.html",
)


def movie(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A surface by name, or file.py with a function surface(x, y), or a run with gauges; without "
            "it, lists the surfaces.",
            show_default=False,
        ),
    ] = "",
    optimizers: Annotated[
        str | None,
        typer.Option(
            "--optimizers",
            "-o",
            help="Names separated by commas; also gd, coordinate, solvers such as newton, cg, lbfgs, and "
            "file.py:name.",
            show_default="seven",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of all optimizers.", show_default="each the best of a grid"
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of each path.")] = 200,
    start: Annotated[
        str | None, typer.Option(help="Start x,y of all paths.", show_default="the surface's")
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(help="The view: left,right,bottom,top.", show_default="the surface's"),
    ] = None,
    noise: Annotated[
        float, typer.Option(help="Standard deviation on each coordinate of the gradient.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", parser=seed_of, metavar="N")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to write.", show_default="movie-NAME.html", parser=path_of, metavar="PATH"
        ),
    ] = None,
    gif: Annotated[
        Path | None,
        typer.Option(help="Also write an animated picture.", parser=path_of, metavar="PATH"),
    ] = None,
    mp4: Annotated[
        Path | None,
        typer.Option(help="Also write a film.", parser=path_of, metavar="PATH"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print paths and losses as one JSON document.")
    ] = False,
) -> None:
    """Watch optimizers move over a surface, and change their settings.

    Writes a page with contour lines, paths and losses. In the page the start
    can be dragged and the rates changed: the optimizers run again there, by
    the rules that the package runs, printed as JavaScript. Solvers are shown
    as recorded. A surface of your own is a function of two PyTorch numbers.
    """
    from thalweg.cli.shared.console import err, print_json
    from thalweg.cli.shared.console import out as console
    from thalweg.cli.shared.values import checked_rate, read_names
    from thalweg.errors import TaskError
    from thalweg.movies.gif import check_gif, write_gif
    from thalweg.movies.mp4 import check_mp4, write_mp4
    from thalweg.movies.page import DEFAULT_WALKERS, surface_movie, write_movie
    from thalweg.movies.surfaces import find_surface
    from thalweg.movies.walkers import Course
    from thalweg.report.parts.target import free_page

    if not target:
        _list(as_json=as_json)
        return
    if _of_run(target, out, over=force, as_json=as_json):
        return
    checked_rate(lr)
    names = read_names(optimizers) or (DEFAULT_WALKERS if optimizers is None else ())
    if not names:
        raise TaskError("--optimizers is empty; give names such as sgd,momentum,adam.")
    if Path(target).is_dir():
        raise TaskError(
            f"{target} is a folder. A movie needs a surface: `thalweg movie` lists them."
        )
    surface = find_surface(target, _numbers("--start", start), _numbers("--view", view))
    page = free_page(out or _page_of(surface.name), "The page of a movie", "--out", over=force)
    if gif is not None:
        check_gif(gif, over=force)
    if mp4 is not None:
        check_mp4(mp4, over=force)
    made = surface_movie(Course(surface, steps, noise, seed), names, lr)
    write_movie(made, page, over=force)
    if as_json:
        print_json(made.to_dict())
    else:
        for line in _lines(made):
            console().print(line, markup=False, soft_wrap=True)
    err().print(f"Movie: {page}", markup=False, soft_wrap=True)
    if gif is not None:
        err().print(f"GIF: {write_gif(made, gif, over=force)}", markup=False, soft_wrap=True)
    if mp4 is not None:
        err().print(f"Film: {write_mp4(made, mp4, over=force)}", markup=False, soft_wrap=True)


def _of_run(target: str, out: Path | None, *, over: bool, as_json: bool) -> bool:
    """Write the movie of a run, if the target is one; return whether it is."""
    from thalweg.cli.shared.console import err, print_json
    from thalweg.cli.train import RUNS
    from thalweg.movies.of_run import find_run, run_record, write_run_movie

    run = find_run(target, [RUNS])
    if run is None:
        return False
    page = write_run_movie(run, out or _page_of(run.name), over=over)
    if as_json:
        print_json(run_record(run))
    err().print(f"Movie: {page}", markup=False, soft_wrap=True)
    return True


def _page_of(name: str) -> Path:
    import re

    return Path(f"movie-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.html")


def _numbers(option: str, text: str | None) -> list[float] | None:
    """Read numbers separated by commas.

    >>> _numbers("--start", "-1.2, 1")
    [-1.2, 1.0]
    """
    from thalweg.errors import TaskError

    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise TaskError(f"{option} expects numbers separated by commas; got {text!r}.") from None


def _lines(movie: SurfaceMovie) -> list[str]:
    """Return a line for each walker: its rate, and where it ends."""
    from thalweg.movies.walkers import losses

    widest = max(len(each.name) for each in movie.walkers)
    found = []
    for each in movie.walkers:
        rate = f"lr {each.lr:<8.3g}" if each.lr is not None else " " * 11
        x, y = each.path[-1]
        f = losses(movie.surface, each.path[-1:])[0]
        found.append(f"{each.name:<{widest}}  {rate} f = {f:<10.4g} at ({x:.4g}, {y:.4g})")
    return found


def _list(*, as_json: bool) -> None:
    from thalweg.cli.shared.console import out, print_json
    from thalweg.movies.surfaces import SHOWN, find_surface

    about = {name: find_surface(name).about for name in SHOWN}
    if as_json:
        print_json({"surfaces": about})
        return
    for name, words in about.items():
        out().print(f"{name:<12}{words}", markup=False, soft_wrap=True)
