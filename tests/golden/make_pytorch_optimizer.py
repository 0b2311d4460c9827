"""Write pytorch_optimizer.json. Needs the package pytorch_optimizer.

PYTHONPATH=tests python -m golden.make_pytorch_optimizer
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .record import Entry, write

COMMAND = "PYTHONPATH=tests python -m golden.make_pytorch_optimizer"
CHANGING = ("changing",)
CONSTANT = ("constant",)


def wrapped(inner: Callable[..., Any], outer: Callable[..., Any]) -> Callable[..., Any]:
    """An optimizer in a wrapper that takes the options."""

    def make(params: Iterable[Any], lr: float, **options: Any) -> Any:
        return outer(inner(params, lr=lr), **options)

    make.__name__ = f"{outer.__name__}({inner.__name__})"
    return make


def clipped(params: Iterable[Any], lr: float, **options: Any) -> Any:
    """SGD on gradients that were clipped unit by unit."""
    import torch
    from pytorch_optimizer.optimizer.agc import agc

    class Clipped(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                p.grad = agc(p.detach(), p.grad, **options)
            super().step()

    return Clipped(params, lr=lr)


def of_the_family() -> list[Entry]:
    import pytorch_optimizer as po

    gathered = "the momentum gathers lr·update and is divided by a like mean of lr"
    tiny = "1e-15 is added to v inside the root"
    return [
        Entry("AdaBelief", po.AdaBelief, 0.05, {"eps": 1e-4}),
        Entry(
            "AdaBelief decay decoupled",
            po.AdaBelief,
            0.05,
            {"eps": 1e-4, "weight_decay": 0.1},
            "decay times lr, before the step",
            CHANGING,
        ),
        Entry(
            "AdaBelief decay fixed",
            po.AdaBelief,
            0.05,
            {"eps": 1e-4, "weight_decay": 0.02, "fixed_decay": True},
            "decay not times lr, before the step",
            CHANGING,
        ),
        Entry(
            "AdaBelief decay l2",
            po.AdaBelief,
            0.05,
            {"eps": 1e-4, "weight_decay": 0.1, "weight_decouple": False},
            "decay in the gradient",
            CHANGING,
        ),
        Entry(
            "Yogi",
            po.Yogi,
            0.05,
            {},
            "with bias corrections, and m starts at 1e-6 as v does; the paper has neither",
        ),
        Entry(
            "Yogi from zero",
            po.Yogi,
            0.05,
            {"initial_accumulator": 0.0},
            "with bias corrections; v starts at zero",
            CHANGING,
        ),
        Entry(
            "LaProp",
            po.LaProp,
            0.05,
            {"eps": 1e-3, "foreach": False},
            f"{gathered}; epsilon hat; {tiny}",
        ),
        Entry(
            "AdaBound",
            po.AdaBound,
            0.05,
            {"final_lr": 0.1, "gamma": 0.05},
            f"without the paper's 1/√t; {tiny}",
        ),
        Entry("Lion", po.Lion, 0.03, {"weight_decay": 0.1}, "decay times lr, before the step"),
        Entry("Lion cautious", po.Lion, 0.03, {"cautious": True}, "the mask's mean with ξ = 1"),
        Entry("Lion centralized", po.Lion, 0.03, {"use_gc": True}, "", CHANGING),
        Entry("SignSGD", po.SignSGD, 0.03, {"momentum": 0.0}, "", CHANGING),
        Entry("Signum", po.SignSGD, 0.03, {"momentum": 0.9}),
        Entry("Adan", po.Adan, 0.05),
        Entry(
            "Adan proximal",
            po.Adan,
            0.05,
            {"weight_decay": 0.1},
            "decay: divides by 1 + lr·λ after the step",
            CHANGING,
        ),
        Entry(
            "Adan decoupled",
            po.Adan,
            0.05,
            {"weight_decay": 0.1, "weight_decouple": True},
            "decay times lr, before the step",
            CHANGING,
        ),
        Entry("AdEMAMix", po.AdEMAMix, 0.05, {"betas": [0.9, 0.999, 0.99]}),
        Entry(
            "AdEMAMix warmup",
            po.AdEMAMix,
            0.05,
            {"betas": [0.9, 0.999, 0.99], "t_alpha_beta3": 12},
            "",
            CHANGING,
        ),
        Entry("ADOPT", po.ADOPT, 0.05, {"betas": [0.9, 0.99]}, "clips to the fourth root of t"),
        Entry(
            "ADOPT without clipping",
            po.ADOPT,
            0.05,
            {"betas": [0.9, 0.99], "clip_lambda": None, "eps": 0.5},
            "",
            CHANGING,
        ),
        Entry(
            "MARS",
            po.MARS,
            0.05,
            {"optimize_1d": True},
            f"at the first step the gradient before is zero, not the same; epsilon hat; {tiny}",
        ),
    ]


def by_norms() -> list[Entry]:
    import pytorch_optimizer as po
    import torch

    return [
        Entry(
            "LARS",
            po.LARS,
            1.0,
            {"weight_decay": 0.1, "trust_coefficient": 0.05},
            "tensors of one dimension are stepped plainly, without decay; lr outside the momentum",
            CHANGING,
        ),
        Entry(
            "Lamb",
            po.Lamb,
            0.05,
            {"weight_decay": 0.1, "weight_decouple": False, "pre_norm": False},
            "v has no bias correction, ‖p‖ is clamped to 10, and ε is added to ‖u‖",
            CHANGING,
        ),
        Entry(
            "DAdaptAdam",
            po.DAdaptAdam,
            1.0,
            {"d0": 1e-2},
            "the inner product is weighted with the v before the step",
            CONSTANT,
        ),
        Entry(
            "Prodigy",
            po.Prodigy,
            1.0,
            {"d0": 1e-2},
            "",
            CONSTANT,
        ),
        Entry(
            "ScheduleFreeSGD",
            po.ScheduleFreeSGD,
            0.2,
            {"weight_decay": 0.1},
            "decay in the gradient, at y",
        ),
        Entry(
            "ScheduleFreeAdamW",
            po.ScheduleFreeAdamW,
            0.05,
            {"weight_decay": 0.1, "eps": 1e-3},
            "decay in the update, at y; 1e-15 is added to v̂ inside the root",
            CHANGING,
        ),
        Entry("Lookahead", wrapped(torch.optim.SGD, po.Lookahead), 0.1, {"k": 3, "alpha": 0.4}),
        Entry("agc", clipped, 0.2, {"agc_clip_val": 0.3}, optimizer="agc before SGD"),
    ]


def main() -> None:
    write("pytorch_optimizer", COMMAND, [*of_the_family(), *by_norms()])


if __name__ == "__main__":
    main()
