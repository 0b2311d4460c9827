"""The engine: rules are traced once, lowered to a program, and run by one of the engines."""

from thalweg.engine.cpu.backend import compilations
from thalweg.engine.language.chain import Chain, chain
from thalweg.engine.language.define import rule
from thalweg.engine.language.rule import Link, Rule, Scalar
from thalweg.engine.matrix.function import (
    gram,
    gram_of_columns,
    matrix_function,
    mean_of_columns,
    mean_of_rows,
    mean_square_of_rows,
)
from thalweg.engine.matrix.orthogonal import best_orthogonal, newton_schulz
from thalweg.engine.program.noise import noise
from thalweg.engine.program.reductions import (
    columns,
    dimensions,
    largest,
    mean,
    norm,
    rows,
    total,
)
from thalweg.engine.program.shapes import ColumnsByColumns, EachColumn, EachRow, RowsByRows

__all__ = [
    "Chain",
    "ColumnsByColumns",
    "EachColumn",
    "EachRow",
    "Link",
    "RowsByRows",
    "Rule",
    "Scalar",
    "best_orthogonal",
    "chain",
    "columns",
    "compilations",
    "dimensions",
    "gram",
    "gram_of_columns",
    "largest",
    "matrix_function",
    "mean",
    "mean_of_columns",
    "mean_of_rows",
    "mean_square_of_rows",
    "newton_schulz",
    "noise",
    "norm",
    "rows",
    "rule",
    "total",
]
