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
)
from thalweg.engine.program.noise import noise
from thalweg.engine.program.reductions import dimensions, largest, mean, norm, total
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
    "chain",
    "compilations",
    "dimensions",
    "gram",
    "gram_of_columns",
    "largest",
    "matrix_function",
    "mean",
    "mean_of_columns",
    "mean_of_rows",
    "noise",
    "norm",
    "rule",
    "total",
]
