"""The card of a rule."""

from __future__ import annotations

import inspect

from thalweg import rules
from thalweg.engine import Rule, chain
from thalweg.optim import docstring
from thalweg.optim.cards.card import Card
from thalweg.optim.cards.cost import step_cost
from thalweg.optim.cards.known import OPTIMIZERS, RULES
from thalweg.optim.docstring import read_docstring
from thalweg.optim.factory import Named


def describe_rule(made: Rule) -> Card:
    """Return the card of a rule."""
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
