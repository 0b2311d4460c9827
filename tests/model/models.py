"""Models as users write them, small: of plain PyTorch, with the names that they give."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalSelfAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Any:
        _, length, _ = x.size()
        assert length <= 64  # torch.fx cannot follow it
        q, k, v = self.c_attn(x).chunk(3, dim=-1)
        return self.c_proj(functional.scaled_dot_product_attention(q, k, v, is_causal=True))


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Any:
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = CausalSelfAttention(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Any:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """GPT-2 as nanoGPT has it, its output layer tied to the embedding or not."""

    def __init__(self, tied: bool, width: int = 8, tokens: int = 11, blocks: int = 2) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(tokens, width),
                "wpe": nn.Embedding(64, width),
                "h": nn.ModuleList(Block(width) for _ in range(blocks)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, tokens, bias=False)
        if tied:
            self.transformer["wte"].weight = self.lm_head.weight

    def forward(self, index: Tensor) -> Any:
        places = torch.arange(index.shape[1], device=index.device)
        x = self.transformer["wte"](index) + self.transformer["wpe"](places)
        for block in self.transformer["h"]:  # type: ignore[attr-defined]
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


class BasicBlock(nn.Module):
    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Any:
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(x + self.bn2(self.conv2(out)))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(BasicBlock(4), BasicBlock(4))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.layer1(functional.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Any:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class Experts(nn.Module):
    def __init__(self, experts: int, width: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(experts, width, 2 * width) / width**0.5)
        self.w2 = nn.Parameter(torch.randn(experts, 2 * width, width) / width**0.5)
        self.b1 = nn.Parameter(torch.zeros(experts, 2 * width))

    def forward(self, x: Tensor, shares: Tensor) -> Any:
        inner = functional.silu(torch.einsum("nd,edh->neh", x, self.w1) + self.b1)
        return torch.einsum("neh,ehd,ne->nd", inner, self.w2, shares)


class MoE(nn.Module):
    """One layer of experts behind an embedding."""

    def __init__(self, width: int = 6, tokens: int = 9, experts: int = 3) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(tokens, width)
        self.pos_emb = nn.Parameter(torch.zeros(16, width))
        self.norm = RMSNorm(width)
        self.gate = nn.Linear(width, experts, bias=False)
        self.experts = Experts(experts, width)
        self.output = nn.Linear(width, tokens, bias=False)

    def forward(self, index: Tensor) -> Any:
        if int(index.max()) > 8:  # torch.fx cannot follow it
            raise ValueError
        x = self.norm(self.tok_embeddings(index) + self.pos_emb[index])
        return self.output(x + self.experts(x, self.gate(x).softmax(-1)))


class LoRALinear(nn.Module):
    """A frozen layer with a low-rank addition."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Any:
        return self.base_layer(x) + x @ self.lora_A.T @ self.lora_B.T


class Adapted(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.up = LoRALinear(nn.Linear(width, width))
        self.down = LoRALinear(nn.Linear(width, width))
        self.classifier = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.down(functional.relu(self.up(x))))


class TiedLSTM(nn.Module):
    def __init__(self, width: int = 5, tokens: int = 7) -> None:
        super().__init__()
        self.encoder = nn.Embedding(tokens, width)
        self.rnn = nn.LSTM(width, width, batch_first=True)
        self.decoder = nn.Linear(width, tokens)
        self.decoder.weight = self.encoder.weight

    def forward(self, index: Tensor) -> Any:
        return self.decoder(self.rnn(self.encoder(index))[0])
