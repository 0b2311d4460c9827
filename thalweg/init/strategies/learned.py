"""Weights learned elsewhere: from a model of a related task, or by autoencoders of the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.init.strategies import matrices
from thalweg.init.strategies.strategy import Setup, of_model
from thalweg.kept import undisturbed, watched
from thalweg.model.activations import gain_of
from thalweg.model.outputs import first_tensor, outputs_of

_ALL = ("hidden", "output", "recurrent", "embedding", "norm", "other")


@of_model(*_ALL, data_driven=False, reads=False)
def transfer(setup: Setup, source: nn.Module | Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers from a model of a related task, those with the same name and shape.

    The report says which were not copied, and why. With `.on("hidden", "norm")` the output layer, which
    is drawn again for another task, keeps its own. Frozen parameters are copied, too, as by
    `load_state_dict`, and stay frozen: a layer is often frozen because its weights come from elsewhere.

    Args:
        source: the model, or its `state_dict()`.
    """
    state = source.state_dict() if isinstance(source, nn.Module) else dict(source)
    own = setup.model.state_dict()
    matched = {layer.called for layer in setup.layers}
    left = [name for name in own if name.rpartition(".")[0] not in matched]
    copied, refused = [], []
    for name, value in own.items():
        if name in left or not isinstance(value, Tensor):
            continue
        given = state.get(name)
        if not isinstance(given, Tensor):
            refused.append(f"{name} (the source has none)")
        elif given.shape != value.shape:
            refused.append(f"{name} {tuple(value.shape)} (the source has {tuple(given.shape)})")
        else:
            with torch.no_grad():
                value.copy_(given)
            copied.append(name)
            setup.notes[name] = (setup.strategy, None)
    if not copied:
        raise TaskError(
            "init.transfer: nothing fits, neither by name nor by shape. The model has "
            f"{', '.join(list(own)[:6])}; the source has {', '.join(list(state)[:6])}."
        )
    if refused:
        setup.remarks.append(f"Not copied: {', '.join(refused)}.")


@of_model("hidden")
def autoencoder(setup: Setup, steps: int = 200, lr: float = 3e-3, noise: float = 0.0) -> None:
    """Train each hidden linear layer, one after the other, to keep what reaches it: a linear map back from
    its activations rebuilds its inputs (greedy pretraining, Bengio et al. 2007).

    The error is the mean square, descended by Adam on the batch; the map back is dropped.

    Args:
        steps: of Adam for each layer.
        lr: its learning rate.
        noise: the standard deviation of what is added to the inputs, relative to theirs: a denoising
            autoencoder.
    """
    if steps < 1 or not lr > 0 or not noise >= 0:
        raise TaskError(
            f"init.autoencoder: steps ≥ 1, lr > 0, noise ≥ 0; got {steps!r}, {lr!r}, {noise!r}."
        )
    x = setup.batch("init.autoencoder")
    layers = [
        (layer, layer.module)
        for layer in setup.layers
        if isinstance(layer.module, nn.Linear) and layer.trainable
    ]
    if not layers:
        raise TaskError("init.autoencoder trains hidden layers that are nn.Linear; there are none.")
    for layer, module in layers:
        inputs = _inputs_of(setup, module, x)
        if inputs is None:
            setup.remarks.append(f"The batch does not reach {layer.name}.")
            continue
        generator = setup.generator("autoencoder", layer.name)
        weight, bias, error = _rebuilt(
            module, layer.activation, inputs, steps, lr, noise, generator
        )
        if not math.isfinite(error):
            raise TaskError(
                f"init.autoencoder: the error of layer {layer.name!r} is not finite; give a smaller "
                f"lr than {lr:g}."
            )
        drawing = setup.drawing(layer)
        drawing.put(weight)
        if bias is not None:
            drawing.put_bias(bias)
        setup.remarks.append(
            f"{layer.name} rebuilds its inputs but for {error:.3g} of their variance."
        )


def _inputs_of(setup: Setup, module: nn.Module, x: Any) -> Tensor | None:
    found: list[Tensor] = []

    def see(_: nn.Module, args: Any, __: Any) -> None:
        given = first_tensor(args)
        if given is not None:
            found.append(given.detach())

    with undisturbed(setup.model), watched([module], see):
        setup.model.eval()
        outputs_of(setup.model, x)
    return found[0].flatten(0, -2) if found else None


def _rebuilt(
    module: nn.Linear,
    activation: str | None,
    inputs: Tensor,
    steps: int,
    lr: float,
    noise: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor | None, float]:
    weight = module.weight.detach().clone().requires_grad_()
    bias = None if module.bias is None else module.bias.detach().clone().requires_grad_()
    bend = _bend(activation)
    gain = gain_of(activation) if activation else 1.0
    back = matrices.normal(module.in_features, module.out_features, generator).to(weight)
    back = (back * gain / math.sqrt(module.out_features)).requires_grad_()
    shift = inputs.mean(0).clone().requires_grad_()
    parameters = [p for p in (weight, bias, back, shift) if p is not None]
    adam = torch.optim.Adam(parameters, lr=lr)
    spread = inputs.var(0).sum().clamp(min=torch.finfo(inputs.dtype).tiny)
    error = torch.zeros(())
    with torch.enable_grad():
        for _ in range(steps):
            given = inputs
            if noise:
                drawn = torch.randn(inputs.shape, generator=generator, dtype=matrices.FLOAT)
                given = inputs + noise * inputs.std() * drawn.to(inputs)
            codes = bend(nn.functional.linear(given, weight, bias))
            error = (codes @ back.T + shift - inputs).square().sum(1).mean() / spread
            adam.zero_grad()
            error.backward()
            adam.step()
    return weight.detach(), None if bias is None else bias.detach(), float(error.detach())


def _bend(activation: str | None) -> Any:
    if activation in (None, "linear"):
        return lambda z: z
    if activation in ("softmax", "log_softmax"):
        return lambda z: getattr(nn.functional, activation)(z, dim=-1)
    return getattr(torch, activation, None) or getattr(nn.functional, str(activation))
