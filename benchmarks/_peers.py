"""The rules of four other tools, as far as their code or documentation states them.

They are written anew for PyTorch, with the published thresholds, and see what they see there: once an epoch
a probe of the first rows, and the histories of loss and accuracy. Rules that make no sense outside Keras (a
softmax layer before the loss) are left out, in the tools' favour.

- AutoTrainer (Zhang et al., ICSE 2021): `monitor.py` of shiningrain/AUTOTRAINER, its default parameters.
- DeepDiagnosis (Wardat et al., ICSE 2022): `callbacks.py` of DeepDiagnosis/ICSE2022.
- UMLAUT (Schoop et al., CHI 2021): `heuristics.py` of BerkeleyHCI/umlaut.
- SageMaker Debugger: the default parameters of its built-in rules, docs.aws.amazon.com/sagemaker.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.train import Callback

PROBE = 128
"""Rows of the training set that are looked at."""


@dataclass
class Look:
    """What is seen of a model on the probe: outputs of layers by name, gradients and weights of matrices."""

    kinds: dict[str, type[nn.Module]]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    gradients: list[Tensor]
    weights: list[Tensor]


@dataclass
class Seen:
    """All that the rules look at."""

    probe: tuple[Any, Any]
    epochs: int
    looks: list[Look] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    kept_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    kept_accuracy: list[float] = field(default_factory=list)
    raised: bool = False


class Recorder(Callback):
    """Keeps what the rules of the others need; training is as without it."""

    def __init__(self) -> None:
        self.seen: Seen | None = None

    def start(self, training: Any) -> None:
        """Take the probe."""
        self.seen = Seen(training.task.data.train.first(PROBE), training.epochs)
        self._look(training)

    def step(self, training: Any, loss: float) -> None:
        """Keep the loss of each step."""
        assert self.seen is not None
        self.seen.steps.append(loss)

    def epoch(self, training: Any, record: Any) -> None:
        """Look at the model and keep the figures."""
        assert self.seen is not None
        seen, kept = self.seen, record.validation
        seen.loss.append(record.train.loss)
        if kept is not None:
            seen.kept_loss.append(kept.loss)
        if "accuracy" in record.train.metrics:
            seen.accuracy.append(record.train.metrics["accuracy"])
            seen.kept_accuracy.append(kept.metrics["accuracy"])
        self._look(training)

    def _look(self, training: Any) -> None:
        assert self.seen is not None
        with torch.random.fork_rng():
            self.seen.looks.append(look(training.model, training.task.cost, self.seen.probe))


def look(model: nn.Module, cost: Any, probe: tuple[Any, Any]) -> Look:
    """Return what a pass over the probe shows."""
    found = Look({}, {}, {}, [], [])
    handles = []
    for name, layer in model.named_modules():
        if next(layer.children(), None) is None:
            found.kinds[name] = type(layer)

            def keep(_: Any, given: Any, output: Any, name: str = name) -> None:
                if isinstance(output, Tensor) and given and isinstance(given[0], Tensor):
                    found.inputs[name], found.outputs[name] = given[0].detach(), output.detach()

            handles.append(layer.register_forward_hook(keep))
    was = model.training
    model.eval()
    matrices = [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]
    with torch.enable_grad(), contextlib.suppress(RuntimeError):
        loss = cost.objective(model, *probe)
        grads = torch.autograd.grad(loss, matrices, allow_unused=True)
        found.gradients = [
            torch.zeros_like(p) if g is None else g for g, p in zip(grads, matrices, strict=True)
        ]
    found.weights = [p.detach().clone() for p in matrices]
    model.train(was)
    for handle in handles:
        handle.remove()
    return found


def _is_bad(values: list[float]) -> bool:
    return not bool(np.isfinite(values).all())


def auto_trainer(seen: Seen) -> set[str]:
    """AutoTrainer: β = 1e-3, 1e-4, 70; γ = 0.7; ζ = 0.03; η = 0.2; δ = 0.01; Θ = 0.7."""
    if (
        seen.raised
        or _is_bad(seen.loss + seen.kept_loss)
        or max(seen.kept_loss[-1:], default=0.0) >= 1e5
    ):
        return {"exploding_gradient"}
    grads = [each.gradients for each in seen.looks if each.gradients]
    if any(not bool(g.isfinite().all()) for each in grads for g in each):
        return {"exploding_gradient"}
    if len(seen.accuracy) < 0.3 * seen.epochs or not seen.accuracy:
        return set()
    acc, kept = np.array(seen.accuracy), np.array(seen.kept_accuracy)
    is_slow = _largest_rise(acc) < 0.01 and _largest_rise(kept) < 0.01
    if max(acc) >= 0.7 and max(kept) >= 0.7 and not is_slow:
        return {"lr_too_high"} if _oscillates(acc) else set()
    ratio = [_ratio(each) for each in grads]
    zeros = [float(torch.cat([g.flatten() for g in each]).eq(0).float().mean()) for each in grads]
    if max(zeros) >= 0.7:
        return {"dead_units"}
    if max(ratio) > 70:
        return {"exploding_gradient"}
    if any(r < 1e-3 and float(each[0].norm()) < 1e-4 for r, each in zip(ratio, grads, strict=True)):
        return {"vanishing_gradient"}
    return {"lr_too_low"} if is_slow else set()


def _largest_rise(values: Any) -> float:
    return float(np.diff(values).max(initial=0.0))


def _ratio(gradients: list[Tensor]) -> float:
    last = float(gradients[-1].norm())
    return float(gradients[0].norm()) / last if last else 0.0


def _oscillates(acc: Any) -> bool:
    inner = range(1, len(acc) - 1)
    tops = [acc[i] for i in inner if acc[i] >= acc[i - 1] and acc[i] >= acc[i + 1]]
    dips = [acc[i] for i in inner if acc[i] <= acc[i - 1] and acc[i] <= acc[i + 1]]
    count = sum(top - dip >= 0.03 for top, dip in zip(tops, dips, strict=False))
    return bool(count >= 0.2 * len(acc))


def deep_diagnosis(seen: Seen) -> set[str]:
    """DeepDiagnosis: zeros ≥ .7 of a ReLU, half of the inputs of tanh or sigmoid beyond ±5, |g| < 1e-7, and
    what is not finite, is 0 or does not change.
    """
    looks = seen.looks[1:]
    if seen.raised or _is_bad(seen.loss):
        return {"non_finite"}
    found = set()
    for one in looks:
        means = [float(out.float().mean()) for out in one.outputs.values()]
        means += [float(g.mean()) for g in one.gradients]
        if _is_bad(means) or 0.0 in means:
            found.add("non_finite")
        if any(float(g.abs().mean()) < 1e-7 for g in one.gradients):
            found.add("vanishing_gradient")
    for name, kind in looks[-1].kinds.items() if looks else ():
        if kind is nn.ReLU and float(looks[-1].outputs[name].le(0).float().mean()) >= 0.7:
            found.add("dead_units")
    for one in looks[4::5]:
        for name, kind in one.kinds.items():
            is_bent = kind in (nn.Tanh, nn.Sigmoid) and name in one.inputs
            if is_bent and float(one.inputs[name].abs().ge(5).float().mean()) > 0.5:
                found.add("saturation")
    found |= _unchanged(seen)
    return found


def _unchanged(seen: Seen) -> set[str]:
    """Return a fault where the mean of five losses, or twenty accuracies, is their maximum."""
    spans = [seen.loss[i : i + 5] for i in range(0, len(seen.loss) - 4, 5)]
    spans += [seen.accuracy[i : i + 20] for i in range(0, len(seen.accuracy) - 19, 20)]
    is_flat = any(np.mean(span) == np.max(span) for span in spans)
    return {"lr_too_low"} if is_flat or 0.0 in seen.accuracy else set()


def umlaut(seen: Seen) -> set[str]:
    """UMLAUT: inputs beyond ±1 or no floats, a loss of NaN, an epoch of overfitting, accuracy too good."""
    x, found = seen.probe[0], set()
    if isinstance(x, Tensor):
        if not x.is_floating_point():
            found.add("inputs")
        elif float(x.abs().max()) > 1:
            found.add("ill_conditioning")
    if seen.raised or np.isnan(seen.loss).any():
        found.add("non_finite")
    rises = np.diff(seen.kept_loss) > 0
    if len(seen.kept_loss) == len(seen.loss) and bool((rises & (np.diff(seen.loss) <= 0)).any()):
        found.add("overfitting")
    kept = np.array(seen.kept_accuracy)
    if len(kept) and bool(((kept > 0.95) | (kept > np.array(seen.accuracy))).any()):
        found.add("validation")
    return found


def sagemaker(seen: Seen) -> set[str]:
    """SageMaker Debugger: VanishingGradient 1e-7, ExplodingTensor, DeadRelu 50 %, LossNotDecreasing over ten
    steps by .1 %, Overfit .1, WeightUpdateRatio 1e-8 to 10, SaturatedActivation 9.4999 in half of a layer.
    """
    found = set()
    if seen.raised or _is_bad(seen.steps):
        found.add("non_finite")
    for one in seen.looks:
        if any(float(g.abs().mean()) < 1e-7 for g in one.gradients):
            found.add("vanishing_gradient")
        if any(not bool(out.isfinite().all()) for out in one.outputs.values()):
            found.add("non_finite")
        found |= _units(one)
    checked = seen.steps[::10]
    if any(not after < before * (1 - 1e-3) for before, after in itertools.pairwise(checked)):
        found.add("lr_too_low")
    if any(kept - loss > 0.1 * loss for loss, kept in zip(seen.loss, seen.kept_loss, strict=False)):
        found.add("overfitting")
    for before, after in itertools.pairwise(seen.looks):
        for old, new in zip(before.weights, after.weights, strict=True):
            ratio = float((new - old).norm() / (old.norm() + 1e-30))
            if ratio > 10 or ratio < 1e-8:
                found.add("lr_too_high" if ratio > 10 else "lr_too_low")
    return found


def _units(one: Look) -> set[str]:
    """Return what half of the units of a layer do: nothing, or at most the end of tanh."""
    found = set()
    for name, kind in one.kinds.items():
        if name not in one.inputs:
            continue
        if kind is nn.ReLU:
            active = one.outputs[name].flatten(1).gt(0).float().mean(0)
            if float(active.lt(0.01).float().mean()) > 0.5:
                found.add("dead_units")
        if kind is nn.Tanh:
            beyond = one.inputs[name].flatten(1).abs().gt(9.4999).float().mean(0)
            if float(beyond.gt(0.99).float().mean()) > 0.5:
                found.add("saturation")
    return found


PEERS: dict[str, Callable[[Seen], set[str]]] = {
    "AutoTrainer": auto_trainer,
    "DeepDiagnosis": deep_diagnosis,
    "UMLAUT": umlaut,
    "SageMaker Debugger": sagemaker,
}
"""Each returns the names of what it finds: the catalogue's names where a rule says the same."""
