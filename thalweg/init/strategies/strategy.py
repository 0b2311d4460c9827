"""What a strategy is: a name, its arguments, and the layers that it is for; and how strategies are joined."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Final, ParamSpec, Protocol

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, sentence, suggest
from thalweg.model.layers import KINDS, Layer
from thalweg.objective.nested import tensors_in

P = ParamSpec("P")


class NamedLoss(Protocol):
    """A loss by name, as `thalweg.objective` has it."""

    @property
    def name(self) -> str:
        """What it is called."""

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch."""


@dataclass
class Setup:
    """What a strategy works on: a model with its layers, and the data that it may look at.

    `y` are the targets of the batch `x`, `targets` all that are known. `loss` is a function
    (outputs, targets). `notes` collects, for each parameter that was set, which
    strategy did so and with which gain. `shared` is whether draws depend on PyTorch's global generator: the
    seed is then drawn from it when it is first needed. A strategy that sets layers together gets a setup
    with those that it matches alone, and with its own text as `strategy`.
    """

    model: nn.Module
    layers: tuple[Layer, ...]
    seed: int | None
    x: Any = None
    y: Any = None
    targets: Any = None
    loss: NamedLoss | None = None
    shared: bool = False
    strategy: str = ""
    notes: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def generator(self, *purpose: object) -> torch.Generator:
        """Return a generator of its own for a purpose, the same one for the same seed."""
        if self.seed is None:
            self.seed = int(torch.randint(2**62, ()))
        text = repr((self.seed, *map(str, purpose))).encode()
        seed = int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1
        return torch.Generator("cpu").manual_seed(seed)

    def drawing(self, layer: Layer) -> Drawing:
        """Return a layer to be set with what the strategy has drawn or found itself."""
        return Drawing(self, layer, self.strategy)

    def note(self, layer: Layer, parameter: str, strategy: str, gain: float | None = None) -> None:
        """Keep that a strategy has set a parameter of a layer."""
        self.notes[full_name(layer, parameter)] = (strategy, gain)

    def batch(self, strategy: str) -> Any:
        """Return the batch of inputs; TaskError where there is none."""
        if self.x is None:
            raise TaskError(
                f"{strategy} looks at what a batch gives: init.apply(model, strategy, x=batch)."
            )
        _check_rows(self.x, strategy)
        return self.x


def _check_rows(x: Any, strategy: str) -> None:
    """Raise TaskError for a batch without rows, or with NaN in it."""
    for tensor in tensors_in(x):
        if tensor.ndim and not len(tensor):
            raise TaskError(f"{strategy}: the batch x has no rows, shape {tuple(tensor.shape)}.")
        if tensor.ndim and bool(tensor.isnan().any()):
            bad = tensor.flatten(1).isnan().any(1) if tensor.ndim > 1 else tensor.isnan()
            raise TaskError(
                f"{strategy}: the batch x is NaN in {int(bad.sum())} of {len(bad)} rows, first in row "
                f"{int(bad.nonzero()[0])}. Leave these rows out, or fill them."
            )


def full_name(layer: Layer, parameter: str) -> str:
    """Return the name of a parameter of a layer's module, as the model knows it."""
    return f"{layer.called}.{parameter}" if layer.called else parameter


@dataclass(frozen=True)
class Definition:
    """A strategy as it was written: its function, the kinds of layers that it is for without being told,
    whether it sets the layers one by one or the model as a whole, whether it computes from a batch, and
    whether it reads the data at all.
    """

    name: str
    function: Callable[..., Any]
    kinds: tuple[str, ...]
    of_model: bool
    data_driven: bool
    reads: bool

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments that a user gives, by name."""
        return dict(list(inspect.signature(self.function).parameters.items())[1:])


DEFINITIONS: Final[dict[str, Definition]] = {}
"""Every strategy by name."""


@dataclass(frozen=True)
class InitStrategy:
    """A strategy with its arguments, for the layers of its kinds or those named by `on`.

    `a | b` is both: b after a, on the layers that b matches; those that compute from a batch run last.

    >>> from thalweg import init
    >>> init.he(gain=1.4).on("hidden") | init.bias(0.0)
    he:gain=1.4,on=hidden|bias:value=0.0
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    where: tuple[str, ...] = ()

    def on(self, *where: str) -> InitStrategy:
        """Return the strategy for layers of these kinds, or with these names; `*` stands for any text."""
        return dataclasses.replace(self, where=where)

    def __or__(self, other: InitStrategy | InitChain) -> InitChain:
        """Join with another one, which runs after it."""
        return InitChain((self, *parts_of(other)))

    def __repr__(self) -> str:
        given = [f"{name}={_shown(value)}" for name, value in self.arguments.items()]
        if self.where:
            given.append(f"on={'/'.join(self.where)}")
        return self.name + (f":{','.join(given)}" if given else "")

    @property
    def definition(self) -> Definition:
        """What it is called by."""
        return DEFINITIONS[self.name]

    @property
    def data_driven(self) -> bool:
        """Whether it computes from a batch."""
        return self.definition.data_driven

    def matched(self, layers: Iterable[Layer]) -> list[Layer]:
        """Return those of the layers that it is for."""
        where = self.where or self.definition.kinds
        return [
            layer
            for layer in layers
            if any(each in layer.kinds or fnmatch.fnmatchcase(layer.name, each) for each in where)
        ]

    def run(self, setup: Setup) -> None:
        """Set the weights of the layers that it matches.

        Raises TaskError, which names the strategy, where it matches none or cannot run.
        """
        try:
            self._run(setup)
        except TaskError as error:
            if f"init.{self.name}" in str(error):
                raise
            raise TaskError(f"init.{self.name}: {error}") from error.__cause__
        except (TypeError, ValueError) as error:  # an argument of another type
            raise TaskError(f"init.{self.name}: {error}; got {self!r}.") from error

    def _run(self, setup: Setup) -> None:
        layers = self.matched(setup.layers)
        if not layers:
            raise _nothing(self, setup.layers)
        if self.definition.of_model:
            # notes and remarks are those of the whole
            own = dataclasses.replace(setup, layers=tuple(layers), strategy=repr(self))
            self.definition.function(own, **self.arguments)
            return
        for layer in layers:
            if layer.tied is None and (layer.trainable or layer.has_trainable_bias):
                task = Drawing(setup, layer, repr(self), setup.generator(self.name, layer.name))
                self.definition.function(task, **self.arguments)


@dataclass(frozen=True)
class InitChain:
    """Strategies one after the other."""

    parts: tuple[InitStrategy, ...]

    def __or__(self, other: InitStrategy | InitChain) -> InitChain:
        """Join with another one, which runs after it."""
        return InitChain((*self.parts, *parts_of(other)))

    def __repr__(self) -> str:
        return "|".join(map(repr, self.parts))

    def run(self, setup: Setup) -> None:
        """Run the parts in order, those that compute from a batch last."""
        for part in sorted(self.parts, key=lambda each: each.data_driven):
            part.run(setup)


@dataclass
class Drawing:
    """One layer that a strategy is to set, with the generator for it."""

    setup: Setup
    layer: Layer
    strategy: str
    generator: torch.Generator = field(default_factory=torch.Generator)

    def put(self, matrix: Tensor, gain: float | None = None) -> None:
        """Set the weight of the layer, unless it is frozen."""
        if not self.layer.trainable:
            return
        self.layer.put(matrix)
        self.setup.note(self.layer, self.layer.parameter, self.strategy, gain)

    def scale(self, factor: float) -> None:
        """Multiply the weight as it is by a factor."""
        self.change(self.layer.matrix() * factor)

    def change(self, matrix: Tensor) -> None:
        """Set the weight to what was made of it; the report names what drew it, too."""
        if not self.layer.trainable:
            return
        name = full_name(self.layer, self.layer.parameter)
        before, gain = self.setup.notes.get(name, ("", None))
        self.put(matrix, gain)
        if before:
            self.setup.notes[name] = (f"{before}|{self.strategy}", gain)

    def put_bias(self, value: Tensor | float) -> None:
        """Set the bias of the layer, if it has one that is not frozen."""
        name = self.layer.bias
        if name is not None and self.layer.has_trainable_bias:
            present = getattr(self.layer.module, name)
            self.layer.set(name, torch.as_tensor(value).expand(present.shape))
            self.setup.note(self.layer, name, self.strategy)


def parts_of(strategy: Any) -> tuple[InitStrategy, ...]:
    """Return the parts of a strategy, one or several.

    Raises:
        TaskError: if it is not one.
    """
    if isinstance(strategy, InitStrategy):
        return (strategy,)
    if isinstance(strategy, InitChain):
        return strategy.parts
    raise TaskError(
        f"An initializer must be one of thalweg.init, such as init.he(); got {strategy!r}."
    )


def per_layer(
    *kinds: str,
) -> Callable[[Callable[Concatenate[Drawing, P], None]], Callable[P, InitStrategy]]:
    """Make a strategy of a function that sets one layer, for the layers of these kinds."""
    return functools.partial(_defined, kinds, of_model=False, data_driven=False, reads=False)


def of_model(
    *kinds: str, data_driven: bool = True, reads: bool = True
) -> Callable[[Callable[Concatenate[Setup, P], None]], Callable[P, InitStrategy]]:
    """Make a strategy of a function that sets all layers of these kinds together."""
    return functools.partial(_defined, kinds, of_model=True, data_driven=data_driven, reads=reads)


def _defined(
    kinds: tuple[str, ...], function: Callable[..., None], **flags: bool
) -> Callable[..., InitStrategy]:
    definition = Definition(function.__name__, function, kinds, **flags)
    DEFINITIONS[definition.name] = definition
    given = inspect.Signature(list(definition.parameters.values()))

    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> InitStrategy:
        try:
            bound = given.bind(*args, **kwargs)
        except TypeError as error:
            raise _wrong_arguments(definition, kwargs, error) from None
        return InitStrategy(definition.name, bound.arguments)

    make.__signature__ = given  # type: ignore[attr-defined]
    del make.__wrapped__  # whose signature has the layer first
    return make


def named_parameters(who: str, model: nn.Module, pattern: str) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters of these names that are not frozen; TaskError where there are none."""
    known = dict(model.named_parameters())
    found = {name: p for name, p in known.items() if fnmatch.fnmatchcase(name, pattern)}
    if not found:
        raise TaskError(
            f"init.{who}: no parameter is called {pattern!r}.{suggest(pattern, known)} The model has "
            f"{', '.join(known)}."
        )
    kept = [(name, p) for name, p in found.items() if p.requires_grad]
    if not kept:
        raise TaskError(
            f"init.{who}: {', '.join(found)} is frozen, and frozen parameters stay as they are. Set "
            "requires_grad to have it set."
        )
    return kept


def _wrong_arguments(
    definition: Definition, given: Mapping[str, Any], error: TypeError
) -> TaskError:
    known = list(definition.parameters)
    has = f"It has: {', '.join(known)}." if known else "It has none."
    for name in given:
        if name not in known:
            hint = suggest(name, known)
            return TaskError(f"init.{definition.name} has no argument {name!r}.{hint} {has}")
    return TaskError(f"init.{definition.name}: {sentence(error)} {has}")


def _nothing(strategy: InitStrategy, layers: Iterable[Layer]) -> TaskError:
    layers = tuple(layers)
    wanted = strategy.where or strategy.definition.kinds
    has = ", ".join(f"{layer.name} ({layer.kind})" for layer in layers[:12]) or "no layers"
    more = f" and {len(layers) - 12} more" if len(layers) > 12 else ""
    hint = "".join(
        suggest(each, [*KINDS, *(layer.name for layer in layers)])
        for each in strategy.where
        if "*" not in each
    )
    return TaskError(
        f"init.{strategy.name} matches nothing: it is for {', '.join(wanted)}.{hint} The model has "
        f"{has}{more}."
    )


def _shown(value: Any) -> str:
    if isinstance(value, (int, float, str, bool)) or value is None:
        return str(value).lower() if isinstance(value, bool) or value is None else str(value)
    if isinstance(value, (tuple, list)):
        return "/".join(_shown(each) for each in value)
    return f"<{type(value).__name__}>"
