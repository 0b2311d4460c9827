"""What KFAC keeps: runs that are resumed, copies, and hooks on a model."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RESUMED, close, same
from tests.optim.kronecker.problem import batch, conv_net, net, point, sent_back, train
from thalweg import optim
from thalweg.errors import EngineError


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
@pytest.mark.parametrize("factored", [True, False])
@pytest.mark.parametrize("steps", [3, 5])
def test_a_resumed_run_goes_on_to_the_bit(steps: int, factored: bool, fisher: str) -> None:
    """Also between two refreshes, from inverses that were kept."""
    given: dict[str, Any] = {"fisher": fisher, "factored": factored, "refresh": 4, "lr": 0.1}
    model = conv_net()
    optimizer = optim.KFAC(model, **given)
    train(model, optimizer, range(steps))
    saved = pickle.loads(pickle.dumps((model.state_dict(), optimizer.state_dict())))
    # a checkpoint keeps no strides
    for state in saved[1]["state"].values():
        state |= {k: v.contiguous() for k, v in state.items() if isinstance(v, Tensor)}
    whole = train(model, optimizer, range(steps, steps + 6))
    again = conv_net()
    resumed = optim.KFAC(again, **given)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    same(train(again, resumed, range(steps, steps + 6)), whole, because=RESUMED)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_goes_on_by_itself(way: str) -> None:
    model = net()
    optimizer = optim.KFAC(model, refresh=2)
    train(model, optimizer, range(3))
    copied: tuple[nn.Module, Any] = (
        copy.deepcopy((model, optimizer))
        if way == "deepcopy"
        else pickle.loads(pickle.dumps((model, optimizer)))
    )
    assert copied[1].model is copied[0]
    whole = train(model, optimizer, range(3, 8))
    same(train(*copied, range(3, 8)), whole, because=RESUMED)


def test_a_copy_of_the_model_alone_is_watched_by_nobody() -> None:
    model = net()
    optimizer = optim.KFAC(model, fisher="empirical")
    twin = copy.deepcopy(model)
    x, y = batch(0)
    sent_back(functional.cross_entropy(model(x), y))
    sent_back(functional.cross_entropy(twin(2 * x), y))
    optimizer.step()
    alone = net()
    train(alone, optim.KFAC(alone, fisher="empirical"), range(1))
    close(point(model), point(alone), ulps=1e6, because="1/n is read off the loss, or computed")


def test_the_hooks_go_with_the_optimizer() -> None:
    model = net()
    optimizer = optim.KFAC(model)
    assert any(module._forward_hooks for module in model.modules())
    del optimizer
    gc.collect()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    optimizer = optim.KFAC(model)
    optimizer.detach()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(EngineError, match="detach"):
        train(model, optimizer, range(1))
