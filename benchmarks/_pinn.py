"""Physics-informed networks: three equations, and the loss of a network as a function of its flat weights.

The network is u(x, y) = tanh layers of two inputs, 2-24-24-24-1 with 1,297 weights, in float64. The loss is
the mean square of the equation's residual at fixed points inside, plus a multiple of that of the error on the
boundary. Derivatives with respect to the inputs go through the layers with the values (forward mode): a layer
takes u, its two first derivatives and one second one, and returns the same four, so that the gradient with
respect to the weights is one backward pass. `nested` computes the same derivatives by autograd, as a check.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WIDTHS = (2, 24, 24, 24, 1)
INSIDE, EDGE = 600, 200
NU = 0.01 / math.pi
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Equation:
    """An equation for u(x, y) on a rectangle; Burgers' y is the time.

    `residual` takes (u, uₓ, u_y, D, x, y), where D is u_xx + `laplace`·u_yy.
    """

    name: str
    low: tuple[float, float]
    high: tuple[float, float]
    laplace: bool
    residual: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    solution: Callable[[Tensor, Tensor], Tensor]
    edges: tuple[str, ...] = ("left", "right", "bottom", "top")
    weight: float = 1.0


def two_waves(x: Tensor, y: Tensor) -> Tensor:
    return (math.pi * x).sin() * (math.pi * y).sin() + 0.5 * (3 * math.pi * x).sin() * (
        2 * math.pi * y
    ).sin()


def two_waves_laplacian(x: Tensor, y: Tensor) -> Tensor:
    first = (math.pi * x).sin() * (math.pi * y).sin()
    second = (3 * math.pi * x).sin() * (2 * math.pi * y).sin()
    return -(math.pi**2) * (2 * first + 6.5 * second)


def one_wave(x: Tensor, y: Tensor) -> Tensor:
    return (math.pi * x).sin() * (4 * math.pi * y).sin()


def cole_hopf(x: Tensor, t: Tensor) -> Tensor:
    """Return Burgers' solution from u(x, 0) = −sin πx, by quadrature of Cole's and Hopf's integrals."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite.hermgauss(100))
    at = x[:, None] - 2 * (NU * t[:, None]).sqrt() * nodes
    mass = weights * (-((math.pi * at).cos() + 1) / (2 * math.pi * NU)).exp()
    return -((math.pi * at).sin() * mass).sum(1) / mass.sum(1)


EQUATIONS = {
    equation.name: equation
    for equation in (
        Equation(
            "Poisson",
            (0.0, 0.0),
            (1.0, 1.0),
            True,
            lambda u, ux, uy, lap, x, y: lap - two_waves_laplacian(x, y),
            two_waves,
            weight=100.0,
        ),
        Equation(
            "Burgers",
            (-1.0, 0.0),
            (1.0, 1.0),
            False,
            lambda u, ux, ut, uxx, x, t: ut + u * ux - NU * uxx,
            cole_hopf,
            edges=("left", "right", "bottom"),
        ),
        Equation(
            "Helmholtz",
            (-1.0, -1.0),
            (1.0, 1.0),
            True,
            lambda u, ux, uy, lap, x, y: lap + u - (1 - 17 * math.pi**2) * one_wave(x, y),
            one_wave,
            weight=100.0,
        ),
    )
}


class Layer(torch.autograd.Function):
    """z = aW (+ b), u = tanh z₀, uₖ = u′zₖ, D = u′(z₃ − 2u·(z₁² + z₂²)), without z₂² where not `laplace`.

    Written out with its backward pass, since autograd's own takes twice as long.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, weight: Tensor, bias: Tensor, laplace: bool) -> Tensor:
        z = a @ weight
        t = z[0].add_(bias).tanh_()
        slope = 1 - t * t
        square = z[1] * z[1]
        if laplace:
            square.addcmul_(z[2], z[2])
        out = torch.empty_like(z)
        out[0] = t
        torch.mul(z[1:3], slope, out=out[1:3])
        bent = torch.addcmul(z[3], t, square, value=-2)
        torch.mul(bent, slope, out=out[3])
        ctx.save_for_backward(a, weight, z, slope, square)
        ctx.laplace, ctx.bent = laplace, bent
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, weight, z, slope, square = ctx.saved_tensors
        t = z[0]
        along = torch.addcmul(g[1] * z[1], g[2], z[2]).addcmul_(g[3], ctx.bent).mul_(t)
        back = g * slope
        inner = back[3] * square
        back[0].addcmul_(along, slope, value=-2).addcmul_(inner, slope, value=-2)
        pull = back[3] * t
        back[1].addcmul_(pull, z[1], value=-4)
        if ctx.laplace:
            back[2].addcmul_(pull, z[2], value=-4)
        flat = back.view(-1, back.shape[-1])
        towards = back @ weight.T if ctx.needs_input_grad[0] else None
        return towards, a.reshape(-1, a.shape[-1]).T @ flat, back[0].sum(0), None


class Problem:
    """An equation with its points: the loss of flat weights, and the relative error of their network."""

    def __init__(self, equation: Equation, seed: int) -> None:
        self.equation, self.seed = equation, seed
        low, high = (torch.tensor(v, dtype=torch.float64) for v in (equation.low, equation.high))
        self.low, self.size = low, high - low
        sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed)
        self.inside = low + self.size * sobol.draw(INSIDE, dtype=torch.float64)
        self.edge = low + self.size * torch.cat([_edge(name, EDGE // 4) for name in equation.edges])
        self.target = equation.solution(*self.edge.T)
        grid = torch.linspace(0, 1, 65, dtype=torch.float64)
        self.grid = low + self.size * torch.cartesian_prod(grid, grid)
        self.truth = equation.solution(*self.grid.T)
        self.shapes = list(pairwise(WIDTHS))
        self.sizes = [size for a, b in self.shapes for size in (a * b, b)]
        self.streams = self._inputs(self.inside)

    def start(self) -> Tensor:
        """Return Glorot's weights."""
        generator = torch.Generator().manual_seed(self.seed)
        parts: list[Tensor] = []
        for a, b in self.shapes:
            spread = math.sqrt(2 / (a + b))
            drawn = torch.randn(a * b, dtype=torch.float64, generator=generator)
            parts += [spread * drawn, torch.zeros(b, dtype=torch.float64)]
        return torch.cat(parts)

    def loss(self, w: Tensor) -> Tensor:
        layers = self.layers(w)
        out = self.derivatives(layers)
        r = self.equation.residual(*out.unbind(), *self.inside.T)
        miss = self.values(layers, self.edge) - self.target
        return r.square().mean() + self.equation.weight * miss.square().mean()

    def error(self, w: Tensor) -> float:
        """Return ‖u − truth‖/‖truth‖ on a grid."""
        with torch.no_grad():
            u = self.values(self.layers(w), self.grid)
        return float((u - self.truth).norm() / self.truth.norm())

    def layers(self, w: Tensor) -> list[tuple[Tensor, Tensor]]:
        parts = w.split(self.sizes)
        return [(parts[2 * i].view(shape), parts[2 * i + 1]) for i, shape in enumerate(self.shapes)]

    def values(self, layers: list[tuple[Tensor, Tensor]], points: Tensor) -> Tensor:
        z = 2 * (points - self.low) / self.size - 1
        for weight, bias in layers[:-1]:
            z = torch.addmm(bias, z, weight).tanh()
        return torch.addmm(layers[-1][1], z, layers[-1][0])[:, 0]

    def derivatives(self, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return u, uₓ, u_y and D at the points inside, [4, points]."""
        a = self.streams
        for weight, bias in layers[:-1]:
            a = Layer.apply(a, weight, bias, self.equation.laplace)
        weight, bias = layers[-1]
        out = (a @ weight)[..., 0]
        return torch.cat([out[:1] + bias, out[1:]])

    def nested(self, w: Tensor) -> Tensor:
        """Return what `derivatives` does, by autograd."""
        points = self.inside.clone().requires_grad_()
        u = self.values(self.layers(w), points)
        (g,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        (gx,) = torch.autograd.grad(g[:, 0].sum(), points, create_graph=True)
        curved = gx[:, 0]
        if self.equation.laplace:
            (gy,) = torch.autograd.grad(g[:, 1].sum(), points, create_graph=True)
            curved = curved + gy[:, 1]
        return torch.stack([u, g[:, 0], g[:, 1], curved])

    def _inputs(self, points: Tensor) -> Tensor:
        z = 2 * (points - self.low) / self.size - 1
        streams = torch.zeros(4, len(points), 2, dtype=torch.float64)
        streams[0] = z
        streams[1, :, 0], streams[2, :, 1] = 2 / self.size
        return streams


def _edge(name: str, points: int) -> Tensor:
    along = torch.linspace(0, 1, points, dtype=torch.float64)
    fixed = torch.full_like(along, float(name in ("right", "top")))
    pair = (fixed, along) if name in ("left", "right") else (along, fixed)
    return torch.stack(pair, 1)
