"""All that is measured of a model's curvature at one point, with the error and the cost of each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.curvature.noise import NoiseScale, noise_scale
from thalweg.curvature.of_model import ModelOperator
from thalweg.curvature.sharpness import Edge, Sharpness, sharpness
from thalweg.curvature.spectrum import Density, Extremes, density, extremes
from thalweg.curvature.trace import Estimate, hutchpp
from thalweg.errors import DataError


@dataclass(frozen=True)
class Effort:
    """How much is computed: eigenvalues at each end, their tolerance, and products for each part.

    `probes` vectors of `steps` products each for the density, `trace` products for the trace, at most
    `most` for the eigenvalues of the whole matrix and of each layer.
    """

    k: int = 1
    tol: float = 1e-3
    most: int = 100
    steps: int = 30
    probes: int = 6
    trace: int = 48
    seed: int = 0


@dataclass(frozen=True)
class CurvatureSummary:
    """The curvature of a loss at one point: see `summarize`.

    `notes` say what is missing and why.
    """

    parameters: int
    mode: str
    ends: Extremes
    layers: dict[str, Extremes]
    trace: Estimate
    density: Density
    noise: NoiseScale | None
    sharpness: Sharpness | None
    notes: tuple[str, ...] = ()
    spent: float = field(default=0.0)

    def negative_share(self) -> Estimate:
        """Return the share of eigenvalues below −1 % of the largest modulus: those at 0 are blurred."""
        largest = max(abs(self.ends.top.value), abs(self.ends.bottom.value))
        return self.density.share_below(-0.01 * largest)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain numbers, for JSON."""
        return {
            "parameters": self.parameters,
            "mode": self.mode,
            "eigenvalues": _ends(self.ends),
            "condition": self.ends.condition(),
            "layers": {name: _ends(each) for name, each in self.layers.items()},
            "trace": self.trace.to_dict(),
            "negative_share": self.negative_share().to_dict(),
            "density": self.density.to_dict(),
            "noise_scale": None if self.noise is None else _noise(self.noise),
            "sharpness": None if self.sharpness is None else self.sharpness.to_dict(),
            "notes": list(self.notes),
            "gradients": self.spent,
        }


def summarize(
    a: ModelOperator,
    *,
    edge: Edge | None = None,
    batches: Any = None,
    effort: Effort | None = None,
    by_layer: bool = True,
    notes: Sequence[str] = (),
) -> CurvatureSummary:
    """Measure both ends of the spectrum, of all and by layer, density, trace, noise scale and sharpness.

    Args:
        a: the matrix, as a rule a Hessian.
        edge: of the optimizer whose sharpness is wanted; None for none.
        batches: those of training, for the noise scale; None for none.
        effort: how much is computed.
        by_layer: whether the eigenvalues of each layer's block are wanted.
        notes: to be kept with it.

    >>> import torch
    >>> from thalweg.curvature import hessian
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> found = summarize(
    ...     hessian(model, "mse", (torch.diag(torch.tensor([1.0, 2.0])), torch.zeros(2, 1)))
    ... )
    >>> round(found.ends.top.value, 4), round(found.trace.value, 4)
    (4.0, 5.0)
    """
    how, said = effort or Effort(), list(notes)
    ends = extremes(a, how.k, tol=how.tol, most=how.most, seed=how.seed)
    spent = 0.0
    layers: dict[str, Extremes] = {}
    for name in a.layers if by_layer else ():
        part = a.block(name)
        layers[name] = extremes(part, how.k, tol=how.tol, most=how.most, seed=how.seed)
        spent += part.gradients
    found = density(a, steps=how.steps, probes=how.probes, seed=how.seed)
    trace = hutchpp(a, how.trace, seed=how.seed)
    edged = None
    if edge is not None and edge.scale is None:  # of the matrix itself: its end is known
        edged = Sharpness(Estimate(ends.top.value, ends.top.stderr, 0), edge)
    elif edge is not None:
        edged = sharpness(a, edge, tol=how.tol, most=how.most, seed=how.seed)
    noise = None
    if batches is not None:
        try:
            noise = noise_scale(a.model, a.cost, batches, training=a.training)
            spent += noise.scale.gradients
        except DataError as error:
            said.append(str(error))
    if not ends.largest.converged or not ends.smallest.converged:
        said.append(
            f"The eigenvalues had not converged after {how.most} products: see their errors."
        )
    return CurvatureSummary(
        a.shape[0],
        a.mode,
        ends,
        layers,
        trace,
        found,
        noise,
        edged,
        tuple(said),
        spent + a.gradients,
    )


def _ends(found: Extremes) -> dict[str, Any]:
    return {
        "largest": found.largest.values.tolist(),
        "largest_errors": found.largest.residuals.tolist(),
        "smallest": found.smallest.values.tolist(),
        "smallest_errors": found.smallest.residuals.tolist(),
        "products": found.products,
        "gradients": found.gradients,
    }


def _noise(found: NoiseScale) -> dict[str, Any]:
    return {
        **found.scale.to_dict(),
        "numerator": found.numerator.to_dict(),
        "denominator": found.denominator.to_dict(),
        "batch_rows": found.rows,
    }
