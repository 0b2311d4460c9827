"""Odd but valid batches: each trains, or is refused before the first step with the reason."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)

from tests.exact import same
from thalweg.errors import DataError, TaskError, ThalwegError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task, Unpacked
from thalweg.train import Run, fit

ROWS = 20
COUNTS = "both are integers"
X = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(1))
C = torch.arange(ROWS) % 3
PAIRS: Any = list(zip(X, Y, strict=True))
SET = TensorDataset(X, Y)
Named = namedtuple("Named", "x y")


@dataclasses.dataclass
class Output:
    logits: Tensor


class Sum(nn.Module):
    """A model of two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.layer(a + b)  # type: ignore[no-any-return]


class Giving(nn.Module):
    """A model whose outputs are wrapped."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.layer, self.wrap = nn.Linear(3, 3), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.layer(x))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return iter(PAIRS[first::step])


def linear() -> nn.Module:
    return nn.Linear(3, 1)


def classes() -> nn.Module:
    return nn.Linear(3, 3)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def images() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


def loader(rows: Any, **settings: Any) -> DataLoader[Any]:
    return DataLoader(rows, settings.pop("batch_size", 8), **settings)


def empty_at(place: int, count: int) -> DataLoader[Any]:
    """A loader one of whose batches has no rows."""

    def collate(rows: Any) -> Any:
        return (X[:0], Y[:0]) if rows[0] == place else (X[:5], Y[:5])

    return DataLoader(range(count), 1, collate_fn=collate)  # type: ignore[arg-type]


def trained(data: Any, model: Any, cost: Any = "mse", batch_size: int | None = 8) -> Run:
    settings: Any = {"lr": 0.01, "epochs": 2, "batch_size": batch_size, "progress": False}
    return fit(Task(data, cost, model), "sgd", **settings)


def logits(outputs: Output, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.logits, targets)


WORKS: dict[str, tuple[Any, ...]] = {
    "a tuple of inputs": (loader([((x, x), y) for x, y in PAIRS]), lambda: Unpacked(Sum())),
    "a list of inputs": (loader([([x, x], y) for x, y in PAIRS]), lambda: Unpacked(Sum())),
    "a mapping of inputs": (
        loader([(OrderedDict(a=x, b=x), y) for x, y in PAIRS]),
        lambda: Unpacked(Sum()),
    ),
    "a mapping with its targets": (
        loader([{"a": x, "b": x, "labels": y} for x, y in PAIRS]),
        lambda: Unpacked(Sum()),
    ),
    "a mapping of another kind": (
        DataLoader(PAIRS, 8, collate_fn=lambda rows: UserDict(a=X, b=X, y=Y)),  # type: ignore[arg-type]
        lambda: Unpacked(Sum()),
    ),
    "arrays of NumPy from the user's collate_fn": (
        DataLoader(
            SET, 8, collate_fn=lambda rows: (X[: len(rows)].numpy(), Y[: len(rows)].numpy())
        ),
        linear,
    ),
    "arrays of NumPy in a mapping": (
        DataLoader(
            SET,
            8,
            collate_fn=lambda rows: {"a": X.numpy(), "b": X.numpy(), "y": Y.numpy()},  # type: ignore[arg-type]
        ),
        lambda: Unpacked(Sum()),
    ),
    "named tuples": (loader([Named(x, y) for x, y in PAIRS]), linear),
    "triples": (loader([(x, y, 1.0) for x, y in PAIRS]), linear),
    "triples with whole weights": (loader([(x, y, 2) for x, y in PAIRS]), linear),
    "a weighted sampler": (loader(SET, sampler=WeightedRandomSampler([1.0] * 20, 20)), linear),
    "a sampler of some rows": (loader(SET, sampler=SubsetRandomSampler(range(9))), linear),
    "a batch sampler": (
        DataLoader(SET, batch_sampler=BatchSampler(RandomSampler(SET), 6, False)),
        linear,
    ),
    "a batch sampler as sampler": (
        DataLoader(SET, None, sampler=BatchSampler(RandomSampler(SET), 6, False)),
        linear,
    ),
    "a stream": (Stream(), linear),
    "a stream from workers": (loader(Stream(), num_workers=2), linear),
    "streams in a chain": (ChainDataset([Stream(), Stream()]), linear),
    "sets in a row": (ConcatDataset([SET, SET]), linear),
    "a part of a set": (random_split(SET, [15, 5])[0], linear),
    "an empty first batch": (empty_at(0, 3), linear),
    "an empty last batch": (empty_at(2, 3), linear),
    "float16 inputs": ((X.half(), Y), linear),
    "a float16 model": ((X, Y), lambda: linear().half()),
    "a bfloat16 model": ((X, Y), lambda: linear().bfloat16()),
    "float64 rows": (loader([(x.double(), y.double()) for x, y in PAIRS]), linear),
    "NumPy's rows": (loader([(x.numpy(), y.numpy()) for x, y in PAIRS]), linear),
    "integers as real targets": ((X, C[:, None]), linear),
    "bools as classes": ((X, C > 0), classes, "cross_entropy"),
    "bools as labels": ((X, (C > 0)[:, None]), linear, "bce_with_logits"),
    "bytes as classes": (loader(list(zip(X, C.byte(), strict=True))), classes, "cross_entropy"),
    "inputs with gradients": ((X.clone().requires_grad_(), Y), linear),
    "columns of a transposed array": ((X.T.contiguous().T, Y), linear),
    "a model in evaluation mode": ((X, Y), lambda: linear().eval()),
    "a model that waits for its inputs": ((X, Y), lambda: nn.LazyLinear(1)),
    "a single row": ((X[:1], Y[:1]), linear),
    "numbers of Python as targets": (
        loader([(x, float(y)) for x, y in PAIRS]),
        lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)),
    ),
    "outputs in a mapping": (
        (X, C),
        lambda: Giving(lambda o: {"logits": o}),
        lambda o, t: functional.cross_entropy(o["logits"], t),
    ),
    "outputs in an object": ((X, C), lambda: Giving(Output), logits),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_trains(name: str) -> None:
    data, model, *cost = WORKS[name]
    data = Data(data) if isinstance(data, Dataset) else data
    run = trained(data, model, *cost)
    assert run.steps
    assert all(np.isfinite(epoch.train.loss) for epoch in run.history)


class Ending(Dataset[Any]):
    """Raises StopIteration in the middle, which ends the loop over a loader as if all were well."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        if index == 13:
            raise StopIteration
        return X[index], Y[index]


@pytest.mark.parametrize("data", [Data(Ending()), DataLoader(Ending(), 8)])
def test_an_item_that_ends_the_loop_is_no_end_of_the_set(data: Any) -> None:
    with pytest.raises(DataError, match=r"ends before its batch \d of 3: .*StopIteration"):
        trained(data, linear)


def test_a_sampler_of_batches_says_how_many_steps_an_epoch_has() -> None:
    batches = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
    data = DataLoader(SET, batch_sampler=batches)
    run = fit(Task(data, "mse", linear), "sgd+cosine", lr=0.1, epochs=2, progress=False)
    assert run.steps == 6
    assert run.history[-1].lr < 0.01  # the cosine has come to its end

    class Unknown(Sampler[list[int]]):
        def __iter__(self) -> Any:
            return iter(batches)

    data = DataLoader(SET, batch_sampler=Unknown())
    with pytest.raises(TaskError, match="needs to know how many steps"):
        fit(Task(data, "mse", linear), "sgd+cosine", lr=0.1, epochs=2, progress=False)
    assert fit(Task(data, "mse", linear), "sgd", lr=0.1, epochs=2, progress=False).steps == 6


REFUSED: dict[str, tuple[Any, ...]] = {
    "a loader that drops its only batch": (
        "drops a batch that is not full",
        DataLoader(SET, 64, drop_last=True),
        linear,
    ),
    "a tuple for two arguments": (
        r"TypeError: .*missing 1 required .*thalweg.tasks.Unpacked\(model\)",
        loader([((x, x), y) for x, y in PAIRS]),
        Sum,
    ),
    "a mapping without a name for its targets": (
        r"none is called as they \(label, labels, target, targets, y\)\. It has 'x', 'z'\. .*target='z'",
        loader([{"x": x, "z": y} for x, y in PAIRS]),
        linear,
    ),
    "a mapping with two names for its targets": (
        r"several may be they \(label, y\)",
        loader([{"x": x, "label": y, "y": y} for x, y in PAIRS]),
        linear,
    ),
    "a mapping of targets alone": (
        "nothing but its targets, 'y'",
        loader([{"y": y} for _, y in PAIRS]),
        linear,
    ),
    "a misspelt name of the targets": (
        r"no part 'lables', .*Did you mean 'labels'\?",
        Data(loader([{"x": x, "labels": y} for x, y in PAIRS]), target="lables"),
        linear,
    ),
    "a mapping for a layer": (
        r"thalweg\.tasks\.Unpacked\(model\) .*forward\(self, x\)",
        loader([{"x": x, "y": y} for x, y in PAIRS]),
        linear,
    ),
    "two inputs and a target": (
        r"weights of a batch must be one number for each row, .*several inputs are one tuple: \(\(a, b\)",
        loader([(x, x, y) for x, y in PAIRS]),
        Sum,
    ),
    "negative weights": (
        "finite numbers ≥ 0; got -1",
        loader([(x, y, -1.0) for x, y in PAIRS]),
        linear,
    ),
    "one row left for batch norm": (
        "smallest batch of an epoch has 1 row",
        (X[:17], Y[:17]),
        normed,
    ),
    "single rows": ("DataLoader with batch_size=None hands on", DataLoader(SET, None), linear),
    "bools as inputs": (r"x\.astype\('float32'\)", (X > 0, Y), linear),
    "bytes as images": (
        r"real ones with x\.astype\('float32'\)",
        (torch.zeros(ROWS, 1, 4, 4, dtype=torch.uint8), C),
        images,
        "cross_entropy",
    ),
    "targets without the outputs' axis": (r"y\.reshape\(-1, 1\)", (X, Y[:, 0]), linear),
    "classes in a column": (r"Flatten with y\.reshape\(-1\)", (X, C[:, None]), classes, "nll"),
    "one output for classes": (
        "two outputs, or take the loss 'bce_",
        (X, C),
        linear,
        "cross_entropy",
    ),
    "outputs in a dict": (
        r"gives dict\. .*from there: outputs\['logits'\]",
        (X, C),
        lambda: Giving(lambda o: {"logits": o}),
        "cross_entropy",
    ),
    "outputs in a tuple": (
        r"gives tuple\. .*from there: outputs\[0\]",
        (X, C),
        lambda: Giving(lambda o: (o, o)),
        "cross_entropy",
    ),
    "outputs as logits": (
        r"gives Output\. .*from there: outputs\.logits",
        (X, C),
        lambda: Giving(Output),
        "cross_entropy",
    ),
    "batches without rows": ("yields no batch: it is empty", empty_at(0, 1), linear),
    "a set smaller than a batch": (
        "yields no batch",
        loader(SET, batch_size=64, drop_last=True),
        linear,
    ),
    "text as targets": (
        "wants one tensor of targets; the data give tuple",
        loader([(x, "a") for x, _ in PAIRS]),
        linear,
    ),
    "no targets": ("fails at batch 1.*NoneType", loader([(x, None) for x, _ in PAIRS]), linear),
    "a list of pairs": (r"make a loader, DataLoader\(rows, batch_size\)", PAIRS, linear),
    "a generator of pairs": ("got generator", iter(p for p in PAIRS), linear),
    "nothing to train": ("no trainable parameters", (X, Y), lambda: linear().requires_grad_(False)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_before_training(name: str) -> None:
    message, data, model, *cost = REFUSED[name]
    with pytest.raises(ThalwegError, match=message) as caught:
        trained(data, model, *cost)
    assert "epoch 1" not in str(caught.value)  # which messages of a run in progress name


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_pinned_memory_without_an_accelerator() -> None:
    assert trained(loader(SET, pin_memory=True), linear).steps == 6


def test_predicting_from_several_inputs() -> None:
    run = trained(loader([({"a": x, "b": x}, y) for x, y in PAIRS]), lambda: Unpacked(Sum()))
    many = torch.cat([X] * 60)  # more rows than are predicted at a time
    found = run.predict({"a": many, "b": many})
    assert torch.allclose(found[:ROWS], run.model({"a": X, "b": X}), atol=1e-6)
    assert found.shape == (1200, 1)
    arrays = run.predict({"a": X.numpy(), "b": X.double().numpy()})
    assert isinstance(arrays, np.ndarray)
    assert np.allclose(arrays, found[:ROWS], atol=1e-6)
    pair = trained(loader([((x, x), y) for x, y in PAIRS]), lambda: Unpacked(Sum()))
    assert pair.predict((X, X)).shape == (ROWS, 1)
    for wrong, message in (
        ({"a": X, "b": X[:3]}, "differ in their numbers of rows"),
        ({}, "one tensor or array, or several"),
        ((X[:0], X[:0]), "nothing to predict"),
    ):
        with pytest.raises(DataError, match=message):
            run.predict(wrong)


def test_predicting_several_outputs() -> None:
    run = trained((X, C), lambda: Giving(Output), logits)
    assert run.predict(torch.cat([X] * 60)).logits.shape == (1200, 3)
    assert isinstance(run.predict(X.numpy()).logits, np.ndarray)
    with pytest.raises(ThalwegError, match="use output='raw'"):
        run.predict(X, output="class")


def test_labels_are_predicted_and_counted_one_by_one() -> None:
    labels = torch.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 1], 1)
    cost = Cost("bce_with_logits", metrics=["f1_macro", "exact_match", "auc"])
    run = trained((X, labels), classes, cost)
    raw, p, said = (run.predict(X, output=kind) for kind in ("raw", "probability", "class"))  # type: ignore[arg-type]
    same(said, (raw > 0).long(), because=COUNTS)
    assert torch.allclose(p, raw.sigmoid())
    matrices = run.confusion("train")
    assert matrices.shape == (3, 2, 2)
    same(torch.from_numpy(matrices[:, 1, 1]), (said.bool() & labels).sum(0), because=COUNTS)
    right = (said.bool() == labels).all(1).double().mean()
    assert run.evaluate("train")["exact_match"] == pytest.approx(float(right))


def test_the_confusion_matrix_of_a_run_counts_what_the_loss_counts() -> None:
    targets = C.clone()
    targets[:4] = -100
    run = trained(Data.arrays(X, targets, weights=torch.ones(ROWS)), classes, "cross_entropy")
    matrix = run.confusion("train")
    same(torch.from_numpy(matrix.sum(1)), torch.bincount(targets[4:], minlength=3), because=COUNTS)
    assert matrix.trace() == int((run.predict(X, output="class") == targets).sum())
    with pytest.raises(DataError, match="no test set"):
        run.confusion()
