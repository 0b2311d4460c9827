"""The lecture's Keras program: 784-32-10 sigmoid network, SGD, cross-entropy, last 10 % for
validation.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tasks.idx_files import write_mnist
from thalweg.tasks import mlp
from thalweg.tasks.built_in.mnist import load_mnist, mnist
from thalweg.train import fit


def test_the_sizes_of_the_program() -> None:
    assert sum(p.numel() for p in mlp([784, 32, 10], nn.Sigmoid).parameters()) == 25_450
    assert -(-(60_000 - 6_000) // 128) == 422


@pytest.mark.parametrize("scale", [True, False])
def test_the_program_equals_a_twin_in_plain_torch(tmp_path: Path, scale: bool) -> None:
    write_mnist(tmp_path, train=300, test=40)
    task = mnist(tmp_path, scale=scale)
    task = task.replace(model=lambda: mlp([36, 32, 10], nn.Sigmoid).double())
    run = fit(
        task, torch.optim.SGD, lr=0.01, epochs=3, batch_size=128, shuffle="never", progress=False
    )
    assert run.steps == 3 * 3

    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(36, 32), nn.Sigmoid(), nn.Linear(32, 10)).double()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    images, labels = load_mnist(tmp_path, "train")
    x = torch.from_numpy(images / (255 if scale else 1)).float().double()
    y = torch.from_numpy(labels)
    for record in run.history:
        total = 0.0
        for start in range(0, 270, 128):
            rows = slice(start, min(start + 128, 270))
            loss = nn.functional.cross_entropy(twin(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * (rows.stop - rows.start)
        with torch.no_grad():
            outputs = twin(x[270:])
        assert record.train_loss == pytest.approx(total / 270, rel=1e-12)
        assert record.validation is not None
        assert record.validation.loss == pytest.approx(
            nn.functional.cross_entropy(outputs, y[270:]).item(), rel=1e-12
        )
        hits = (outputs.argmax(1) == y[270:]).sum().item()
        assert record.validation["accuracy"] == hits / 30
    for p, q in zip(run.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)
    assert run.evaluate("test").loss > 0


def test_scaling_matters(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=100, test=10)
    losses = [
        fit(mnist(tmp_path, scale=scale), torch.optim.SGD, lr=0.01, epochs=1, progress=False)
        .history[0]
        .train_loss
        for scale in (True, False)
    ]
    assert losses[0] != losses[1]
