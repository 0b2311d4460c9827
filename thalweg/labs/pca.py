"""Lab: principal components by gradient descent, against the singular value decomposition."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient
from thalweg.optim import SGD

_LEFT = 1e-9
"""The share of the angle that is left at the end, and so the sine."""
_RATE = 1 / 8
"""The learning rate times the largest variance; from 1/4 on gradient descent diverges."""
_WATCHED = 300
"""Steps that the doctor watches, at most."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(300, "rows of the data", low=20, high=5000)
    size: int = setting(10, "columns", low=5, high=15)
    components: int = setting(3, "components kept", low=1, high=4)
    decay: float = setting(0.6, "each variance over the one before", low=0.4, high=0.8)
    seed: int = setting(0, "seed of the data and of the start", low=0)


@dataclass(frozen=True)
class Data:
    """What the data are made of, and what was found."""

    variances: Tensor
    kept: int
    eigenvectors: Tensor
    """The first ones, as columns, from the singular value decomposition."""
    found: Tensor
    code: Tensor
    """The code of the first row by descent, for the dictionary of eigenvectors."""
    projected: Tensor
    """Dᵀx of that row."""
    sines: list[float]
    """Of the largest angle to the eigenvectors, before each step and at the end."""
    lengths: list[float]
    """‖DᵀD − I‖, the same."""
    error: float


def compute(chosen: Settings) -> Data:
    """Make rows with known variances, and look for a dictionary and a code by descent."""
    variances, x, eigenvectors, start = _problem(chosen)
    d, sines, lengths = _dictionary(x, start, eigenvectors, _steps(variances, chosen.components))
    return Data(
        variances,
        chosen.components,
        eigenvectors,
        d,
        _code(x[0], eigenvectors),
        eigenvectors.mT @ x[0],
        sines,
        lengths,
        float(_error(x, d)),
    )


def _problem(chosen: Settings) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the variances, the rows, the first eigenvectors, and the start of D."""
    random = torch.Generator().manual_seed(chosen.seed)
    variances = chosen.decay ** torch.arange(chosen.size, dtype=torch.float64)
    left, right = (
        torch.linalg.qr(torch.randn(n, chosen.size, generator=random, dtype=torch.float64)).Q
        for n in (chosen.rows, chosen.size)
    )
    x = left * (chosen.rows * variances).sqrt() @ right.mT
    eigenvectors = torch.linalg.svd(x, full_matrices=False).Vh[: chosen.components].mT
    start = 0.3 * torch.randn(eigenvectors.shape, generator=random, dtype=torch.float64)
    return variances, x, eigenvectors, start


def _rate(x: Tensor) -> float:
    """Return the learning rate: a share of one over the largest variance."""
    return _RATE / float(torch.linalg.matrix_norm(x, 2) ** 2 / len(x))


def _contraction(variances: Tensor, kept: int) -> float:
    """Return what a step leaves of a small angle: 1 − 2η(λₗ − λₗ₊₁)."""
    return 1 - 2 * _RATE * float((variances[kept - 1] - variances[kept]) / variances[0])


def _steps(variances: Tensor, kept: int) -> int:
    """Return steps that leave 1e-9 of the angle; twice as many, since it is not small at first."""
    return math.ceil(2 * math.log(_LEFT) / math.log(_contraction(variances, kept)))


def _error(x: Tensor, d: Tensor) -> Tensor:
    """Return the mean over rows of ‖x − DDᵀx‖²."""
    return (x - x @ d @ d.mT).square().sum(1).mean()


def _dictionary(
    x: Tensor, start: Tensor, eigenvectors: Tensor, steps: int
) -> tuple[Tensor, list[float], list[float]]:
    """Return D by gradient descent on the error of DDᵀx, and how far from the eigenvectors it was."""
    d = torch.nn.Parameter(start)
    optimizer = SGD([d], lr=_rate(x))
    sines, lengths = [], []
    unit = torch.eye(d.shape[1], dtype=d.dtype)
    for step in range(steps + 1):
        with torch.no_grad():
            lengths.append(float((d.mT @ d - unit).abs().max()))
            span = torch.linalg.qr(d).Q
            outside = span - eigenvectors @ (eigenvectors.mT @ span)
            sines.append(float(torch.linalg.matrix_norm(outside, 2)))
        if step == steps or sines[-1] < _LEFT:
            break
        (d.grad,) = torch.autograd.grad(_error(x, d), [d])
        optimizer.step()
    return d.detach(), sines, lengths


def _code(x: Tensor, d: Tensor) -> Tensor:
    """Return the code c of least ‖x − Dc‖² by 100 steps, each of which halves the error."""
    c = torch.nn.Parameter(torch.zeros(d.shape[1], dtype=d.dtype))
    optimizer = SGD([c], lr=0.25)
    for _ in range(100):
        (c.grad,) = torch.autograd.grad((x - d @ c).square().sum(), [c])
        optimizer.step()
    return c.detach()


def detect(data: Data) -> dict[str, float]:
    """Compare with the eigenvectors, and fit how the angle shrinks where it is small."""
    unit = torch.eye(data.kept, dtype=torch.float64)
    small = [k for k, sine in enumerate(data.sines) if 1e-7 < sine < 1e-4]
    first, last = small[0], small[-1]
    left = (data.sines[last] / data.sines[first]) ** (1 / (last - first))
    return {
        "code by descent: furthest from Dᵀx": float((data.code - data.projected).abs().max()),
        "dictionary by descent: furthest DᵀD from I": float(
            (data.found.mT @ data.found - unit).abs().max()
        ),
        "sine of the largest angle to the eigenvectors": data.sines[-1],
        "error of a row": data.error,
        "angle a step": left,
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return Dᵀx, orthonormal columns, the span of the eigenvectors, and the speed at which it is reached."""
    rest = float(data.variances[data.kept :].sum())
    return {
        "code by descent: furthest from Dᵀx": Theory(
            0, 1e-12, "∇‖x − Dc‖² = 0 at c = Dᵀx where DᵀD = I; rounding remains"
        ),
        "dictionary by descent: furthest DᵀD from I": Theory(
            0, 1e-8, "at the minimum DDᵀ is a projector, so the columns are orthonormal"
        ),
        "sine of the largest angle to the eigenvectors": Theory(
            0, 10 * _LEFT, "the minimum projects on the first eigenvectors; this much is left"
        ),
        "error of a row": Theory(
            rest, 1e-12, "the variances that are not kept; an angle adds its square"
        ),
        "angle a step": Theory(
            _contraction(data.variances, data.kept),
            1e-4,
            "the Hessian's least eigenvalue is 2(λₗ − λₗ₊₁); an angle below 1e-4 is small",
        ),
    }


def draw(data: Data) -> Picture:
    """Draw angle and lengths over steps, and the speed that theory gives dashed."""
    steps = range(len(data.sines))
    rate = _contraction(data.variances, data.kept)
    theory = [data.sines[-1] * rate ** (k - steps[-1]) for k in steps]
    shown = [k for k in steps if theory[k] < 1]
    return Picture(
        curves=(
            curve("sine of the largest angle", steps, data.sines),
            curve("largest entry of DᵀD − I", steps, [max(each, 1e-16) for each in data.lengths]),
            curve(
                "theory of the angle",
                shown,
                [theory[k] for k in shown],
                dash=True,
                family="sine of the largest angle",
            ),
        ),
        x=Axis("steps"),
        y=Axis("distance", log=True),
        hint="How far the columns found are from the span of the first eigenvectors, and from being "
        "orthonormal. Dashed: the speed that the gap between two variances gives.",
    )


class _Dictionary(torch.nn.Module):
    """x ↦ DDᵀx for each row x."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.d = torch.nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return what is read back of each row."""
        return x @ self.d @ self.d.mT


def _row_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(1).mean()


def patients(chosen: Settings) -> list[Patient]:
    """Return the descent on D, up to where the angle is small."""
    variances, x, _, start = _problem(chosen)
    model = _Dictionary(start)
    optimizer = SGD(model.parameters(), lr=_rate(x))
    steps = min(_steps(variances, chosen.components), _WATCHED)
    return [Patient("descent on D", model, optimizer, _row_errors, [(x, x)] * steps)]


LAB = Lab(
    name="pca",
    title="Gradient descent finds the principal components",
    what="Rows of data are to be written with fewer numbers: x becomes a code c, and Dc is what is read "
    "back. For a given D with orthonormal columns descent on the code ends at c = Dᵀx. Descent on D, from "
    "a random start and with no constraint, ends with orthonormal columns that span the first "
    "eigenvectors of XᵀX, as the singular value decomposition has them.",
    why="‖x − Dc‖² is quadratic in c, and with DᵀD = I its gradient vanishes at Dᵀx. Of the mean of "
    "‖x − DDᵀx‖² only the product DDᵀ matters; the best matrix of rank l is the projector on the first l "
    "eigenvectors, so that DᵀD = I comes by itself, and D is determined up to a rotation. Other stationary "
    "points are saddles, which a random start leaves. The last angle shrinks by 1 − 2η(λₗ − λₗ₊₁) a step: "
    "components of nearly equal variance are hard to tell apart.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 2.12; Baldi and Hornik (1989)",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "decay",
        "each variance over the one before",
        (0.4, 0.5, 0.6, 0.7, 0.8),
        0.6,
        "Below, small variances are lost in rounding; above, the gap is small and descent takes long.",
    ),
    patients=patients,
)
"""The lab `pca`."""
