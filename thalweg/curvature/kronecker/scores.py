"""What each term counts in a loss, and scores u in the outputs with Σ u·uᵀ = B, to be sent backwards.

B = Σᵢ cᵢ·E sᵢsᵢᵀ is the Fisher information in the outputs (`thalweg.curvature.likelihood`). Sent through a
model, a score of all rows gives each layer the gradients of its outputs, √cᵢ in them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.curvature.likelihood import Gradient, Kind, fisher_block
from thalweg.errors import TaskError

CLASSES = ("cross_entropy", "nll_loss")
"""The losses whose terms are classes."""
LARGEST = 4096
"""The most outputs of a row of which B is computed as a matrix."""


def masses(loss: str, outputs: Tensor, gradient: Gradient) -> Tensor:
    """Return what each term counts: of classes (rows, *positions), else of each output.

    It is read off B at outputs that are all 0, where B is known but for what the terms count.

    Raises:
        TaskError: for a loss that is the negative logarithm of no distribution.
    """
    zeros = torch.zeros_like(outputs)
    times = fisher_block(loss, zeros, gradient, "exact", 1, torch.Generator())
    if loss not in CLASSES:
        found = times(torch.ones_like(outputs))  # h of a Gaussian, a quarter of a Bernoulli's
        return 4 * found if loss.startswith("binary") else found
    axis = _axis(outputs)
    unit = zeros.clone()
    unit.select(axis, 0).fill_(1.0)
    found, classes = times(unit).select(axis, 0), outputs.shape[axis]
    return found if loss == "nll_loss" else found * classes**2 / (classes - 1)


def row_masses(loss: str, outputs: Tensor, mass: Tensor) -> Tensor:
    """Return what each place counts, (rows, *positions): of elements the sum over a row."""
    if loss in CLASSES:
        return mass.reshape(1) if mass.ndim == 0 else mass
    return mass.reshape(len(mass), -1).sum(1)


def sampled_score(loss: str, outputs: Tensor, mass: Tensor, generator: torch.Generator) -> Tensor:
    """Return √cᵢ·sᵢ for labels drawn from the model's own distribution.

    Classes: p − e_y, or −e_y of logarithms; Bernoulli: p − y; Gaussian: noise. Its expectation over the
    labels has E u·uᵀ = B.
    """
    if loss in CLASSES:
        axis = _axis(outputs)
        flat = outputs.movedim(axis, -1)
        p = flat.exp() if loss == "nll_loss" else flat.softmax(-1)
        table = p.reshape(-1, p.shape[-1]).float().cpu()
        drawn = torch.multinomial(table, 1, generator=generator)[:, 0]
        chosen = functional.one_hot(drawn, p.shape[-1]).to(p).reshape(p.shape)
        score = -chosen if loss == "nll_loss" else p - chosen
        return (mass[..., None].sqrt() * score).movedim(-1, axis)
    if loss.startswith("binary"):
        p = outputs.sigmoid()
        drawn = torch.rand(p.shape, generator=generator).to(p) < p
        return mass.sqrt() * (p - drawn.to(p))
    noise = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    return mass.sqrt() * noise.to(outputs)


def scores(
    loss: str,
    outputs: Tensor,
    gradient: Gradient,
    kind: Kind,
    draws: int,
    generator: torch.Generator,
) -> list[Tensor]:
    """Return scores of the outputs' shape whose outer products in each row sum to B.

    "sampled" has one for each of the `draws`. "exact" and "empirical" have as many as B of a row has rank:
    C − 1 for C classes, one for the targets of a classification.

    Raises:
        TaskError: where a row has too many outputs for that.
    """
    if kind == "sampled":
        mass = masses(loss, outputs, gradient) / draws
        return [sampled_score(loss, outputs, mass, generator) for _ in range(draws)]
    rows = 1 if loss in CLASSES and outputs.ndim == 1 else len(outputs)
    size = outputs.numel() // max(rows, 1)
    if size > LARGEST:
        raise TaskError(
            f"kind={kind!r} goes backwards once for each output of a row, and there are {size}, above the "
            f"limit of {LARGEST}. Take kind='sampled', which goes backwards once a draw."
        )
    times = fisher_block(loss, outputs, gradient, kind, draws, generator)
    columns = []
    for place in range(size):
        unit = torch.zeros_like(outputs).reshape(rows, size)
        unit[:, place] = 1.0
        columns.append(times(unit.reshape(outputs.shape)).reshape(rows, size))
    values, vectors = torch.linalg.eigh(torch.stack(columns, -1))
    roots = vectors * values.clamp(min=0.0).sqrt()[:, None]
    negligible = size * torch.finfo(values.dtype).eps * values.abs().amax(1, keepdim=True)
    kept = (values > negligible).any(0)
    return [roots[..., q].reshape(outputs.shape) for q in range(size) if kept[q]]


def _axis(outputs: Tensor) -> int:
    return 1 if outputs.ndim > 1 else 0
