"""Write timm.json. Needs the package timm, of which only the optimizers are loaded.

PYTHONPATH=tests python -m golden.make_timm
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

from .make_pytorch_optimizer import wrapped
from .record import Entry, write

COMMAND = "PYTHONPATH=tests python -m golden.make_timm"
CHANGING = ("changing",)


def load(module: str) -> Any:
    """Load a module of timm.optim alone: the package itself would load torchvision."""
    if "timm" not in sys.modules:
        found = importlib.util.find_spec("timm")
        assert found is not None
        assert found.submodule_search_locations is not None
        for name, folder in (("timm", ""), ("timm.optim", "/optim")):
            package = types.ModuleType(name)
            package.__path__ = [found.submodule_search_locations[0] + folder]
            sys.modules[name] = package
    return importlib.import_module(f"timm.optim.{module}")


def entries() -> list[Entry]:
    import torch

    mean = "the mask is divided by its mean (at least 1e-3): the paper's ξ is 0"
    gathered = "the momentum gathers lr·update and is divided by a like mean of lr"
    lamb, lars = load("lamb").Lamb, load("lars").Lars
    adan, lion, mars = load("adan").Adan, load("lion").Lion, load("mars").Mars
    whole = {"max_grad_norm": None, "always_adapt": True}
    return [
        Entry("Lamb", lamb, 0.05, {"weight_decay": 0.1, **whole}),
        Entry(
            "Lamb clipped",
            lamb,
            0.05,
            {"weight_decay": 0.1},
            "by default gradients are clipped to the global norm 1",
            CHANGING,
        ),
        Entry(
            "Lars",
            lars,
            1.0,
            {"weight_decay": 0.1, "trust_coeff": 0.05, "momentum": 0.9, "eps": 1e-3},
            "lr outside the momentum",
        ),
        Entry("Adan", adan, 0.05, {"weight_decay": 0.1}, "decay: divides by 1 + lr·λ", CHANGING),
        Entry(
            "Adan decoupled",
            adan,
            0.05,
            {"weight_decay": 0.1, "no_prox": True},
            "decay times lr, before the step",
            CHANGING,
        ),
        Entry("Mars", mars, 0.05, {"optimize_1d": True, "betas": [0.95, 0.99]}),
        Entry(
            "Mars 2d",
            mars,
            0.05,
            {"betas": [0.95, 0.99], "weight_decay": 0.1},
            "by default tensors of one dimension are stepped by AdamW",
            CHANGING,
        ),
        Entry("LaProp", load("laprop").LaProp, 0.05, {"eps": 1e-3}, gathered),
        Entry(
            "NAdamW",
            load("nadamw").NAdamW,
            0.05,
            {"eps": 1e-3, "weight_decay": 0.1},
            "looks ahead by β₁·m + (1 − β₁)·g and corrects both by 1 − β₁ᵗ, where Dozat's paper "
            "corrects m by 1 − β₁ᵗ⁺¹",
        ),
        Entry(
            "AdaBelief",
            load("adabelief").AdaBelief,
            0.05,
            {"eps": 1e-4, "rectify": False},
            "",
            CHANGING,
        ),
        Entry("Lion", lion, 0.03, {"weight_decay": 0.1}, "", CHANGING),
        Entry("Lion cautious", lion, 0.03, {"caution": True}, mean),
        Entry(
            "AdamW cautious",
            load("adamw").AdamWLegacy,
            0.05,
            {"caution": True, "weight_decay": 0.1},
            mean,
            CHANGING,
        ),
        Entry(
            "Lookahead",
            wrapped(torch.optim.SGD, load("lookahead").Lookahead),
            0.1,
            {"k": 3, "alpha": 0.4},
            "the slow point starts at the first synchronization, which therefore does nothing",
            CHANGING,
        ),
    ]


def main() -> None:
    write("timm", COMMAND, entries())


if __name__ == "__main__":
    main()
