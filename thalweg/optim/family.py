"""The list of names: which rules make which optimizer."""

from __future__ import annotations

from thalweg.optim.factory import optimizer
from thalweg.optim.sides import SHAMPOO_SIDES, SOAP_SIDES, shampoo_forms, soap_forms
from thalweg.rules import (
    accumulate_inside,
    adabelief,
    adabound,
    adam,
    adam_scale,
    adan,
    ademamix,
    adopt,
    d_adapt_adam,
    delta_bar_delta,
    descend,
    dog,
    langevin,
    laprop,
    lars,
    lion,
    mars,
    nadam_constant,
    normuon,
    prodigy,
    rmsprop,
    schedule_free,
    shampoo,
    sign,
    signum,
    soap,
    soap_skipping,
    trust_ratio,
    yogi,
)
from thalweg.rules.parts.decay import l2

_DECAY_AT_Y = l2(weight_decay=0.0)

ADOPT = optimizer("ADOPT", adopt, lr=1e-3)
AdaBelief = optimizer("AdaBelief", adabelief, lr=1e-3)
AdaBound = optimizer("AdaBound", adabound, lr=1e-3)
Adan = optimizer("Adan", adan, lr=1e-3, decay="proximal")
AdEMAMix = optimizer("AdEMAMix", ademamix, lr=1e-3)
DAdaptAdam = optimizer("DAdaptAdam", d_adapt_adam, lr=1.0, decay="inside")
DeltaBarDelta = optimizer(
    "DeltaBarDelta", delta_bar_delta, lr=1e-2, decay="l2", wants_all_rows=True
)
DoG = optimizer("DoG", dog, lr=1.0, decay="l2")
LAMB = optimizer("LAMB", adam, trust_ratio, lr=1e-3, decay="inside", defaults={"eps": 1e-6})
LARS = optimizer("LARS", lars, accumulate_inside(nesterov=False), lr=1.0, decay="inside")
LDoG = optimizer(
    "LDoG",
    dog(layerwise=True),
    lr=1.0,
    decay="l2",
    title="LDoG (Ivgi, Hinder and Carmon 2023): DoG with a step size for each tensor.",
)
LaProp = optimizer("LaProp", laprop, lr=4e-4)
Lion = optimizer("Lion", lion, lr=1e-4)
MARS = optimizer("MARS", mars, lr=3e-3)
NAdamW = optimizer(
    "NAdamW",
    nadam_constant(ahead=True),
    lr=1e-3,
    dialects={"optax": (nadam_constant(ahead=True),), "algoperf": (nadam_constant(ahead=False),)},
    title="NAdamW (Dozat 2016): NAdam with constant momentum and decoupled weight decay.",
)
NesterovRMSprop = optimizer(
    "NesterovRMSprop",
    rmsprop(eps_inside=True),
    accumulate_inside(nesterov=True),
    lr=1e-3,
    decay="l2",
    title="RMSProp with Nesterov momentum (Goodfellow, Bengio and Courville 2016, algorithm 8.6).",
)
NorMuon = optimizer(
    "NorMuon",
    normuon,
    lr=1e-3,
    dialects={"paper": (normuon,), "authors": (normuon(nesterov=True, adjust="original"),)},
    matrices=True,
)
Prodigy = optimizer("Prodigy", prodigy, lr=1.0, decay="inside")
SOAP = optimizer(
    "SOAP",
    soap,
    lr=3e-3,
    dialects={"paper": (soap,), "authors": (soap_skipping,)},
    defaults=SOAP_SIDES,
    forms=soap_forms,
)
SGLD = optimizer("SGLD", descend, langevin, lr=1e-2, decay="l2")
ScheduleFreeAdamW = optimizer(
    "ScheduleFreeAdamW",
    adam_scale,
    _DECAY_AT_Y,
    schedule_free,
    lr=2.5e-3,
    decay="inside",
    betas=("beta", "beta2"),
    title="Schedule-free AdamW (Defazio et al. 2024): an average of the points instead of a schedule.",
)
ScheduleFreeSGD = optimizer(
    "ScheduleFreeSGD",
    _DECAY_AT_Y,
    schedule_free,
    lr=1.0,
    decay="inside",
    betas=(),
    title="Schedule-free SGD (Defazio et al. 2024): an average of the points instead of a schedule.",
)
Shampoo = optimizer("Shampoo", shampoo, lr=1e-3, defaults=SHAMPOO_SIDES, forms=shampoo_forms)
SignSGD = optimizer("SignSGD", sign, lr=1e-3)
Signum = optimizer("Signum", signum, lr=1e-3)
Yogi = optimizer("Yogi", yogi, lr=1e-2)

__all__ = [
    "ADOPT",
    "LAMB",
    "LARS",
    "MARS",
    "SGLD",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "AdaBound",
    "Adan",
    "DAdaptAdam",
    "DeltaBarDelta",
    "DoG",
    "LDoG",
    "LaProp",
    "Lion",
    "NAdamW",
    "NesterovRMSprop",
    "NorMuon",
    "Prodigy",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
    "SignSGD",
    "Signum",
    "Yogi",
]
