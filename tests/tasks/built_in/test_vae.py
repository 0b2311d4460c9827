from __future__ import annotations

import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from tests.exact import RERUN, close, differs, same
from thalweg.tasks import load_task
from thalweg.tasks.built_in.digits_vae import VAE, negative_elbo


def test_the_bound_against_distributions() -> None:
    torch.manual_seed(0)
    logits, mean, log_variance = (torch.randn(7, n).double() for n in (64, 3, 3))
    pixels = torch.rand(7, 64).double()
    q = Normal(mean, (0.5 * log_variance).exp())
    divergence = kl_divergence(q, Normal(torch.zeros(3).double(), torch.ones(3).double())).sum(1)
    likelihood = Bernoulli(logits=logits, validate_args=False).log_prob(pixels).sum(1)
    outputs = torch.cat([logits, mean, log_variance], 1)
    torch.testing.assert_close(negative_elbo(outputs, pixels), (divergence - likelihood).mean())


def test_the_code_is_drawn_from_the_encoder() -> None:
    torch.manual_seed(0)
    model, x = VAE(latent=3), torch.rand(5, 64)
    torch.manual_seed(1)
    outputs = model(x)
    torch.manual_seed(1)
    noise = torch.randn(5, 3)
    code = model.encoder(x)
    mean, log_variance = code[:, :3], code[:, 3:]
    z = mean + log_variance.div(2).exp() * noise
    torch.testing.assert_close(outputs, torch.cat([model.decoder(z), code], 1))


def test_noise_is_new_in_training_and_fixed_in_evaluation() -> None:
    model, x = VAE(), torch.rand(1500, 64)
    differs(model(x), model(x))
    model.eval()
    before = torch.get_rng_state()
    measured = model(x)
    same(measured, model(x), because=RERUN)
    same(before, torch.get_rng_state(), because="no random number was drawn")
    close(
        model(x[:3]), measured[:3], ulps=16, because="a product of few rows sums in another order"
    )
    assert abs(model.noise.mean()) < 0.05
    assert abs(model.noise.std() - 1) < 0.05
    assert "noise" not in model.state_dict()


def test_images_are_their_own_targets() -> None:
    task = load_task("digits_vae")
    for name in ("train", "validation", "test"):
        pixels, targets = task.data.split(name).first(50)
        same(pixels, targets, because="a copy")
        assert 0 <= pixels.min() < pixels.max() <= 1
