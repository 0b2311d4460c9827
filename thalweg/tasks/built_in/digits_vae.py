"""A variational autoencoder of the handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.objective import Cost
from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.built_in.digits import digits
from thalweg.tasks.data import Data
from thalweg.tasks.sources.source import ArraySource
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_NOISE_ROWS = 1024


class VAE(nn.Module):
    """A variational autoencoder of 64 pixels, with dense layers of 64 units and a normal code.

    For x (rows, 64) it gives (rows, 64 + 2·latent): logits of the pixels, and mean and logarithm of
    the variance of the code z. In training z is drawn again at each call; in evaluation from noise
    that stays the same, so that two evaluations of one model agree.
    """

    def __init__(self, latent: int = 8) -> None:
        super().__init__()
        self.encoder = mlp([64, 64, 2 * latent])
        self.decoder = mlp([latent, 64, 64])
        own = torch.Generator().manual_seed(0)
        noise = torch.randn(_NOISE_ROWS, latent, generator=own)
        self.noise: Tensor
        self.register_buffer("noise", noise, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, mean and log-variance, side by side."""
        code = self.encoder(x)
        mean, log_variance = code.chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * self._draw(mean)
        return torch.cat([self.decoder(z), code], 1)

    def _draw(self, like: Tensor) -> Tensor:
        if self.training:
            return torch.randn_like(like)
        return self.noise.repeat(-(-len(like) // _NOISE_ROWS), 1)[: len(like)]


def negative_elbo(outputs: Tensor, pixels: Tensor) -> Tensor:
    """Return the mean over rows of −log p(x | z) + KL(q(z | x) ‖ N(0, 1)), in nats.

    −log p(x | z) = −Σ x log σ(l) + (1 − x) log(1 − σ(l)) for logits l, and
    KL = ½ Σ μ² + exp(s) − 1 − s for mean μ and log-variance s.

    >>> negative_elbo(torch.zeros(1, 64 + 4), torch.ones(1, 64)).item() / 64  # log 2
    0.6931471824645996
    """
    width = pixels.shape[1]
    logits, code = outputs[:, :width], outputs[:, width:]
    mean, log_variance = code.chunk(2, 1)
    likelihood = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return (likelihood + divergence) / len(pixels)


@built_in(
    target=Target("loss", 26.0),
    seconds=0.5,
    data_hash="f11b134801a9ead98fc1bacac65efe8eae13c75500dc539442c8fa0a23ac1e7c",
)
def digits_vae(latent: int = 8) -> Task:
    """Handwritten digits (scikit-learn): variational autoencoder.

    Encoder 64-64-(8, 8), decoder 8-64-64. The loss is minus the evidence's lower bound with
    Bernoulli pixels, measured on validation images with fixed noise. 30 epochs in batches of 128
    are 300 steps; Adam at lr = 0.01 is there after some 130. Source: D. Kingma, M. Welling,
    Auto-encoding variational Bayes, ICLR 2014.
    """
    whole_number("latent", latent)
    sets = digits().data
    pixels = {}
    for name in ("train", "validation", "test"):
        source = sets.split(name)
        assert isinstance(source, ArraySource)
        pixels[name] = ArraySource(source.inputs, source.inputs)
    return Task(
        data=Data(pixels["train"], pixels["validation"], pixels["test"]),
        cost=Cost(negative_elbo),
        model=lambda: VAE(latent),
        description="Handwritten digits, variational autoencoder",
    )
