from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.exact import same
from thalweg.errors import DataError
from thalweg.tasks import load_task
from thalweg.tasks.built_in.char_models import LSTM, Transformer, TransformerBlock
from thalweg.tasks.formats.text import unicode_names, windows
from thalweg.train import fit


def test_the_text_is_the_same_in_every_version_of_python() -> None:
    text = unicode_names()
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    assert digest == "5573cea6389d70b89a0c64aa7b85c6c66fcfa60a8e5366529f7b7f105373448d"
    assert len(text) == 214_459
    assert len(set(text)) == 38


def test_windows_follow_the_text_and_do_not_overlap() -> None:
    text = "".join(chr(97 + (i * i) % 23) for i in range(500))
    for most in (None, 7):
        cut = windows(text, 11, most)
        assert len(cut.inputs) == (45 if most is None else 7)
        starts = []
        for inputs, targets in zip(cut.inputs, cut.targets, strict=True):
            window = "".join(cut.alphabet[code] for code in [*inputs, targets[-1]])
            same(inputs[1:], targets[:-1], because="integers")
            starts.append(text.find(window))
        assert -1 not in starts
    whole = windows(text, 11)
    letters = "".join(whole.alphabet[code] for code in whole.inputs.flatten())
    assert text.startswith(letters)


@pytest.mark.parametrize("model", [Transformer(9, 12), LSTM(9)], ids=["transformer", "lstm"])
def test_no_look_ahead(model: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randint(9, (4, 12))
    changed = x.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 9
    first, second = model(x), model(changed)
    assert first.shape == (4, 9, 12)
    torch.testing.assert_close(first[..., :7], second[..., :7])
    assert (first[..., 7] - second[..., 7]).abs().max() > 1e-4
    earlier = x.clone()
    earlier[:, 0] = (earlier[:, 0] + 1) % 9
    assert (model(earlier)[..., 11] - first[..., 11]).abs().max() > 1e-6


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(width=8, heads=2, length=6).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    q, k, v = (part.view(3, 5, 2, 4).transpose(1, 2) for part in block.joint(x).split(8, 2))
    joined = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    expected = block.mix(joined.transpose(1, 2).reshape(3, 5, 8))
    torch.testing.assert_close(block.attend(x), expected)


def test_the_transformer_has_second_derivatives() -> None:
    torch.manual_seed(0)
    model = Transformer(5, 4, width=4, heads=1, blocks=1).double()
    x = torch.randint(5, (3, 4))
    weight = model.blocks[0].joint.weight
    loss = functional.cross_entropy(model(x), x)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    direction = torch.randn_like(weight)
    (product,) = torch.autograd.grad((gradient * direction).sum(), weight)
    step = 1e-5
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * direction)
        ends.append(torch.autograd.grad(functional.cross_entropy(model(x), x), weight)[0])
        with torch.no_grad():
            weight.sub_(sign * step * direction)
    assert product.abs().max() > 1e-4
    torch.testing.assert_close(product, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["char_transformer", "char_lstm"])
def test_a_text_of_ones_own(name: str, tmp_path: Path) -> None:
    """Every letter of this text follows from the one before: the loss falls towards 0."""
    path = tmp_path / "text.txt"
    path.write_text("über alle " * 200, encoding="utf-8")
    task = load_task(name, file=path, length=8)
    assert task.target is None
    run = fit(task, torch.optim.Adam, lr=0.03, epochs=10, progress=False)
    losses = [epoch.validation.loss for epoch in run.history.epochs if epoch.validation]
    assert losses[-1] < 0.3 * np.log(8)


def test_texts_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_task("char_lstm", file=path)
    path.write_bytes(b"caf\xe9" * 100)
    with pytest.raises(DataError, match="not UTF-8 text: byte 3"):
        load_task("char_lstm", file=path)
    path.write_text("short")
    with pytest.raises(DataError, match=r"has 5 characters, which is too short.*at least 321"):
        load_task("char_lstm", file=path)
    path.write_text("")
    with pytest.raises(DataError, match="has 0 characters"):
        load_task("char_lstm", file=path)
