"""`thalweg predict`: what the model of a run says of rows in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thalweg.cli.shared.values import path_of, read_names
from thalweg.cli.train import RUNS

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = (
    "thalweg predict digits-adam-1 new.npz --output class",
    "thalweg predict runs/mine-adam-1 new.csv --columns age,height --out said.csv",
    "thalweg predict runs/flats-adam-1 flats.csv",
    "thalweg predict digits-adam-1 test --output probability",
)


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="The folder of a run, or its name in runs.", parser=path_of
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Rows: a file .npz, .npy, .csv or .parquet; or train, validation or test: those of the "
            "task.",
            parser=path_of,
        ),
    ],
    output: Annotated[
        str, typer.Option(help="raw outputs, probability or class, as the loss means them.")
    ] = "raw",
    columns: Annotated[
        str | None,
        typer.Option(help="Of a CSV, the columns to read, by name.", show_default="all"),
    ] = None,
    array: Annotated[
        str | None,
        typer.Option(help="Of a .npz, the array to read.", show_default="x, or the only one"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .npz, .npy or .csv.",
            show_default="CSV on the standard output",
            parser=path_of,
            metavar="PATH",
        ),
    ] = None,
) -> None:
    """Print the predictions of a run's model for new rows, one line each.

    Rows are in the units of the data that the run was trained on; or they are
    those of a set of its task, train, validation or test. A run on a table
    finds its columns by name, and says classes by their names. The task is
    loaded again to build the model; nothing in the run's folder is executed.
    """
    import numpy as np

    from thalweg.cli.shared.pages import run_folder
    from thalweg.errors import TaskError
    from thalweg.tasks.formats.tables import ENDINGS, read_rows, rows_as_csv, write_rows
    from thalweg.tasks.tables.frames import ENDINGS as TABLES
    from thalweg.train import load_run
    from thalweg.train.trained.trained import is_set

    if output not in ("raw", "probability", "class"):
        raise TaskError(f"--output must be raw, probability or class; got {output!r}.")
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise TaskError(f"--out must be a file .npz, .npy or .csv; got {out}.")
    saved = load_run(run_folder(run, RUNS))
    rows: Any = data
    if is_set(str(data)) and not data.exists():
        if columns is not None or array is not None:
            raise TaskError("--columns and --array apply to files, but DATA is a set of the task.")
        rows = str(data)
    elif saved.task.data.columns is None or data.suffix.lower() not in TABLES:
        rows = read_rows(data, columns=read_names(columns), array=array)
    elif columns is not None or array is not None:
        raise TaskError(
            "The run was trained on a table and knows its columns by name: no --columns."
        )
    said = _numbers(saved.predict(rows, output))  # type: ignore[arg-type]  # one of the three
    classes = saved.task.data.classes
    if output == "class" and classes and (out is None or out.suffix.lower() == ".csv"):
        said = np.array(classes)[said]
    if out is None:
        typer.echo(rows_as_csv(said), nl=False)
    else:
        write_rows(out, said)


def _numbers(said: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    from thalweg.errors import TaskError

    if not isinstance(said, np.ndarray):
        raise TaskError(
            f"The model gives {type(said).__name__}, no one array: predict in Python, by "
            "load_run(folder).predict(x)."
        )
    return said
