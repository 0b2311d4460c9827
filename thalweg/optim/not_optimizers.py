"""What is asked for as an optimizer and is something else: a wrapper around one, or a rule of a chain."""

from __future__ import annotations

from thalweg import rules

_WRAPPERS = {
    "sam": ("SAM", "lambda parameters, lr: SAM(torch.optim.SGD(parameters, lr=lr))"),
    "asam": ("ASAM", "lambda parameters, lr: ASAM(torch.optim.SGD(parameters, lr=lr))"),
    "nonfinite": (
        "NonFinite",
        "lambda parameters, lr: NonFinite(torch.optim.SGD(parameters, lr=lr))",
    ),
}
"""Wrappers of `thalweg.meta`, which stand above this floor, and the function that makes one around SGD."""


def instead(name: str) -> str | None:
    """Return what a name stands for that is no optimizer, and how to use it; None where it is nothing known.

    >>> print(instead("lookahead"))
    'lookahead' is a rule. Put it into a chain, chain(rules.adam(), rules.lookahead()), or after an \
optimizer, after=rules.lookahead().
    """
    wanted = name.strip().lower()
    if wanted in _WRAPPERS:
        called, function = _WRAPPERS[wanted]
        return (
            f"{called} is a wrapper around an optimizer, not one. Give a function that makes both: "
            f"{function}, with `from thalweg.meta import {called}`; on the command line, file.py:name of "
            f"such a function. `thalweg explain {called}` says more."
        )
    if wanted == "accumulate":
        return (
            "Accumulate is a wrapper around an optimizer, not one. Give the optimizer, and how many "
            "batches a step gathers: accumulate=4, or --accumulate 4."
        )
    rule = {each.lower(): each for each in rules.__all__}.get(wanted)
    if rule is None:
        return None
    if getattr(rules, rule).kind.after_step:
        return (
            f"{rule!r} is a rule. Put it into a chain, chain(rules.adam(), rules.{rule}()), or after an "
            f"optimizer, after=rules.{rule}()."
        )
    return f"{rule!r} is a rule. Put it into a chain: chain(rules.{rule}(), …)."
