"""The equations: update rules, and parts to compose them with.

Each is a plain function of tensors (see `thalweg.rule`); `chain` composes them.
"""

from thalweg.rules.adam import adam, adamax, amsgrad, nadam, radam
from thalweg.rules.adaptive import adadelta, adagrad, rmsprop, rmsprop_centered, rprop
from thalweg.rules.averaged import asgd
from thalweg.rules.momentum import accumulate, accumulate_inside, descend, heavy_ball, momentum
from thalweg.rules.parts import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    decay,
    l2,
    negate,
    trust_ratio,
)

__all__ = [
    "accumulate",
    "accumulate_inside",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "amsgrad",
    "asgd",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "decay",
    "descend",
    "heavy_ball",
    "l2",
    "momentum",
    "nadam",
    "negate",
    "radam",
    "rmsprop",
    "rmsprop_centered",
    "rprop",
    "trust_ratio",
]
