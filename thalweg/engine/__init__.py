"""The engine: rules are traced once, lowered to a program, and run eagerly or fused."""

from thalweg.engine.chain import Chain, chain
from thalweg.engine.noise import noise
from thalweg.engine.plan import compilations
from thalweg.engine.reductions import dimensions, largest, mean, norm, total
from thalweg.engine.rule import Link, Rule, Scalar, rule

__all__ = [
    "Chain",
    "Link",
    "Rule",
    "Scalar",
    "chain",
    "compilations",
    "dimensions",
    "largest",
    "mean",
    "noise",
    "norm",
    "rule",
    "total",
]
