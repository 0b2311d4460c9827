"""Lab: the Lasso by coordinate descent, and its path of coefficients over the penalty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import MissingExtraError, TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.solvers import Result, lasso


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(80, "rows of data", low=5, high=2000)
    features: int = setting(12, "features", low=2, high=60)
    used: int = setting(4, "features that the target depends on", low=1)
    noise: float = setting(0.5, "standard deviation of the target's noise", low=0)
    penalties: int = setting(15, "penalties on the path", low=3, high=100)
    seed: int = setting(0, "seed of the data", low=0)


@dataclass(frozen=True)
class Data:
    """The problem, centred, the path, scikit-learn's, and one of orthogonal columns."""

    A: Tensor
    y: Tensor
    used: int
    penalties: list[float]
    path: list[Result]
    reference: Tensor
    orthogonal: Tensor
    formula: Tensor


def compute(chosen: Settings) -> Data:
    """Follow the coefficients from the penalty where the first appears to a thousandth of it."""
    if chosen.used > chosen.features:
        raise TaskError(f"used must be at most features, {chosen.features}; got {chosen.used}.")
    if chosen.rows < chosen.features + 2:
        raise TaskError(
            f"rows must be at least features + 2, {chosen.features + 2}, for one minimum; got {chosen.rows}."
        )
    random = torch.Generator().manual_seed(chosen.seed)
    A = torch.randn(chosen.rows, chosen.features, generator=random, dtype=torch.float64)
    w = torch.randn(chosen.used, generator=random, dtype=torch.float64)
    w = w + w.sign()  # none too small to be told from the noise
    noise = torch.randn(chosen.rows, generator=random, dtype=torch.float64)
    y = A[:, : chosen.used] @ w + chosen.noise * noise + 3
    A, y = A - A.mean(0), y - y.mean()
    top = float((A.mT @ y).abs().max()) / chosen.rows
    shares = torch.logspace(0, -3, chosen.penalties, dtype=torch.float64).tolist()
    penalties = [1.1 * top, *(top * share * 0.999 for share in shares)]
    path: list[Result] = []
    for penalty in penalties:
        path.append(lasso(A, y, penalty, x0=path[-1].x if path else None))
    reference = _scikit_learn(A, y, penalties)
    return Data(A, y, chosen.used, penalties, path, reference, *_orthogonal(A, y, top / 5))


def _scikit_learn(A: Tensor, y: Tensor, penalties: list[float]) -> Tensor:
    try:
        from sklearn.linear_model import Lasso
    except ImportError:
        raise MissingExtraError("scikit-learn", "This lab") from None
    rows = [
        Lasso(each, fit_intercept=False, tol=1e-14, max_iter=100_000)
        .fit(A.numpy(), y.numpy())
        .coef_
        for each in penalties
    ]
    return torch.stack([torch.as_tensor(row) for row in rows])


def _orthogonal(A: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the Lasso's coefficients with orthogonal columns, and what the formula gives."""
    Q = torch.linalg.qr(A).Q * len(A) ** 0.5  # QᵀQ = m·I
    plain = Q.mT @ y / len(A)
    return lasso(Q, y, penalty).x, plain.sign() * (plain.abs() - penalty).clamp(min=0)


def detect(data: Data) -> dict[str, float]:
    """Compare with scikit-learn and with the formula; see where the first coefficients appear."""
    coefficients = torch.stack([each.x for each in data.path])
    used = (coefficients != 0).sum(1).tolist()
    return {
        "furthest from scikit-learn": float((coefficients - data.reference).abs().max()),
        "coefficients above the first penalty": used[0],
        "coefficients just below it": used[1],
        "orthogonal columns: furthest from the formula": float(
            (data.orthogonal - data.formula).abs().max()
        ),
        "largest subgradient at the end": max(float(each.grad.abs().max()) for each in data.path),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return what the optimality conditions say."""
    scale = float(data.A.norm(dim=0).max() * data.y.norm()) / len(data.y)
    return {
        "furthest from scikit-learn": Theory(
            0, 1e-8, "the minimum is the same; both end within their tolerances of it"
        ),
        "coefficients above the first penalty": Theory(
            0, 0, "above max |aᵀy|/m zero is the minimum: no pull beats the penalty"
        ),
        "coefficients just below it": Theory(1, 0, "only the strongest pull beats the penalty"),
        "orthogonal columns: furthest from the formula": Theory(
            0, 1e-11, "each coefficient is the soft threshold of aᵀy/m: one sweep is exact"
        ),
        "largest subgradient at the end": Theory(
            0, 1e-12 * scale, "0 is a subgradient at the minimum; the solver's tolerance"
        ),
    }


def draw(data: Data) -> Picture:
    """Draw each coefficient over the penalty."""
    columns = torch.stack([each.x for each in data.path]).mT.tolist()
    names = [f"w{j + 1}" if j < data.used else f"w{j + 1} (not used)" for j in range(len(columns))]
    return Picture(
        curves=tuple(
            curve(
                name,
                data.penalties,
                column,
                dash=j >= data.used,
                family="used by the target" if j < data.used else "not used",
            )
            for j, (name, column) in enumerate(zip(names, columns, strict=True))
        ),
        x=Axis("penalty", log=True),
        y=Axis("coefficient"),
        hint="Each line is a coefficient. From right to left the penalty falls, and one coefficient after "
        "the other leaves zero: first those that the target depends on.",
    )


LAB = Lab(
    name="lasso",
    title="The Lasso chooses its features, one coordinate at a time",
    what="Least squares with a penalty on Σ|w| is minimized by coordinate descent, for one penalty "
    "after another. At a large penalty all coefficients are exactly zero. As it falls they appear "
    "one by one, those that matter first and the others at last, small.",
    why="|w| has a kink at zero: a coefficient stays there until the pull of the data, |aᵀr|/m, is "
    "stronger than the penalty. The minimum over one coefficient has a formula, the soft "
    "threshold, so a sweep is as cheap as a gradient and needs no step length. Coordinate descent "
    "can get stuck at kinks, but not here: the penalty is a sum over single coefficients, so that "
    "a point which no single one can improve is the minimum.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 7.1.2 and 8.7.2; Friedman, Hastie "
    "and Tibshirani (2010)",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "used",
        "features that the target depends on",
        (1, 2, 4, 6, 8, 12),
        4,
        "There are 12 features.",
        unit="features",
    ),
    patients="each step solves for one coefficient exactly; no optimizer follows a gradient.",
)
"""The lab `lasso`."""
