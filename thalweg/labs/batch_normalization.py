"""Lab: what batch normalization takes out of a gradient, and which variance it remembers for later."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider

_STD = 2.0
"""The standard deviation of the inputs; the running variance begins at 1."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(4, "rows in a batch", low=3, high=512)
    channels: int = setting(2000, "channels, all alike", low=50, high=20_000)
    steps: int = setting(60, "batches", low=5, high=2000)
    momentum: float = setting(
        0.1, "share of the present batch in a running statistic", low=0.01, high=0.9
    )
    seed: int = setting(0, "seed", low=0)


@dataclass(frozen=True)
class BackwardPass:
    """One batch with its upstream gradient d, and the gradient at the inputs that PyTorch computes.

    `normal` are the normalized inputs x̂ and `scale` is γ/√(v + ε), by channel.
    """

    upstream: Tensor
    normal: Tensor
    scale: Tensor
    share: Tensor
    """v/(v + ε), by channel."""
    gradient: Tensor


@dataclass(frozen=True)
class Data:
    """The backward pass, the running statistics over the batches, and what is compared at test time."""

    settings: Settings
    backward: BackwardPass
    variances: Tensor
    """Of each batch, the biased ones, channel by channel."""
    running: Tensor
    running_mean: Tensor
    means: Tensor
    alone: float
    by_channel: float
    refused: bool


def compute(chosen: Settings) -> Data:
    """Run batches through PyTorch's layer, and one of them back."""
    generator = torch.Generator().manual_seed(chosen.seed)
    shape = (chosen.steps, chosen.rows, chosen.channels)
    batches = _STD * torch.randn(shape, generator=generator, dtype=torch.float64)
    layer = nn.BatchNorm1d(chosen.channels, momentum=chosen.momentum, dtype=torch.float64)
    running = [layer.running_var.clone()]  # type: ignore[union-attr]
    for batch in batches:
        layer(batch)
        running.append(layer.running_var.clone())  # type: ignore[union-attr]
    running_mean = layer.running_mean.clone()  # type: ignore[union-attr]
    return Data(
        settings=chosen,
        backward=_backward(layer, batches[0], generator),
        variances=batches.var(1, correction=0),
        running=torch.stack(running),
        running_mean=running_mean,
        means=batches.mean(1),
        alone=_alone(layer, batches[0]),
        by_channel=_by_channel(batches[0]),
        refused=_is_refused(layer, batches[0, :1]),
    )


def _backward(layer: nn.BatchNorm1d, batch: Tensor, generator: torch.Generator) -> BackwardPass:
    x = batch.clone().requires_grad_()
    upstream = torch.randn(batch.shape, generator=generator, dtype=batch.dtype)
    factor = 0.5 + torch.rand(batch.shape[1], generator=generator, dtype=batch.dtype)
    with torch.no_grad():
        layer.weight.copy_(factor)
    (gradient,) = torch.autograd.grad(layer.train()(x), x, upstream)
    mean, variance = batch.mean(0), batch.var(0, correction=0)
    inverse = (variance + layer.eps).rsqrt()
    return BackwardPass(
        upstream, (batch - mean) * inverse, factor * inverse, variance * inverse**2, gradient
    )


def _alone(layer: nn.BatchNorm1d, batch: Tensor) -> float:
    """Return how far the outputs of a row alone are, at test time, from those within its batch."""
    layer.eval()
    with torch.no_grad():
        return float((layer(batch[:1]) - layer(batch)[:1]).abs().max())


def _by_channel(batch: Tensor) -> float:
    """Return how far the layer of pictures is from that of rows, when each pixel is a row."""
    channels = batch.shape[1] // 2
    pictures = batch[:, : 2 * channels].reshape(-1, channels, 2, 1)
    of_pictures = nn.BatchNorm2d(channels, dtype=batch.dtype)(pictures)
    pixels = pictures.movedim(1, -1).flatten(0, 2)
    of_rows = nn.BatchNorm1d(channels, dtype=batch.dtype)(pixels)
    return float((of_pictures.movedim(1, -1).flatten(0, 2) - of_rows).abs().max().detach())


def _is_refused(layer: nn.BatchNorm1d, row: Tensor) -> bool:
    try:
        layer.train()(row)
    except ValueError:
        return True
    return False


def _derived(way: BackwardPass) -> Tensor:
    """Return γ/√(v + ε)·(d − mean(d) − x̂·mean(d·x̂)), the gradient through μ and σ."""
    d, normal = way.upstream, way.normal
    return way.scale * (d - d.mean(0) - normal * (d * normal).mean(0))


def detect(data: Data) -> dict[str, float]:
    """Return what is left of the gradient, and what the layer remembers."""
    way = data.backward
    held = way.scale * way.upstream  # with μ and σ taken for constants
    left = 1 - (way.gradient.square().sum(0) / held.square().sum(0))
    along = (way.gradient * way.normal).sum(0) - way.scale * (1 - way.share) * (
        way.upstream * way.normal
    ).sum(0)
    return {
        "gradient: largest distance from the derivation": float(
            (way.gradient - _derived(way)).abs().max()
        ),
        "gradient: largest sum over a batch": float(way.gradient.sum(0).abs().max()),
        "gradient: largest part along x̂, but for ε's": float(along.abs().max()),
        "gradient: mean share that μ and σ take out": float(left.mean()),
        "variance that normalizes, mean": float(data.variances.mean()),
        "running variance at the end, mean": float(data.running[-1].mean()),
        "running variance: largest distance from the unbiased one's": float(
            (data.running[-1] - _remembered(data, unbiased=True)[-1]).abs().max()
        ),
        "running mean: largest distance from its weights": float(
            (data.running_mean - _weights(data.settings) @ data.means).abs().max()
        ),
        "at test time: a row alone against in its batch": data.alone,
        "pictures: largest distance from one row a pixel": data.by_channel,
        "one value a channel is refused": float(data.refused),
    }


def _weights(chosen: Settings) -> Tensor:
    """Return what each batch weighs in a running statistic: m·(1 − m)^(batches after it)."""
    after = torch.arange(chosen.steps - 1, -1, -1, dtype=torch.float64)
    return chosen.momentum * (1 - chosen.momentum) ** after


def _remembered(data: Data, *, unbiased: bool) -> Tensor:
    """Return the running variance over the batches, of either variance."""
    n, m = data.settings.rows, data.settings.momentum
    present = torch.ones(data.variances.shape[1], dtype=torch.float64)
    found = [present]
    for variance in data.variances:
        present = (1 - m) * present + m * variance * (n / (n - 1) if unbiased else 1.0)
        found.append(present)
    return torch.stack(found)


def prove(data: Data) -> dict[str, Theory]:
    """Return what the derivation and the statistics of normal numbers say."""
    chosen, square = data.settings, _STD**2
    n, m, kept = chosen.rows, chosen.momentum, (1 - chosen.momentum) ** chosen.steps
    spread = square * math.sqrt(2 / (n - 1))  # of an unbiased variance
    weight = float(_weights(chosen).square().sum())
    rounding = 1e-9 * n
    beta = math.sqrt((n - 1) / 2 - 0.5) / ((n - 1) / 2 * math.sqrt((n - 1) / 2 + 1))
    return {
        "gradient: largest distance from the derivation": Theory(
            0.0, rounding, "γ/√(v + ε)·(d − mean d − x̂·mean(d·x̂)), worked out by hand"
        ),
        "gradient: largest sum over a batch": Theory(
            0.0, rounding, "a shift of all rows changes nothing, so no gradient points there"
        ),
        "gradient: largest part along x̂, but for ε's": Theory(
            0.0, rounding, "a larger scale of all rows changes nothing, but for ε/(v + ε)"
        ),
        "gradient: mean share that μ and σ take out": Theory(
            2 / n,
            4 * beta / math.sqrt(chosen.channels) + 1e-4,
            "2 of n dimensions, of a gradient that points anywhere; four standard errors",
        ),
        "variance that normalizes, mean": Theory(
            square * (n - 1) / n,
            4 * spread * (n - 1) / n / math.sqrt(chosen.channels * chosen.steps),
            "σ²(n − 1)/n: it is the biased one; four standard errors",
        ),
        "running variance at the end, mean": Theory(
            kept + (1 - kept) * square,
            4 * spread * math.sqrt(weight / chosen.channels),
            "(1 − m)ᵗ + (1 − (1 − m)ᵗ)·σ²: it is the unbiased one; four standard errors",
        ),
        "running variance: largest distance from the unbiased one's": Theory(
            0.0, rounding, "(1 − m)·old + m·v·n/(n − 1) after each batch"
        ),
        "running mean: largest distance from its weights": Theory(
            0.0, rounding, f"a batch weighs m·(1 − m)^later: PyTorch's momentum {m:g} is 1 − decay"
        ),
        "at test time: a row alone against in its batch": Theory(
            0.0, rounding, "the running statistics are constants"
        ),
        "pictures: largest distance from one row a pixel": Theory(
            0.0, rounding, "a channel has one mean and one variance, over rows and pixels"
        ),
        "one value a channel is refused": Theory(
            1.0, 0.0, "its variance is 0, and the unbiased one 0/0"
        ),
    }


def draw(data: Data) -> Picture:
    """Draw the running variance over the batches."""
    chosen = data.settings
    steps = range(chosen.steps + 1)
    kept = [(1 - chosen.momentum) ** t for t in steps]
    return Picture(
        curves=(
            curve("PyTorch's running variance", steps, data.running.mean(1).tolist()),
            curve(
                "the same of the biased variance",
                steps,
                _remembered(data, unbiased=False).mean(1).tolist(),
            ),
            curve("expected", steps, [k + (1 - k) * _STD**2 for k in kept], dash=True),
        ),
        x=Axis("batches"),
        y=Axis("running variance, mean over the channels"),
        hint=f"The inputs have the variance {_STD**2:g}. Of batches of {chosen.rows} rows the variance that "
        f"normalizes is {(chosen.rows - 1) / chosen.rows:.3g} of it in the mean; what is kept for later is "
        "corrected for that.",
    )


LAB = Lab(
    name="batch-normalization",
    title="Batch normalization takes two directions out of a gradient, and remembers another variance",
    what="A layer subtracts the mean of the batch and divides by its standard deviation. The gradient goes "
    "through both: nothing is left of it along a shift or a scaling of the batch, 2 of n dimensions. "
    "For later the layer keeps running statistics, and there PyTorch corrects the variance by n/(n − 1), "
    "though it normalizes by the one that is not corrected.",
    why="The outputs are the same for x + c and for c·x, so the loss is constant along both and its gradient "
    "has no part there: it is γ/√(v + ε)·(d − mean d − x̂·mean(d·x̂)), where a rule with μ and σ as "
    "constants has γ/√(v + ε)·d, and would pull at mean and scale without effect. The variance of n rows "
    "about their own mean is too small by (n − 1)/n in the mean. At test time a row is to have one output, "
    "whatever is next to it, so constants are needed, and they are the unbiased ones.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.7.1; Ioffe and Szegedy (2015), Batch "
    "Normalization, arXiv:1502.03167",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "rows",
        "rows in a batch",
        (3, 4, 8, 16, 64, 256),
        4,
        "One row has no variance, and of two all normalized values are ±1; from 256 on both variances are "
        "alike.",
        unit="rows",
    ),
    patients="gradients and running statistics are measured, and no weight is trained.",
)
"""The lab `batch-normalization`."""
