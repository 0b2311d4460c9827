"""Logs of W&B, MLflow and Trackio, read back where their packages are installed.

They are too large to be among the packages of development: pip install "thalweg[wandb,mlflow,trackio]".
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.exact import RERUN
from tests.train.helpers import blobs, quiet, same_run
from tests.train.loggers.helpers import Curves, alone, check, logged
from thalweg.train.loggers import MLflow, Trackio, WandB

__all__ = ["alone"]
pytestmark = pytest.mark.filterwarnings("default")  # the packages' own
EVERY_SECOND = [2, 4, 6, 8, 10]


def of_mlflow(logger: MLflow) -> tuple[Any, Curves]:
    client = pytest.importorskip("mlflow").MlflowClient(logger.uri)
    found = client.get_run(logger.key)
    return found, {
        name: [(m.step, m.value) for m in client.get_metric_history(logger.key, name)]
        for name in found.data.metrics
    }


def test_mlflow_reads_its_log(tmp_path: Path, alone: list[Any]) -> None:
    pytest.importorskip("mlflow")
    settings: dict[str, Any] = {"checkpoint": tmp_path / "run"}
    logger = MLflow(tmp_path / "log", every=2)
    run = logged(logger, **settings)
    found, curves = of_mlflow(logger)
    check(curves, run, EVERY_SECOND)
    assert found.info.status == "FINISHED"
    assert found.data.tags["stopped"] == "epochs"
    assert found.data.params["weight_decay"] == "0.01"

    resumed = MLflow(tmp_path / "log", every=2)
    longer = logged(resumed, **settings, epochs=3, resume=True)
    assert resumed.key == logger.key
    _, curves = of_mlflow(resumed)
    check(curves, longer, [*EVERY_SECOND, 12, 14])
    same_run(longer, quiet(blobs(), "adam", epochs=3, weight_decay=0.01), because=RERUN)
    assert not alone


def of_trackio(key: str) -> tuple[Any, Curves, str]:
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = Api().runs("blobs")
    curves: Curves = {}
    stopped = ""
    for line in SQLiteStorage.get_logs("blobs", key):
        stopped = line.pop("stopped", stopped)
        step, _ = line.pop("step"), line.pop("timestamp")
        for name, value in line.items():
            curves.setdefault(name, []).append((step, value))
    return found, curves, stopped


def test_trackio_reads_its_log(
    tmp_path: Path, alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("HF_TOKEN", "hf_none")  # with which it would ask for a name
    pytest.importorskip("trackio")
    settings: dict[str, Any] = {"checkpoint": tmp_path / "run"}
    logger = Trackio(every=2)
    run = logged(logger, **settings)
    found, curves, stopped = of_trackio(logger.key)
    check(curves, run, EVERY_SECOND)
    assert found.config["weight_decay"] == pytest.approx(0.01)
    assert stopped == "epochs"

    resumed = Trackio(every=2)
    longer = logged(resumed, **settings, epochs=3, resume=True)
    found, curves, _ = of_trackio(resumed.key)
    check(curves, longer, [*EVERY_SECOND, 12, 14])
    assert found.config["weight_decay"] == pytest.approx(0.01)
    same_run(longer, quiet(blobs(), "adam", epochs=3, weight_decay=0.01), because=RERUN)
    assert not alone


def of_wandb(folder: Path) -> list[Any]:
    """Return the records of a run: W&B's own messages, framed as LevelDB frames its log."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("*.wandb")
    data, at, whole, records = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no header fits into what is left of the block
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            records.append(Record.FromString(whole))
            whole = b""
    return records


def test_wandb_reads_its_log(tmp_path: Path, alone: list[Any]) -> None:
    pytest.importorskip("wandb")
    settings: dict[str, Any] = {"checkpoint": tmp_path / "run"}
    logger = WandB(tmp_path / "log", every=2)
    run = logged(logger, **settings)
    (folder,) = (tmp_path / "log" / "wandb").glob(f"offline-run-*-{logger.key}")
    records = of_wandb(folder)
    curves: Curves = {}
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = {
                i.key or "/".join(i.nested_key): json.loads(i.value_json)
                for i in record.history.item
            }
            for name, value in items.items():
                if not name.startswith("_"):
                    curves.setdefault(name, []).append((record.history.step.num, value))
    # figures of one step are one line there
    check(curves, run, EVERY_SECOND)
    configs = {i.key: i.value_json for r in records for i in r.run.config.update}
    assert math.isclose(json.loads(configs["weight_decay"]), 0.01)
    assert {r.exit.exit_code for r in records if r.HasField("exit")} == {0}
    stopped = {i.key: i.value_json for r in records for i in r.summary.update}
    assert json.loads(stopped["stopped"]) == "epochs"

    resumed = WandB(tmp_path / "log", every=2)
    logged(resumed, **settings, epochs=3, resume=True)
    assert resumed.key == logger.key
    assert not alone
