"""Strategies that set biases, norms and the parameters of a variance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, suggest
from thalweg.init.strategies.strategy import Drawing, Setup, named_parameters, of_model, per_layer

Form = Literal["variance", "std", "precision", "log_variance", "log_std", "log_precision"]
_FORMS = {
    "variance": lambda v: v,
    "std": lambda v: v**0.5,
    "precision": lambda v: 1 / v,
    "log_variance": lambda v: v.log(),
    "log_std": lambda v: v.log() / 2,
    "log_precision": lambda v: -v.log(),
}
_SOFTMAX = ("cross_entropy", "nll_loss", "multi_margin_loss")
_SIGMOID = ("binary_cross_entropy_with_logits",)
_MEAN = ("mse_loss", "half_mse", "l1_loss", "smooth_l1_loss", "huber_loss")


@per_layer("hidden", "output", "recurrent")
def bias(task: Drawing, value: float = 0.0, relu: float | None = None) -> None:
    """Set biases to a number, by default 0.

    Args:
        value: the bias.
        relu: the bias where a ReLU is behind, such as 0.1, which lets more units begin active.
    """
    wanted = relu if relu is not None and task.layer.activation == "relu" else value
    task.put_bias(float(wanted))


@per_layer("norm")
def norm(task: Drawing, weight: float = 1.0, bias: float = 0.0) -> None:
    """Set the factor and the shift of normalization layers.

    Args:
        weight: the factor.
        bias: the shift.
    """
    task.put(torch.full(task.layer.matrix().shape, float(weight)))
    task.put_bias(float(bias))


@per_layer("recurrent")
def forget_gate(task: Drawing, value: float = 1.0) -> None:
    """Set the forget gates of an LSTM to a total bias, so that it remembers at first (Gers et al. 2000).

    PyTorch's LSTM adds two biases; the one from the inputs gets the value, the one from the state 0.

    Args:
        value: the total.
    """
    module, name = task.layer.module, task.layer.bias
    if not isinstance(module, (nn.LSTM, nn.LSTMCell)) or name is None:
        return
    present = getattr(module, name).detach().clone()
    size = module.hidden_size
    present[size : 2 * size] = float(value) if name.startswith("bias_ih") else 0.0
    task.put_bias(present)


@of_model("output", data_driven=False)
def output_bias(
    setup: Setup,
    counts: Sequence[float] | None = None,
    positive: Sequence[float] | float | None = None,
    mean: Sequence[float] | float | None = None,
    zero_weights: bool = False,
) -> None:
    """Set the output bias to what is right without looking at the input: the logarithm of the shares of the
    classes, the log odds of a yes, or the mean of a regression.

    Without numbers they are those of the targets, by the loss: of a task, or `init.apply(…, y=targets,
    loss="cross_entropy")`. A class without rows counts as half a row. The loss then begins at the
    entropy of the shares, exactly so if the output weights are 0.

    Args:
        counts: rows of each class, or their shares.
        positive: the share of ones for each output, in (0, 1).
        mean: the mean of the target for each output.
        zero_weights: whether to set the output weights to 0.
    """
    given = [each for each in (counts, positive, mean) if each is not None]
    if len(given) > 1:
        raise TaskError("init.output_bias takes one of counts, positive and mean.")
    layers = [layer for layer in setup.layers if layer.bias is not None]
    if not layers:
        names = ", ".join(layer.name for layer in setup.layers)
        raise TaskError(f"init.output_bias: the output layer has no bias ({names}).")
    setup.generator()  # the seed of this strategy: what others draw after it depends on that it was
    for layer in layers:
        units = layer.units
        if counts is not None:
            value = _log_shares(torch.as_tensor(counts, dtype=torch.float64))
        elif positive is not None:
            value = _log_odds(torch.as_tensor(positive, dtype=torch.float64))
        elif mean is not None:
            value = torch.as_tensor(mean, dtype=torch.float64)
        else:
            value = _of_targets(setup, units)
        if value.ndim and value.numel() not in (1, units):
            raise TaskError(
                f"init.output_bias: the output layer {layer.name!r} has {units} units; got "
                f"{value.numel()} numbers. Give one for each unit."
            )
        drawing = setup.drawing(layer)
        drawing.put_bias(value)
        if zero_weights:
            drawing.put(torch.zeros(layer.matrix().shape))


def _of_targets(setup: Setup, units: int) -> Tensor:
    name = "" if setup.loss is None else setup.loss.name
    if setup.targets is None or name not in (*_SOFTMAX, *_SIGMOID, *_MEAN):
        raise TaskError(
            "init.output_bias needs counts, positive or mean; or the targets and a loss that says "
            f"what the outputs are: y=targets, loss='cross_entropy'. The loss is {name or 'not given'!r}."
        )
    y = torch.as_tensor(setup.targets).detach().cpu()
    if name in _SOFTMAX:
        if y.is_floating_point():
            return _log_shares(y.double().reshape(-1, units).sum(0))
        chosen = y[(y >= 0) & (y < units)]
        return _log_shares(torch.bincount(chosen.flatten(), minlength=units).double())
    values = y.double().reshape(len(y), -1).mean(0)
    if name in _SIGMOID:
        half = 0.5 / len(y)
        return _log_odds(values.clamp(half, 1 - half))
    return values


def _log_shares(counts: Tensor) -> Tensor:
    row = next((i for i, c in enumerate(counts.flatten().tolist()) if not 0 <= c < math.inf), None)
    if row is not None or counts.ndim != 1 or counts.sum() <= 0:
        where = "" if row is None else f" class {row} has {counts.flatten()[row]:g}."
        raise TaskError(
            "init.output_bias: counts are numbers ≥ 0, one for each class, not all 0;"
            f"{where or f' got {counts.tolist()}.'}"
        )
    whole = counts if counts.sum() > 1.5 else counts * 1e6  # shares: half a row of a million
    kept = whole.clamp(min=0.5)
    return (kept / kept.sum()).log()


def _log_odds(share: Tensor) -> Tensor:
    if not bool(((share > 0) & (share < 1)).all()):
        raise TaskError(
            f"init.output_bias: positive must be a share in (0, 1) for each output; got {share.tolist()}."
        )
    return (share / (1 - share)).log()


@of_model("hidden", "output", "recurrent", "embedding", "norm", "other", data_driven=False)
def variance(
    setup: Setup, name: str = "*var*", form: Form = "log_variance", value: float | None = None
) -> None:
    """Set the parameters of a variance or precision to that of the targets, or to a number.

    Such a parameter is the model's own; it begins where the noise is as large as the spread of the
    targets, which is what is left before anything is learned.

    Args:
        name: of the parameters; `*` stands for any text.
        form: what the parameter is: "variance", "std", "precision", or one of them with "log_".
        value: the variance; by default that of the targets y, 1 where there are none.
    """
    if form not in _FORMS:
        raise TaskError(
            f"form must be one of {', '.join(_FORMS)}; got {form!r}.{suggest(form, _FORMS)}"
        )
    set_here = named_parameters("variance", setup.model, name)
    wanted = _variance(setup.targets, value)
    for parameter, tensor in set_here:
        if wanted.numel() not in (1, tensor.numel()):
            raise TaskError(
                f"init.variance: {parameter} has {tensor.numel()} numbers, the targets "
                f"{wanted.numel()} columns."
            )
        with torch.no_grad():
            tensor.copy_(_FORMS[form](wanted).expand(tensor.numel()).reshape(tensor.shape))
        setup.notes[parameter] = (setup.strategy, None)


def _variance(y: Any, value: float | None) -> Tensor:
    if value is not None:
        wanted = torch.tensor([float(value)], dtype=torch.float64)
    elif y is None:
        return torch.ones(1, dtype=torch.float64)
    else:
        rows = torch.as_tensor(y).detach().cpu().double()
        wanted = rows.reshape(len(rows), -1).var(0)
    column = next((i for i, v in enumerate(wanted.tolist()) if not 0 < v < math.inf), None)
    if column is not None:
        raise TaskError(
            f"init.variance: a variance is a number > 0; that of column {column} of the targets is "
            f"{wanted[column]:g}. Give value."
        )
    return wanted
