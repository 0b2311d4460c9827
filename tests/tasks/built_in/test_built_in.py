"""Every built-in task: its data by their hash, its model, and whether its target can be reached."""

from __future__ import annotations

import math

import pytest
import torch

from thalweg.errors import TaskError
from thalweg.tasks import Data, Target, Task, data_hash, list_tasks, load_task, task_facts
from thalweg.tasks.sources.source import ArraySource
from thalweg.train import Run, fit

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
TASKS = sorted(KNOWN)
FILES = {"mnist", "fashion_mnist"}
SLOW = {"char_transformer", "char_lstm"}
OFTEN = {
    "digits",
    "diabetes",
    "booth",
    "parity",
}  # in `make test`: a class, a number, a function, bits


def train(name: str, *, seed: int = 0, epochs: int = 30, to_target: bool = False) -> Run:
    task = load_task(name)
    stop = task.target if to_target else None
    rate = KNOWN[name][0]
    return fit(
        task, torch.optim.Adam, lr=rate, epochs=epochs, seed=seed, stop_at=stop, progress=False
    )


def test_every_task_is_here() -> None:
    assert {*KNOWN} == {*list_tasks()} - FILES
    assert list(task_facts()) == list(list_tasks())


@pytest.mark.parametrize("name", TASKS)
def test_data_are_the_same_everywhere(name: str) -> None:
    task = load_task(name)
    assert task.data_hash is not None
    assert data_hash(task.data) == task.data_hash


def test_only_what_shares_its_data_shares_its_hash() -> None:
    by_hash: dict[str | None, set[str]] = {}
    for name, facts in task_facts().items():
        by_hash.setdefault(facts.data_hash, set()).add(name)
    assert by_hash.pop(None) == FILES
    assert sorted(map(sorted, by_hash.values()), key=len)[-4:] == [
        ["rosenbrock"],
        ["char_lstm", "char_transformer"],
        ["digits", "digits_cnn", "digits_logistic"],
        ["beale", "booth", "himmelblau", "rastrigin", "ravine", "saddle"],
    ]


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
    assert data_hash(task.data) != task.data_hash


@pytest.mark.parametrize("name", TASKS)
def test_name_model_and_target(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    facts = task_facts()[name]
    assert task.target == facts.target
    assert (task.epochs, task.batch_size) == (facts.epochs, facts.batch_size)
    assert task.seconds == facts.seconds
    assert task.seconds is not None
    assert task.seconds > 0
    assert task.seconds == float(f"{task.seconds:.0e}"), "it is no more exact than one digit"
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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in OFTEN else pytest.mark.full)
        for name in sorted({*TASKS} - SLOW)
    ],
)
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


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_language_model_uses_what_comes_before(name: str) -> None:
    run = train(name, epochs=3)
    loss = run.evaluations[-1].scores.loss
    assert loss < 0.95 * unigram_entropy(run.task) < math.log(38)


@pytest.mark.parametrize(
    "name",
    ["digits_vae", *(pytest.param(n, marks=pytest.mark.full) for n in ("rosenbrock", "adding"))],
)
def test_a_run_is_a_function_of_its_seed(name: str) -> None:
    first, again, other = (train(name, seed=seed, epochs=2) for seed in (3, 3, 4))
    losses = [run.history.column("train_loss") for run in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert first.evaluations[-1].scores == again.evaluations[-1].scores


def test_options() -> None:
    task = load_task("parity", bits=7, relevant=2)
    assert task.data.train.first(1)[0].shape == (1, 7)
    assert task.name == "parity:bits=7,relevant=2"
    assert task.target == Target("accuracy", 0.99)
    assert (task.seconds, task.data_hash) == (None, None)
    usual = load_task("parity", bits=16)
    assert (usual.name, usual.data_hash) == ("parity", task_facts()["parity"].data_hash)
    with pytest.raises(TaskError, match=r"no option 'dimension'. Did you mean 'dimensions'"):
        load_task("rosenbrock", dimension=3)
    with pytest.raises(TaskError, match=r"no option 'rows'. It has none"):
        load_task("digits", rows=3)


def test_an_option_that_brings_other_data_leaves_no_target() -> None:
    flower = load_task("photo", picture="flower")
    assert (flower.name, flower.target) == ("photo:picture=flower", None)


def test_what_was_measured_goes_with_the_part_it_was_measured_on() -> None:
    task = load_task("diabetes")
    assert task.replace(description="mine").seconds == task.seconds
    assert task.replace(target=None).data_hash == task.data_hash
    other = task.replace(model=task.model)
    assert (other.seconds, other.data_hash) == (None, task.data_hash)
    rows = task.data.train.first(20)
    other = task.replace(data=Data(rows, rows))  # type: ignore[arg-type]
    assert (other.seconds, other.data_hash) == (None, None)
    assert task.replace(model=task.model, seconds=3.0).seconds == 3.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rosenbrock", {"dimensions": 1}, "dimensions must be an integer ≥ 2; got 1"),
        ("deep_quadratic", {"dimensions": 9}, "≥ 10; got 9"),
        ("beale", {"noise": -1.0}, "noise must be a standard deviation, a number ≥ 0; got -1"),
        ("ravine", {"condition": 0.0}, "condition must be a number > 0"),
        ("parity", {"bits": 3, "relevant": 4}, "Of 3 bits, relevant=4 cannot matter"),
        ("adding", {"length": 1}, "length must be an integer ≥ 2"),
        ("deep_linear", {"layers": 0}, "layers must be an integer ≥ 1"),
        ("matrix_factorisation", {"rank": 2.5}, "rank must be an integer"),
        ("photo", {"picture": "flour"}, "Did you mean 'flower'"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_task(name, **options)
