"""Batches that are one mapping: inputs and targets by name, in all that is done with a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from tests.exact import RERUN, same
from tests.train.helpers import same_run
from thalweg import find_lr, race
from thalweg.errors import DataError, TaskError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task, Unpacked
from thalweg.train import fit, load_run

generator = torch.Generator().manual_seed(0)
IDS = torch.randint(1, 7, (24, 5), generator=generator)
MASK = (torch.arange(5) < torch.randint(2, 6, (24, 1), generator=generator)).long()
LABELS = (IDS * MASK).sum(1) % 2


class Texts(Dataset[Any]):
    """Items as tokenizers give them, with the targets under a name."""

    def __init__(self, name: str = "labels", rows: Any = range(24)) -> None:
        self.name, self.rows = name, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        k = self.rows[index]
        return {"input_ids": IDS[k], "attention_mask": MASK[k], self.name: LABELS[k]}


class Classifier(nn.Module):
    """The mean of embeddings under a mask; its output is a mapping, as of a model of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(7, 8), nn.Linear(8, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        mask = attention_mask.unsqueeze(-1)
        return {"logits": self.last((self.words(input_ids) * mask).sum(1) / mask.sum(1))}


def of_logits(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs["logits"], targets)


def right(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    return (outputs["logits"].argmax(1) == targets).double().mean()


def task_of(data: Any) -> Task:
    cost = Cost(of_logits, metrics=right)
    return Task(data, cost, lambda: Unpacked(Classifier()), name="texts", batch_size=8)


def trained(data: Any, **settings: Any) -> Any:
    return fit(task_of(data), "adam", lr=0.05, progress=False, **({"epochs": 3} | settings))


class Pairs(Texts):
    def __getitem__(self, index: int) -> Any:
        item = super().__getitem__(index)
        return item, item.pop(self.name)


@pytest.mark.parametrize("name", ["label", "labels", "target", "targets", "y"])
def test_they_train_as_pairs_do(name: str) -> None:
    pairs = trained(Data.dataset(Pairs(), validation=0.25))
    same_run(trained(Data.dataset(Texts(name), validation=0.25)), pairs, because=RERUN)


def test_the_targets_may_be_named() -> None:
    pairs = trained(Data.dataset(Pairs(), validation=0.25))
    for cache in (False, True):
        data = Data.dataset(Texts("kind"), validation=0.25, target="kind", cache=cache)
        same_run(trained(data), pairs, because=RERUN)
    loaders = DataLoader(Texts("kind"), 8), DataLoader(Texts("kind"), 8)
    run = trained(Data(*loaders, target="kind"))
    same_run(run, trained(Data(DataLoader(Pairs(), 8), DataLoader(Pairs(), 8))), because=RERUN)
    with pytest.raises(DataError, match="such as 'labels'; got 3"):
        Data(loaders[0], target=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["labels", "kind"])
def test_a_run_is_measured_saved_and_asked(name: str, tmp_path: Path) -> None:
    data = Data.dataset(Texts(name), validation=0.25, target=None if name == "labels" else name)
    run = trained(data, checkpoint=tmp_path / "kept.safetensors")
    assert run.evaluate("validation")["right"] == run.history[-1].validation["right"]
    inputs = {"input_ids": IDS[:9], "attention_mask": MASK[:9]}
    said = run.predict(inputs)["logits"]
    whole = run.predict({**inputs, name: LABELS[:9]})["logits"]
    same(said, whole, because="the targets are left out")
    assert run.predict("validation")["logits"].shape == (6, 2)
    saved = load_run(run.save(tmp_path / "run"), run.task)
    same(saved.predict(inputs)["logits"], said, because="the same weights on the same rows")
    resumed = trained(data, epochs=5, checkpoint=tmp_path / "kept.safetensors", resume=True)
    same_run(resumed, trained(data, epochs=5), because=RERUN)
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    torch.testing.assert_close(program(inputs)["logits"], said, rtol=1e-5, atol=1e-6)


def test_they_race_and_are_swept() -> None:
    task = task_of(Data.dataset(Texts(), validation=0.25))
    result = race(task, ["adam", "sgd"], lrs=[0.05], seeds=2, epochs=2, out=None, progress=False)
    assert {each.status for each in result.records} == {"finished"}
    assert find_lr(task, "adam").rates


class Strict(Classifier):
    def forward(self, input_ids: Tensor, *, mask: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return super().forward(input_ids, mask)


def test_a_part_that_the_model_does_not_take_is_named() -> None:
    task = Task(DataLoader(Texts(), 8), of_logits, lambda: Unpacked(Strict()))
    expected = (
        r"The batch has 'input_ids', 'attention_mask'; forward of Strict takes input_ids, mask"
    )
    with pytest.raises(TaskError, match=expected):
        fit(task, "adam", epochs=1, progress=False)


def test_what_is_proposed_as_the_name_of_the_targets_is_there() -> None:
    task = Task(DataLoader(Texts("kind"), 8), of_logits, lambda: Unpacked(Classifier()))
    with pytest.raises(DataError, match=r"Say it: Data\(train, target='kind'\)"):
        fit(task, "adam", epochs=1, progress=False)


def test_a_mapping_of_arrays_is_no_set() -> None:
    with pytest.raises(DataError, match=r"got dict\. Make a loader of rows that are mappings"):
        Data({"input_ids": IDS, "labels": LABELS})
    with pytest.raises(
        DataError, match=r"train inputs are made of arrays.*got dict\. Make a loader"
    ):
        Data(({"input_ids": IDS}, LABELS))
