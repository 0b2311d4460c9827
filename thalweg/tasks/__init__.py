"""What is to be learned: data, cost, model, and the built-in tasks."""

from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.by_name.registry import list_tasks, load_task, task_facts
from thalweg.tasks.data import Data
from thalweg.tasks.encode import Scaler, min_max_scale, one_hot, standardize
from thalweg.tasks.formats.vocabulary import Padded, Vocabulary, characters, pad, words
from thalweg.tasks.functions.function_task import function_task, uniform_noise
from thalweg.tasks.hashes import data_hash
from thalweg.tasks.sources.batches import Order, batches
from thalweg.tasks.stated import Facts
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.tasks.unpacked import Unpacked

__all__ = [
    "Data",
    "Facts",
    "Order",
    "Padded",
    "Scaler",
    "Target",
    "Task",
    "Unpacked",
    "Vocabulary",
    "batches",
    "characters",
    "data_hash",
    "function_task",
    "list_tasks",
    "load_task",
    "min_max_scale",
    "mlp",
    "one_hot",
    "pad",
    "standardize",
    "task_facts",
    "uniform_noise",
    "words",
]
