"""How a model starts: strategies over its layers, applied in place and reported.

    from thalweg import init
    init.apply(model, init.he() | init.output_bias([900, 100]))
    init.apply(model, init.orthogonal() | init.lsuv(), x=batch)

A strategy matches layers by kind (hidden, output, embedding, norm, recurrent, convolution, branch_end) or by
name, which `.on(…)` chooses; `a | b` is b after a on the layers that b matches.
"""

from thalweg.init.alike import check_symmetry, symmetric_units
from thalweg.init.apply import apply
from thalweg.init.compare import InitComparison, compare
from thalweg.init.mup import Mup, MupRow, mup
from thalweg.init.named import find_strategy, strategy_names
from thalweg.init.strategies.biases import bias, forget_gate, norm, output_bias, variance
from thalweg.init.strategies.learned import autoencoder, transfer
from thalweg.init.strategies.lsuv import lsuv
from thalweg.init.strategies.residual import fixup, parameter, scaled_branches, zero_branches
from thalweg.init.strategies.search import gradinit, search
from thalweg.init.strategies.strategy import InitChain, InitStrategy
from thalweg.init.strategies.torch_names import from_torch
from thalweg.init.strategies.weights import (
    delta_orthogonal,
    glorot,
    gram_schmidt,
    he,
    lecun,
    orthogonal,
    random_walk,
    scaled_normal,
    scaled_uniform,
    sparse,
    truncated_normal,
)
from thalweg.init.table import InitReport, InitRow
from thalweg.model.symmetry import SymmetricUnits

__all__ = [
    "InitChain",
    "InitComparison",
    "InitReport",
    "InitRow",
    "InitStrategy",
    "Mup",
    "MupRow",
    "SymmetricUnits",
    "apply",
    "autoencoder",
    "bias",
    "check_symmetry",
    "compare",
    "delta_orthogonal",
    "find_strategy",
    "fixup",
    "forget_gate",
    "from_torch",
    "glorot",
    "gradinit",
    "gram_schmidt",
    "he",
    "lecun",
    "lsuv",
    "mup",
    "norm",
    "orthogonal",
    "output_bias",
    "parameter",
    "random_walk",
    "scaled_branches",
    "scaled_normal",
    "scaled_uniform",
    "search",
    "sparse",
    "strategy_names",
    "symmetric_units",
    "transfer",
    "truncated_normal",
    "variance",
    "zero_branches",
]
