"""What the kit finds on PyTorch's own optimizers, as a page in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from thalweg.testing.checks import CHECKS, contract
from thalweg.testing.conformance import check_optimizer
from thalweg.testing.result import Conformance

_SWITCHES: dict[str, tuple[str, ...]] = {
    "ASGD": ("foreach",),
    "SGD": ("foreach", "fused"),
    "Adadelta": ("foreach",),
    "Adafactor": ("foreach",),
    "Adagrad": ("foreach", "fused"),
    "Adam": ("foreach", "fused"),
    "AdamW": ("foreach", "fused"),
    "Adamax": ("foreach",),
    "LBFGS": (),
    "Muon": (),
    "NAdam": ("foreach",),
    "RAdam": ("foreach",),
    "RMSprop": ("foreach",),
    "Rprop": ("foreach",),
    "SparseAdam": (),
}
"""The classes of PyTorch 2.13, and the implementations each has besides its plain one."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.01},  # without, it has no state to lose
    "LBFGS": {"max_iter": 4},
}


@dataclass(frozen=True)
class Entry:
    """One of PyTorch's optimizers in one of its implementations."""

    name: str
    implementation: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The class, and the implementation where it is not the default."""
        return (
            self.name if self.implementation == "default" else f"{self.name} {self.implementation}"
        )

    def factory(self, params: Any) -> Optimizer:
        """Return the optimizer."""
        make: Callable[..., Optimizer] = getattr(torch.optim, self.name)
        return make(params, **self.options)

    def check(self, **options: Any) -> Conformance:
        """Return what the kit finds on it."""
        return check_optimizer(self.factory, couples=self.name == "LBFGS", **options)


def torch_entries() -> list[Entry]:
    """Return PyTorch's optimizers in each of their implementations, those that this version has."""
    entries = []
    for name, switches in _SWITCHES.items():
        if not hasattr(torch.optim, name):
            continue
        options = {"lr": 0.01, **_OPTIONS.get(name, {})}
        entries.append(Entry(name, options=options))
        entries += [Entry(name, switch, {**options, switch: True}) for switch in switches]
    return entries


_HEAD = """\
# Conformance of PyTorch's optimizers

`thalweg.testing.check_optimizer` on every class of `torch.optim` in PyTorch {version}, on the CPU, in float64
where a check does not say otherwise. A failure means that code which relies on the contract goes wrong with
that optimizer; some are decisions of PyTorch's. Written by

    python -m thalweg.testing > docs/conformance.md

The test of an optimizer of your own:

    from thalweg.testing import check_optimizer

    def test_contracts():
        check_optimizer(MyOptimizer).raise_for_failures()
"""


def conformance_page() -> str:
    """Run the kit on all of PyTorch's optimizers and return the page."""
    entries = torch_entries()
    found = {entry.label: entry.check() for entry in entries}
    lines = [_HEAD.format(version=torch.__version__.split("+")[0]), "## Verdicts", ""]
    lines += ["| optimizer | passed | skipped | fails |", "|---|---|---|---|"]
    for label, conformance in found.items():
        counts = [sum(r.outcome == o for r in conformance.results) for o in ("pass", "skip")]
        fails = ", ".join(f"`{result.name}`" for result in conformance.failed) or "nothing"
        lines.append(f"| {label} | {counts[0]} | {counts[1]} | {fails} |")
    lines += ["", "## Failures", "", *_failures(found)]
    lines += ["", "## Remarks", "", *_remarks(found)]
    lines += ["", "## What each check demands", ""]
    lines += [f"- `{name}`: {contract(name)}" for name in CHECKS]
    return "\n".join(lines) + "\n"


def _failures(found: Mapping[str, Conformance]) -> list[str]:
    """List the failures, with those of an optimizer's implementations that say the same as one."""
    same: dict[tuple[str, str], list[str]] = {}
    for label, conformance in found.items():
        for result in conformance.failed:
            same.setdefault((result.name, result.detail), []).append(label)
    return [
        f"- **{', '.join(labels)}**, `{name}`: {_one_line(detail)}"
        for (name, detail), labels in same.items()
    ]


def _remarks(found: Mapping[str, Conformance]) -> list[str]:
    """List how optimizers were run, and what they do where a contract leaves a choice."""
    same: dict[str, list[str]] = {}
    for label, conformance in found.items():
        for note in conformance.notes:
            same.setdefault(note, []).append(label)
    lines = [f"- **{', '.join(labels)}**: {_one_line(note)}." for note, labels in same.items()]
    verdicts = {label: c["sparse_gradient"] for label, c in found.items()}
    able = [n for n, r in verdicts.items() if r.outcome == "pass" and r.detail.startswith("works")]
    refusing = [n for n, r in verdicts.items() if r.detail.startswith("refused")]
    lines.append(f"- Sparse gradients are taken, and equal dense ones, by {', '.join(able)}.")
    return [*lines, f"- Sparse gradients are refused by {', '.join(refusing)}."]


def _one_line(text: str) -> str:
    return " ".join(text.split())
