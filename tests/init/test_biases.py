"""Biases, norms, parameters of a variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg import Cost, Task, TaskError, init

COUNTS = [70, 20, 10]
ENTROPY = -sum(c / 100 * math.log(c / 100) for c in COUNTS)


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))


def targets() -> Tensor:
    return torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))


def test_the_output_bias_gives_the_shares_and_with_zero_weights_the_entropy() -> None:
    model, x = classifier(), torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    init.apply(model, init.he(gain=2.0) | init.output_bias(COUNTS))
    shares = model[2].bias.detach().softmax(0)
    torch.testing.assert_close(shares, torch.tensor(COUNTS) / 100)
    loss = functional.cross_entropy(model(x), targets())
    assert abs(float(loss.detach()) - ENTROPY) > 0.1, "the weights still speak"
    init.apply(model, init.output_bias(COUNTS, zero_weights=True))
    loss = functional.cross_entropy(model(x), targets())
    assert float(loss.detach()) == pytest.approx(ENTROPY, abs=1e-6)


def test_the_targets_give_it_by_the_loss() -> None:
    model = classifier()
    init.apply(model, init.output_bias(), y=targets(), loss="cross_entropy")
    torch.testing.assert_close(model[2].bias.detach().softmax(0), torch.tensor(COUNTS) / 100)
    yes = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    init.apply(model, init.output_bias(), y=yes, loss="bce_with_logits")
    expected = torch.tensor([0.75, 0.25, 0.125])  # a column without ones counts half a row
    torch.testing.assert_close(model[2].bias.detach().sigmoid(), expected)
    init.apply(model, init.output_bias(), y=yes, loss="mse")
    torch.testing.assert_close(model[2].bias.detach(), torch.tensor([0.75, 0.25, 0.0]))


def test_numbers_give_it_too() -> None:
    model = classifier()
    init.apply(model, init.output_bias(positive=[0.1, 0.5, 0.9]))
    torch.testing.assert_close(model[2].bias.detach().sigmoid(), torch.tensor([0.1, 0.5, 0.9]))
    init.apply(model, init.output_bias(mean=3.0))
    assert model[2].bias.tolist() == [3.0, 3.0, 3.0]
    init.apply(model, init.output_bias([1, 0, 1]))
    shares = model[2].bias.detach().softmax(0).tolist()
    assert shares == pytest.approx([0.4, 0.2, 0.4]), "a class without rows counts half a row"


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (init.output_bias(), "needs counts, positive or mean"),
        (init.output_bias([1, 2]), "'2' has 3 units; got 2 numbers"),
        (init.output_bias([1, -2, 1]), "class 1 has -2"),
        (init.output_bias([0, 0, 0]), "not all 0"),
        (init.output_bias([math.nan, 1, 1]), "class 0 has nan"),
        (init.output_bias(positive=1.0), "a share in .0, 1."),
        (init.output_bias([1, 1, 1], mean=0.0), "one of counts, positive and mean"),
    ],
)
def test_what_is_no_share_is_refused(strategy: init.InitStrategy, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        init.apply(classifier(), strategy)


def test_a_task_gives_its_targets() -> None:
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    task = Task((x, targets()), Cost("cross_entropy"), classifier, init="he|output_bias")
    bias = task.build()[2].bias.detach()  # type: ignore[index]
    torch.testing.assert_close(bias.softmax(0), torch.tensor(COUNTS) / 100)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_the_forget_gate_has_the_total_once(kind: type[nn.Module]) -> None:
    model = kind(3, 4)
    init.apply(model, init.forget_gate(1.0))
    biases = [p.detach() for n, p in model.named_parameters() if n.startswith("bias")]
    total = sum(biases)
    assert isinstance(total, Tensor)
    assert total[4:8].tolist() == [1.0] * 4
    assert (total[:4] != 1).all()


def test_biases_before_a_relu_may_have_their_own() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    init.apply(model, init.bias(relu=0.1))
    biases = [model[k].bias.tolist() for k in (0, 2, 4)]
    assert biases == [pytest.approx([0.1, 0.1]), [0.0, 0.0], [0.0]]


def test_norms_are_reset() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    nn.init.normal_(model[1].weight)
    init.apply(model, init.norm())
    assert (model[1].weight.tolist(), model[1].bias.tolist()) == ([1.0, 1.0], [0.0, 0.0])


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(2, 3)
        self.log_var = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_var


FORMS = {"variance": 4.0, "std": 2.0, "precision": 0.25, "log_std": math.log(2)}


def test_the_variance_of_the_targets_starts_the_parameter_of_it() -> None:
    y = torch.tensor([[0.0, 1, 2], [2, 3, 8], [4, 5, 5]])
    model = Noisy()
    init.apply(model, init.variance(), y=y)
    torch.testing.assert_close(model.log_var.detach().exp(), torch.tensor([4.0, 4.0, 9.0]))
    for form, value in FORMS.items():
        init.apply(model, init.variance("log_var", form, 4.0))  # type: ignore[arg-type]
        assert model.log_var.tolist() == pytest.approx([value] * 3)
    init.apply(model, init.variance())
    assert model.log_var.tolist() == [0.0, 0.0, 0.0]


def test_a_variance_that_is_none_is_refused() -> None:
    with pytest.raises(TaskError, match="column 1 of the targets is 0"):
        init.apply(Noisy(), init.variance(), y=torch.tensor([[0.0, 1, 2], [2, 1, 8]]))
    with pytest.raises(
        TaskError, match=r"no parameter is called .log_vr.\. Did you mean .log_var."
    ):
        init.apply(Noisy(), init.variance("log_vr"))
    with pytest.raises(TaskError, match="form must be one of"):
        init.apply(Noisy(), init.variance(form="log"))  # type: ignore[arg-type]
