"""thalweg: optimization for deep learning, on PyTorch."""

from thalweg import optim
from thalweg.engine import Chain, Link, Rule, Scalar, chain, largest, mean, norm, rule, total
from thalweg.optim import Optimizer
from thalweg.version import __version__

__all__ = [
    "Chain",
    "Link",
    "Optimizer",
    "Rule",
    "Scalar",
    "__version__",
    "chain",
    "largest",
    "mean",
    "norm",
    "optim",
    "rule",
    "total",
]
