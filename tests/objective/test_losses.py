from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from thalweg.errors import DataError, TaskError
from thalweg.objective import as_loss, half_mse, loss_names


@pytest.mark.parametrize("name", loss_names())
def test_every_name_gives_a_finite_scalar_that_torch_agrees_with(name: str) -> None:
    torch.manual_seed(0)
    loss = as_loss(name)
    if loss.kind == "classes":
        outputs, targets = torch.randn(6, 3).log_softmax(1), torch.tensor([0, 1, 2, 2, 1, 0])
    else:
        outputs, targets = torch.rand(6, 2), torch.rand(6, 2)
    value = loss(outputs, targets)
    loss.check(outputs, targets)
    assert value.shape == ()
    assert torch.isfinite(value)
    if name not in ("half_mse", "kl_div"):
        assert value == getattr(functional, loss.name)(outputs, targets)


def test_half_mse_is_half() -> None:
    x, y = torch.randn(5, 2), torch.randn(5, 2)
    assert half_mse(x, y) == 0.5 * functional.mse_loss(x, y)


@pytest.mark.parametrize(
    ("given", "name", "kind"),
    [
        ("mse", "mse_loss", "elementwise"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "cross_entropy", "classes"),
        (
            functools.partial(functional.cross_entropy, label_smoothing=0.1),
            "cross_entropy",
            "classes",
        ),
        (functional.mse_loss, "mse_loss", "elementwise"),
        (half_mse, "half_mse", "elementwise"),
        (lambda outputs, targets: outputs.sum(), "<lambda>", "free"),
    ],
)
def test_what_counts_as_a_loss(given: object, name: str, kind: str) -> None:
    loss = as_loss(given)  # type: ignore[arg-type]
    assert (loss.name, loss.kind) == (name, kind)


def test_modules_and_partials_keep_their_settings() -> None:
    outputs, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = functional.cross_entropy(outputs, targets, label_smoothing=0.1)
    assert as_loss(nn.CrossEntropyLoss(label_smoothing=0.1))(outputs, targets) == expected
    assert expected != functional.cross_entropy(outputs, targets)


def test_what_is_no_loss() -> None:
    with pytest.raises(TaskError, match="a name such as 'cross_entropy'"):
        as_loss(3)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="Did you mean 'mse'"):
        as_loss("msee")


@pytest.mark.parametrize("name", ["mse", "bce_with_logits", "huber"])
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    loss = as_loss(name)
    with pytest.raises(TaskError, match=r"reshape\(-1, 1\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(TaskError, match=r"reshape\(-1\)"):
        loss.check(torch.zeros(4), torch.zeros(4, 1))


def test_labels_out_of_range() -> None:
    loss = as_loss("cross_entropy")
    with pytest.raises(DataError, match=r"found 3, but the model has 3 outputs.*0 to 2"):
        loss.check(torch.zeros(1, 3), torch.tensor([0, 3]))
    with pytest.raises(DataError, match="found -1"):
        loss.check(torch.zeros(1, 3), torch.tensor([0, -1]))
    loss.check(torch.zeros(1, 3), torch.tensor([0, -100]))  # torch's own mark for "ignore"


def test_class_targets_of_the_wrong_kind() -> None:
    loss = as_loss("cross_entropy")
    with pytest.raises(TaskError, match="astype"):
        loss.check(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))
    with pytest.raises(TaskError, match=r"reshape\(-1\)"):
        loss.check(torch.zeros(2, 3), torch.tensor([[0], [1]]))
    with pytest.raises(TaskError, match="one output for each class"):
        loss.check(torch.zeros(2), torch.tensor([0, 1]))
    loss.check(torch.zeros(2, 3), torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]))


def test_probabilities_out_of_range() -> None:
    with pytest.raises(DataError, match="between 0 and 1; these reach from -1 to 2"):
        as_loss("bce_with_logits").check(torch.zeros(2), torch.tensor([-1.0, 2.0]))


def test_targets_get_the_dtype_the_loss_wants() -> None:
    outputs = torch.zeros(2, dtype=torch.float64)
    assert as_loss("mse").match(outputs, torch.tensor([1, 2])).dtype == torch.float64
    labels = as_loss("cross_entropy").match(torch.zeros(2, 3), torch.tensor([1, 2]).byte())
    assert labels.dtype == torch.int64
    free = as_loss(lambda o, t: o.sum()).match(outputs, torch.tensor([1, 2]).byte())
    assert free.dtype == torch.uint8


@pytest.mark.parametrize("name", loss_names())
def test_losses_do_not_fall_below_their_bound(name: str) -> None:
    loss = as_loss(name)
    generator = torch.Generator().manual_seed(0)
    lowest = 0.0
    for _ in range(20):
        outputs = torch.randn(6, 3, generator=generator)
        targets = torch.rand(6, 3, generator=generator)
        if loss.kind == "classes":
            targets = torch.randint(3, (6,), generator=generator)
        if loss.name == "binary_cross_entropy":
            outputs = outputs.sigmoid()
        if loss.name == "poisson_nll_loss":
            targets = 10 * targets
        lowest = min(lowest, float(loss(outputs, targets)))
    assert lowest >= loss.low
    assert (lowest < 0) == (loss.low < 0), "the bound says as much as can be said"


def test_labels_out_of_range_in_the_midst_of_a_run() -> None:
    loss = as_loss("cross_entropy")
    with pytest.raises(
        DataError, match="found 7, but the model has 3 outputs, so labels must be 0"
    ):
        loss(torch.zeros(4, 3), torch.tensor([0, 1, 7, 2]))
    with pytest.raises(DataError, match=r"0 to 2 \(first in row 2 of the validation set\)"):
        loss.check(torch.zeros(1, 3), torch.tensor([0, 1, 7, 9]), "validation")


def test_errors_that_no_check_explains_stay_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        as_loss(lambda o, t: 1 / 0)(torch.zeros(1), torch.zeros(1))
    with pytest.raises(RuntimeError, match=r"size mismatch|must match"):
        as_loss(lambda o, t: o @ t)(torch.zeros(4, 3), torch.zeros(4))


def test_outputs_that_are_no_tensor() -> None:
    with pytest.raises(
        TaskError, match="mse_loss wants one tensor of outputs; the model gives tuple"
    ):
        as_loss("mse").check((torch.zeros(1),), torch.zeros(1))
