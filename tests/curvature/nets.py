"""Small nets of every kind with their data, and their curvature as dense matrices from the definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

FUNCTIONAL: Any = torch.autograd.functional  # it has no types


class Attention(nn.Module):
    """Fused attention, which has no second derivative by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(2, 6), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)[:, None].chunk(3, -1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed[:, 0].mean(1))
        return out


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 2, batch_first=True), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.lstm(x)[0][:, -1])
        return out


class Tied(nn.Module):
    """One matrix used twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3)
    )


SHAPES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (3,)),
    "cnn": (cnn, (1, 4, 4)),
    "attention": (Attention, (3, 2)),
    "lstm": (Recurrent, (3, 2)),
    "tied": (Tied, (3,)),
}


def net(kind: str, rows: int = 6) -> tuple[nn.Module, Tensor]:
    """Return a net with three outputs in float64, and inputs for it."""
    torch.manual_seed(3)
    build, shape = SHAPES[kind]
    model = build().double()
    return model, torch.randn(rows, *shape, dtype=torch.float64)


@dataclass
class Setting:
    """A loss with targets for three outputs, and the loss of the whole set from its definition."""

    loss: Any
    targets: Tensor
    whole: Callable[[Tensor, Tensor], Tensor]


def settings(rows: int = 6) -> dict[str, Setting]:
    classes = torch.arange(rows) % 3
    some = classes.clone()
    some[1], some[-1] = -100, -100
    weights = torch.tensor([1.0, 4.0, 0.25], dtype=torch.float64)
    values = torch.linspace(-1, 1, rows * 3, dtype=torch.float64).reshape(rows, 3)

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        kept = [i for i, y in enumerate(targets.tolist()) if y != -100]
        terms = [-weights[targets[i]] * outputs[i].log_softmax(0)[targets[i]] for i in kept]
        return torch.stack(terms).sum() / sum(float(weights[targets[i]]) for i in kept)

    def summed(outputs: Tensor, targets: Tensor) -> Tensor:
        return -torch.stack(
            [o.log_softmax(0)[y] for o, y in zip(outputs, targets, strict=True)]
        ).sum()

    mean = nn.CrossEntropyLoss(weight=weights)
    return {
        "cross_entropy": Setting("cross_entropy", classes, lambda o, y: summed(o, y) / len(y)),
        "ignoring": Setting(mean, some, weighted),
        "sum": Setting(nn.CrossEntropyLoss(reduction="sum"), classes, summed),
        "mse": Setting("mse", values, lambda o, y: ((o - y) ** 2).sum() / o.numel()),
        "bce": Setting(
            "bce_with_logits",
            (values > 0).double(),
            lambda o, y: -(y * o.sigmoid().log() + (1 - y) * (1 - o.sigmoid()).log()).mean(),
        ),
    }


def parameters(model: nn.Module) -> list[Tensor]:
    return [p for p in model.parameters() if p.requires_grad]


def outputs_of(model: nn.Module, x: Tensor) -> Callable[..., Tensor]:
    names = [name for name, p in model.named_parameters() if p.requires_grad]

    def outputs(*values: Tensor) -> Tensor:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            found: Tensor = functional_call(model, dict(zip(names, values, strict=True)), (x,))
        return found

    return outputs


def dense_hessian(model: nn.Module, x: Tensor, y: Tensor, whole: Any) -> Tensor:
    """The Hessian of the loss of the whole set, by PyTorch's own dense function."""
    outputs = outputs_of(model, x)
    at = tuple(p.detach().clone() for p in parameters(model))
    blocks = FUNCTIONAL.hessian(lambda *v: whole(outputs(*v), y), at)
    return joined(blocks, at)


def dense_jacobian(model: nn.Module, x: Tensor) -> Tensor:
    """∂outputs/∂parameters, of shape (outputs, n)."""
    at = tuple(p.detach().clone() for p in parameters(model))
    found = FUNCTIONAL.jacobian(outputs_of(model, x), at)
    size = outputs_of(model, x)(*at).numel()
    return torch.cat([part.reshape(size, -1) for part in found], 1)


def dense_ggn(model: nn.Module, x: Tensor, y: Tensor, whole: Any) -> Tensor:
    """JᵀBJ from a dense J and B."""
    outputs = outputs_of(model, x)(*parameters(model)).detach()
    b = FUNCTIONAL.hessian(lambda o: whole(o, y), outputs)
    j = dense_jacobian(model, x)
    found: Tensor = j.mT @ b.reshape(j.shape[0], -1) @ j
    return found


def joined(blocks: Any, at: Sequence[Tensor]) -> Tensor:
    sizes = [each.numel() for each in at]
    rows = [
        torch.cat([blocks[i][j].reshape(sizes[i], sizes[j]) for j in range(len(at))], 1)
        for i in range(len(at))
    ]
    return torch.cat(rows)


def cuts(x: Tensor, y: Tensor, *sizes: int) -> list[tuple[Tensor, Tensor]]:
    ends = list(itertools.accumulate(sizes, initial=0))
    return [(x[a:b], y[a:b]) for a, b in itertools.pairwise(ends)]
