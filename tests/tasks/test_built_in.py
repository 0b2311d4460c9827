"""Every built-in task: its data by their hash, its model, and whether its target can be reached."""

from __future__ import annotations

import math

import pytest
import torch

from thalweg.errors import TaskError
from thalweg.tasks import Task, list_tasks, load_task
from thalweg.tasks.sources import ArraySource
from thalweg.train import Run, fit

from .hashes import data_hash

DIGITS = "c2f758ebae66d146a8551803a615c7a1b2af9934c79f1d67398131853c884bbc"
NOISE = "39801a780dc4d373918de94e9dcf1ff5936a9839bcc2438b127c582dcc1c3bdc"
TEXT = "8d1ca0239975af053e4bc4555f51db8b1a2763bc4664335f3a2cf9fd28747367"
HASHES = {
    "digits": DIGITS,
    "digits_logistic": DIGITS,
    "digits_cnn": DIGITS,
    "digits_vae": "f11b134801a9ead98fc1bacac65efe8eae13c75500dc539442c8fa0a23ac1e7c",
    "breast_cancer": "67ed12775d6270bf85ed3f5ad97241d7687f3f305aec164c80906eeac21e43e1",
    "diabetes": "9233d80c85ae81a4264becca83a4afd1fa928701d6d1d7c046be77359c8f0dfc",
    "char_transformer": TEXT,
    "char_lstm": TEXT,
    "photo": "de82f5633dfda59a9900d3aa1116c9446b2aaabfb7428f2e016b00cf7aa4f2be",
    "adding": "0529ae8e9ee0f7e4bb87f4c271fc9b76c0a203a0982ad48f547561d269d2713d",
    "parity": "b9134ce5f1ead2b8e7ef7da096a366c02081f00366017b421a60854689cbd7f9",
    "deep_linear": "6c89e7f6f161fd1b3b88ec303b017bd8be8e24a707f181399bbe495587878c04",
    "matrix_factorisation": "fda7e26beb82f199014f6f4e97cde1451f2eec2622b34edb177c2290a946f0c3",
    "deep_quadratic": "65614465c9a7cd52d5c2f23e5ef2ed5d818e7c168379a70781d2c77016d2f5ec",
    "rosenbrock": "461c7e1d916a1cad1e01f440df7e8615c94251547b6f55ae14dc317c601b8473",
    "beale": NOISE,
    "booth": NOISE,
    "himmelblau": NOISE,
    "rastrigin": NOISE,
    "saddle": NOISE,
    "ravine": NOISE,
}
TASKS = sorted(HASHES)

# Learning rates of Adam at which the target is reached, and the parameters of the model.
KNOWN = {
    "digits": (0.03, 2410),
    "digits_logistic": (0.1, 650),
    "digits_cnn": (0.01, 3818),
    "digits_vae": (0.01, 9936),
    "breast_cancer": (0.03, 62),
    "diabetes": (0.03, 11),
    "char_transformer": (0.003, 28966),
    "char_lstm": (0.03, 28774),
    "photo": (0.01, 5443),
    "adding": (0.03, 4641),
    "parity": (0.1, 1218),
    "deep_linear": (0.03, 1280),
    "matrix_factorisation": (0.03, 640),
    "deep_quadratic": (0.1, 100),
    "rosenbrock": (0.3, 10),
    "beale": (0.1, 2),
    "booth": (0.3, 2),
    "himmelblau": (0.1, 2),
    "rastrigin": (0.1, 2),
    "saddle": (0.03, 2),
    "ravine": (0.3, 2),
}
SLOW = {"char_transformer", "char_lstm"}


def train(name: str, *, seed: int = 0, epochs: int = 30, to_target: bool = False) -> Run:
    task = load_task(name)
    stop = task.target if to_target else None
    rate = KNOWN[name][0]
    return fit(
        task, torch.optim.Adam, lr=rate, epochs=epochs, seed=seed, stop_at=stop, progress=False
    )


def test_every_task_is_here() -> None:
    assert {*HASHES} == {*KNOWN} == {*list_tasks()} - {"mnist"}


@pytest.mark.parametrize("name", TASKS)
def test_data_are_the_same_everywhere(name: str) -> None:
    assert data_hash(load_task(name).data) == HASHES[name]


@pytest.mark.parametrize("name", TASKS)
def test_data_lie_in_memory_as_plain_bytes(name: str) -> None:
    """Races hash them as such."""
    data = load_task(name).data
    for source in (data.train, data.validation):
        assert isinstance(source, ArraySource)
        for tensor in (source.inputs, source.targets):
            assert tensor.contiguous().reshape(-1).view(torch.uint8).numel()


def test_the_hash_sees_a_change_of_one_number() -> None:
    task = load_task("photo")
    source = task.data.train
    assert isinstance(source, ArraySource)
    source.targets[1000, 2] += 2e-4
    assert data_hash(task.data) != HASHES["photo"]


@pytest.mark.parametrize("name", TASKS)
def test_name_model_and_target(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.target is not None
    assert task.description
    assert sum(p.numel() for p in task.build().parameters()) == KNOWN[name][1]


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_has_a_gradient(name: str) -> None:
    task = load_task(name)
    torch.manual_seed(0)
    model = task.build()
    inputs, targets = task.data.train.first(64)
    first = next(model.parameters())
    inputs = inputs.to(first.dtype) if inputs.is_floating_point() else inputs
    loss = task.cost.objective(model, inputs, task.cost.surrogate.match(model(inputs), targets))
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.any()


@pytest.mark.parametrize("name", sorted({*TASKS} - SLOW))
def test_adam_reaches_the_target(name: str) -> None:
    task = load_task(name)
    before = train(name, epochs=1)
    assert before.reached is None, "the target would say nothing"
    run = train(name, to_target=True)
    assert run.reached is not None
    assert task.target is not None
    assert task.target.is_reached(run.evaluations[-1].scores, task.cost)


def unigram_entropy(task: Task) -> float:
    """Return the loss of the best model that does not look at what comes before."""
    source = task.data.validation
    assert isinstance(source, ArraySource)
    shares = torch.bincount(source.targets.flatten()).double() / source.targets.numel()
    return float(-torch.xlogy(shares, shares).sum())


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_language_model_uses_what_comes_before(name: str) -> None:
    run = train(name, epochs=3)
    loss = run.evaluations[-1].scores.loss
    assert loss < 0.95 * unigram_entropy(run.task) < math.log(38)


@pytest.mark.parametrize("name", ["digits_vae", "rosenbrock", "adding"])
def test_a_run_is_a_function_of_its_seed(name: str) -> None:
    first, again, other = (train(name, seed=seed, epochs=2) for seed in (3, 3, 4))
    losses = [run.history.column("train_loss") for run in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert first.evaluations[-1].scores == again.evaluations[-1].scores


def test_options() -> None:
    assert load_task("parity", bits=7, relevant=2).data.train.first(1)[0].shape == (1, 7)
    with pytest.raises(TaskError, match=r"no option 'dimension'. Did you mean 'dimensions'"):
        load_task("rosenbrock", dimension=3)
    with pytest.raises(TaskError, match=r"no option 'rows'. It has none"):
        load_task("digits", rows=3)
    with pytest.raises(TaskError, match="are for built-in tasks"):
        load_task("mine.py", rows=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rosenbrock", {"dimensions": 1}, "dimensions is a whole number ≥ 2; got 1"),
        ("deep_quadratic", {"dimensions": 9}, "≥ 10; got 9"),
        ("beale", {"noise": -1.0}, "noise is a standard deviation, a number ≥ 0; got -1"),
        ("ravine", {"condition": 0.0}, "condition is a number > 0"),
        ("parity", {"bits": 3, "relevant": 4}, "Of 3 bits, relevant=4 cannot matter"),
        ("adding", {"length": 1}, "length is a whole number ≥ 2"),
        ("deep_linear", {"layers": 0}, "layers is a whole number ≥ 1"),
        ("matrix_factorisation", {"rank": 2.5}, "rank is a whole number"),
        ("photo", {"picture": "flour"}, "Did you mean 'flower'"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(name, **options)
