"""Training: `fit`, recipes and the runs they give, checkpoints, and the learning-rate finder."""

from thalweg.train.callbacks import Callback, Checkpoint, Training
from thalweg.train.fit import fit
from thalweg.train.folder.keeping import RunFolder
from thalweg.train.folder.reading import SavedRun, find_runs, load_run
from thalweg.train.health.diverged import FitDivergedError
from thalweg.train.history import Epoch, Evaluation, History, Reached
from thalweg.train.lr_finder.finder import RangeTest, find_lr
from thalweg.train.model_summary import LayerRow, ModelSummary, summary
from thalweg.train.recipe import Recipe
from thalweg.train.run import Run
from thalweg.train.sharpness_along import SharpnessAlong
from thalweg.train.stopping import EarlyStopping
from thalweg.train.trained.evaluate import evaluate, predict

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Epoch",
    "Evaluation",
    "FitDivergedError",
    "History",
    "LayerRow",
    "ModelSummary",
    "RangeTest",
    "Reached",
    "Recipe",
    "Run",
    "RunFolder",
    "SavedRun",
    "SharpnessAlong",
    "Training",
    "evaluate",
    "find_lr",
    "find_runs",
    "fit",
    "load_run",
    "predict",
    "summary",
]
