"""What each run of the other libraries is here: a chain of rules, and named optimizers.

`OURS` has an entry for every run; for one that is listed in `different.py` too, it is what comes nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.rules import (
    accumulate_inside,
    adabelief,
    adabound,
    adadelta,
    adagrad,
    adam,
    adam_hat,
    adamax,
    adan,
    ademamix,
    adopt,
    amsgrad_hat,
    amsgrad_paper,
    amsgrad_unbiased,
    cautious,
    centralize,
    clip_by_global_norm,
    clip_by_unit,
    clip_by_value,
    d_adapt_adam,
    decay,
    decay_cautiously,
    decay_independent,
    decay_proximal,
    descend,
    dog,
    heavy_ball,
    l2,
    laprop,
    lars,
    lion,
    lookahead,
    mars,
    momentum,
    nadam,
    nadam_constant,
    normalize,
    prodigy,
    rmsprop,
    rmsprop_centered,
    schedule_free,
    sign,
    signum,
    trust_ratio,
    yogi,
)


@dataclass(frozen=True, eq=False)
class Named:
    """An optimizer of `thalweg.optim` with its options."""

    name: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{k}={v}" for k, v in self.options.items())])


@dataclass(frozen=True, eq=False)
class Ours:
    """A run in our words."""

    rules: Chain
    named: tuple[Named, ...] = ()


def rules(*links: Link | Rule) -> Ours:
    """A chain that has no name."""
    return Ours(chain(*links))


class Names:
    """`o.Lion(...)` in this file stands for `thalweg.optim.Lion(params, lr=..., ...)`."""

    def __getattr__(self, name: str) -> Any:
        return lambda **options: Named(name, options)


def as_named(ours: Ours, *named: Named) -> Ours:
    """A chain that has names."""
    return Ours(ours.rules, named)


o = Names()
HAT = {"eps": 1e-3}
INSIDE: dict[str, Any] = {"rho": 0.9, "eps": 1e-3, "eps_inside": True}
ALPHA = {"alpha": 0.9, "eps": 1e-3}
PLAIN_SCALE = adam(beta1=0.0, eps=1e-3)

KERAS = {
    "SGD": as_named(rules(heavy_ball), o.SGD(momentum=0.9, dialect="paper")),
    "SGD nesterov": as_named(
        rules(heavy_ball(nesterov=True)), o.SGD(momentum=0.9, nesterov=True, dialect="paper")
    ),
    "RMSprop": as_named(
        rules(rmsprop(**INSIDE)),
        o.RMSprop(**ALPHA, dialect="paper"),
        o.RMSprop(**ALPHA, dialect="keras"),
    ),
    "RMSprop momentum": as_named(
        rules(rmsprop(**INSIDE), accumulate_inside(0.8)),
        o.RMSprop(**ALPHA, momentum=0.8, dialect="paper"),
        o.RMSprop(**ALPHA, momentum=0.8, dialect="keras"),
    ),
    "RMSprop centered": as_named(
        rules(rmsprop_centered(**INSIDE)),
        o.RMSprop(**ALPHA, centered=True, dialect="paper"),
        o.RMSprop(**ALPHA, centered=True, dialect="keras"),
    ),
    "RMSprop centered momentum": as_named(
        rules(rmsprop_centered(**INSIDE), accumulate_inside(0.8)),
        o.RMSprop(**ALPHA, centered=True, momentum=0.8, dialect="paper"),
        o.RMSprop(**ALPHA, centered=True, momentum=0.8, dialect="keras"),
    ),
    "Adam": as_named(rules(adam_hat(**HAT)), o.Adam(**HAT, dialect="keras")),
    "Adam amsgrad": as_named(
        rules(amsgrad_hat(**HAT, beta2=0.9)),
        o.Adam(**HAT, betas=(0.9, 0.9), amsgrad=True, dialect="keras"),
    ),
    "AdamW": as_named(
        rules(adam_hat(**HAT), decay(0.1)), o.AdamW(**HAT, weight_decay=0.1, dialect="keras")
    ),
    "Nadam": as_named(
        rules(nadam(**HAT, momentum_decay=1.0)),
        o.NAdam(**HAT, momentum_decay=1.0),
        o.NAdam(**HAT, dialect="keras"),
    ),
    "Adamax": as_named(rules(adamax(**HAT, eps_outside=True)), o.Adamax(**HAT, dialect="keras")),
    "Adagrad": as_named(
        rules(adagrad(**HAT, initial_accumulator_value=0.1, eps_inside=True)),
        o.Adagrad(**HAT, initial_accumulator_value=0.1, dialect="keras"),
    ),
    "Adadelta": as_named(rules(adadelta(**HAT)), o.Adadelta(**HAT)),
    "Lion": as_named(rules(lion, decay(0.1)), o.Lion(weight_decay=0.1)),
    "Lamb": rules(adam(eps=1e-6), trust_ratio(0.1)),
    "ScheduleFreeAdamW": rules(adam(beta1=0.0), schedule_free(power=0.0)),
}

OPTAX = {
    "sgd nesterov": as_named(rules(momentum(nesterov=True)), o.SGD(momentum=0.9, nesterov=True)),
    "rmsprop": as_named(rules(rmsprop(**INSIDE)), o.RMSprop(**ALPHA, dialect="optax")),
    "rmsprop outside": as_named(rules(rmsprop(rho=0.9, eps=1e-3)), o.RMSprop(**ALPHA)),
    "rmsprop momentum": as_named(
        rules(rmsprop(**INSIDE), accumulate_inside(0.8)),
        o.RMSprop(**ALPHA, momentum=0.8, dialect="optax"),
    ),
    "rmsprop nesterov": rules(rmsprop(**INSIDE), heavy_ball(0.8, nesterov=True)),
    "rmsprop centered": as_named(
        rules(rmsprop_centered(**INSIDE)), o.RMSprop(**ALPHA, centered=True, dialect="optax")
    ),
    "rmsprop centered nesterov": rules(rmsprop_centered(**INSIDE), heavy_ball(0.8, nesterov=True)),
    "adam": as_named(rules(adam(**HAT)), o.Adam(**HAT)),
    "adam eps_root": rules(adam(eps=0.0)),
    "adamw": as_named(rules(adam, decay(0.1)), o.AdamW(weight_decay=0.1)),
    "nadam": as_named(rules(nadam_constant(**HAT)), o.NAdam(**HAT, dialect="optax")),
    "nadamw": as_named(rules(nadam_constant, decay(0.1)), o.NAdamW(weight_decay=0.1)),
    "amsgrad": as_named(
        rules(amsgrad_unbiased(**HAT, beta2=0.9)),
        o.Adam(**HAT, betas=(0.9, 0.9), amsgrad=True, dialect="optax"),
    ),
    "amsgrad printed": as_named(
        rules(amsgrad_paper(**HAT, beta2=0.9)),
        o.Adam(**HAT, betas=(0.9, 0.9), amsgrad=True, dialect="paper"),
    ),
    "adamax": as_named(rules(adamax(**HAT)), o.Adamax(**HAT)),
    "adagrad": as_named(
        rules(adagrad(**HAT, initial_accumulator_value=0.1, eps_inside=True)),
        o.Adagrad(**HAT, initial_accumulator_value=0.1, dialect="optax"),
    ),
    "adadelta": as_named(rules(adadelta(**HAT)), o.Adadelta(**HAT)),
    "adabelief": as_named(rules(adabelief(eps=1e-4)), o.AdaBelief(eps=1e-4)),
    "yogi": rules(yogi(bias_correction=True)),
    "lion": as_named(rules(lion, decay(0.1)), o.Lion(weight_decay=0.1)),
    "sign_sgd": as_named(rules(sign), o.SignSGD()),
    "signum": as_named(rules(signum), o.Signum()),
    "adan": rules(adan),
    "adan half": as_named(rules(adan(beta2=0.5)), o.Adan(betas=(0.98, 0.5, 0.99))),
    "lamb": as_named(rules(adam(eps=1e-6), trust_ratio(0.1)), o.LAMB(eps=1e-6, weight_decay=0.1)),
    "lars": rules(lars(0.1, 0.05), accumulate_inside),
    "lars without decay": rules(lars(trust_coefficient=0.05), accumulate_inside),
    "centralize": rules(centralize),
    "normalize": rules(normalize(eps=1e-3, scope="all")),
    "clip_by_global_norm": rules(clip_by_global_norm(1.5)),
    "clip": rules(clip_by_value(0.4)),
    "ademamix": as_named(
        rules(ademamix(beta3=0.99), decay(0.1)),
        o.AdEMAMix(betas=(0.9, 0.999, 0.99), weight_decay=0.1),
    ),
    "prodigy": rules(prodigy(d0=1e-2)),
    "dadapt_adamw": rules(d_adapt_adam(d0=1e-2)),
    "dog": as_named(rules(dog(relative=1e-2)), o.DoG(relative=1e-2)),
    "ldog": as_named(rules(dog(relative=1e-2, layerwise=True)), o.LDoG(relative=1e-2)),
    "schedule_free_sgd": as_named(rules(descend, schedule_free), o.ScheduleFreeSGD()),
    "schedule_free_adamw": as_named(
        rules(adam(beta1=0.0), l2(0.1), schedule_free), o.ScheduleFreeAdamW(weight_decay=0.1)
    ),
}

PYTORCH_OPTIMIZER = {
    "AdaBelief": as_named(rules(adabelief(eps=1e-4)), o.AdaBelief(eps=1e-4)),
    "AdaBelief decay decoupled": as_named(
        rules(adabelief(eps=1e-4), decay(0.1)),
        o.AdaBelief(eps=1e-4, weight_decay=0.1, decay="decoupled"),
    ),
    "AdaBelief decay fixed": as_named(
        rules(adabelief(eps=1e-4), decay_independent(0.02)),
        o.AdaBelief(eps=1e-4, weight_decay=0.02, decay="independent"),
    ),
    "AdaBelief decay l2": as_named(
        rules(l2(0.1), adabelief(eps=1e-4)),
        o.AdaBelief(eps=1e-4, weight_decay=0.1, decay="l2"),
    ),
    "Yogi": rules(yogi(bias_correction=True)),
    "Yogi from zero": as_named(
        rules(yogi(bias_correction=True, initial=0.0)),
        o.Yogi(bias_correction=True, initial=0.0),
    ),
    "LaProp": rules(laprop(**HAT)),
    "AdaBound": as_named(
        rules(adabound(final_lr=0.1, gamma=0.05)), o.AdaBound(final_lr=0.1, gamma=0.05)
    ),
    "Lion": as_named(rules(lion, decay(0.1)), o.Lion(weight_decay=0.1)),
    "Lion cautious": as_named(rules(lion, cautious), o.Lion(after=cautious)),
    "Lion centralized": as_named(rules(centralize, lion), o.Lion(before=centralize)),
    "SignSGD": as_named(rules(sign), o.SignSGD()),
    "Signum": as_named(rules(signum), o.Signum()),
    "Adan": as_named(rules(adan), o.Adan()),
    "Adan proximal": as_named(
        rules(adan, decay_proximal(0.1)), o.Adan(weight_decay=0.1, decay="proximal")
    ),
    "Adan decoupled": as_named(
        rules(adan, decay(0.1)), o.Adan(weight_decay=0.1, decay="decoupled")
    ),
    "AdEMAMix": as_named(rules(ademamix(beta3=0.99)), o.AdEMAMix(betas=(0.9, 0.999, 0.99))),
    "AdEMAMix warmup": as_named(
        rules(ademamix(beta3=0.99, warmup=12.0)),
        o.AdEMAMix(betas=(0.9, 0.999, 0.99), warmup=12.0),
    ),
    "ADOPT": rules(adopt(beta2=0.99)),
    "ADOPT without clipping": as_named(
        rules(adopt(beta2=0.99, eps=0.5, clip=False)),
        o.ADOPT(betas=(0.9, 0.99), eps=0.5, clip=False),
    ),
    "MARS": rules(mars),
    "LARS": rules(lars(0.1, 0.05), momentum),
    "Lamb": rules(adam(eps=1e-6), trust_ratio(0.1)),
    "DAdaptAdam": rules(d_adapt_adam(d0=1e-2)),
    "Prodigy": rules(prodigy(d0=1e-2)),
    "ScheduleFreeSGD": as_named(rules(l2(0.1), schedule_free), o.ScheduleFreeSGD(weight_decay=0.1)),
    "ScheduleFreeAdamW": as_named(
        rules(PLAIN_SCALE, l2(0.1), schedule_free),
        o.ScheduleFreeAdamW(**HAT, weight_decay=0.1),
    ),
    "Lookahead": as_named(rules(descend, lookahead(3, 0.4)), o.SGD(after=lookahead(3, 0.4))),
    "agc": as_named(rules(clip_by_unit(0.3)), o.SGD(before=clip_by_unit(0.3))),
}

TIMM = {
    "Lamb": OPTAX["lamb"],
    "Lamb clipped": as_named(
        rules(clip_by_global_norm(1.0), adam(eps=1e-6), trust_ratio(0.1)),
        o.LAMB(eps=1e-6, weight_decay=0.1, before=clip_by_global_norm(1.0)),
    ),
    "Lars": rules(lars(0.1, 0.05, 1e-3), momentum),
    "Adan": PYTORCH_OPTIMIZER["Adan proximal"],
    "Adan decoupled": PYTORCH_OPTIMIZER["Adan decoupled"],
    "Mars": as_named(rules(mars), o.MARS()),
    "Mars 2d": rules(mars, decay(0.1)),
    "LaProp": as_named(rules(laprop(**HAT)), o.LaProp(**HAT)),
    "NAdamW": as_named(
        rules(nadam_constant(**HAT, ahead=False), decay(0.1)),
        o.NAdamW(**HAT, weight_decay=0.1, dialect="algoperf"),
    ),
    "AdaBelief": PYTORCH_OPTIMIZER["AdaBelief"],
    "Lion": PYTORCH_OPTIMIZER["Lion"],
    "Lion cautious": rules(lion, cautious),
    "AdamW cautious": rules(adam, cautious, decay(0.1)),
    "Lookahead": PYTORCH_OPTIMIZER["Lookahead"],
}

TINY = {"d0": 1e-2, "eps": 1e-30}
AUTHORS = {
    "prodigyopt: Prodigy": as_named(rules(prodigy(**TINY)), o.Prodigy(**TINY)),
    "prodigyopt: Prodigy eps": rules(prodigy(d0=1e-2, eps=1e-3)),
    "prodigyopt: Prodigy decay": as_named(
        rules(prodigy(**TINY, weight_decay=0.1)), o.Prodigy(**TINY, weight_decay=0.1)
    ),
    "prodigyopt: Prodigy d_coef": as_named(
        rules(prodigy(**TINY, d_coef=0.5, beta1=0.8, beta2=0.9)),
        o.Prodigy(**TINY, d_coef=0.5, betas=(0.8, 0.9)),
    ),
    "prodigyopt: Prodigy growth_rate": rules(prodigy(**TINY, growth_rate=1.1)),
    "prodigyopt: Prodigy corrected": rules(prodigy(**TINY)),
    "dadaptation: DAdaptAdam": rules(d_adapt_adam(d0=1e-2)),
    "dadaptation: DAdaptAdam growth_rate": as_named(
        rules(d_adapt_adam(d0=1e-2, growth_rate=1.1, beta1=0.8, beta2=0.9)),
        o.DAdaptAdam(d0=1e-2, growth_rate=1.1, betas=(0.8, 0.9)),
    ),
    "dadaptation: DAdaptAdam decay": rules(d_adapt_adam(d0=1e-2), decay(0.1)),
    "schedulefree: SGDScheduleFree": OPTAX["schedule_free_sgd"],
    "schedulefree: SGDScheduleFree weighted": as_named(
        rules(l2(0.1), schedule_free(0.8, 1.0, 1.5)),
        o.ScheduleFreeSGD(beta=0.8, r=1.0, power=1.5, weight_decay=0.1),
    ),
    "schedulefree: AdamWScheduleFree": PYTORCH_OPTIMIZER["ScheduleFreeAdamW"],
    "dog-optimizer: DoG": OPTAX["dog"],
    "dog-optimizer: LDoG": OPTAX["ldog"],
    "adabelief-pytorch: AdaBelief": PYTORCH_OPTIMIZER["AdaBelief"],
    "adabelief-pytorch: AdaBelief rectified": rules(adabelief(eps=1e-4)),
    "adabound: AdaBound": PYTORCH_OPTIMIZER["AdaBound"],
    "torch-adopt: ADOPT": as_named(rules(adopt), o.ADOPT()),
    "torch-adopt: ADOPT l2": as_named(
        rules(l2(0.1), adopt(beta1=0.8, beta2=0.95, eps=1e-3)),
        o.ADOPT(betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, decay="l2"),
    ),
    "torch-adopt: ADOPT decoupled": as_named(
        rules(adopt(beta2=0.99), decay(0.1)),
        o.ADOPT(betas=(0.9, 0.99), weight_decay=0.1),
    ),
    "lion-pytorch: Lion": PYTORCH_OPTIMIZER["Lion"],
    "lion-pytorch: Lion cautious decay": as_named(
        rules(lion, decay_cautiously(0.25)), o.Lion(weight_decay=0.25, decay="cautious")
    ),
    "adan-pytorch: Adan": rules(adan),
}

OURS: dict[str, Ours] = {
    **{f"keras: {name}": ours for name, ours in KERAS.items()},
    **{f"optax: {name}": ours for name, ours in OPTAX.items()},
    **{f"pytorch_optimizer: {name}": ours for name, ours in PYTORCH_OPTIMIZER.items()},
    **{f"timm: {name}": ours for name, ours in TIMM.items()},
    **AUTHORS,
}
