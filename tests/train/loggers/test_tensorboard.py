"""A log for TensorBoard, read by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tests.exact import RERUN
from tests.train.helpers import blobs, quiet, same_run
from tests.train.loggers.helpers import Curves, alone, check, logged
from thalweg.train.loggers import TensorBoard

__all__ = ["alone"]


def read(folder: str) -> EventAccumulator:
    found = EventAccumulator(folder)
    found.Reload()
    return found


def curves(found: EventAccumulator) -> Curves:
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def text(found: EventAccumulator, name: str) -> str:
    (event,) = found.Tensors(f"{name}/text_summary")
    return str(event.tensor_proto.string_val[0].decode())


def test_tensorboard_reads_the_log(tmp_path: Path, alone: list[Any]) -> None:
    logger = TensorBoard(tmp_path, every=2)
    run = logged(logger)
    assert Path(logger.key) == tmp_path / "blobs-adam-1"
    found = read(logger.key)
    check(curves(found), run, steps=[2, 4, 6, 8, 10], rel=1e-6)  # scalars are float32
    assert text(found, "stopped") == "epochs"
    assert "| weight_decay | 0.01 |" in text(found, "hyperparameters")
    start = found.summary_metadata[metadata.SESSION_START_INFO_TAG]
    parsed = metadata.parse_session_start_info_plugin_data(start.plugin_data.content)
    assert parsed.hparams["weight_decay"].number_value == pytest.approx(0.01)
    assert not alone


def test_each_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logged(logger)
    logged(logger)
    assert {each.name for each in tmp_path.iterdir()} == {"blobs-adam-1", "blobs-adam-2"}


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    def settings(**more: Any) -> dict[str, Any]:
        return {"checkpoint": tmp_path / "run", "checkpoint_every": 2, **more}

    class Killed(TensorBoard):
        def epoch(self, training: Any, record: Any) -> None:
            super().epoch(training, record)
            if record.epoch == 3:
                raise RuntimeError("as if it were killed")

    first = Killed(tmp_path / "log", every=2)
    first.__class__.__qualname__ = "TensorBoard"  # by which a checkpoint knows it
    with pytest.raises(Exception, match="as if"):
        logged(first, **settings(epochs=4))
    assert [step for step, _ in curves(read(first.key))["epoch"]] == [5, 10, 15]
    second = TensorBoard(tmp_path / "log", every=2)
    run = logged(second, **settings(epochs=4, resume=True))
    assert second.key == first.key
    check(curves(read(second.key)), run, steps=list(range(2, 21, 2)), rel=1e-6)


def test_training_is_the_same_with_it(tmp_path: Path) -> None:
    same_run(quiet(blobs()), quiet(blobs(), callbacks=[TensorBoard(tmp_path)]), because=RERUN)
