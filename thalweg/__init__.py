"""thalweg: optimization for deep learning, on PyTorch.

    from thalweg import optim                 torch.optim's optimizers, same numbers, faster
    from thalweg import rule, chain           write an update rule as its equation
    from thalweg import Optimizer, route      one optimizer, a chain for each kind of parameter
    thalweg.meta.SAM(optimizer)               wrappers: SAM, accumulation, gradients that are not finite
    from thalweg import Task, Cost, fit       a recipe: data, cost, model, optimizer
    thalweg.summary(model, x)                 a table of its layers
    thalweg.find_lr(task, optim.Adam)         about which learning rate?
    thalweg.race(task)                        which optimizer trains this task fastest?
    thalweg.minimize(fun, x0, "lbfgs")        a deterministic objective, by curvature
    from thalweg import init                  how a model starts: strategies over its layers
    thalweg.curvature.hessian(model, …)       products with it: spectra, traces, sharpness
    thalweg.strategies.curriculum()           how a recipe is trained: give it to fit or a race
    thalweg.doctor.Doctor(model, optimizer)   why is this training slow or bad?
    thalweg.labs.run("lasso")                 a phenomenon, measured and compared with theory

Everything is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.version import __version__

if TYPE_CHECKING:
    from thalweg import (
        curvature,
        doctor,
        init,
        labs,
        meta,
        optim,
        rules,
        schedules,
        solvers,
        strategies,
        tasks,
        testing,
    )
    from thalweg.engine import (
        Chain,
        ColumnsByColumns,
        EachColumn,
        EachRow,
        Link,
        RowsByRows,
        Rule,
        Scalar,
        best_orthogonal,
        chain,
        dimensions,
        gram,
        gram_of_columns,
        largest,
        matrix_function,
        mean,
        newton_schulz,
        noise,
        norm,
        rule,
        total,
    )
    from thalweg.errors import (
        CheckpointError,
        DataError,
        DivergedError,
        EngineError,
        MissingExtraError,
        RuleError,
        TaskError,
        ThalwegError,
    )
    from thalweg.objective import L1, L2, Cost, Metric
    from thalweg.optim import Optimizer
    from thalweg.optim.routing.route import route
    from thalweg.race import race
    from thalweg.report import plot_range_test, plot_schedules
    from thalweg.solvers import flat_objective, least_squares, minimize, minimize_many
    from thalweg.tasks import Data, Target, Task, load_task
    from thalweg.train import (
        Callback,
        Checkpoint,
        EarlyStopping,
        RangeTest,
        Recipe,
        Run,
        find_lr,
        load_run,
        summary,
    )
    from thalweg.train.fit import fit

_HOME = {
    "thalweg": (
        "curvature",
        "doctor",
        "init",
        "labs",
        "meta",
        "optim",
        "race",
        "rules",
        "schedules",
        "solvers",
        "strategies",
        "tasks",
        "testing",
    ),
    "thalweg.engine": (
        "Chain",
        "ColumnsByColumns",
        "EachColumn",
        "EachRow",
        "Link",
        "RowsByRows",
        "Rule",
        "Scalar",
        "best_orthogonal",
        "chain",
        "dimensions",
        "gram",
        "gram_of_columns",
        "largest",
        "matrix_function",
        "mean",
        "newton_schulz",
        "noise",
        "norm",
        "rule",
        "total",
    ),
    "thalweg.errors": (
        *("CheckpointError", "DataError", "DivergedError", "EngineError"),
        *("MissingExtraError", "RuleError", "TaskError", "ThalwegError"),
    ),
    "thalweg.objective": ("L1", "L2", "Cost", "Metric"),
    "thalweg.optim": ("Optimizer",),
    "thalweg.optim.routing.route": ("route",),
    "thalweg.report": ("plot_range_test", "plot_schedules"),
    "thalweg.solvers": ("flat_objective", "least_squares", "minimize", "minimize_many"),
    "thalweg.tasks": ("Data", "Target", "Task", "load_task"),
    "thalweg.train": (
        "Callback",
        "Checkpoint",
        "EarlyStopping",
        "RangeTest",
        "Recipe",
        "Run",
        "find_lr",
        "fit",
        "load_run",
        "summary",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "L1",
    "L2",
    "Callback",
    "Chain",
    "Checkpoint",
    "CheckpointError",
    "ColumnsByColumns",
    "Cost",
    "Data",
    "DataError",
    "DivergedError",
    "EachColumn",
    "EachRow",
    "EarlyStopping",
    "EngineError",
    "Link",
    "Metric",
    "MissingExtraError",
    "Optimizer",
    "RangeTest",
    "Recipe",
    "RowsByRows",
    "Rule",
    "RuleError",
    "Run",
    "Scalar",
    "Target",
    "Task",
    "TaskError",
    "ThalwegError",
    "__version__",
    "best_orthogonal",
    "chain",
    "curvature",
    "dimensions",
    "doctor",
    "find_lr",
    "fit",
    "flat_objective",
    "gram",
    "gram_of_columns",
    "init",
    "labs",
    "largest",
    "least_squares",
    "load_run",
    "load_task",
    "matrix_function",
    "mean",
    "meta",
    "minimize",
    "minimize_many",
    "newton_schulz",
    "noise",
    "norm",
    "optim",
    "plot_range_test",
    "plot_schedules",
    "race",
    "route",
    "rule",
    "rules",
    "schedules",
    "solvers",
    "strategies",
    "summary",
    "tasks",
    "testing",
    "total",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        from thalweg.errors import suggest

        raise AttributeError(f"module 'thalweg' has no attribute {name!r}.{suggest(name, __all__)}")
    if module == __name__:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
