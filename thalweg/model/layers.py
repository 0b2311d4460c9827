"""The layers of a model: each weight with its fans, seen as a matrix of units and inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

KINDS = ("hidden", "output", "embedding", "norm", "recurrent", "branch_end", "convolution", "other")
"""What layers are matched by: `recurrent` are the weights from state to state and from input to gates,
`branch_end` the last layer of a residual branch, `convolution` a hidden or output one, `other` a weight in
a module of the user's own."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm),
    *(nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.RMSNorm),
)
_GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1, nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}
WEIGHTED = (
    *(nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention),
    *(nn.RNNBase, nn.RNNCellBase, *_CONVOLUTIONS, *_TRANSPOSED),
)
"""Modules whose weights multiply their input."""

_ESTIMATES = 15
"""Steps of the power method that PyTorch's spectral norm takes for the weight it is begun with."""


@dataclass(eq=False)
class Layer:
    """One weight of a model with its bias.

    `fan_in` is how many inputs a unit adds up, `fan_out` how many units an input goes to. `blocks` are
    the gates that are stacked in one weight. `activation`, `gain`, `branch_end` and the difference
    between hidden and output are found by tracing; a gain of None was not found. `branches` is how many
    residual branches the model has, `branch_layers` how many layers are in this one's, and `feeds` are
    the layers that its units go to, None where they go to others too.
    """

    name: str
    module: nn.Module
    parameter: str
    bias: str | None
    kind: str
    fan_in: int
    fan_out: int
    blocks: int = 1
    activation: str | None = None
    gain: float | None = None
    branch_end: bool = False
    branches: int = 0
    branch_layers: int = 0
    feeds: tuple[str, ...] | None = None
    tied: str | None = None
    called: str = ""
    marks: frozenset[str] = field(default_factory=frozenset)

    @property
    def kinds(self) -> frozenset[str]:
        """All kinds that it is of."""
        found = {self.kind, *self.marks}
        return frozenset(found | {"branch_end"} if self.branch_end else found)

    @property
    def weight(self) -> Tensor:
        """The weight as the layer uses it; what a parametrization estimates is not estimated further."""
        made_by = self._made_by(self.parameter)
        if made_by is None:
            found: Tensor = getattr(self.module, self.parameter)
            return found
        with _in_mode(made_by, training=False):
            return getattr(self.module, self.parameter)  # type: ignore[no-any-return]

    @property
    def trainable(self) -> bool:
        """Whether the weight takes gradients."""
        return any(p.requires_grad for p in self.parameters_of(self.parameter))

    @property
    def has_trainable_bias(self) -> bool:
        """Whether it has a bias that takes gradients."""
        return self.bias is not None and any(p.requires_grad for p in self.parameters_of(self.bias))

    @property
    def is_transposed(self) -> bool:
        """Whether it is a transposed convolution, whose weight has the inputs first."""
        return isinstance(self.module, _TRANSPOSED)

    @property
    def units(self) -> int:
        """The rows of its matrix."""
        return self.matrix().shape[0]

    @property
    def inputs(self) -> int:
        """The columns of its matrix."""
        return self.matrix().shape[1]

    def matrix(self) -> Tensor:
        """The weight as a matrix: a row for each unit, a column for each input."""
        weight = self.weight.detach()
        if self.is_transposed:
            groups = int(self.module.groups)  # type: ignore[arg-type]
            apart = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
            return apart.flatten(0, 1).flatten(1)
        return weight.reshape(weight.shape[0], -1)

    def put(self, matrix: Tensor) -> None:
        """Set the weight from a matrix; its type and device stay."""
        weight = self.weight
        if self.is_transposed:
            groups = int(self.module.groups)  # type: ignore[arg-type]
            rest = weight.shape[2:]
            shaped = matrix.reshape(groups, weight.shape[1], -1, *rest).transpose(1, 2)
            matrix = shaped.flatten(0, 1)
        self.set(self.parameter, matrix.reshape(weight.shape))

    def set(self, name: str, value: Tensor) -> None:
        """Set a parameter of the module, through its parametrization where it has one.

        What the parametrization estimates of a weight while it trains, as a spectral norm its largest
        singular value, is estimated for the new one.
        """
        made_by = self._made_by(name)
        with torch.no_grad():
            if made_by is None:
                getattr(self.module, name).copy_(value)
                return
            present = getattr(self.module, name)
            setattr(self.module, name, value.to(present.device, present.dtype))
            if list(made_by.buffers()):
                with _in_mode(made_by, training=True):
                    for _ in range(_ESTIMATES):
                        getattr(self.module, name)

    def _made_by(self, name: str) -> nn.Module | None:
        """Return what computes a parameter, None where it is one itself."""
        if not parametrize.is_parametrized(self.module, name):
            return None
        found: nn.Module = self.module.parametrizations[name]  # type: ignore[index,assignment]
        return found

    def parameters_of(self, name: str) -> Iterator[nn.Parameter]:
        """Yield what makes weight or bias: itself, or the parameters of its parametrization."""
        made_by = self._made_by(name)
        if made_by is not None:
            yield from made_by.parameters()
        elif isinstance(getattr(self.module, name), nn.Parameter):
            yield getattr(self.module, name)


@contextmanager
def _in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    before = [(each, each.training) for each in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for each, mode in before:
            each.training = mode


def layers_of(model: nn.Module) -> list[Layer]:
    """Return the layers of a model in the order of its modules; a weight that two share counts once.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    >>> [(layer.name, layer.kind, layer.fan_in, layer.fan_out) for layer in layers_of(net)]
    [('0', 'hidden', 27, 72), ('3', 'hidden', 72, 10)]
    """
    found: list[Layer] = []
    first: dict[int, str] = {}
    for name, module in model.named_modules():
        for layer in _of_module(name, module):
            if not layer.weight.numel():  # a place that is left empty
                continue
            key = id(layer.weight)
            layer.tied = first.get(key)
            first.setdefault(key, layer.name)
            found.append(layer)
    return found


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalizes: one of PyTorch's, or one that is called so.

    >>> class MyRMSNorm(nn.Module): ...
    >>> is_norm(nn.BatchNorm2d(3)), is_norm(MyRMSNorm()), is_norm(nn.Linear(1, 1))
    (True, True, False)
    """
    return isinstance(module, _NORMS) or "norm" in type(module).__name__.lower()


def attention_of(layer: Layer, modules: Mapping[str, nn.Module]) -> str | None:
    """Return the name of the attention that the layer gives the outputs of, None where it is not one."""
    owner, _, last = layer.called.rpartition(".")
    is_one = last == "out_proj" and isinstance(modules.get(owner), nn.MultiheadAttention)
    return owner if is_one else None


def _of_module(name: str, module: nn.Module) -> Iterator[Layer]:
    shown = name or "(the model)"
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        yield from _recurrent(name, module)
    elif isinstance(module, nn.MultiheadAttention):
        yield from _attention(name, module)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        size = module.embedding_dim
        yield Layer(shown, module, "weight", None, "embedding", 1, size, called=name)
    elif isinstance(module, _NORMS):
        if getattr(module, "weight", None) is not None:
            bias = _bias(module)
            yield Layer(shown, module, "weight", bias, "norm", 1, 1, called=name)
    elif isinstance(module, (nn.Linear, nn.Bilinear, *_CONVOLUTIONS, *_TRANSPOSED)):
        fan_in, fan_out = _fans(module)
        marks = frozenset({"convolution"} if isinstance(module, _CONVOLUTIONS) else ())
        yield Layer(
            *(shown, module, "weight", _bias(module), "hidden", fan_in, fan_out),
            called=name,
            marks=marks,
        )
    elif type(module).__name__ != "ParametrizationList" and not _is_parametrization(name):
        yield from _own(name, module)


def _is_parametrization(name: str) -> bool:
    return "parametrizations" in name.split(".")


def _own(name: str, module: nn.Module) -> Iterator[Layer]:
    for parameter, value in module.named_parameters(recurse=False):
        if value.ndim >= 2 and not nn.parameter.is_lazy(value):
            fan_in, fan_out = math.prod(value.shape[1:]), value.shape[0]
            shown = f"{name}.{parameter}" if name else parameter
            yield Layer(shown, module, parameter, None, "other", fan_in, fan_out, called=name)


def _bias(module: nn.Module, name: str = "bias") -> str | None:
    return None if getattr(module, name, None) is None else name


def _fans(module: Any) -> tuple[int, int]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, nn.Bilinear):
        return module.in1_features * module.in2_features, module.out_features
    taps = math.prod(module.kernel_size)
    fan_in = module.in_channels // module.groups * taps
    fan_out = module.out_channels // module.groups * taps
    if isinstance(module, _TRANSPOSED):  # an output is reached by one tap in each stride
        fan_in = max(1, fan_in // math.prod(module.stride))
    return fan_in, fan_out


def _recurrent(name: str, module: nn.Module) -> Iterator[Layer]:
    gates = next(count for kind, count in _GATES.items() if isinstance(module, kind))
    for parameter, value in module.named_parameters(recurse=False):
        if not parameter.startswith("weight"):
            continue
        blocks = 1 if parameter.startswith("weight_hr") else gates
        yield Layer(
            name=f"{name}.{parameter}" if name else parameter,
            module=module,
            parameter=parameter,
            bias=_bias(module, parameter.replace("weight", "bias")),
            kind="recurrent",
            fan_in=value.shape[1],
            fan_out=value.shape[0] // blocks,
            blocks=blocks,
            called=name,
        )


def _attention(name: str, module: nn.MultiheadAttention) -> Iterator[Layer]:
    """The projections to queries, keys and values; the one of the outputs is a layer of its own."""
    for parameter in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
        value = getattr(module, parameter, None)
        if value is None:
            continue
        blocks = 3 if parameter == "in_proj_weight" else 1
        yield Layer(
            name=f"{name}.{parameter}" if name else parameter,
            module=module,
            parameter=parameter,
            bias=_bias(module, "in_proj_bias")
            if parameter in ("in_proj_weight", "q_proj_weight")
            else None,
            kind="hidden",
            fan_in=value.shape[1],
            fan_out=value.shape[0] // blocks,
            blocks=blocks,
            gain=1.0,
            activation="linear",
            called=name,
        )
