"""Every optimizer steps the models of a stack as it steps them alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.race.stack.subjects import assert_same, entrant, stacked, task, trials
from thalweg import optim, schedules
from thalweg.engine import chain
from thalweg.meta import NonFinite
from thalweg.optim.stepping.merged import Merged, can_merge
from thalweg.race.entrants.known import Entrant, known_entrants
from thalweg.rules import clip_by_global_norm, ema, momentum, polyak
from thalweg.tasks import mlp
from thalweg.train.optimizers.binding import build_optimizer
from thalweg.train.optimizers.known import needs_model

KNOWN = {
    name: each
    for name, each in known_entrants().items()
    if each.batch_size == "race"
    and not needs_model(each.factory)
    and each.factory is not optim.SparseAdam
}
"""Those that can be stacked: not solvers, nor what reads the layers of a model, nor what takes sparse
gradients alone."""


SOAP_TOLERANCE = 1e-8
"""The gradients of a softmax add up to 0, so that one direction of SOAP's last basis has none: what rounding
leaves there, 1e-17, is divided by ε = 1e-8."""


def _square() -> nn.Module:
    """A network of square weights, of which SOAP's bases are certain.

    They are the eigenvectors of products of the first gradient. Of a gradient of lower rank than its longer
    side several have the eigenvalue 0, any basis of their space will do, and rounding decides which it is;
    here every eigenvalue is single, and the basis the same up to signs.
    """
    return mlp([4, 4, 4], nn.Tanh)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"soap"}))
def test_known_entrants(name: str) -> None:
    known = KNOWN[name]
    assert_same(task(), trials([known], known.lrs[2:4], [0, 1]))


def test_soap() -> None:
    known = KNOWN["soap"]
    unit = trials([known], known.lrs[2:4], [0, 1])
    assert_same(task(_square), unit, tolerance=SOAP_TOLERANCE)


def test_all_known_entrants_together() -> None:
    unit = trials([e for name, e in KNOWN.items() if name != "soap"], [0.01], [5], epochs=2)
    assert len(unit) > 30
    assert_same(task(), unit)


def test_soap_beside_others() -> None:
    """It shares a step with Shampoo, whose matrices are as large, and with two that have none."""
    several = [KNOWN[name] for name in ("soap", "shampoo", "adam", "adafactor")]
    unit = trials(several, [0.01], [0, 1], epochs=2)
    assert_same(task(_square), unit, tolerance=SOAP_TOLERANCE)


def _groups(params: Any, lr: float) -> torch.optim.Optimizer:
    """Weights decay, biases do not."""
    named = dict(params) if isinstance(params, dict) else list(params)
    weights = [p for p in named if p.ndim > 1]
    biases = [p for p in named if p.ndim == 1]
    return optim.AdamW([{"params": weights}, {"params": biases, "weight_decay": 0.0}], lr=lr)


def _checked(params: Any, lr: float) -> torch.optim.Optimizer:
    return NonFinite(torch.optim.SGD(params, lr=lr))


class _Keeps(torch.optim.SGD):
    """Steps by the gradient of the step before, whose very tensor it keeps."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if "before" in state:
                    p.data.sub_(state["before"], alpha=group["lr"])
                state["before"] = p.grad


OTHERS = [
    entrant(torch.optim.Adam),
    entrant(torch.optim.SGD, "torch momentum", momentum=0.9),
    entrant(torch.optim.Adagrad),
    entrant(_Keeps),
    entrant(_groups, "two groups"),
    entrant(_checked, "wrapped"),
    entrant(optim.SGD, "global norm", before=clip_by_global_norm(0.1)),
    entrant(optim.SGD, "average", after=polyak()),
    entrant(optim.Adam, "ema", after=ema(0.9)),
    entrant(optim.Adam, "eager", engine="eager"),
    Entrant("chain", chain(clip_by_global_norm(0.5), momentum(0.8))),
    Entrant("link", momentum(0.8)),
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda e: e.name)
def test_others(other: Entrant) -> None:
    assert_same(task(), trials([other], [0.01, 0.1], [0, 1]))


@pytest.mark.parametrize(
    "schedule", ["cosine", "warmup-linear", lambda lr, n: schedules.cosine(lr, steps=n)]
)
def test_schedules(schedule: Any) -> None:
    scheduled = [
        Entrant("adam", optim.Adam, schedule=schedule),
        Entrant("prodigy", optim.Prodigy, schedule=schedule),
        Entrant("plain", optim.Adam),
    ]
    assert_same(task(), trials(scheduled, [0.01, 0.1], [0, 1]))


def test_hyperparameters_differ_within_a_stack() -> None:
    several = [
        entrant(optim.Adam, f"b{k}", betas=(0.5 + 0.1 * k, 0.9), weight_decay=0.1 * k)
        for k in range(4)
    ]
    assert_same(task(), trials(several, [0.03], [0, 1]))


def test_initializations_differ_within_a_stack() -> None:
    several = [
        Entrant(f"i{k}", optim.SGD, initialization=k) for k in (None, "orthogonal", "xavier_normal")
    ]
    assert_same(task(), trials(several, [0.1], [0, 1]))


def test_what_merges() -> None:
    """Most optimizers do; those that look at all of a model's tensors, or draw noise, do not."""
    model = task().build()
    merging = {
        name for name, e in KNOWN.items() if can_merge(build_optimizer(e.bound({}), model, 0.1))
    }
    assert set(KNOWN) - merging == {"sgld", "dadaptadam", "dog", "prodigy"}
    for factory in (
        torch.optim.Adam,
        lambda p, lr: optim.SGD(p, lr, before=clip_by_global_norm(1.0)),
    ):
        assert not can_merge(build_optimizer(factory, model, 0.1))


def test_what_its_form_refuses_is_not_merged() -> None:
    """Its own step says what is wrong, which a merged one would not."""
    optimizer = optim.Adafactor([nn.Parameter(torch.ones(3, 2, dtype=torch.complex64))])
    assert not can_merge(optimizer)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3, 2, dtype=torch.complex64)
    with pytest.raises(RuntimeError, match="does not support complex parameters"):
        optimizer.step()


def test_a_hooked_optimizer_steps_by_itself() -> None:
    optimizer = build_optimizer(optim.Adam, task().build(), 0.1)
    assert can_merge(optimizer)
    optimizer.register_step_post_hook(lambda *_: None)
    assert not can_merge(optimizer)


def test_merged_optimizers_are_one_batch_of_kernels() -> None:
    owners = [optim.Adam([torch.nn.Parameter(torch.ones(3))], lr=0.1 * k) for k in range(1, 5)]
    for owner in owners:
        owner.param_groups[0]["params"][0].grad = torch.ones(3)
    merged = Merged(owners)
    merged.step()
    plan = merged.plan()
    if "eager" not in plan:  # without llvmlite there are no kernels
        assert plan.startswith("fused  4 tensors")
    moved = [owner.param_groups[0]["params"][0][0].item() for owner in owners]
    assert moved == pytest.approx([1 - 0.1 * k for k in range(1, 5)])


def test_most_of_a_race_is_stepped_as_one() -> None:
    unit = trials([KNOWN["adam"], KNOWN["sgd"], KNOWN["prodigy"]], [0.01], [0, 1], epochs=1)
    members = stacked(task(), unit)
    assert all(member.status == "finished" for member in members)
