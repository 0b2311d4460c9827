"""What is to be learned: data, cost, model, and the built-in tasks."""

from thalweg.tasks.batches import Order, batches
from thalweg.tasks.data import Data
from thalweg.tasks.encode import Scaler, min_max_scale, one_hot, standardize
from thalweg.tasks.models import mlp
from thalweg.tasks.registry import list_tasks, load_task
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

__all__ = [
    "Data",
    "Order",
    "Scaler",
    "Target",
    "Task",
    "batches",
    "list_tasks",
    "load_task",
    "min_max_scale",
    "mlp",
    "one_hot",
    "standardize",
]
