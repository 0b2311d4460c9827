"""Loggers: callbacks that keep the figures of a run where another package shows them.

Each keeps its log in a folder of this machine and sends nothing anywhere. Its package is an optional
extra of the logger's name: `pip install "thalweg[tensorboard]"`, `[wandb]`, `[mlflow]`, `[trackio]`.
"""

from thalweg.train.loggers.logger import Logger
from thalweg.train.loggers.mlflow import MLflow
from thalweg.train.loggers.tensorboard import TensorBoard
from thalweg.train.loggers.trackio import Trackio
from thalweg.train.loggers.wandb import WandB

__all__ = ["Logger", "MLflow", "TensorBoard", "Trackio", "WandB"]
