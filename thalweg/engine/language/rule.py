"""Rules: an update rule is a plain function of tensors, and its signature is its declaration."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, NoReturn

from thalweg.engine.program.shapes import Seen, Shape, annotated_shape
from thalweg.errors import RuleError, suggest
from thalweg.numeric import is_schedule

Scalar = Annotated[Any, "a state that is one number"]
"""Annotates a state that is one number for the whole parameter, kept in float64: `eta: Scalar = 1.0`."""

GIVEN = ("t", "lr")
"""Scalars that the engine gives to every rule that asks for them."""

TAKEN = {
    "step": "the number of the step is kept under this name beside the states, and a rule has it as the "
    "scalar `t`",
    "params": "a param group keeps its parameters under this name",
    "param_names": "a param group keeps the names of its parameters under it",
}
"""Names that neither a state nor a hyperparameter may have, and why."""

TENSORS = ("p", "gradient")
"""Tensors that the engine gives to every rule that asks for them; every other one is a state."""


@dataclass(frozen=True)
class Signature:
    """What the parameters of a rule's function declare."""

    arguments: tuple[str, ...]
    """The positional arguments in order: the incoming update first, then states and `p`."""
    states: tuple[str, ...]
    """Those of the parameter's shape."""
    matrix_states: Mapping[str, Shape]
    """Those of other shapes."""
    scalar_states: Mapping[str, float]
    scalars: tuple[str, ...]
    hyperparameters: Mapping[str, Any]
    """Defaults; `inspect.Parameter.empty` where a value must be given."""

    @property
    def returned(self) -> tuple[str, ...]:
        """What the function returns, in order, after the update."""
        return tuple(a for a in self.arguments[1:] if a not in TENSORS)


@dataclass(frozen=True)
class RuleKind:
    """Where in a chain a rule stands (see `rule`)."""

    lr_inside: bool = False
    after_step: bool = False
    of_gradient: bool = False
    matrices: Seen = "first"


@dataclass(frozen=True)
class EvaluatedAt:
    """The point where a model is to be evaluated: what it is computed from, and how."""

    names: tuple[str, ...]
    function: Callable[..., Any]


class Rule:
    """An update rule, made by `rule` from its function; call it to set hyperparameters.

    `check` traces a link of the rule, and raises where it breaks the contract.

    Attributes: `name`, `function`, `signature`, `kind`; `evaluation`, where the model is to be evaluated
    if not at its parameters (see `evaluated_at`).
    """

    evaluation: EvaluatedAt | None = None

    def __init__(
        self, function: Callable[..., Any], kind: RuleKind, check: Callable[[Link], None]
    ) -> None:
        self.function = function
        self._check = check
        self.name = function.__name__
        self.kind = kind
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__
        self.__wrapped__ = function
        self.signature = _read(self.where, function)

    @property
    def where(self) -> str:
        """The rule's name and the place where it is defined, for error messages."""
        code = self.function.__code__
        return f"rule {self.name!r} ({code.co_filename}:{code.co_firstlineno})"

    def __call__(self, *args: Any, **kwargs: Any) -> Link:
        """Return the rule with these hyperparameters, as a link of a chain.

        Positional values fill the hyperparameters in the order of their declaration.
        """
        declared = self.signature.hyperparameters
        if len(args) > len(declared):
            raise RuleError(
                f"{self.name}() takes {len(declared)} hyperparameters ({', '.join(declared) or 'none'}), "
                f"got {len(args)} values."
            )
        given = dict(zip(declared, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise RuleError(f"{self.name}() got two values for the hyperparameter {name!r}.")
            given[name] = value
        link = Link(self, _bind(self, given), frozenset(given))
        if any(is_switch(v) and v != declared[n] for n, v in link.values.items()):
            self._check(link)  # a branch behind a switch
        return link

    def evaluated_at(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Say where a model stepped by this rule is to be evaluated (a decorator).

        The function takes by name what it needs of `p`, the states and the hyperparameters, and returns the
        point, such as an average that the rule keeps.
        """
        own = self.signature
        known = {"p", *own.states, *own.scalar_states, *own.hyperparameters}
        names = tuple(inspect.signature(function).parameters)
        for name in names:
            if name not in known:
                refuse(self.where, f"its point of evaluation asks for `{name}`, which it has not")
        self.evaluation = EvaluatedAt(names, function)
        return function

    def __repr__(self) -> str:
        return f"<rule {self.name}>"

    def __reduce__(self) -> str:
        return self.__qualname__


@dataclass(frozen=True, eq=False)
class Link:
    """A rule with its hyperparameters set; `given` names those that are not left at their defaults."""

    rule: Rule
    values: Mapping[str, Any]
    given: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v!r}" for k, v in self.values.items())
        return f"{self.rule.name}({values})"


def _read(where: str, function: Callable[..., Any]) -> Signature:
    arguments: list[str] = []
    states: list[str] = []
    matrix_states: dict[str, Shape] = {}
    scalar_states: dict[str, float] = {}
    scalars: list[str] = []
    hyperparameters: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            refuse(where, f"`{parameter}` leaves open what the rule takes; name each argument")
        if arguments and name in TAKEN:
            refuse(where, f"it calls something `{name}`: {TAKEN[name]}. Choose another name")
        if parameter.kind is parameter.KEYWORD_ONLY:
            scalars.append(name)
            if name in GIVEN and parameter.default is not parameter.empty:
                refuse(
                    where, f"`{name}` has a default, but the engine gives it: write `{name}` alone"
                )
            if name not in GIVEN:
                hyperparameters[name] = _default(where, name, parameter.default)
            continue
        if name in GIVEN:
            refuse(
                where, f"`{name}` is a scalar; put it after `*`, among the keyword-only arguments"
            )
        if arguments and name not in TENSORS:
            shape = annotated_shape(parameter.annotation)
            if shape is None:
                _state(where, parameter, states, scalar_states)
            else:
                matrix_states[name] = _without_default(where, parameter, shape)
        arguments.append(name)
    if not arguments or arguments[0] == "p":
        refuse(where, "its first positional argument must be the incoming update, such as `g`")
    return Signature(
        tuple(arguments),
        tuple(states),
        matrix_states,
        scalar_states,
        tuple(scalars),
        hyperparameters,
    )


def _state(
    where: str, parameter: inspect.Parameter, states: list[str], scalar_states: dict[str, float]
) -> None:
    name, default = parameter.name, parameter.default
    if parameter.annotation is Scalar or str(parameter.annotation).split(".")[-1] == "Scalar":
        if not isinstance(default, Real):
            refuse(
                where, f"the scalar state `{name}` needs its first value: `{name}: Scalar = 1.0`"
            )
        scalar_states[name] = float(default)
    elif default is not parameter.empty:
        refuse(
            where,
            f"the positional argument `{name}` has a default, but states start at zero. A hyperparameter "
            f"goes after `*`; a state that is one number is written `{name}: Scalar = {default!r}`",
        )
    else:
        states.append(name)


def _without_default(where: str, parameter: inspect.Parameter, shape: Shape) -> Shape:
    if parameter.default is not parameter.empty:
        refuse(where, f"the state `{parameter.name}` has a default, but states start at zero")
    return shape


def _default(where: str, name: str, default: Any) -> Any:
    if default is inspect.Parameter.empty or isinstance(default, (Real, str)):
        return default
    return refuse(
        where,
        f"the default of the hyperparameter `{name}` is {default!r}. A hyperparameter is a number, or a bool "
        "or string that switches",
    )


def _bind(made: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    declared = made.signature.hyperparameters
    for name, value in given.items():
        if name == "lr":
            raise RuleError(
                f"{made.name}() does not take lr: give it to Optimizer(…, lr=…) or step(…, lr=…)."
            )
        if name not in declared:
            raise RuleError(
                f"{made.name}() has no hyperparameter {name!r}.{suggest(name, declared)} "
                f"It has: {', '.join(declared) or 'none'}."
            )
        check_kind(made.name, name, declared[name], value)
    missing = [n for n, v in declared.items() if v is inspect.Parameter.empty and n not in given]
    if missing:
        raise RuleError(
            f"{made.name}() needs a value for {', '.join(missing)}: {made.name}({missing[0]}=…)."
        )
    return {name: given.get(name, default) for name, default in declared.items()}


def is_switch(default: Any) -> bool:
    """Whether a hyperparameter with this default is a switch, on which a rule may branch."""
    return isinstance(default, (bool, str))


def check_kind(owner: str, name: str, default: Any, value: Any) -> None:
    """Refuse a value of another kind than the hyperparameter's default."""
    if is_switch(default):
        if type(value) is not type(default):
            raise RuleError(
                f"{owner}({name}=…) is a switch: it must be of type {type(default).__name__}, got {value!r}."
            )
    elif not is_schedule(value) and (
        isinstance(value, (bool, str))
        or not hasattr(value, "__float__")
        or math.prod(getattr(value, "shape", ())) != 1
    ):
        raise RuleError(
            f"{owner}({name}=…) must be a number, or a function from the number of steps taken to one, "
            f"got {value!r}."
        )


def refuse(where: str, what: str) -> NoReturn:
    """Raise the error of a rule that breaks the contract."""
    raise RuleError(f"{where}: {what}.") from None
