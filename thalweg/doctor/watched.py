"""What was seen of a run: all that symptoms look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.curvature.sharpness import Sharpness
from thalweg.curvature.trace import Estimate
from thalweg.doctor.series import Series, Thinned

Floats = NDArray[np.float64]
SLIGHT = 0.1
"""Networks at a minimum have curvatures below 0 that are such a share of the largest, or less (Sagun and
others, 2017)."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of the run: its name, and what kind of numbers it holds.

    `is_matrix` is true of the weights of layers that multiply (linear, convolution, recurrent), false of
    biases, norms and embeddings.
    """

    name: str
    size: int
    is_matrix: bool
    dtype: torch.dtype


@dataclass(frozen=True)
class UpdateSample:
    """What one update did, by parameter: root mean squares of gradient, update and weights before it.

    `unchanged` is the share of weights with a gradient that are bit-equal after the update; `twins` the share
    of units whose weights and gradient point the same way as those of another unit; `still` the share of
    weights that are what they were at least 16 steps before. NaN where unknown.
    """

    step: int
    lr: float
    gradient: Floats
    update: Floats
    weight: Floats
    unchanged: Floats
    twins: Floats
    still: float = np.nan


@dataclass
class LayerCall:
    """One call of a layer: root mean squares of what came in, went out, and of the gradient of the latter.

    `activation` is the operation that made the input ("Tanh"), `saturated` the share of its units that are
    beyond 0.85 on average; NaN where the input is not bounded.
    """

    name: str
    kind: str
    has_matrix: bool
    units: int = 0
    rows: int = 0
    input: float = np.nan
    output: float = np.nan
    gradient: float = np.nan
    activation: str = ""
    saturated: float = np.nan
    is_finite: bool = True


@dataclass(frozen=True)
class LayerSample:
    """The calls of layers in one forward and backward pass, in order."""

    step: int
    calls: tuple[LayerCall, ...]


@dataclass(frozen=True)
class BatchLoss:
    """The loss of one batch before and after the update that was made on it."""

    step: int
    before: float
    after: float


@dataclass(frozen=True)
class ModeLoss:
    """The mean loss of the kept batches in training mode and in evaluation mode."""

    step: int
    training: float
    evaluation: float


@dataclass(frozen=True)
class OutputCheck:
    """What the outputs of a batch are like in evaluation mode.

    `spread` is how much they differ between rows, `size` their mean size; `is_random` whether two
    evaluations differ; `mixes_rows` whether rows depend on others; `made_by` the last operation; `loss`
    that of some batches, `shuffled` the same with the outputs of other rows; `targets` and `range` the least
    and the greatest of targets and outputs.
    """

    spread: float
    size: float
    is_random: bool
    mixes_rows: bool
    made_by: str
    loss: float
    shuffled: float
    targets: tuple[float, float]
    range: tuple[float, float]


@dataclass(frozen=True)
class PairCheck:
    """What the loss does with rows: whether it is the same when they exchange their targets, whether that of
    a batch lies outside of those of its rows, and whether it depends on the targets at all.
    """

    is_unpaired: bool
    mixes_rows: bool
    targets_matter: bool = True


@dataclass(frozen=True)
class GradientError:
    """A parameter whose gradient has this norm, while the loss has this slope along it."""

    name: str
    norm: float
    slope: float

    @property
    def ratio(self) -> float:
        """Slope / norm: 1 where the gradient is right."""
        return self.slope / self.norm if self.norm else np.nan


@dataclass(frozen=True)
class BatchNoise:
    """The gradient noise scale in rows, and the rows of a batch in training."""

    scale: Estimate
    batch: int


@dataclass
class Labels:
    """The targets of batches in order: counts of classes, or means and mean squares of numbers.

    `columns` are, of numbers, the mean and the variance of each column in a batch, and its rows.
    """

    counts: list[dict[int, int]] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    columns: list[tuple[Floats, Floats, int]] = field(default_factory=list)


@dataclass
class Inputs:
    """Sums over the rows of all inputs that were seen, by feature; `sizes` are root mean squares by step."""

    rows: int = 0
    total: Floats | None = None
    squares: Floats | None = None
    smallest: Floats | None = None
    largest: Floats | None = None
    sizes: dict[int, float] = field(default_factory=dict)
    nonfinite: int = 0
    nonfinite_step: int | None = None


@dataclass
class UnitRecord:
    """The units that come into a layer: over how many rows each of them was zero up to now."""

    name: str
    rows: int
    silent: NDArray[np.int64]

    def dead(self, fewest: int) -> int:
        """Return how many units were zero in at least so many rows."""
        return int((self.silent >= fewest).sum())


@dataclass(frozen=True)
class Start:
    """The start of the run, looked at afterwards on kept batches: the units that come into layers, and the
    largest spectral radius of a recurrent matrix with its name.
    """

    units: dict[str, UnitRecord] = field(default_factory=dict)
    radius: float = np.nan
    recurrent: str = ""


@dataclass(frozen=True)
class StaleStatistics:
    """A normalization whose running statistics are still those of the start by the share `kept`, and the loss
    in evaluation mode as it is, and by the statistics of the batches.
    """

    name: str
    kept: float
    loss: float
    fresh: float


@dataclass(frozen=True)
class Ending:
    """The loss where the run ended: its lowest and highest curvature, the unit direction of the lowest by
    parameter, the norm of the gradient, how far from the start that is, whether the loss is quadratic, and
    the curvature that rounding may make.
    """

    lowest: Estimate
    highest: Estimate
    direction: dict[str, Tensor]
    gradient: float
    way: float
    is_quadratic: bool
    rounding: float = 0.0

    @property
    def bends_down(self) -> bool:
        """Whether the lowest curvature is negative beyond its error, and not small compared with the
        highest.
        """
        low, high = self.lowest.value, self.highest.value
        return low + 2 * self.lowest.stderr + self.rounding < 0 and -low > SLIGHT * high


@dataclass
class NotFinite:
    """Where a number was first not finite: the step, and the module, parameter or loss."""

    step: int
    where: str
    direction: str


@dataclass
class Watched:
    """All that was seen of a run.

    `steps` counts updates, the first is step 1. `loss_name` is the loss that the doctor was given, empty
    without one; `kept` are batches of the run in order; `modules` the modules with the mode that each has
    in training; `gradients` what examinations cost, in gradient-equivalents; `forgotten` the share of the
    first step's gradient that the second step's still contains; `is_bounded` whether a larger gradient makes
    no larger step, as where the optimizer clips.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_name: str = ""
    steps: int = 0
    parameters: tuple[Parameter, ...] = ()
    losses: Series = field(default_factory=Series)
    rates: Series = field(default_factory=Series)
    updates: Thinned[UpdateSample] = field(default_factory=Thinned)
    layers: Thinned[LayerSample] = field(default_factory=Thinned)
    units: dict[str, UnitRecord] = field(default_factory=dict)
    batch_losses: Thinned[BatchLoss] = field(default_factory=Thinned)
    validations: list[tuple[int, float]] = field(default_factory=list)
    modes: list[ModeLoss] = field(default_factory=list)
    start: Start = field(default_factory=Start)
    stale: StaleStatistics | None = None
    forgotten: float = np.nan
    check: OutputCheck | None = None
    pairs: PairCheck | None = None
    gradient_errors: list[GradientError] = field(default_factory=list)
    noise: BatchNoise | None = None
    sharpness: Sharpness | None = None
    ending: Ending | None = None
    is_bounded: bool = False
    gradients: float = 0.0
    labels: Labels = field(default_factory=Labels)
    inputs: Inputs = field(default_factory=Inputs)
    not_finite: NotFinite | None = None
    kept: list[tuple[int, Any]] = field(default_factory=list)
    planned: int | None = None
    modules: Sequence[tuple[nn.Module, bool]] = ()
