"""The parameter sets of the step benchmarks: shapes of real models, listed compactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import Parameter

Shape = tuple[int, ...]


def mlp() -> Iterator[Shape]:
    """A 784-32-10 perceptron: 4 tensors, 25,450 parameters."""
    yield from [(32, 784), (32,), (10, 32), (10,)]


def small() -> Iterator[Shape]:
    """A deep and narrow net of 200 layers: 400 tensors, 0.83 million parameters."""
    for _ in range(200):
        yield from [(64, 64), (64,)]


def tiny() -> Iterator[Shape]:
    """A thousand matrices of 35 numbers: 1,000 tensors, 35,000 parameters."""
    yield from [(7, 5)] * 1000


def resnet50() -> Iterator[Shape]:
    """ResNet-50 for ImageNet (He et al. 2016): 161 tensors, 25.6 million parameters."""

    def convolution(inputs: int, outputs: int, size: int) -> Iterator[Shape]:
        yield from [
            (outputs, inputs, size, size),
            (outputs,),
            (outputs,),
        ]  # then a batch norm's γ and β

    yield from convolution(3, 64, 7)
    inputs = 64
    for width, blocks in [(64, 3), (128, 4), (256, 6), (512, 3)]:
        for block in range(blocks):
            yield from convolution(inputs, width, 1)
            yield from convolution(width, width, 3)
            yield from convolution(width, 4 * width, 1)
            if block == 0:
                yield from convolution(inputs, 4 * width, 1)  # the projection of the shortcut
            inputs = 4 * width
    yield from [(1000, 2048), (1000,)]


def gpt2() -> Iterator[Shape]:
    """GPT-2 small (Radford et al. 2019): 148 tensors, 124.4 million parameters."""
    width = 768
    yield from [(50257, width), (1024, width)]
    for _ in range(12):
        yield from [(width,), (width,), (width, 3 * width), (3 * width,), (width, width), (width,)]
        yield from [
            (width,),
            (width,),
            (width, 4 * width),
            (4 * width,),
            (4 * width, width),
            (width,),
        ]
    yield from [(width,), (width,)]


def char_transformer() -> Iterator[Shape]:
    """The transformer of the task char_transformer."""
    from thalweg.tasks import load_task

    for p in load_task("char_transformer").build().parameters():
        yield tuple(p.shape)


SETS: dict[str, Callable[[], Iterator[Shape]]] = {
    "mlp": mlp,
    "small": small,
    "tiny": tiny,
    "resnet50": resnet50,
    "gpt2": gpt2,
    "char_transformer": char_transformer,
}


def parameters_with_gradients(name: str, seed: int = 0) -> list[Parameter]:
    """Return float32 parameters of a set, each with a fixed gradient of a usual size."""
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for shape in SETS[name]():
        p = Parameter(0.02 * torch.randn(shape, generator=generator))
        p.grad = 0.01 * torch.randn(shape, generator=generator)
        parameters.append(p)
    return parameters
