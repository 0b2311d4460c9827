"""The runs of other libraries that are not ours: why, in words and as an equation.

A test holds that ours differs there, and that the equation gives their numbers: the reason is the whole
reason. A key is a run under both schedules, or with the schedule after a comma.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.rules import accumulate_inside, adam, adopt, decay, descend, l2, lion, momentum

from .theirs import (
    adabelief_rectified,
    adam_root,
    adan_late,
    adan_weighted,
    adopt_clipping_to_t,
    cautious_by_mean,
    d_adapt_by_older_v,
    decay_from_second,
    decayed_trust_ratio,
    lamb_clamped,
    laprop_gathering,
    lars_jointly,
    lars_of_matrices,
    lookahead_late,
    mars_from_zero,
    mars_of_matrices,
    prodigy_of_authors,
    schedule_free_ahead,
    yogi_both_start,
)


@dataclass(frozen=True, eq=False)
class Different:
    """Why a run is not ours, and what it is."""

    reason: str
    rules: Chain


def because(reason: str, *links: Link | Rule) -> Different:
    return Different(reason, chain(*links))


NEW_D = "ε is multiplied by the d after the step; the paper's d is that before it"
OLDER_V = "the inner product is scaled by the v before the step; in our equation by that after it"
BOTH_START = "m starts at `initial` as v does, and not at 0"
BY_MEAN = "divides the mask by its mean; the paper adds ξ = 1 to the sum of the mask"
AHEAD = "the learning rate in the weights of the average is that of the step after"

KERAS = {
    "Lamb": because(
        "decays before the trust ratio and apart from it; the paper's decay is inside",
        adam(eps=1e-6),
        decayed_trust_ratio,
    ),
}

OPTAX = {
    "adam eps_root": because("ε is inside the root, after the bias correction", adam_root),
    "yogi": because(BOTH_START, yogi_both_start),
    "adan": because("weights the differences by 1 − β₂ where the paper has β₂", adan_weighted),
    "lars": because(
        "divides by ‖g + λp‖; the paper by ‖g‖ + λ‖p‖", lars_jointly, accumulate_inside
    ),
    "prodigy": because(
        f"always with Adam's bias corrections; {NEW_D}",
        prodigy_of_authors(eps=1e-8, corrected=True),
    ),
    "dadapt_adamw": because(
        f"always with Adam's bias corrections; {OLDER_V}", d_adapt_by_older_v(corrected=True)
    ),
    "schedule_free_sgd, changing": because(AHEAD, descend, schedule_free_ahead),
    "schedule_free_adamw, changing": because(AHEAD, adam(beta1=0.0), l2(0.1), schedule_free_ahead),
}

PYTORCH_OPTIMIZER = {
    "Yogi": because(BOTH_START, yogi_both_start),
    "LaProp": because(
        "keeps the learning rate inside m; ε is added before the bias correction of v",
        laprop_gathering(hat=True),
    ),
    "ADOPT": because(
        "clips to the fourth root of t; the paper to that of the steps that have moved",
        adopt_clipping_to_t,
    ),
    "MARS": because(
        "the gradient before the first is 0; ε is added before the bias correction of v",
        mars_from_zero,
    ),
    "LARS": because("vectors are stepped plainly", lars_of_matrices, momentum),
    "Lamb": because("v has no bias correction; ε is added to ‖u‖", lamb_clamped),
    "DAdaptAdam": because(OLDER_V, d_adapt_by_older_v),
    "Prodigy": because(NEW_D, prodigy_of_authors(eps=1e-8)),
}

TIMM = {
    "LaProp, changing": because("keeps the learning rate inside m", laprop_gathering),
    "Mars 2d": because("vectors are stepped by AdamW", mars_of_matrices, decay(0.1)),
    "Lion cautious": because(BY_MEAN, lion, cautious_by_mean),
    "AdamW cautious": because(BY_MEAN, adam, cautious_by_mean, decay(0.1)),
    "Lookahead": because(
        "the slow point starts at the first synchronization, which then does nothing",
        descend,
        lookahead_late,
    ),
}

AUTHORS = {
    "prodigyopt: Prodigy eps": because(NEW_D, prodigy_of_authors(eps=1e-3)),
    "prodigyopt: Prodigy growth_rate": because(
        "d jumps from d₀ to its first estimate, and grows towards the largest estimate so far",
        prodigy_of_authors(growth_rate=1.1),
    ),
    "prodigyopt: Prodigy corrected": because(
        "Adam's bias corrections, by an option that we do not have",
        prodigy_of_authors(corrected=True),
    ),
    "dadaptation: DAdaptAdam": because(OLDER_V, d_adapt_by_older_v),
    "dadaptation: DAdaptAdam decay": because(
        f"{OLDER_V}; the decay is multiplied by d·lr", d_adapt_by_older_v(weight_decay=0.1)
    ),
    "adabelief-pytorch: AdaBelief rectified": because("rectified as RAdam", adabelief_rectified),
    "torch-adopt: ADOPT decoupled": because(
        "step 1 does not decay, either", adopt(beta2=0.99), decay_from_second
    ),
    "adan-pytorch: Adan": because("the first gradient enters no mean", adan_late),
}

DIFFERENT: dict[str, Different] = {
    **{f"keras: {name}": why for name, why in KERAS.items()},
    **{f"optax: {name}": why for name, why in OPTAX.items()},
    **{f"pytorch_optimizer: {name}": why for name, why in PYTORCH_OPTIMIZER.items()},
    **{f"timm: {name}": why for name, why in TIMM.items()},
    **AUTHORS,
}
