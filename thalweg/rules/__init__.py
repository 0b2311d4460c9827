"""The equations: update rules, and parts to compose them with.

Each is a plain function of tensors (see `thalweg.rule`); `chain` composes them.
"""

from thalweg.rules.adam import adam, adam_scale, adamax, amsgrad, nadam, radam
from thalweg.rules.adam_variants import (
    adabelief,
    adabound,
    adam_hat,
    amsgrad_hat,
    amsgrad_paper,
    amsgrad_unbiased,
    laprop,
    nadam_constant,
    yogi,
)
from thalweg.rules.adan import adan
from thalweg.rules.adaptive import adadelta, adagrad, rmsprop, rmsprop_centered, rprop
from thalweg.rules.ademamix import ademamix
from thalweg.rules.asgd import asgd
from thalweg.rules.delta_bar_delta import delta_bar_delta
from thalweg.rules.learning_rate_free import d_adapt_adam, dog, prodigy
from thalweg.rules.mars import mars
from thalweg.rules.momentum import accumulate, accumulate_inside, descend, heavy_ball, momentum
from thalweg.rules.parts.averages import ema, lookahead, polyak, schedule_free, swa
from thalweg.rules.parts.clipping import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    negate,
    trust_ratio,
)
from thalweg.rules.parts.decay import decay, decay_cautiously, decay_independent, decay_proximal, l2
from thalweg.rules.parts.layerwise import cautious, centralize, clip_by_unit, lars, normalize
from thalweg.rules.parts.noise import gradient_noise, langevin
from thalweg.rules.sign import lion, sign, signum

__all__ = [
    "accumulate",
    "accumulate_inside",
    "adabelief",
    "adabound",
    "adadelta",
    "adagrad",
    "adam",
    "adam_hat",
    "adam_scale",
    "adamax",
    "adan",
    "ademamix",
    "amsgrad",
    "amsgrad_hat",
    "amsgrad_paper",
    "amsgrad_unbiased",
    "asgd",
    "cautious",
    "centralize",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_unit",
    "clip_by_value",
    "d_adapt_adam",
    "decay",
    "decay_cautiously",
    "decay_independent",
    "decay_proximal",
    "delta_bar_delta",
    "descend",
    "dog",
    "ema",
    "gradient_noise",
    "heavy_ball",
    "l2",
    "langevin",
    "laprop",
    "lars",
    "lion",
    "lookahead",
    "mars",
    "momentum",
    "nadam",
    "nadam_constant",
    "negate",
    "normalize",
    "polyak",
    "prodigy",
    "radam",
    "rmsprop",
    "rmsprop_centered",
    "rprop",
    "schedule_free",
    "sign",
    "signum",
    "swa",
    "trust_ratio",
    "yogi",
]
