"""The command `thalweg` and its verbs, one file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from thalweg.cli import (
    curvature,
    doctor,
    explain,
    graph,
    init,
    lab,
    landscape,
    listing,
    lr,
    movie,
    new,
    predict,
    race,
    routes,
    runs,
    train,
)
from thalweg.cli.shared.exits import Verb, Verbs
from thalweg.version import __version__


def _examples(lines: Sequence[str]) -> str:
    return "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="thalweg",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=_examples(
        [
            part.EXAMPLES[0]
            for part in (
                *(race, train, doctor, runs, lr, init, routes, curvature, graph),
                *(landscape, lab, movie, new, explain, listing),
            )
        ]
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("race", cls=Verb, epilog=_examples(race.EXAMPLES))(race.race)
app.command("train", cls=Verb, epilog=_examples(train.EXAMPLES))(train.train)
app.command("runs", cls=Verb, epilog=_examples(runs.EXAMPLES))(runs.runs)
app.command("predict", cls=Verb, epilog=_examples(predict.EXAMPLES))(predict.predict)
app.command("doctor", cls=Verb, epilog=_examples(doctor.EXAMPLES))(doctor.doctor)
app.command("lr", cls=Verb, epilog=_examples(lr.EXAMPLES))(lr.lr)
app.command("init", cls=Verb, epilog=_examples(init.EXAMPLES))(init.init)
app.command("routes", cls=Verb, epilog=_examples(routes.EXAMPLES))(routes.routes)
app.command("curvature", cls=Verb, epilog=_examples(curvature.EXAMPLES))(curvature.curvature)
app.command("graph", cls=Verb, epilog=_examples(graph.EXAMPLES))(graph.graph)
app.command("landscape", cls=Verb, epilog=_examples(landscape.EXAMPLES))(landscape.landscape)
app.command("lab", cls=Verb, epilog=_examples(lab.EXAMPLES))(lab.lab)
app.command("movie", cls=Verb, epilog=_examples(movie.EXAMPLES))(movie.movie)
app.command("new", cls=Verb, epilog=_examples(new.EXAMPLES))(new.new)
app.command("explain", cls=Verb, epilog=_examples(explain.EXAMPLES))(explain.explain)
app.command("list", cls=Verb, epilog=_examples(listing.EXAMPLES))(listing.list_everything)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"thalweg {__version__}")
        raise typer.Exit


@app.callback()
def thalweg(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Optimization for deep learning: race optimizers, train with one, see what there is."""
