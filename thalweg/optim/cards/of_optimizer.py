"""The card of an optimizer that steps by a chain of rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from thalweg.engine import Link
from thalweg.optim import docstring
from thalweg.optim.cards.card import Card
from thalweg.optim.cards.cost import StepCost, cost_of
from thalweg.optim.cards.of_callable import signature_of
from thalweg.optim.docstring import DocPart, Text, read_docstring
from thalweg.optim.factory import Named
from thalweg.optim.stepping.composition import DECAYS, INSIDE
from thalweg.optim.stepping.evaluation import has_evaluation
from thalweg.optim.stepping.stepper import Stepper

_SAME_STATES = ("foreach", "fused", "capturable", "differentiable")
"""Arguments, off by default, that say how a step is computed and change no state."""


def describe_optimizer(kind: Callable[..., Stepper]) -> Card:
    """Return the card of an optimizer."""
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
        signature=signature_of(kind),
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


def optimizer_example(
    kind: Callable[..., Any], evaluates_elsewhere: bool = False, **arguments: Any
) -> str:
    """Return code that makes an optimizer, with arguments in addition to its learning rate."""
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
        elif parameter.default is False and name not in _SAME_STATES:
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
