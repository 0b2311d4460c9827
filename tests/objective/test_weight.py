"""The loss of a set, put together from unequal batches, is what the loss says of the whole set."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from thalweg.errors import DataError, TaskError
from thalweg.objective import Cost, Scores, as_loss
from thalweg.objective.weighted import Weighted

SIZES = (7, 4, 7, 2, 3)
ROWS = sum(SIZES)
WEIGHTS = torch.tensor([1.0, 20.0, 0.3])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def classes(*shape: int, ignored: int = -100) -> Tensor:
    """Class numbers, the first batch and some others ignored."""
    labels = torch.randint(3, shape, generator=torch.Generator().manual_seed(1))
    labels[:7] = ignored
    labels[12::5] = ignored
    return labels


def measured(cost: Cost, outputs: Any, targets: Any, sizes: tuple[int, ...] = SIZES) -> Scores:
    meter = cost.meter()
    for o, t in zip(outputs.split(sizes), targets.split(sizes), strict=True):
        loss, weight = cost.surrogate.measured(o, t, len(t))
        meter.add(float(loss), o, t, len(t), weight)
    return meter.scores(0.0)


class Tokens(nn.Module):
    """A loss of a language model: outputs (rows, length, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.ignore_index = 0

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        flat = outputs.flatten(0, 1), targets.flatten()
        return functional.cross_entropy(*flat, ignore_index=self.ignore_index)


class Smoothed(nn.CrossEntropyLoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target) + 0.5


def pairs(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs[:, :3], targets, weight=WEIGHTS.double()) * 0.5


LOGITS, LABELS, IMAGES = drawn(ROWS, 3), classes(ROWS), drawn(ROWS, 3, 4, 5)
SHARES = drawn(ROWS, 3, seed=2).softmax(1)
BY_CLASS: list[Any] = [
    nn.CrossEntropyLoss(),
    nn.CrossEntropyLoss(weight=WEIGHTS.double()),
    nn.CrossEntropyLoss(weight=WEIGHTS.double(), label_smoothing=0.2),
    nn.CrossEntropyLoss(label_smoothing=0.2),
    nn.CrossEntropyLoss(reduction="sum"),
    nn.NLLLoss(weight=WEIGHTS.double()),
    functional.cross_entropy,
    "cross_entropy",
    functools.partial(functional.cross_entropy, weight=WEIGHTS.double()),
    functools.partial(functional.cross_entropy, reduction="sum"),
    lambda outputs, targets: functional.cross_entropy(outputs, targets),
    Smoothed(weight=WEIGHTS.double()),
    pairs,
]


def str_of(loss: Any) -> str:
    """Return a name without an address in memory, which every process has its own of."""
    return str(getattr(loss, "__name__", loss)).partition(" at 0x")[0][:40]


@pytest.mark.parametrize("loss", BY_CLASS, ids=str_of)
def test_ignored_rows_and_class_weights(loss: Any) -> None:
    whole = as_loss(loss)(LOGITS, LABELS)
    assert measured(Cost(loss), LOGITS, LABELS).loss == pytest.approx(whole.item(), rel=1e-12)


def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, weight=NO_FIRST, label_smoothing=0.1)


NO_FIRST = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(NO_FIRST, label_smoothing=0.1), smoothed])
def test_a_batch_whose_classes_weigh_nothing_has_no_mean_if_it_is_smoothed(loss: Any) -> None:
    surrogate, outputs = as_loss(loss), drawn(2, 3)
    found, weight = surrogate.measured(outputs, torch.tensor([0, 1]), 2)
    assert (weight, bool(found.isfinite())) == (1.0, True)
    of_none = torch.tensor([0, 0])
    with pytest.raises(
        TaskError, match=r"All rows of a batch have classes of weight 0. Label smoothing"
    ):
        surrogate.measured(outputs, of_none, 2)
    if loss is not smoothed:
        with pytest.raises(TaskError, match="All rows of a batch have classes of weight 0"):
            surrogate.measured(outputs, Weighted(of_none, torch.ones(2)), 2)
    assert surrogate.measured(outputs, of_none - 100, 2)[1] == 0, "ignored rows have no loss"
    unsmoothed = Cost("cross_entropy", class_weights=(0, 1, 1)).surrogate
    assert unsmoothed.measured(outputs, torch.tensor([0, 0]), 2)[1] == 0, "it is left out"


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(ignore_index=0),
        nn.CrossEntropyLoss(ignore_index=0, weight=WEIGHTS.double(), label_smoothing=0.1),
        functools.partial(functional.cross_entropy, ignore_index=0),
        lambda outputs, targets: functional.cross_entropy(outputs, targets, ignore_index=0),
    ],
)
def test_ignored_positions_of_segmentations(loss: Any) -> None:
    labels = classes(ROWS, 4, 5, ignored=0)
    whole = as_loss(loss)(IMAGES, labels)
    assert measured(Cost(loss), IMAGES, labels).loss == pytest.approx(whole.item(), rel=1e-12)


def test_a_module_of_tokens() -> None:
    outputs, labels = drawn(ROWS, 6, 3), classes(ROWS, 6, ignored=0)
    whole = Tokens()(outputs, labels)
    assert measured(Cost(Tokens()), outputs, labels).loss == pytest.approx(whole.item(), rel=1e-12)


def ctc(outputs: Tensor, targets: Tensor) -> Tensor:
    logs = outputs.log_softmax(2).transpose(0, 1)
    lengths = torch.full((len(targets),), logs.shape[0]), torch.full((len(targets),), 2)
    return functional.ctc_loss(logs, targets, *lengths)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        ("mse", LOGITS, SHARES),
        (nn.MSELoss(reduction="sum"), LOGITS, SHARES),
        (nn.BCEWithLogitsLoss(weight=WEIGHTS, pos_weight=WEIGHTS), LOGITS, SHARES),
        (nn.BCEWithLogitsLoss(weight=WEIGHTS, reduction="sum"), LOGITS, SHARES),
        (nn.KLDivLoss(reduction="batchmean"), LOGITS, SHARES),
        (nn.KLDivLoss(reduction="mean"), LOGITS, SHARES),
        ("kl_div", LOGITS, SHARES),
        (nn.CrossEntropyLoss(weight=WEIGHTS.double()), LOGITS, SHARES),
        (nn.MultiMarginLoss(weight=WEIGHTS.double()), LOGITS, LABELS.clamp(min=0)),
        (nn.MultiLabelSoftMarginLoss(weight=WEIGHTS), LOGITS, SHARES.round()),
        (nn.HingeEmbeddingLoss(), LOGITS, SHARES.round() * 2 - 1),
        (nn.PoissonNLLLoss(), LOGITS, SHARES),
        (lambda o, t: functional.mse_loss(o, t, weight=t), LOGITS, SHARES),
        (lambda o, t: functional.l1_loss(o, t, weight=t**3), LOGITS, SHARES),
        (lambda o, t: functional.huber_loss(o, t, weight=t**3), LOGITS, SHARES),
        (lambda o, t: functional.gaussian_nll_loss(o, t, t.exp()), LOGITS, SHARES),
        (lambda o, t: functional.mse_loss(o, t, reduction="sum") / len(t), LOGITS, SHARES),
        (lambda o, t: (o - t).abs().sum(1).mean(), LOGITS, SHARES),
        (ctc, drawn(ROWS, 6, 4), torch.tensor([1, 2]).expand(ROWS, 2)),
    ],
)
def test_other_means(loss: Any, outputs: Tensor, targets: Tensor) -> None:
    whole = as_loss(loss)(outputs, targets)
    assert measured(Cost(loss), outputs, targets).loss == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize(
    "loss", ["mse", "l1", "huber", nn.MSELoss(), lambda o, t: functional.mse_loss(o, t)]
)
def test_sequences_of_unequal_lengths_are_a_mean_over_elements(loss: Any) -> None:
    cost = Cost(loss, metrics=["mse", "mae"])
    meter = cost.meter()
    batches = [(drawn(4, n), drawn(4, n, seed=3)) for n in (2, 9, 5)]
    for o, t in batches:
        value, weight = cost.surrogate.measured(o, t, len(t))
        meter.add(float(value), o, t, len(t), weight)
    o, t = (torch.cat([pair[k].flatten() for pair in batches]) for k in (0, 1))
    scores = meter.scores()
    assert scores.loss == pytest.approx(cost.surrogate(o, t).item(), rel=1e-12)
    assert scores["mse"] == pytest.approx((o - t).square().mean().item(), rel=1e-12)
    assert scores["mae"] == pytest.approx((o - t).abs().mean().item(), rel=1e-12)


def masked(outputs: Tensor, targets: Tensor) -> Tensor:
    kept = targets >= 0
    return ((outputs - targets).square() * kept).sum() / kept.sum()


def test_of_a_mean_of_ones_own_the_user_says_over_what_it_goes() -> None:
    outputs, targets = drawn(ROWS, 2), drawn(ROWS, 2, seed=4)
    targets[:7] = -1
    whole = masked(outputs, targets).item()
    cost = Cost(masked, batch_weight=lambda o, t: (t >= 0).sum())
    assert measured(cost, outputs, targets).loss == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(TaskError, match=r"batch_weight returned .*finite number ≥ 0"):
        measured(Cost("mse", batch_weight=lambda o, t: weight), LOGITS, SHARES)
    with pytest.raises(TaskError, match=r"batch_weight must be a function"):
        Cost("mse", batch_weight=3)  # type: ignore[arg-type]


def test_a_set_of_ignored_rows_alone_has_no_loss() -> None:
    labels = torch.full((ROWS,), -100)
    scores = measured(Cost("cross_entropy", metrics="accuracy"), LOGITS, labels)
    assert torch.tensor([scores.loss, scores["accuracy"]]).isnan().all()
    with pytest.raises(DataError, match="All targets of the test set are -100"):
        as_loss("cross_entropy").check(LOGITS, labels, "test")


def test_arguments_of_pytorchs_past() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = functools.partial(functional.mse_loss, size_average=False)
        whole = loss(LOGITS, SHARES).item()
        assert measured(Cost(loss), LOGITS, SHARES).loss == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(reduction="none"),
        nn.MSELoss(reduction="none"),
        functools.partial(functional.mse_loss, reduction="none"),
    ],
)
def test_a_loss_of_each_row_is_none(loss: Any) -> None:
    with pytest.raises(TaskError, match=r"reduction='none'.*one for each row"):
        Cost(loss)


def test_the_number_to_ignore_is_no_label_out_of_range() -> None:
    labels = torch.tensor([0, 2, 255])
    as_loss(nn.CrossEntropyLoss(ignore_index=255)).check(LOGITS[:3], labels)
    with pytest.raises(DataError, match="found 255"):
        as_loss("cross_entropy").check(LOGITS[:3], labels)
    with pytest.raises(DataError, match="found -100"):
        as_loss(nn.CrossEntropyLoss(ignore_index=255)).check(LOGITS[:3], labels - 255 + 155)


class Watching(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


WITH_ALL_SETTINGS: list[Callable[[], Tensor]] = [
    lambda: functional.l1_loss(LOGITS, SHARES, weight=SHARES),
    lambda: functional.mse_loss(LOGITS, SHARES, weight=SHARES),
    lambda: functional.huber_loss(LOGITS, SHARES, delta=0.3, weight=SHARES),
    lambda: functional.smooth_l1_loss(LOGITS, SHARES, beta=0.3),
    lambda: functional.cross_entropy(LOGITS, LABELS, weight=WEIGHTS.double(), label_smoothing=0.1),
    lambda: functional.binary_cross_entropy_with_logits(
        LOGITS, SHARES, weight=WEIGHTS, pos_weight=WEIGHTS
    ),
    lambda: functional.kl_div(LOGITS, SHARES, log_target=True, reduction="sum"),
]


@pytest.mark.parametrize("loss", WITH_ALL_SETTINGS)
def test_what_is_listened_to_stays_what_it_is(loss: Callable[[], Tensor]) -> None:
    value, _ = as_loss(lambda o, t: loss()).measured(LOGITS, SHARES, ROWS)
    assert value.item() == pytest.approx(loss().item(), rel=1e-14)


@pytest.mark.parametrize(
    ("loss", "targets", "certain"),
    [
        ("mse", SHARES, True),
        ("cross_entropy", LABELS.clamp(min=0), True),
        ("cross_entropy", LABELS, False),
        (nn.CrossEntropyLoss(ignore_index=2), LABELS.clamp(min=0), False),
        (nn.CrossEntropyLoss(weight=WEIGHTS), LABELS.clamp(min=0), False),
        (nn.MSELoss(reduction="sum"), SHARES, False),
        (nn.BCEWithLogitsLoss(pos_weight=WEIGHTS), SHARES, True),
        (lambda o, t: o.mean(), SHARES, False),
    ],
)
def test_where_rows_are_the_weight_nothing_is_measured(
    loss: Any, targets: Tensor, certain: bool
) -> None:
    assert as_loss(loss).weighs_by_rows(targets) is certain


@pytest.mark.parametrize("fullgraph", [False, True])
def test_a_compiled_loss(fullgraph: bool) -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return 2 * functional.cross_entropy(outputs, targets, weight=WEIGHTS.double())

    compiled = torch.compile(own, backend="eager", fullgraph=fullgraph, dynamic=True)
    whole = own(LOGITS, LABELS).item()
    for loss in (compiled, lambda o, t: compiled(o, t)):
        assert measured(Cost(loss), LOGITS, LABELS).loss == pytest.approx(whole, rel=1e-12)
