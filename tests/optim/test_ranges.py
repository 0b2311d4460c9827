"""Values that no hyperparameter can have, for every number of every optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from tests.exact import same
from thalweg import Optimizer, chain, optim, rules
from thalweg.optim.cards.known import OPTIMIZERS
from thalweg.optim.twin import TorchTwin

# Papers and PyTorch alike: a factor of an average that stays below 1.
BELOW_1 = {"betas", "beta1", "beta2", "rho", "shampoo_beta"}
FROM_0_TO_1 = {"beta", "theta", "phi"}
FROM_1 = {"growth_rate", "every"}
FROM_3 = {"block_size"}
ABOVE_0 = {"d0", "d_coef", "exponent"}
ANY_SIGN = {"seed", "shampoo_beta"}  # below 0 it is another one
MAY_BE_INFINITE = {"growth_rate", "every", "max_dim", "block_size", "t0", "step_sizes"}


def numbers() -> Iterator[tuple[str, str, int | None]]:
    """Yield every number that an optimizer takes: its name, and which one where it is in a tuple."""
    for name, kind in OPTIMIZERS.items():
        for argument, parameter in inspect.signature(kind).parameters.items():
            default = parameter.default
            if isinstance(default, tuple) and default:
                yield from ((name, argument, k) for k in range(len(default)))
            elif isinstance(default, (int, float)) and not isinstance(default, bool):
                yield name, argument, None


TABLE = [pytest.param(*row, id=f"{row[0]}-{row[1]}-{row[2]}") for row in numbers()]


def is_of_torch(name: str, argument: str) -> bool:
    kind = OPTIMIZERS[name]
    return issubclass(kind, TorchTwin) and argument not in kind.extra


NAMED = [row for row in TABLE if not is_of_torch(row.values[0], row.values[1])]
TWINS = [row for row in TABLE if is_of_torch(row.values[0], row.values[1])]


def takes(home: Any, name: str, argument: str, k: int | None, value: float) -> bool:
    kind = getattr(home, name)
    default = inspect.signature(kind).parameters[argument].default
    if k is not None:
        given: Any = tuple(value if j == k else x for j, x in enumerate(default))
    else:
        given = value
    try:
        kind([Parameter(torch.ones(1, 1))], **{argument: given})
    except ValueError as error:
        message = str(error)
    else:
        return True
    assert "nvalid" in message or "should be" in message or "must be less" in message
    return False


@pytest.mark.parametrize(("name", "argument", "k"), TABLE)
def test_what_is_no_number_is_refused(name: str, argument: str, k: int | None) -> None:
    for value in (math.nan, -math.inf):
        assert not takes(optim, name, argument, k, value)
    if argument not in MAY_BE_INFINITE:
        assert not takes(optim, name, argument, k, math.inf)


@pytest.mark.parametrize(("name", "argument", "k"), NAMED)
def test_ranges_of_the_papers(name: str, argument: str, k: int | None) -> None:
    assert takes(optim, name, argument, k, -1.0) == (argument in ANY_SIGN)
    assert takes(optim, name, argument, k, 0.0) == (argument not in ABOVE_0 | FROM_1 | FROM_3)
    assert takes(optim, name, argument, k, 1.0) == (argument not in BELOW_1 | FROM_3)
    assert takes(optim, name, argument, k, 2.0) == (argument not in BELOW_1 | FROM_0_TO_1 | FROM_3)


@pytest.mark.parametrize(("name", "argument", "k"), TWINS)
def test_finite_numbers_are_refused_where_pytorch_does(
    name: str, argument: str, k: int | None
) -> None:
    for value in (-1.0, -0.001, 0.0, 0.5, 1.0, 1.5):
        theirs = takes(torch.optim, name, argument, k, value)
        assert takes(optim, name, argument, k, value) == theirs


@pytest.mark.parametrize("value", [-0.001, math.nan, math.inf])
def test_groups_and_chains_too(value: float) -> None:
    p, q = Parameter(torch.ones(1)), Parameter(torch.ones(1))
    with pytest.raises(
        ValueError, match=r"Invalid momentum: .*; it must be at least 0, and finite"
    ):
        optim.LARS([p], momentum=value)
    with pytest.raises(ValueError, match=r"Invalid momentum"):
        optim.LARS([{"params": [p], "momentum": value}])
    with pytest.raises(ValueError, match=r"Invalid momentum"):
        Optimizer([p], rules.heavy_ball(value))
    with pytest.raises(ValueError, match=r"Invalid learning rate"):
        Optimizer([p], chain(rules.adam), lr=value)
    with pytest.raises(ValueError, match=r"Invalid learning rate"):
        optim.SGD([p], lr=0.1).add_param_group({"params": [q], "lr": value})
    with pytest.raises(ValueError, match=r"Invalid lookahead\.alpha"):
        optim.SGD([p], lr=0.1, after=rules.lookahead(alpha=value))


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("lr", "0.1", r"lr='0\.1'"),
        ("lr", b"0.1", r"lr=b'0\.1'"),
        ("weight_decay", "0.1", r"weight_decay='0\.1'"),
        ("betas", (0.9, "0.99"), r"beta2='0\.99'"),
        ("betas", (0.9,), r"too few numbers to read beta2"),
    ],
)
def test_a_text_set_between_steps_is_no_number(
    engine: str, name: str, value: Any, said: str
) -> None:
    p, q = Parameter(torch.ones(2)), Parameter(torch.ones(2))
    adam = optim.AdamW([{"params": [p]}, {"params": [q]}], lr=0.1, engine=engine)
    for step in (1, 2):
        p.grad, q.grad = torch.ones(2), torch.ones(2)
        adam.step()
        before = p.detach().clone()
        kept = adam.param_groups[1][name]
        adam.param_groups[1][name] = value
        with pytest.raises(TypeError, match=rf"[Pp]aram group 1 has {said}"):
            adam.step()
        same(p.detach(), before, because="a step that is refused moves nothing")
        assert adam.state[p]["step"] == step
        adam.param_groups[1][name] = kept


def test_a_text_in_a_group_of_kfac_is_no_number() -> None:
    model = torch.nn.Linear(2, 1)
    kfac = optim.KFAC(model)
    model(torch.ones(3, 2)).sum().backward()
    kfac.param_groups[0]["lr"] = "0.1"
    with pytest.raises(TypeError, match=r"param group 0 has lr='0\.1', which is not a number"):
        kfac.step()


def test_a_seed_is_a_whole_number() -> None:
    with pytest.raises(ValueError, match=r"Invalid seed: 0.5; it must be an integer"):
        optim.SGLD([Parameter(torch.ones(1))], seed=0.5)
