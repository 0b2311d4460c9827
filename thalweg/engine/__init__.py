"""The engine: rules are traced once, lowered to a program, and run by one of the engines."""

from thalweg.engine.cpu.backend import compilations
from thalweg.engine.language.chain import Chain, chain
from thalweg.engine.language.define import rule
from thalweg.engine.language.rule import Link, Rule, Scalar
from thalweg.engine.program.noise import noise
from thalweg.engine.program.reductions import dimensions, largest, mean, norm, total

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
