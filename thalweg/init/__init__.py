"""How a model starts: strategies over its layers, applied in place and reported.

    from thalweg import init
    init.apply(model, init.he() | init.output_bias([900, 100]))
    init.apply(model, init.orthogonal() | init.lsuv(), x=batch)

A strategy matches layers by kind (hidden, output, embedding, norm, recurrent, convolution, branch_end) or by
name, which `.on(…)` chooses; `a | b` is b after a on the layers that b matches.
"""

from thalweg.init.apply import apply
from thalweg.init.named import find_strategy, strategy_names
from thalweg.init.strategies.biases import bias, forget_gate, norm, output_bias, variance
from thalweg.init.strategies.strategy import Chain, Strategy
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

__all__ = [
    "Chain",
    "InitReport",
    "InitRow",
    "Strategy",
    "apply",
    "bias",
    "delta_orthogonal",
    "find_strategy",
    "forget_gate",
    "from_torch",
    "glorot",
    "gram_schmidt",
    "he",
    "lecun",
    "norm",
    "orthogonal",
    "output_bias",
    "random_walk",
    "scaled_normal",
    "scaled_uniform",
    "sparse",
    "strategy_names",
    "truncated_normal",
    "variance",
]
