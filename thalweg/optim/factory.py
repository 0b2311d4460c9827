"""Named optimizers made of rules: signature, groups and docstring come from the rules themselves.

The hyperparameters of the rules become arguments with the rules' defaults; β₁, β₂, … become one tuple
`betas`, as in PyTorch. The docstring is the card of the rule that gives the optimizer its name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from thalweg.engine import Link, Rule, chain
from thalweg.engine.backends import check_engine, engine_on_device
from thalweg.errors import suggest
from thalweg.optim import docstring
from thalweg.optim.routing.of_matrices import OfMatrices
from thalweg.optim.schedule_free import converted
from thalweg.optim.shown import show_arguments
from thalweg.optim.stepping import scheduled
from thalweg.optim.stepping.checks import Group, check_dialect, check_range
from thalweg.optim.stepping.composition import (
    DECAYS,
    INSIDE,
    Composition,
    Links,
    Spelling,
    around,
    compose_group,
)
from thalweg.optim.stepping.keeping import keeping_of
from thalweg.optim.stepping.steppable import with_names
from thalweg.optim.stepping.stepper import Stepper
from thalweg.rules import schedule_free

_ARGUMENTS = """

Args:
    params: a module, or what `torch.optim` takes: tensors, named tensors, or groups.
    lr: learning rate, by default {lr:g}. It and every other number may be a schedule, a function from the
        number of steps taken to the value.
    {hyperparameters}: as in the equation.
    weight_decay: its strength λ, by default 0.
{dialects}    maximize: ascend.
{around}    capturable: with engine="auto", "foreach" or "triton", keep step numbers on the GPU: no step waits
        for it, and a CUDA graph can repeat a step.

A param group holds these numbers and `maximize` under the names they have here. PyTorch's schedulers that
cycle a momentum look for `momentum` or `betas`; where there is neither, give them `cycle_momentum=False`.

>>> import torch
>>> from thalweg import optim
>>> model = torch.nn.Linear({layer})
>>> optimizer = optim.{name}(model, lr={lr:g})
>>> model(torch.ones(2)).sum().backward()
>>> optimizer.step()
"""


Forms = Callable[[str, Group, Tensor], Links]
"""Which rules step a parameter, from the dialect, its group and the parameter itself."""


class Named(Stepper):
    """An optimizer that `optimizer` made of rules."""

    rules: ClassVar[Mapping[str, Links]]
    """The rules of each dialect."""
    forms: ClassVar[Forms | None] = None
    decay: ClassVar[str]
    wants_all_rows: ClassVar[bool] = False
    """Whether `fit` and races give it all rows in a batch where nothing else is said."""
    arguments: ClassVar[inspect.Signature]
    """What the constructor takes."""
    spelling: ClassVar[Spelling]

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        lr: float | Tensor | scheduled.ScheduleFunction | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        values = self._bound(*(() if lr is None else (lr,)), *args, **kwargs)
        engine, decay = values.pop("engine"), values.pop("decay")
        capturable = values.pop("capturable")
        self.dialect = values.pop("dialect", next(iter(self.rules)))
        self.keeping = keeping_of(values.pop("state_dtype"), values.pop("rounding"))
        check_engine(engine)
        self.engine = engine
        check_dialect(type(self).__name__, self.dialect, self.rules)
        meanings = (*DECAYS, INSIDE) if self.decay == INSIDE else tuple(DECAYS)
        self._around = around(values.pop("before"), values.pop("after"), decay, meanings)
        numbers, self._default_schedules = scheduled.split({**values, **self._around.defaults})
        self._checked = frozenset(values) | self._around.checked
        for name in self._checked:
            check_range(name, numbers[name], _default(type(self), name, numbers[name]))
        super().__init__(with_names(params), numbers | ({"capturable": True} if capturable else {}))
        if capturable:
            self.engine = engine_on_device(engine, self.param_groups)
        self._step_supports_amp_scaling = self._takes_loss_scale()
        for group in self.param_groups:
            self.composition(group)  # links that cannot stand where they were put are refused here

    @classmethod
    def _bound(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return all arguments but the parameters."""
        known = list(cls.arguments.parameters)[1:]
        for name in kwargs:
            if name not in known:
                raise TypeError(
                    f"{cls.__name__}() got an unexpected argument {name!r}.{suggest(name, known)} "
                    f"It takes: {', '.join(known)}."
                )
        bound = cls.arguments.bind((), *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def composition(self, group: Group) -> Composition:
        """Return the chain of a group."""
        return self._composed(group, self.rules[self.dialect])

    def form(self, group: Group, p: Tensor) -> Composition:
        """Return the chain of a parameter."""
        forms = type(self).forms
        if forms is None:
            return self.composition(group)
        return self._composed(group, forms(self.dialect, group, p))

    def _composed(self, group: Group, links: Links) -> Composition:
        decayed = bool(group["weight_decay"])
        return compose_group(bool(group["maximize"]), decayed, self._around, links, self._spelling)

    @classmethod
    def _spelling(cls) -> Spelling:
        return cls.spelling

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state written by this class, or by the package schedulefree for those of its equations.

        See `Stepper.load_state_dict`.
        """
        links = chain(*self.rules[self.dialect]).links
        if any(link.rule is schedule_free for link in links):
            name, (here, *_) = type(self).__name__, (*self.param_groups, self.defaults)
            state_dict = converted(name, here, state_dict)
        super().load_state_dict(state_dict)


def optimizer(
    name: str,
    *rules: Link | Rule,
    lr: float,
    decay: str = "decoupled",
    betas: tuple[str, ...] = ("beta1", "beta2", "beta3"),
    dialects: Mapping[str, Links] | None = None,
    defaults: Mapping[str, Any] | None = None,
    title: str | None = None,
    forms: Forms | None = None,
    matrices: bool = False,
    wants_all_rows: bool = False,
) -> type[Named]:
    """Return the optimizer of these rules.

    Args:
        name: what it is called.
        rules: its rules in order; hyperparameters that are set here are fixed.
        lr: the default learning rate.
        decay: the default meaning of weight decay; "inside" where a rule has a `weight_decay` of its own.
        betas: the hyperparameters that make up the tuple `betas`, if there are two of them.
        dialects: other rules in their place, by the name of the dialect; the first is `rules`.
        defaults: defaults other than those of the rules, and of what `forms` reads.
        title: the first line of its card, where it is not that of the rule.
        forms: which rules step a parameter, where that depends on its size; all have the hyperparameters of
            `rules`, in the same order.
        matrices: it steps matrices alone, and refuses vectors.
        wants_all_rows: it is for full batches, which it gets by its name.
    """
    every = {"paper": rules} if dialects is None else dialects
    open_ = _open(rules) | dict(defaults or {})
    open_.pop("weight_decay", None)
    together = tuple(b for b in betas if b in open_)
    spelling: dict[str, Any] = {}
    if len(together) > 1:
        spelling = {b: _beta(k) for k, b in enumerate(together)}
        values = tuple(open_[b] for b in together)
        open_ = {"betas": values} | {n: v for n, v in open_.items() if n not in together}
    home = sys._getframe(1).f_globals["__name__"]  # where the name is, so that it can be pickled
    arguments = _signature(lr, open_, decay, every)
    made = type(
        name,
        (OfMatrices, Named) if matrices else (Named,),
        {
            "rules": every,
            "forms": None if forms is None else staticmethod(forms),
            "decay": decay,
            "wants_all_rows": wants_all_rows,
            "arguments": arguments,
            "spelling": spelling,
            "__module__": home,
        },
    )
    show_arguments(made, arguments)
    made.__doc__ = _card(name, rules, title) + _ARGUMENTS.format(
        name=name,
        lr=lr,
        hyperparameters=", ".join(open_) or "maximize",
        dialects=_dialects(every),
        around=docstring.AROUND.format(decay=f'"{decay}"'),
        layer="2, 1, bias=False" if matrices else "2, 1",
    )
    return made


def _open(rules: Links) -> dict[str, Any]:
    """Return the hyperparameters that the rules leave open, with their defaults."""
    links = chain(*rules).links
    return {n: v for link in links for n, v in link.values.items() if n not in link.given}


def _beta(k: int) -> Any:
    return lambda group: group["betas"][k]


def _signature(
    lr: float, hyperparameters: Mapping[str, Any], decay: str, dialects: Mapping[str, Links]
) -> inspect.Signature:
    either, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    chosen = {"dialect": next(iter(dialects))} if len(dialects) > 1 else {}
    named_only = {"maximize": False, "decay": decay, **chosen, "before": (), "after": ()}
    return inspect.Signature(
        [
            inspect.Parameter("params", either),
            inspect.Parameter("lr", either, default=lr),
            *(inspect.Parameter(n, either, default=v) for n, v in hyperparameters.items()),
            inspect.Parameter("weight_decay", either, default=0.0),
            *(inspect.Parameter(n, keyword, default=v) for n, v in named_only.items()),
            inspect.Parameter("engine", keyword, default="auto"),
            inspect.Parameter("capturable", keyword, default=False),
            inspect.Parameter("state_dtype", keyword, default=None),
            inspect.Parameter("rounding", keyword, default="nearest"),
        ]
    )


def _card(name: str, rules: Links, title: str | None) -> str:
    if docstring.is_stripped():
        return docstring.STRIPPED
    docs = [docstring.of(link.rule) for link in chain(*rules).links]
    cards = [doc for doc in docs if "\nPaper:" in doc]
    if not cards:
        raise ValueError(f"No rule of {name} has a card: a docstring with the line 'Paper: …'.")
    first, blank, rest = cards[-1].partition("\n\n")
    return (title or first) + blank + rest


def _dialects(dialects: Mapping[str, Links]) -> str:
    if len(dialects) < 2:
        return ""
    names = " or ".join(map(repr, dialects))
    return f"    dialect: {names}: whose equation to step by, where they differ.\n"


def _default(cls: type[Named], name: str, value: Any) -> Any:
    """Return the default of an argument; a link's own value where it is a link's."""
    parameter = cls.arguments.parameters.get(name)
    return value if parameter is None else parameter.default
