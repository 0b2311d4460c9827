"""Cards: what an optimizer or a rule is, and what it costs.

What it is stands in its docstring (see `thalweg.optim.docstring`); what it costs is counted in the program of
its chain, and how it is called is read from its signature, so neither can be out of date.
"""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from thalweg import rules
from thalweg.engine import Link, Rule, chain
from thalweg.errors import TaskError, suggest
from thalweg.optim import (
    docstring,
    family,
    muon,
    torch_adafactor,
    torch_adam,
    torch_basic,
    torch_sparse,
)
from thalweg.optim.cards.cost import StepCost, cost_of, step_cost
from thalweg.optim.docstring import DocPart, Text, read_docstring
from thalweg.optim.factory import Named
from thalweg.optim.kronecker.kfac import KFAC
from thalweg.optim.solvers import descents, lbfgs, levenberg
from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.stepping.composition import DECAYS, INSIDE
from thalweg.optim.stepping.evaluation import has_evaluation
from thalweg.optim.stepping.stepper import Stepper
from thalweg.optim.twin import TorchTwin

OPTIMIZERS: Mapping[str, type[Stepper]] = {
    name: made
    for module in (family, muon, torch_adafactor, torch_adam, torch_basic, torch_sparse)
    for name, made in sorted(vars(module).items())
    if isinstance(made, type) and issubclass(made, (Named, TorchTwin)) and made is not TorchTwin
}
"""Every optimizer with a name that steps by a chain of rules."""

SOLVERS: Mapping[str, type[SolverOptimizer]] = {
    name: made
    for module in (descents, lbfgs, levenberg)
    for name, made in sorted(vars(module).items())
    if isinstance(made, type)
    and issubclass(made, SolverOptimizer)
    and made.__module__ == module.__name__
    and made is not descents.DescentOptimizer
}
"""Every optimizer over a solver."""

OF_MODELS: Mapping[str, type[KFAC]] = {"KFAC": KFAC}
"""Every optimizer that reads a model's layers."""

RULES: Mapping[str, Rule] = {name: getattr(rules, name) for name in rules.__all__}
"""Every rule."""

_PLACES: tuple[tuple[str, Mapping[str, type[torch.optim.Optimizer] | Rule]], ...] = (
    ("optim.", OPTIMIZERS),
    ("optim.", SOLVERS),
    ("optim.", OF_MODELS),
    ("rules.", RULES),
)

_WITHOUT_EFFECT = ("foreach", "fused", "capturable", "differentiable")
"""Arguments that PyTorch has to choose among its own implementations."""


_ROOM = 76
"""The columns of an example that a terminal of 80 shows unbroken."""


@dataclass(frozen=True)
class Card:
    """What there is to know of an optimizer, or of a rule."""

    name: str
    kind: str
    """What it is: an optimizer, or a rule and where in a chain it acts."""
    text: Text
    blocks: tuple[DocPart, ...]
    """Equations and remarks in order; those of several rules, one rule after another."""
    signature: str
    example: str
    links: tuple[str, ...] = ()
    """The rules it is made of."""
    cost: StepCost | None = None
    variants: Mapping[str, StepCost] = field(default_factory=dict)
    """The cost with arguments that change the states."""
    dialects: tuple[str, ...] = ()
    decays: tuple[str, ...] = ()
    """The meanings of weight decay that it can be given; the first is the default."""
    evaluates_elsewhere: bool = False
    """Whether the model is to be evaluated elsewhere than where its parameters are."""

    @property
    def title(self) -> str:
        """What it is, in one line, with its source."""
        return self.text.title

    @property
    def equation(self) -> str:
        """Its equations."""
        if not any(block.is_equation for block in self.blocks):
            return self.text.equation
        return "\n\n".join(
            f"{block.label}:\n{block.text}" if block.label else block.text
            for block in self.blocks
            if block.is_equation
        )

    @property
    def remarks(self) -> str:
        """What is said beside the equations."""
        return "\n\n".join(block.text for block in self.blocks if not block.is_equation)

    @property
    def summary(self) -> str:
        """What it is, in a few words, without its own name.

        >>> card("Lion").summary
        'The sign of a momentum that weighs the present gradient more'
        """
        text = self.text.summary
        before, colon, after = text.partition(": ")
        found = after if colon and _plain(before) == _plain(self.name) else text
        if "←" in found or found.startswith("update ="):
            found = text
        made = f" ({' → '.join(self.links)})" if self.is_composite else ""
        return found[:1].upper() + found[1:] + made

    @property
    def is_composite(self) -> bool:
        """Whether it is made of several rules, or of one with hyperparameters of its own."""
        return len(self.links) > 1 or any("(" in link for link in self.links)

    @property
    def paper(self) -> str:
        """Where it comes from."""
        return self.text.source

    @property
    def year(self) -> int | None:
        """The year of its paper."""
        return self.text.year

    @property
    def defaults(self) -> str:
        """Where its defaults come from."""
        return self.text.fields.get("Defaults", "")

    @property
    def use(self) -> str:
        """When to use it, and when not."""
        return self.text.fields.get("Use", "")

    @property
    def deviations(self) -> str:
        """Where it differs from its paper and from other libraries."""
        return self.text.fields.get("Deviations", "")

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain data."""
        own = ("name", "kind", "title", "summary", "equation", "remarks", "paper", "year")
        fields = ("defaults", "use", "deviations", "signature", "example", "evaluates_elsewhere")
        return {
            **{name: getattr(self, name) for name in (*own, *fields)},
            "rules": list(self.links),
            "dialects": list(self.dialects),
            "decays": list(self.decays),
            "cost": None if self.cost is None else self.cost.as_dict(),
            "variants": {name: cost.as_dict() for name, cost in self.variants.items()},
        }


def card(what: str | type[torch.optim.Optimizer] | Rule) -> Card:
    """Return the card of an optimizer or a rule, or of the one with this name.

    Upper and lower case are alike in a name; where an optimizer and a rule share it, it is the optimizer's,
    and the rule is called "rules.adam".

    Raises:
        TaskError: nothing has this name; the message holds those close to it.

    >>> found = card("adabelief")
    >>> found.name, found.year, found.cost.states, found.cost.bytes
    ('AdaBelief', 2020, ('m', 's'), 8)
    >>> card("ema").kind
    'rule, acts after the step'
    """
    found = find(what) if isinstance(what, str) else what
    if isinstance(found, Rule):
        return _of_rule(found)
    if isinstance(found, type) and issubclass(found, (Named, TorchTwin)):
        return _of_optimizer(found)
    if isinstance(found, type) and issubclass(found, (SolverOptimizer, KFAC)):
        return describe_callable(found, "optimizer")
    raise TaskError(f"{found!r} has no card: it is no rule and no optimizer of thalweg.optim.")


def find(name: str) -> type[torch.optim.Optimizer] | Rule:
    """Return the optimizer or the rule of a name (see `card`)."""
    wanted = name.strip().removeprefix("thalweg.").lower()
    for prefix, known in _PLACES:
        for key, found in known.items():
            if wanted in (key.lower(), f"{prefix}{key.lower()}"):
                return found
    hint = suggest(wanted.rpartition(".")[2], [*RULES, *OPTIMIZERS, *SOLVERS, *OF_MODELS])
    raise TaskError(f"No optimizer and no rule is called {name!r}.{hint}")


def describe_callable(thing: Any, kind: str) -> Card:
    """Return the card of something else that is called, by its docstring alone."""
    given = docstring.of(thing)
    text = read_docstring(given)
    shown = doctest.DocTestParser().get_examples(given)
    name, package = thing.__name__, ".".join(thing.__module__.split(".")[:2])
    lines = [f"from {package} import {name}", *map(_with_result, shown)]
    example = "\n".join(lines) if shown else ""
    return Card(name, kind, text, text.blocks, _signature(thing), example)


def _with_result(shown: doctest.Example) -> str:
    """Return the code of an example, with what it shows as a comment: beside it where there is room."""
    source, result = shown.source.rstrip(), shown.want.rstrip().splitlines()
    if not result:
        return source
    if len(result) == 1 and len(source.splitlines()[-1]) + len(result[0]) + 4 <= _ROOM:
        return f"{source}  # {result[0]}"
    return "\n".join([source, *(f"# {line}" for line in result)])


# -- optimizers ---------------------------------------------------------------------------------------


def _of_optimizer(kind: Callable[..., Stepper]) -> Card:
    made = _made(kind)
    cost = cost_of(made)
    (group,) = made.param_groups
    composition = made.composition(group)
    text = read_docstring(docstring.of(kind))
    links = composition.chain.links
    return Card(
        name=kind.__name__,
        kind="optimizer",
        text=text,
        blocks=_blocks(text, links),
        signature=_signature(kind),
        example=optimizer_example(kind, has_evaluation(composition)),
        links=tuple(map(_named, links)),
        cost=cost,
        variants=_variants(kind, cost),
        dialects=_dialects(made),
        decays=_decays(made, group),
        evaluates_elsewhere=has_evaluation(composition),
    )


def _made(kind: Callable[..., Stepper], **arguments: Any) -> Stepper:
    return kind([torch.nn.Parameter(torch.zeros(1, 1))], **arguments)


def _blocks(text: Text, links: tuple[Link, ...]) -> tuple[DocPart, ...]:
    """Return equations and remarks: of the docstring, and of the other rules where it is that of one."""
    texts = [read_docstring(docstring.of(link.rule)) for link in links]
    paper = text.fields.get("Paper")
    if len(links) < 2 or all(each.fields.get("Paper") != paper for each in texts):
        return text.blocks
    gathered: list[DocPart] = []
    for link, each in zip(links, texts, strict=True):
        own = each.blocks if each.fields.get("Paper") == paper else ()
        shown = own or (DocPart(each.equation, True),)
        gathered.append(DocPart(shown[0].text, shown[0].is_equation, _named(link)))
        gathered.extend(shown[1:])
    return tuple(gathered)


def _named(link: Link) -> str:
    """Return the name of a rule with the hyperparameters that are fixed."""
    usual = {**link.rule.signature.hyperparameters, "weight_decay": link.values.get("weight_decay")}
    shown = [f"{n}={v!r}" for n, v in link.values.items() if n in link.given and v != usual[n]]
    return f"{link.rule.name}({', '.join(shown)})" if shown else link.rule.name


def _signature(kind: Callable[..., Any]) -> str:
    signature = inspect.signature(kind)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name not in _WITHOUT_EFFECT
    ]
    empty = inspect.Signature.empty
    return f"{kind.__name__}{signature.replace(parameters=parameters, return_annotation=empty)}"


def optimizer_example(
    kind: Callable[..., Any], evaluates_elsewhere: bool = False, **arguments: Any
) -> str:
    """Return code that makes an optimizer, with arguments beside its learning rate."""
    lr = inspect.signature(kind).parameters["lr"].default
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    params, lines = "model", ["from thalweg import optim", ""]
    if getattr(kind, "of_matrices", False):
        params = "matrices"
        lines.append("matrices = [p for p in model.parameters() if p.ndim > 1]")
    lines.append(f"optimizer = optim.{kind.__name__}({params}, lr={lr:g}{given})")
    if evaluates_elsewhere:
        lines += ["with optimizer.evaluating():", "    ...  # evaluate the model"]
    return "\n".join(lines)


def _variants(kind: Callable[..., Stepper], usual: StepCost) -> dict[str, StepCost]:
    """Return the costs with those arguments, off by default, that change the states."""
    found: dict[str, StepCost] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "momentum" and not parameter.default:
            value: Any = 0.9
        elif parameter.default is False and name not in _WITHOUT_EFFECT:
            value = True
        else:
            continue
        try:
            cost = cost_of(_made(kind, **{name: value}))
        except ValueError:  # it needs another argument, as Nesterov's momentum needs a momentum
            continue
        if cost.states != usual.states:
            found[f"{name}={value}"] = cost
    return found


def _dialects(made: Stepper) -> tuple[str, ...]:
    known = made.rules if isinstance(made, Named) else getattr(made, "dialects", ())
    return tuple(known) if len(known) > 1 else ()


def _decays(made: Stepper, group: Mapping[str, Any]) -> tuple[str, ...]:
    if "weight_decay" not in group:
        return ()
    own = getattr(made, "own_decay", "l2")
    default = "decoupled" if group.get("decoupled_weight_decay") else own
    if isinstance(made, Named):
        default = type(made).decay
    known = (*DECAYS, INSIDE) if default == INSIDE else tuple(DECAYS)
    return (default, *(each for each in known if each != default))


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


# -- rules --------------------------------------------------------------------------------------------


def _of_rule(made: Rule) -> Card:
    link = made(**_needed(made))
    alone = chain(link)
    text = read_docstring(docstring.of(made))
    return Card(
        name=made.name,
        kind=f"rule, {_place(made)}",
        text=text,
        blocks=text.blocks,
        signature=_rule_signature(made),
        example=_rule_example(made) if made is RULES.get(made.name) else "",
        links=(made.name,),
        cost=step_cost(alone, {}, {}),
        evaluates_elsewhere=made.evaluation is not None,
    )


def _place(made: Rule) -> str:
    if made.kind.after_step:
        return "acts after the step"
    if made.kind.of_gradient:
        return "acts on the gradient"
    return f"acts on the update{', learning rate inside' if made.kind.lr_inside else ''}"


def _needed(made: Rule) -> dict[str, float]:
    """Return values for the hyperparameters that have no default."""
    declared = made.signature.hyperparameters
    return {
        name: 0.01 if name == "weight_decay" else 1.0
        for name, default in declared.items()
        if default is inspect.Parameter.empty
    }


def _rule_signature(made: Rule) -> str:
    shown = [
        name if default is inspect.Parameter.empty else f"{name}={default!r}"
        for name, default in made.signature.hyperparameters.items()
    ]
    return f"{made.name}({', '.join(shown)})"


def _rule_example(made: Rule) -> str:
    """Return code that uses the rule where it belongs."""
    call = f"{made.name}({', '.join(f'{n}={v:g}' for n, v in _needed(made).items())})"
    first, has_states = made.signature.arguments[0], bool(made.signature.states)
    imported = made.name
    if first != "g" and made.kind.lr_inside:
        # it makes the step itself: nothing may scale its update again, as the end of another optimizer would
        lr = f"{_usual_rate(rules.descend):g}"
        imported = ", ".join(sorted(("descend", made.name)))
        steps = f"chain(descend(), {call})"
        lines = ["from thalweg import Optimizer, chain"]
        lines += [f"optimizer = Optimizer(model, {steps}, lr={lr})"]
    elif first == "g" and (has_states or made.name == "descend"):
        lr = f"{_usual_rate(made):g}"
        lines = ["from thalweg import Optimizer", f"optimizer = Optimizer(model, {call}, lr={lr})"]
    else:
        is_before = first == "g" or made.name.startswith("clip")
        side = "before" if is_before else "after"
        lines = ["from thalweg import optim", f"optimizer = optim.Adam(model, {side}={call})"]
    if made.evaluation is not None:
        lines += ["with optimizer.evaluating():", "    ...  # evaluate the model"]
    return "\n".join([lines[0], f"from thalweg.rules import {imported}", "", *lines[1:]])


def _usual_rate(made: Rule) -> float:
    """Return the default learning rate of an optimizer that begins with this rule, or Adam's."""
    for kind in OPTIMIZERS.values():
        if issubclass(kind, Named):
            links = next(iter(kind.rules.values()))
            if chain(*links).links[0].rule is made:
                return float(inspect.signature(kind).parameters["lr"].default)
    return 1e-3
