"""Greedy pretraining: layer by layer, supervised or as autoencoders, then all layers together."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.objective.blame import blame
from thalweg.objective.cost import Cost
from thalweg.objective.nested import describe_batch
from thalweg.strategies.curriculum.difficulty import rows_in_memory
from thalweg.strategies.layers import built, changed, check_shaped
from thalweg.strategies.parts import has_weights, parts_of
from thalweg.strategies.stages.shares import check_share
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.tasks.data import Data
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.weighted import arrays_of
from thalweg.tasks.task import Task
from thalweg.train.restored.modes import evaluating
from thalweg.train.run import BaseRecipe
from thalweg.train.trained.evaluate import predict


@dataclass(frozen=True)
class pretraining(Strategy):
    """Train the hidden layers one after the other, each behind those that are done; then all of them.

        supervised:    stage k trains layer k and a new output layer on the task's cost, behind the frozen
                       layers 1 … k−1
        unsupervised:  stage k trains layer k and a linear decoder to reproduce what comes into layer k,
                       by the mean squared error, with a share `noise` of its inputs set to 0

    A layer is a linear or convolutional one with what follows up to the next. Of a model that is not a
    sequence of layers the calls are traced; a residual block, whose input goes on beside its layers, is
    trained as one layer. The joint stage begins with the layers as they were pretrained; supervised, also
    with the last output layer.

    Args:
        kind: "supervised" or "unsupervised".
        share: of the budget, for all layers together.
        noise: the fraction of inputs that are set to 0 in an unsupervised stage.

    Raises:
        TaskError: the model has no hidden layers that come one after the other, or cannot be traced, or its
            outputs are not one vector a row.
        DataError: unsupervised, of data that is not in memory.

    Source: Bengio et al. 2007, Greedy layer-wise training of deep networks; Vincent et al. 2008 for the
    noise.
    """

    kind: Literal["supervised", "unsupervised"] = "supervised"
    share: float = 0.5
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_share("share", self.share)
        if self.kind not in ("supervised", "unsupervised"):
            raise TaskError(
                f"The kind of pretraining must be 'supervised' or 'unsupervised'; got {self.kind!r}."
            )
        if not (is_real(self.noise) and 0 <= self.noise < 1):
            raise TaskError(f"noise must be a fraction, 0 ≤ noise < 1; got {self.noise!r}.")
        if self.noise and self.kind == "supervised":
            raise TaskError("noise is for unsupervised pretraining.")

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return a stage for each hidden layer, and the joint one."""
        whole = built(recipe.task)
        check_shaped(whole)
        model = parts_of(whole)
        cuts, shapes = _cuts(model), _shapes_behind(model, recipe.task)
        make = self._supervised if self.kind == "supervised" else self._unsupervised
        layers = [make(recipe, cuts, shapes, k) for k in range(len(cuts))]
        return [*layers, Stage("joint", self._joint(cuts), 1 - self.share)]

    def _supervised(
        self, recipe: BaseRecipe, cuts: list[int], shapes: list[torch.Size], k: int
    ) -> Stage:
        outputs = _outputs(shapes[-1])

        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            def build() -> nn.Module:
                layers = list(parts_of(recipe.task.build()))
                body = layers[: cuts[k]]
                return _behind(models, body, shapes[cuts[k]], outputs)

            return recipe.replace(model=build, target=None)

        return Stage(f"layer {k + 1}", make, self.share / len(cuts), is_judged=False)

    def _unsupervised(
        self, recipe: BaseRecipe, cuts: list[int], shapes: list[torch.Size], k: int
    ) -> Stage:
        rows = rows_in_memory(recipe.task.data.train)
        first = 0 if k == 0 else cuts[k - 1]

        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            inputs = arrays_of(rows).inputs
            for model in models:
                assert isinstance(model, _Autoencoder)
                inputs = predict(model.encoder, inputs).cpu()

            def build() -> nn.Module:
                layers = list(parts_of(recipe.task.build()))[first : cuts[k]]
                code, shape = shapes[cuts[k]], inputs.shape[1:]
                return _Autoencoder(nn.Sequential(*layers), code, shape, self.noise)

            task = Task(
                Data.arrays(inputs, inputs),
                Cost("mse"),
                build,
                name=recipe.task.name,
                epochs=recipe.task.epochs,
                batch_size=recipe.task.batch_size,
            )
            return recipe.replace(task=task)

        # the layers so far are passed once, which is less than a pass through the model
        passes = rows.rows if k else 0
        share = self.share / len(cuts)
        return Stage(f"layer {k + 1}", make, share, is_judged=False, row_passes=passes)

    def _joint(self, cuts: list[int]) -> Callable[[BaseRecipe, Models], BaseRecipe]:
        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            def begin(model: nn.Module) -> None:
                layers = list(parts_of(model))
                if self.kind == "supervised":
                    last = models[-1]
                    assert isinstance(last, _WithOutput)
                    _load(layers[: cuts[-1]], last.body)
                    if _shapes(layers[cuts[-1] :]) == _shapes([last.head]):
                        _load(layers[cuts[-1] :], [last.head])
                    return
                for first, cut, trained in zip([0, *cuts], cuts, models, strict=False):
                    _load(layers[first:cut], trained.encoder)  # type: ignore[arg-type]  # iterable

            return recipe.replace(model=changed(recipe.task, begin))

        return make


class _WithOutput(nn.Module):
    """Layers, and an output layer behind them."""

    def __init__(self, body: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(*body), head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x).flatten(1))
        return outputs


def _behind(models: Models, body: list[nn.Module], shape: torch.Size, outputs: int) -> _WithOutput:
    """Return layers with a new output layer, those of the stage before copied and frozen."""
    kept: list[nn.Module] = []
    if models:
        before = models[-1]
        assert isinstance(before, _WithOutput)
        kept = body[: len(before.body)]
        _load(kept, before.body)
    like = next(p for layer in body for p in layer.parameters())
    for layer in kept:
        layer.requires_grad_(False)
    return _WithOutput(body, nn.Linear(shape.numel(), outputs).to(like))


class _Autoencoder(nn.Module):
    """A layer and a linear decoder back to what came into it."""

    def __init__(
        self, encoder: nn.Sequential, code: torch.Size, shape: torch.Size, noise: float
    ) -> None:
        super().__init__()
        like = next(encoder.parameters())
        self.encoder, self.shape = encoder, shape
        self.decoder = nn.Linear(code.numel(), shape.numel()).to(like)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.noise:
            x = x * (torch.rand_like(x) >= self.noise)
        code = self.encoder(x).flatten(1)
        return self.decoder(code).reshape(-1, *self.shape)  # type: ignore[no-any-return]


def _cuts(model: nn.Sequential) -> list[int]:
    """Return where each hidden layer ends: before the next linear or convolutional one."""
    places = [k for k, layer in enumerate(model) if has_weights(layer)]
    if len(places) < 2:
        raise TaskError(
            f"Greedy pretraining needs a hidden layer; the model has {len(places)} linear or convolutional "
            "layers, or blocks of them, that come one after the other."
        )
    return places[1:]


def _shapes_behind(model: nn.Sequential, task: Task) -> list[torch.Size]:
    """Return the shape of a row before the first layer, and behind each."""
    with evaluating(model), torch.no_grad():
        x = place_of(model)(task.data.train.first(2)[0])
        shapes = [x.shape[1:]]
        for k, layer in enumerate(model, 1):
            try:
                x = layer(x)
                shapes.append(x.shape[1:])
            except Exception as error:  # the user's own model, and rows that it may not take
                raise TaskError(
                    f"Part {k} of {len(model)} of the model, {type(layer).__name__}, cannot be run on what "
                    f"comes into it, {describe_batch(x)}. {blame(error)}"
                ) from error
    return shapes


def _outputs(shape: torch.Size) -> int:
    if len(shape) != 1:
        raise TaskError(
            "Supervised pretraining puts a linear output layer behind each layer: the model's outputs are to "
            f"be one vector a row, and have the shape (rows, {', '.join(map(str, shape))})."
        )
    return shape[0]


def _load(layers: Iterable[nn.Module], source: Iterable[nn.Module]) -> None:
    """Copy the state of each layer from its counterpart."""
    for layer, other in zip(layers, source, strict=True):
        layer.load_state_dict(other.state_dict())


def _shapes(layers: Iterable[nn.Module]) -> list[dict[str, torch.Size]]:
    return [{name: p.shape for name, p in layer.named_parameters()} for layer in layers]
