"""What a user may get wrong is said in words that name it, before anything is computed with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.solvers import (
    coordinate_descent,
    flat_objective,
    lasso,
    least_squares,
    minimize,
    minimize_many,
    sparse_coding,
)

NAN, INF = math.nan, math.inf


def square(x: Tensor) -> Tensor:
    return ((x - 1) ** 2).sum()


def data_dependent(x: Tensor) -> Tensor:
    return x.sum() if float(x.sum()) > 0 else -x.sum()


@pytest.mark.parametrize(
    ("x0", "error", "words"),
    [
        ([NAN, 1.0], ValueError, "nan at entry 0"),
        ([1.0, INF], ValueError, "inf at entry 1"),
        ([], ValueError, "no numbers"),
        ([1j, 2.0], ValueError, "complex"),
        (np.array([1j]), ValueError, "complex"),
        (torch.tensor([1j]), ValueError, "complex"),
        (None, TypeError, "got NoneType"),
        ("abc", TypeError, "got str"),
        ([[1, 2], [3]], TypeError, "got list"),
        ([10**400, 1], TypeError, "too large"),
        (np.array(["a"]), TypeError, "got ndarray"),
        (torch.nn.Linear(1, 1), TypeError, "flat_objective"),
        (torch.eye(2).to_sparse(), ValueError, "sparse"),
        (torch.zeros(2, device="meta"), ValueError, "meta"),
        (torch.ones(2, dtype=torch.float16), ValueError, r"float16.*x0.float\(\)"),
        (torch.ones(2, dtype=torch.bfloat16), ValueError, "bfloat16"),
    ],
)
def test_what_is_no_start_is_refused(x0: Any, error: type[Exception], words: str) -> None:
    for solve in (minimize, coordinate_descent):
        with pytest.raises(error, match=words):
            solve(square, x0)
    with pytest.raises(error, match=words):
        least_squares(lambda x: x - 1, x0)
    with pytest.raises(error, match=words):
        minimize_many(square, x0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_iter", (-1, 1.5, "3", None, NAN, True)),
        ("max_evals", (-1, 0, 1.5, "3", NAN, True)),
        ("tol", (-1.0, NAN, "a", INF, True, 1.0)),
    ],
)
def test_budgets_and_tolerances_out_of_range_are_refused(
    name: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"{name} must be an? .*(number|integer)"):
            minimize(square, [3.0, 4.0], **{name: value})
        with pytest.raises(ValueError, match=f"{name} must be an? .*(number|integer)"):
            least_squares(lambda x: x - 1, [3.0, 4.0], **{name: value})
        with pytest.raises(ValueError, match=f"{name} must be an? .*(number|integer)"):
            minimize_many(square, [[3.0, 4.0]], **{name: value})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *(("lbfgs", {"history": value}) for value in (0, -1, 1.5, None, "3", True)),
        *(
            (method, {"radius": value})
            for method in ("trust-exact", "trust-ncg", "lm")
            for value in (0, -1, NAN, INF, "a", True)
        ),
        *(
            ("bfgs", {"c1": c1, "c2": c2})
            for c1, c2 in ((0, 0.9), (0.1, 1.5), ("a", 0.9), (NAN, 1))
        ),
        *(
            (method, {"most": value})
            for method in ("newton-cg", "trust-ncg")
            for value in (0, -1, 1.5, "a")
        ),
        *(("cg", {"beta": value}) for value in ("x", None, ["fr"])),
        *(("newton", {"remedy": value}) for value in ("x", None)),
        *(("bfgs", {"search": value}) for value in ("x", None, ["wolfe"])),
        *((name, {}) for name in ("BFGS", None, 3, ["bfgs"])),
    ],
)
def test_options_out_of_range_are_refused(method: Any, options: dict[str, Any]) -> None:
    solve: Any = least_squares if method == "lm" else minimize
    with pytest.raises(ValueError, match=r"number|integer|between|There is no|above 0"):
        solve(square, [3.0, 4.0], method, **options)


@pytest.mark.parametrize("side", ["a", 1j, object()])
def test_bounds_that_are_no_numbers_are_refused(side: Any) -> None:
    with pytest.raises(TypeError, match="bounds: low must be a number"):
        minimize(square, [1.0, 2.0], bounds=(side, 3.0))
    with pytest.raises(ValueError, match="no finite number"):
        minimize(square, [1.0, 2.0], bounds=(INF, INF))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="fun must be a function"):
        minimize(3, [1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="residuals must be a function"):
        least_squares(None, [1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback must be a function"):
        minimize(square, [1.0], callback=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="solve must be a function"):
        coordinate_descent(square, [1.0], solve=3)  # type: ignore[arg-type]


def test_many_starts_say_the_way_out_of_what_vmap_cannot() -> None:
    with pytest.raises(ValueError, match=r"torch\.where.*minimize for each start"):
        minimize_many(data_dependent, [[1.0], [2.0]])


@pytest.mark.parametrize("starts", [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]])
def test_an_objective_without_a_gradient_has_not_converged(starts: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="does not depend on x"):
        minimize_many(lambda x: square(x.detach()), starts)
    with pytest.raises(ValueError, match="do not depend on x"):
        least_squares(lambda x: x.detach() - 1, starts[0])
    with pytest.raises(ValueError, match="no residuals"):
        least_squares(lambda x: x[:0], starts[0])


def test_functions_and_callbacks_may_change_what_they_are_given() -> None:
    def doubled(x: Tensor) -> Tensor:
        x.mul_(2)
        return square(x)

    for result in (
        minimize(doubled, [3.0, 4.0]),
        minimize_many(doubled, [[3.0, 4.0], [1.0, 7.0]])[0],
        minimize(square, [0.25, 0.25], callback=lambda x, _: x.zero_() is None),
    ):
        assert result.success
    assert minimize(doubled, [3.0, 4.0]).x.tolist() == pytest.approx([0.5, 0.5])
    seen = least_squares(lambda x: x**2 - 1, [3.0, 4.0], callback=lambda x, _: x.zero_() is None)
    assert seen.x.tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_no_mode_without_gradients_matters(mode: Any) -> None:
    with mode():
        x0 = torch.tensor([3.0, 4.0], dtype=torch.float64)
        found = [
            minimize(square, x0),
            minimize(square, x0, "newton"),
            *minimize_many(square, torch.stack([x0, -x0])),
            least_squares(lambda x: x - 1, x0),
            coordinate_descent(square, x0),
        ]
    for result in found:
        assert result.success
        assert result.x.tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("matrix", ["a", None, [[1, 2], [3]]])
def test_what_is_no_matrix_is_refused(matrix: Any) -> None:
    with pytest.raises(TypeError, match=r"A must be a tensor, an array or lists"):
        lasso(matrix, [1.0, 2.0], 0.1)
    with pytest.raises(TypeError, match=r"data must be a tensor, an array or lists"):
        sparse_coding(matrix, 2, 0.1)


def test_wrong_arguments_of_solvers_by_blocks_are_refused() -> None:
    eye, ones = torch.eye(2), torch.ones(2)
    for tol in (-1.0, NAN, "a"):
        with pytest.raises(ValueError, match="tol must be a number"):
            lasso(eye, ones, 0.1, tol=tol)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float16"):
        lasso(eye.half(), ones, 0.1)
    for seed in ("a", 1.5, -1):
        with pytest.raises(ValueError, match="seed"):
            coordinate_descent(square, [1.0], seed=seed)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="seed"):
            sparse_coding(eye, 2, 0.1, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="complex"):
        coordinate_descent(square, [3.0], solve=lambda x, block: torch.tensor([1j]))


def test_what_is_no_model_or_loss_is_refused() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        flat_objective(3, lambda model: model)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="loss must be a function"):
        flat_objective(torch.nn.Linear(1, 1), 3)  # type: ignore[arg-type]
