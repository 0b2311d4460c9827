"""Models of character sequences: a small transformer, and an LSTM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """A decoder-only transformer of pre-norm blocks, over character numbers (rows, length).

    Gives logits (rows, characters, length), as cross entropy wants them. Attention is written out
    as softmax(QKᵀ/√d + mask) V, so that it can be differentiated twice.
    """

    def __init__(
        self, characters: int, length: int, width: int = 32, heads: int = 2, blocks: int = 2
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, length) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, characters)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of each next character."""
        y = self.blocks(self.embedding(x) + self.position[: x.shape[1]])
        logits: Tensor = self.output(self.norm(y))
        return logits.transpose(1, 2)


class TransformerBlock(nn.Module):
    """Causal self-attention and a dense layer, each on a normalized copy, added to what came in."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.joint = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )
        self.mask: Tensor
        mask = torch.full((length, length), -math.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (rows, length, width) after the block."""
        x = x + self.attend(self.before_attention(x))
        y: Tensor = x + self.dense(x)
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Return what each position gathers from itself and those before it."""
        rows, length, width = x.shape
        joint = self.joint(x).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        scores = (q / math.sqrt(width // self.heads)) @ k.transpose(-1, -2)
        weights = (scores + self.mask[:length, :length]).softmax(-1)
        y: Tensor = self.mix((weights @ v).transpose(1, 2).reshape(rows, length, width))
        return y


class LSTM(nn.Module):
    """An LSTM over character numbers (rows, length); gives logits (rows, characters, length)."""

    def __init__(self, characters: int, width: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.output = nn.Linear(hidden, characters)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of each next character."""
        states, _ = self.lstm(self.embedding(x))
        logits: Tensor = self.output(states)
        return logits.transpose(1, 2)
