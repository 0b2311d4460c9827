"""`race`: which optimizer trains a task fastest?"""

from __future__ import annotations

from typing import Any

from thalweg.race.arguments import RaceArguments, takes
from thalweg.race.result import RaceResult
from thalweg.race.runner import Race


@takes(RaceArguments)
def race(*arguments: Any, **settings: Any) -> RaceResult:
    """Race optimizers on a task: which one trains it fastest?

    Each entrant is tuned with the same budget, then judged at its best point on other seeds, and on
    more of them where they decide. A seed fixes the initial weights and the order of the data for all
    entrants alike. Entrants are ranked by the geometric mean of the steps (or seconds, or gradients)
    until a validation figure reaches the target; a trial that misses it, diverges or raises counts
    with its whole budget. Medians, in which a miss is infinite, are reported as well. Entrants that
    the data do not tell apart are called not distinguishable.

    Args:
        task: a `Task`, the name of a built-in one, or "file.py:function".
        entrants: names, `Entrant`s, optimizer classes or chains, or a mapping of names of your own
            to them; None: SGD, momentum, Nesterov, Adagrad, RMSprop, Adam.
        lrs: learning rates for everyone; None: for each entrant a grid of its own, all of the same
            length.
        trials: how many points tune an entrant; None: nine, or as many as learning rates are given.
        search: how points are found: "grid", which widens where the best rate lies on its edge, and
            is refined otherwise; "quasi-random"; "halving"; "tpe" (with optuna). None: the grid,
            or quasi-random where an entrant searches more than its learning rate.
        seeds: how many seeds tune, or which.
        final_seeds: how many other seeds judge, or which.
        more_seeds: how many more seeds are run where they decide: after tuning for the points of an
            entrant that are close, before one is chosen; and after the final for the entrants that may
            be the best, who are then judged by all of them. 0: none; None: as many as the final
            has, none where it has fewer than seven, which can tell nothing at the first look.
        epochs: passes over the training set in each trial; None: the task's own number.
        batch_size: rows in a batch; None for all of them; "task": the task's own number. An `Entrant`
            may have its own. Every trial has the budget of so many epochs, whatever its batches.
        target: the figure to reach, instead of the task's own; a number is one of the same metric.
            Where there is none at all, the race sets it after tuning: the best baseline (Adam,
            AdamW, NAdam, NAdamW, momentum, Nesterov; of a race without them everyone) is run again
            at its best point on eight fresh seeds, and the third worst of the best figures that
            these trials reach in their first three quarters is the target.
        by: what decides: "steps", "seconds" or "gradients"; None: steps, or gradients where an
            entrant computes several in a step, as L-BFGS and SAM do, or has its own batch size. A
            gradient is one over as many rows as a batch of the task has.
        out: the folder of the records; None writes nothing. Trials of the very same configuration
            that are finished there, or diverged, are used again; those that failed are tried again.
        fresh: run those again as well; the old records are kept under another name.
        device: where the models are trained, such as "cuda"; None: where the task builds them, as a
            rule on the CPU. Initial weights, the order of the data and noise in the model are drawn
            on the CPU all the same, so that trials compare with those of other devices. On a device
            trials run in this process, one after another or in stacks.
        threads: threads of torch; None: one for a small model, else as many as torch uses.
        stack: whether models train together as one program: True, False, or how many at most; None:
            where a short measurement says that it pays.
        executor: "local", or "ray" for the workers of a Ray cluster, which is fully trusted.
        workers: how many trials or stacks this machine runs at once, in processes of their own; None:
            as many as its cores have room for. The records do not depend on it.
        progress: called before each trial or stack, and after the last.
        command: the command line that asked for the race, for its report.

    Raises:
        TypeError: for an argument that a race does not have.
        TaskError: for a task, entrant, budget or device that cannot be used.
        KeyboardInterrupt: if interrupted; what was finished is in `out`, and the same call goes on
            from there.

    Example:
        >>> result = race(
        ...     "digits", ["sgd", "adam"], [0.01], seeds=1, final_seeds=2, epochs=1, out=None
        ... )
        >>> len(result.records), result.standings[0].entrant
        (6, 'adam')

    Sources: entrants tuned with one budget each, and time to a target with misses censored:
    F. Schneider et al., DeepOBS, ICLR 2019; G. Dahl et al., Benchmarking Neural Network Training
    Algorithms, 2023.
    """
    contest = Race(*arguments, **settings)
    contest.run()
    return contest.result()
