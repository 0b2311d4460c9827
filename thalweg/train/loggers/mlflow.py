"""The log of a run in MLflow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.errors import MissingExtraError
from thalweg.train.loggers.logger import Logger, LogRow, Opening

_STATUS = {"diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}
_MOST = 1000
"""Figures that MLflow takes at once."""


class MLflow(Logger):
    """Logs a run in MLflow: `fit(…, callbacks=[MLflow()])`.

    The runs of a folder are a database of SQLite in it, `mlflow.db`. To see them, with the whole of mlflow:
    `mlflow server --backend-store-uri sqlite:///FOLDER/mlflow.db`. Each task is an experiment. What
    a killed run had logged after its last checkpoint stands twice once it is resumed, with the same
    values. `Logger` says what is logged; how the run ended is the tag `stopped`, and its status FINISHED,
    KILLED (Ctrl-C) or FAILED.

    Nothing is sent anywhere: MLflow's own reports on its use are switched off for this process.

    Args:
        folder: where the database is.
        uri: where to log instead, as MLflow writes it, such as "http://localhost:5000".
        experiment: a name, instead of the task's.

    Raises:
        MissingExtraError: the package mlflow-skinny (or mlflow) or sqlalchemy is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = "logs/mlflow",
        *,
        uri: str | None = None,
        experiment: str | None = None,
        every: int = 10,
    ) -> None:
        super().__init__(folder, every)
        self.experiment = experiment
        self.uri = uri or f"sqlite:///{(self.folder / 'mlflow.db').absolute()}"
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        try:
            import alembic  # noqa: F401  # makes the database
            from mlflow import MlflowClient, entities
        except ImportError:
            raise MissingExtraError("mlflow-skinny", "A log in MLflow", "mlflow") from None
        self._client: Any = MlflowClient
        self._entities: Any = entities

    def open(self, opening: Opening) -> str:
        """Begin a run in MLflow, or go on with one; return its id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        client = self._client = self._client(self.uri) if callable(self._client) else self._client
        if opening.key:
            client.update_run(opening.key, status="RUNNING")
            return opening.key
        name = self.experiment or opening.task
        found = client.get_experiment_by_name(name)
        home = found.experiment_id if found else client.create_experiment(name)
        key = str(client.create_run(home, run_name=opening.name).info.run_id)
        for parameter, value in opening.hyperparameters.items():
            client.log_param(key, _valid(parameter), value)
        return key

    def write(self, rows: Sequence[LogRow]) -> None:
        """Write figures, as many at once as MLflow takes."""
        metrics = [
            self._entities.Metric(_valid(name), value, int(1000 * row.time), row.step)
            for row in rows
            for name, value in row.figures.items()
        ]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self.key, metrics=metrics[first : first + _MOST])

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Say how the run ended."""
        self._client.set_tag(self.key, "stopped", stopped)
        self._client.set_terminated(self.key, _STATUS.get(stopped, "FINISHED"))


def _valid(name: str) -> str:
    """Return a name as MLflow takes it."""
    return re.sub(r"[^\w ./:-]", "_", name)
