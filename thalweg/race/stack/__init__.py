"""Stacks: models of one architecture that train together as one program.

Models that differ in optimizer, hyperparameters, seed, schedule or initialization are one program under
`torch.vmap`: a call of PyTorch then serves all of them, where a small model alone spends its time in the
calls. What each gives is what `thalweg.train.fit` gives, to rounding. What rounding decides may differ by
more: the first bases of SOAP, where a gradient is of low rank.

    models     one tensor a parameter, its first axis over the models
    data       the batches, in the order of each model's seed
    noise      dropout and the like, drawn for each seed as a run of its own would
    merged     their optimizers as one, with a row of numbers for each
    train      the loop; a model that diverges leaves
    reasons    why something cannot be stacked
    choice     whether it pays
"""

from thalweg.race.stack.choice import StackChoice, worth_it
from thalweg.race.stack.grouping import stacks
from thalweg.race.stack.reasons import Reasons, reasons, why_not
from thalweg.race.stack.run import run_stack

__all__ = ["Reasons", "StackChoice", "reasons", "run_stack", "stacks", "why_not", "worth_it"]
