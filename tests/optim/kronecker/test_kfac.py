"""KFAC against a transcription in NumPy, its invariance, and what its settings do."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RESUMED, close, differs, same
from tests.optim.kronecker.problem import Mixed, X, Y, batch, conv_net, net, point, sent_back, train
from tests.optim.kronecker.transcription import TwoLayers
from thalweg import optim
from thalweg.optim.kronecker import gathered

SETTINGS: dict[str, dict[str, Any]] = {
    "usual": {"lr": 0.1, "kl_clip": 1e-3},
    "unbounded": {"lr": 0.05, "kl_clip": None, "weight_decay": 0.1, "averaging": 0.5},
    "seldom": {"lr": 0.1, "kl_clip": 1e-2, "momentum": 0.0, "damping": 0.1, "refresh": 4},
}


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("name", SETTINGS)
def test_it_takes_the_steps_of_the_transcription(
    name: str, fisher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"damping": 1e-3, "refresh": 3, "averaging": 0.95}
    given |= {"momentum": 0.9, "weight_decay": 0.0, **SETTINGS[name]}
    model = net()
    optimizer = optim.KFAC(model, fisher=fisher, **given)
    w = [
        torch.cat([layer.weight, layer.bias[:, None]], 1).detach().numpy().copy()
        for layer in (model[0], model[2])
    ]
    theirs = TwoLayers(w, **given)
    labels = np.random.default_rng(0).integers(0, 3, size=(12, 10))

    def drawn(loss: str, outputs: Tensor, mass: Tensor, generator: Any) -> Tensor:
        y = torch.as_tensor(labels[theirs.steps])
        return mass[:, None].sqrt() * (outputs.softmax(1) - functional.one_hot(y, 3))

    monkeypatch.setattr(gathered, "sampled_score", drawn)
    for k in range(12):
        x, y = batch(k)
        train(model, optimizer, range(k, k + 1))
        theirs.step(x.numpy(), y.numpy(), labels[k] if fisher == "sampled" else y.numpy())
        for layer, expected in zip((model[0], model[2]), theirs.w, strict=True):
            ours = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
            # inverses of factors with condition 1e4, over twelve steps
            assert float((ours - torch.as_tensor(expected)).abs().max()) < 1e-9


def test_the_empirical_factors_need_no_word_of_a_mean_over_rows() -> None:
    """What it is told of the loss and what it assumes without are the same there."""
    told, untold = net(), net()
    train(told, optim.KFAC(told, fisher="empirical"), range(5))
    optimizer = optim.KFAC(untold, fisher="empirical")
    for k in range(5):
        x, y = batch(k)
        optimizer.zero_grad()
        sent_back(functional.cross_entropy(untold(x), y))
        optimizer.step()
    close(point(untold), point(told), ulps=1e6, because="1/n is read off the loss, or computed")


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_weights_of_classes_and_ignored_targets_count_as_in_the_loss(fisher: str) -> None:
    """A row of weight 3 is three rows of the same label; one that is ignored is none."""
    loss = nn.CrossEntropyLoss(
        weight=torch.tensor([1.0, 3.0, 1.0], dtype=torch.float64), reduction="mean"
    )
    found = []
    for weighted in (True, False):
        model = net()
        optimizer = optim.KFAC(model, lr=0.1, fisher=fisher, kl_clip=None)
        # labels play no part in the sampled factors' weights, so few factors are enough
        x, y = X[:6], torch.tensor([0, 1, 2, 1, -100, 0])
        if not weighted:
            rows = [0, 1, 1, 1, 2, 3, 3, 3, 5]
            x, y = x[rows], y[rows]
        plain: Any = loss if weighted else functional.cross_entropy
        name = loss if weighted else "cross_entropy"
        outputs = model(x)
        optimizer.observe(outputs, y, name)
        sent_back(plain(outputs, y))
        optimizer.step()
        state = optimizer.state[model[0].weight]
        found.append((state["factor_a"], state["factor_b"]))
    close(found[0][0], found[1][0], ulps=1e3, because="a sum with weights and one with repetitions")
    if fisher == "empirical":
        close(found[0][1], found[1][1], ulps=1e3, because="as above")


def test_a_step_is_the_same_however_the_inputs_of_a_layer_are_written() -> None:
    """Affine changes of a layer's inputs: y = W·x + b = (W·M⁻¹)·(M·x + c) + (b − W·M⁻¹·c).

    Without damping K-FAC takes the same step in function space (Martens and Grosse 2015, theorem 1); with
    next to none, up to that.
    """
    torch.manual_seed(3)
    m, c = torch.randn(3, 3).double() + 2 * torch.eye(3).double(), torch.randn(3).double()
    given = {"damping": 1e-14, "refresh": 1, "kl_clip": None, "momentum": 0.0, "lr": 0.2}
    # two hidden units, whose gradients have a factor B that is far from singular
    start: Any = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 3)).double()
    apart: dict[str, list[Tensor]] = {"kfac": [], "sgd": []}
    for is_changed in (False, True):
        x = X @ m.mT + c if is_changed else X
        for kind, outputs in apart.items():
            model = copy.deepcopy(start)
            if is_changed:
                with torch.no_grad():
                    model[0].weight.copy_(start[0].weight @ torch.linalg.inv(m))
                    model[0].bias.sub_(model[0].weight @ c)
            optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.2)
            optimizer.observe = lambda *_: 0
            if kind == "kfac":
                optimizer = optim.KFAC(model, **given)  # type: ignore[arg-type]
            train(model, optimizer, range(3), batches=lambda _, x=x: (x, Y))  # type: ignore[misc]
            outputs.append(model(x).detach())
    # √λ, 1e-7, beside eigenvalues above 1e-3, three times
    assert float((apart["kfac"][0] - apart["kfac"][1]).abs().max()) < 1e-3
    assert float((apart["sgd"][0] - apart["sgd"][1]).abs().max()) > 1e-2


def test_factors_are_computed_in_every_refreshth_step_alone() -> None:
    model = net()
    optimizer = optim.KFAC(model, refresh=3)
    kept, due = [], []
    for k in range(7):
        due.append(optimizer.is_due)
        train(model, optimizer, range(k, k + 1))
        kept.append(optimizer.state[model[0].weight]["inverse_b"].clone())
    assert due == [True, False, False, True, False, False, True]
    for k, was_due in enumerate(due[1:], 1):
        if was_due:
            differs(kept[k], kept[k - 1])
        else:
            same(kept[k], kept[k - 1], because="it is kept")


def test_averages_are_corrected_for_their_beginning() -> None:
    """Of the same batch in each refresh the average is that batch's, from the first on."""
    model = net()
    optimizer = optim.KFAC(model, lr=0.0, refresh=1, fisher="empirical", averaging=0.9)
    from thalweg.optim.kronecker.layer_state import block_of

    first = None
    for _ in range(4):
        train(model, optimizer, range(1))
        block: Any = block_of(optimizer.state[model[0].weight], 0.9)
        first = block if first is None else first
        close(block.b, first.b, ulps=50, because="a few sums and divisions")
        assert float(block.a[-1, -1]) == pytest.approx(1.0)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_batches_before_a_step_are_taken_together(fisher: str) -> None:
    """The factors of the inputs are those of all rows; of the targets' gradients, too."""
    found = []
    for cuts in ([12], [4, 8]):
        model = net()
        optimizer = optim.KFAC(model, lr=0.1, fisher=fisher)
        x, y = batch(0, 12)
        for a, b in zip(
            torch.functional.split(x, cuts), torch.functional.split(y, cuts), strict=True
        ):
            outputs = model(a)
            optimizer.observe(outputs, b, "cross_entropy")
            sent_back(functional.cross_entropy(outputs, b))
        optimizer.step()
        state = optimizer.state[model[0].weight]
        found.append([state["factor_a"], *([state["factor_b"]] if fisher == "empirical" else [])])
    close(found[1], found[0], ulps=1e3, because="sums of the rows in other parts")


def test_groups_have_their_own_rates_and_decay() -> None:
    model, alone = net(), net()
    groups = [
        {"params": [model[0].weight, model[2].weight], "weight_decay": 0.1, "damping": 0.01},
        {"params": [model[0].bias, model[2].bias], "lr": 0.0},
    ]
    optimizer = optim.KFAC(model, lr=0.1, params=groups)
    before = point(model)
    train(model, optimizer, range(3))
    same(model[0].bias.detach(), alone[0].bias.detach(), because="its rate is 0")
    differs(point(model), before)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(ValueError, match="params=groups"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})


@pytest.mark.parametrize("kind", [torch.optim.AdamW, optim.AdamW, optim.SGD])
def test_the_rest_is_stepped_by_the_rule_that_is_given(kind: Any) -> None:
    rest = functools.partial(kind, lr=0.02)
    model = Mixed()
    optimizer = optim.KFAC(model, lr=0.1, refresh=2, rest=rest)
    twin, x = Mixed(), batch(0)
    by_itself = kind([twin.act.weight, twin.scale], lr=0.02)
    sent_back(functional.cross_entropy(twin(x[0]), x[1]))
    by_itself.step()
    train(model, optimizer, range(1))
    same(
        [model.scale.detach(), model.act.weight.detach()],
        [twin.scale.detach(), twin.act.weight.detach()],
        because="the same steps of the same optimizer",
    )
    # its rates follow, its state is saved, and it is copied
    optimizer.param_groups[0]["lr"] = 0.05
    train(model, optimizer, range(1, 3))
    assert optimizer.param_groups[-1]["lr"] == pytest.approx(0.01)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    copied = copy.deepcopy((model, optimizer))
    whole = train(model, optimizer, range(3, 7))
    same(train(*copied, range(3, 7)), whole, because=RESUMED)
    again = Mixed()
    resumed = optim.KFAC(again, lr=0.1, refresh=2, rest=rest)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    same(train(again, resumed, range(3, 7)), whole, because=RESUMED)


def test_a_schedule_is_followed_by_the_rest_and_by_copies() -> None:
    rest = functools.partial(torch.optim.SGD, lr=0.02)
    model = Mixed()
    optimizer = optim.KFAC(model, lr=lambda step: 0.1 / (step + 1), rest=rest)
    train(model, optimizer, range(2))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.01])
    copied = copy.deepcopy((model, optimizer))
    whole = train(model, optimizer, range(2, 4))
    same(train(*copied, range(2, 4)), whole, because=RESUMED)
    with pytest.raises(ValueError, match="begins at 0"):
        optim.KFAC(Mixed(), lr=lambda step: step / 10, rest=rest)


def test_the_labels_depend_on_their_seed() -> None:
    ends = []
    for seed in (0, 0, 1):
        model = net()
        ends.append(train(model, optim.KFAC(model, label_seed=seed), range(2))[-1])
    same(ends[0], ends[1], because="the same instructions on the same shapes")
    differs(ends[0], ends[2])


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_sharing_is_used(sharing: str) -> None:
    model = conv_net()
    train(model, optim.KFAC(model, sharing=sharing), range(2))
    plain = conv_net()
    train(plain, optim.KFAC(plain), range(2))
    if sharing == "reduce":
        differs(point(model), point(plain))
