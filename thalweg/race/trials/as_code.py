"""An entrant as code to paste into a training script."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import torch

from thalweg import optim, rules, schedules
from thalweg.engine import Chain, Link, Rule
from thalweg.engine.language.chain import chain
from thalweg.numeric import is_schedule
from thalweg.optim.routing.route import Routing
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.trials.point import Point
from thalweg.schedules import Schedule
from thalweg.tasks.initialize import text_of
from thalweg.train.optimizers.known import needs_model

_NAMES = re.compile(rf"\b({'|'.join(schedules.__all__)})\(")


def code_of(entrant: Entrant, point: Point, steps: int | None) -> str:
    """Return Python that builds the entrant's optimizer at a point, for `model`.

    Args:
        entrant: whose optimizer it is.
        point: its learning rate and other hyperparameters.
        steps: those of a trial, for a schedule.

    What is the user's own, a function or a rule, is called by its name, and a comment says so.

    >>> from thalweg.race.entrants.known import find_entrant
    >>> print(code_of(find_entrant("momentum+cosine"), Point(0.1), 300))
    from thalweg import optim, schedules
    <BLANKLINE>
    optimizer = optim.SGD(
        model.parameters(), lr=schedules.cosine(0.1, steps=300), momentum=0.9
    )
    """
    factory: Any = entrant.factory
    values = {**entrant.hyperparameters, **dict(point.others)}
    while isinstance(factory, functools.partial) and not factory.args:
        factory, values = factory.func, {**factory.keywords, **values}
    rate: Any = entrant.rate(point.lr, steps) if steps is not None else point.lr
    page = _Page()
    after = ""
    if is_schedule(rate) and not entrant.takes_schedules:
        share = page.value("lr", entrant.schedule_factor(point.lr, steps))
        after = (
            f"\nscheduler = schedules.scheduler(optimizer, {share})  # call its step() after each"
        )
        rate = point.lr
    arguments = {name: page.value(name, value) for name, value in {"lr": rate, **values}.items()}
    if isinstance(factory, Routing):
        rate_code = arguments.pop("lr")
        chosen = factory.with_values(values)
        page.uses("thalweg", "Optimizer")
        call = _call("Optimizer", ["model", page.routing(chosen), f"lr={rate_code}"])
    elif isinstance(factory, (Chain, Link, Rule)):
        call = _of_chain(factory if isinstance(factory, Chain) else chain(factory), arguments, page)
    else:
        call = _of_function(factory, arguments, page)
    start = text_of(entrant.init)
    if start is not None:
        page.notes.append(f"# The model was started by thalweg.init's strategy {start}.")
    if entrant.batch_size != "race":
        size = entrant.batch_size
        rows = "all rows at once" if size is None else f"batches of {size} rows"
        page.notes.append(f"# It was trained on {rows}.")
    if entrant.strategy is not None:
        page.notes.append(f"# It was trained by the strategy {entrant.strategy}.")
    return "\n".join([*page.lines(), *page.notes, call]) + after


class _Page:
    """The imports and the notes that go with the code."""

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}
        self.notes: list[str] = []

    def lines(self) -> list[str]:
        lines = [
            f"from {module} import {', '.join(sorted(names))}" if names else f"import {module}"
            for module, names in sorted(self.imports.items())
        ]
        return [*lines, ""] if lines else []

    def uses(self, module: str, *names: str) -> None:
        self.imports.setdefault(module, set()).update(names)

    def own(self, value: Any, otherwise: str, what: str) -> str:
        """The name of something of the user's, which a note points out."""
        name = str(getattr(value, "__name__", None) or getattr(value, "name", None) or "")
        name = name if name.isidentifier() else otherwise
        note = f"# {name} is {what} of your own."
        if note not in self.notes:
            self.notes.append(note)
        return name

    def value(self, name: str, value: Any) -> str:
        """The value of a hyperparameter, as code."""
        if isinstance(value, Schedule):
            self.uses("thalweg", "schedules")
            return _NAMES.sub(r"schedules.\1(", repr(value))
        if isinstance(value, (Chain, Link, Rule)):
            return self.chain(value)
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if isinstance(value, list | tuple):
            inner = ", ".join(self.value(name, item) for item in value)
            if isinstance(value, list):
                return f"[{inner}]"
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        text = repr(value)
        return self.own(value, name, "a value") if text.startswith("<") else text

    def chain(self, value: Chain | Link | Rule) -> str:
        """A chain, a link or a rule, as code."""
        if isinstance(value, Rule):
            return self.rule(value)
        if isinstance(value, Chain):
            self.uses("thalweg", "chain")
        for link in value.links if isinstance(value, Chain) else (value,):
            self.rule(link.rule)
        return repr(value)

    def routing(self, value: Routing) -> str:
        """Chains by route, as code."""
        self.uses("thalweg", "route")
        for each in value.chains.values():
            self.chain(each)
        return repr(value)

    def rule(self, value: Rule) -> str:
        if getattr(rules, value.name, None) is value:
            self.uses("thalweg.rules", value.name)
            return str(value.name)
        return self.own(value, value.name, "a rule")


def _of_function(factory: Any, arguments: dict[str, str], page: _Page) -> str:
    name = getattr(factory, "__name__", "")
    first = "model" if needs_model(factory) else "model.parameters()"
    each = [first, *(f"{key}={text}" for key, text in arguments.items())]
    if name and getattr(optim, name, None) is factory:
        page.uses("thalweg", "optim")
        return _call(f"optim.{name}", each)
    if name and getattr(torch.optim, name, None) is factory:
        page.uses("torch")
        return _call(f"torch.optim.{name}", each)
    return _call(page.own(factory, "make_optimizer", "a function"), each)


def _of_chain(whole: Chain, arguments: dict[str, str], page: _Page) -> str:
    page.uses("thalweg", "Optimizer")
    lr = arguments.pop("lr")
    parameters = "model.parameters()"
    if arguments:
        entries = ", ".join(f'"{name}": {text}' for name, text in arguments.items())
        parameters = f'[{{"params": {parameters}, {entries}}}]'
    return _call("Optimizer", [parameters, page.chain(whole), f"lr={lr}"])


def _call(function: str, arguments: list[str]) -> str:
    line = f"optimizer = {function}({', '.join(arguments)})"
    if len(line) <= 80:
        return line
    inner = ", ".join(arguments)
    if len(inner) <= 84:
        return f"optimizer = {function}(\n    {inner}\n)"
    return f"optimizer = {function}(\n" + "".join(f"    {a},\n" for a in arguments) + ")"
