"""What a log must say of a run, whatever package keeps it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.train.helpers import blobs, quiet
from thalweg.train import Run
from thalweg.train.loggers import Logger

Curves = dict[str, list[tuple[int, float]]]
"""Of each figure, its steps and values in order."""
SETTINGS: dict[str, Any] = {"epochs": 2, "evaluate_every": 3, "weight_decay": 0.01}


def logged(logger: Logger, **settings: Any) -> Run:
    """Train a small task with a logger that logs every second step."""
    return quiet(blobs(), "adam", callbacks=[logger], **(SETTINGS | settings))


def expected(run: Run) -> Curves:
    """Return the figures of epochs and evaluations that the log of a run must hold."""
    curves: Curves = {"epoch": [], "train/loss": [], "train/accuracy": [], "train/penalty": []}
    for record in run.history:
        curves["epoch"].append((record.step, record.epoch))
        curves["train/loss"].append((record.step, record.train.loss))
        curves["train/accuracy"].append((record.step, record.train["accuracy"]))
        curves["train/penalty"].append((record.step, record.train.penalty))
    for name in ("loss", "accuracy"):
        curves[f"validation/{name}"] = [(e.step, e.scores[name]) for e in run.evaluations]
    return curves


def check(found: Curves, run: Run, steps: list[int], rel: float = 1e-12) -> None:
    """Assert that a log holds the figures of a run, and the loss of these steps."""
    for name, curve in expected(run).items():
        assert [step for step, _ in found[name]] == [step for step, _ in curve], name
        values = [value for _, value in curve]
        assert [value for _, value in found[name]] == pytest.approx(values, rel=rel), name
    assert [step for step, _ in found["batch/loss"]] == steps
    assert all(0 < value < 10 for _, value in found["batch/loss"])
    rates = [value for _, value in found["lr"]]
    assert rates == pytest.approx([0.05] * len(rates), rel=1e-6)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse this process every connection that leaves the machine; return those that were tried."""
    tried: list[Any] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            tried.append(address)
            raise OSError("no network")
        connect(self, address)

    def unknown(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None):
            tried.append(host)
            raise socket.gaierror("no network")
        return getaddrinfo(host, *rest, **named)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    return tried
