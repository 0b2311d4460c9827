"""Training: `fit`, recipes and the runs they give, checkpoints, and the learning-rate finder."""

from thalweg.train.callbacks import Callback, Checkpoint, Training
from thalweg.train.evaluate import evaluate, predict
from thalweg.train.fit import fit
from thalweg.train.health.diverged import FitDivergedError
from thalweg.train.history import Epoch, Evaluation, History
from thalweg.train.lr_finder.finder import RangeTest, find_lr
from thalweg.train.recipe import Recipe
from thalweg.train.run import Run
from thalweg.train.stopping import EarlyStopping, Reached

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Epoch",
    "Evaluation",
    "FitDivergedError",
    "History",
    "RangeTest",
    "Reached",
    "Recipe",
    "Run",
    "Training",
    "evaluate",
    "find_lr",
    "fit",
    "predict",
]
