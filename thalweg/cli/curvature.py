"""`thalweg curvature`: how a task's loss bends where an optimizer has brought the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch
    from torch import nn

    from thalweg.curvature.sharpness import Edge
    from thalweg.curvature.summary import CurvatureSummary
    from thalweg.curvature.trace import Estimate
    from thalweg.tasks import Task

EXAMPLES = (
    "thalweg curvature digits",
    "thalweg curvature digits_cnn --optimizer momentum --lr 0.05 --epochs 5",
    "thalweg curvature my_task.py --epochs 0 --matrix ggn --rows 512",
    "thalweg curvature my_task.py:make --json",
)


def curvature(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A built-in task, or file.py, or file.py:function."),
    ],
    optimizer: Annotated[
        str, typer.Option("--optimizer", "-o", help="Trains the model, and has the sharpness.")
    ] = "adam",
    lr: Annotated[
        float | None, typer.Option(help="Its learning rate.", show_default="its own")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Epochs before measuring; 0 for none.")] = 1,
    matrix: Annotated[str, typer.Option(help="hessian, ggn or fisher.")] = "hessian",
    rows: Annotated[int, typer.Option(help="Rows of the training set that are used.")] = 1024,
    k: Annotated[int, typer.Option("-k", help="Eigenvalues at each end.")] = 1,
    most: Annotated[int, typer.Option(help="Products for them, at most.")] = 100,
    probes: Annotated[int, typer.Option(help="Random vectors of the density.")] = 6,
    by_layer: Annotated[
        bool, typer.Option(" /--no-layers", help="Leave out the eigenvalues by layer.")
    ] = True,
    training: Annotated[
        bool, typer.Option("--training", help="Keep dropout and batch norm in training mode.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the run and of the random vectors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure how the loss bends where training has led.

    Trains for some epochs, then prints the largest and the smallest
    eigenvalues of the loss's Hessian, of all and by layer, its trace and
    density, the noise scale, and the sharpness beside what the optimizer is
    stable at. Each figure comes with its error and what it cost: 1 gradient
    is one over the rows used.
    """
    from thalweg.cli.values import checked_rate
    from thalweg.curvature.summary import Effort, summarise
    from thalweg.tasks import load_task
    from thalweg.train.threads import threads_for, torch_threads

    _check(matrix, epochs=epochs, rows=rows, k=k, most=most, probes=probes)
    checked_rate(lr)
    subject = load_task(task)
    with torch_threads(threads_for(subject)):
        model, stepped = _trained(subject, optimizer, lr, epochs, seed)
        edge, notes = _edge(stepped, model)
        effort = Effort(k=k, most=most, probes=probes, seed=seed)
        found = summarise(
            _operator(matrix, model, subject, rows, training, seed),
            edge=edge,
            batches=_batches(subject, model, subject.batch_size, rows, seed),
            effort=effort,
            by_layer=by_layer,
            notes=notes,
        )
    about = {"task": subject.name, "optimizer": optimizer, "epochs": epochs, "matrix": matrix}
    _show(found, {"schema": "thalweg.curvature/1", **about, "seed": seed}, as_json=as_json)


def _check(matrix: str, *, epochs: int, **counts: int) -> None:
    from thalweg.errors import TaskError, suggest

    known = ("hessian", "ggn", "fisher")
    if matrix not in known:
        raise TaskError(
            f"--matrix is hessian, ggn or fisher; got {matrix!r}.{suggest(matrix, known)}"
        )
    if epochs < 0:
        raise TaskError(f"--epochs is a whole number ≥ 0; got {epochs}.")
    for name, count in counts.items():
        if count < 1:
            raise TaskError(f"{'-k' if name == 'k' else f'--{name}'} is at least 1; got {count}.")


def _trained(
    task: Task, optimizer: str, lr: float | None, epochs: int, seed: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a model that was trained for so many epochs, and the optimizer that did it."""
    import torch

    from thalweg.train.randomness import isolated, seed_weights
    from thalweg.train.recipe import Recipe

    recipe = Recipe(task, optimizer, lr, epochs=max(epochs, 1), seed=seed)
    if epochs:
        run = recipe.fit()
        return run.model, run.optimizer
    with isolated():
        seed_weights(seed, torch.device("cpu"))
        model = task.build()
    return model, recipe.bind(model)


def _edge(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> tuple[Edge | None, tuple[str, ...]]:
    from thalweg.curvature.sharpness import edge_of
    from thalweg.errors import TaskError

    try:
        return edge_of(optimizer, model), ()
    except TaskError as error:
        return None, (str(error),)


def _batches(task: Task, model: nn.Module, size: int | None, rows: int, seed: int) -> list[Any]:
    """Return batches of the training set, in an order drawn from the seed, up to so many rows."""
    from thalweg.tasks.batches import Order
    from thalweg.tasks.place import place_of
    from thalweg.train.evaluate import count_rows

    found, taken = [], 0
    for inputs, targets in task.data.train.batches(size, Order(seed), place=place_of(model)):
        found.append((inputs, targets))
        taken += count_rows(targets, inputs)
        if taken >= rows:
            break
    return found


def _operator(
    matrix: str, model: nn.Module, task: Task, rows: int, training: bool, seed: int
) -> Any:
    from thalweg.curvature.operators import fisher, ggn, hessian

    make: Any = {"hessian": hessian, "ggn": ggn, "fisher": fisher}[matrix]
    data = _batches(task, model, rows, rows, seed)
    return make(model, task.cost, data, training=training)


def _show(found: CurvatureSummary, about: dict[str, Any], *, as_json: bool) -> None:
    from thalweg.cli.console import out, print_json

    if as_json:
        print_json({**about, **found.to_dict()})
        return
    console = out()
    heading = "{matrix} of {task}, epochs of {optimizer}: {epochs}".format(**about)
    console.print(f"{heading}; {found.parameters} parameters, {found.mode}", markup=False)
    for name, figure, cost in _lines(found):
        console.print(f"  {name:<26}{figure:<36}{cost}", markup=False, soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    console.print(f"{found.spent:.0f} gradients in all", markup=False)


def _lines(found: CurvatureSummary) -> list[tuple[str, str, str]]:
    """Return the lines of the table: what it is, the figure with its error, what it cost."""
    ends = found.ends
    lines = []
    for name, pairs in (
        ("largest eigenvalue", ends.largest),
        ("smallest eigenvalue", ends.smallest),
    ):
        for value, error in zip(pairs.values.tolist(), pairs.residuals.tolist(), strict=True):
            lines.append((name, f"{value:.4g} ± {error:.1g}", _cost(ends.gradients)))
    lines.append(("condition", f"{ends.condition():.4g}", ""))
    lines.append(("trace", str(found.trace), _cost(found.trace.gradients)))
    lines.append(_line("share below -1 % of it", found.negative_share()))
    if found.noise is not None:
        lines.append(_line(f"noise scale, rows of {found.noise.rows}", found.noise.scale))
    if found.sharpness is not None:
        edge = found.sharpness.edge
        lines.append(_line(f"sharpness of {edge.name}", found.sharpness.value))
        lines.append(("  stable up to", f"{edge.largest:.4g}", f"lr {edge.lr:g}"))
        lines.append(("  share of that", f"{found.sharpness.ratio:.3g}", ""))
    for name, each in found.layers.items():
        low, high = each.bottom, each.top
        figure = f"{low.value:.3g} ± {low.stderr:.1g} to {high.value:.4g} ± {high.stderr:.1g}"
        lines.append((f"layer {name or '(the model)'}", figure, _cost(each.gradients)))
    return lines


def _line(name: str, estimate: Estimate) -> tuple[str, str, str]:
    return name, str(estimate), _cost(estimate.gradients)


def _cost(gradients: float) -> str:
    from thalweg.cli.console import counted

    return counted(round(gradients), "gradient") if gradients else ""
