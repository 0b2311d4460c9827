"""The case table: every optimizer with sets of options that exercise each of its arguments.

An optimizer added to a list here gets every check of this folder.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from .adam_kin import ADAM_KIN
from .around import AROUND
from .case import NOT_EXERCISED, Case
from .dialects import DECAYS, DIALECTS
from .momentum_kin import MOMENTUM_KIN, SIGN
from .others import FREE, OTHERS
from .preconditioned import PRECONDITIONED
from .torch_names import TORCH_NAMES

__all__ = [
    "CASES",
    "KEPT_BY_HAND",
    "NOT_EXERCISED",
    "OPTIMIZERS",
    "PROGRAMS",
    "RICHEST",
    "TORCH_CASES",
    "TORCH_OPTIMIZERS",
    "Case",
    "each",
    "each_alone",
    "each_case",
    "each_engine",
    "each_in_place",
    "each_optimizer",
    "each_program",
    "each_torch_case",
]

CASES: list[Case] = [
    *TORCH_NAMES,
    *DIALECTS,
    *DECAYS,
    *ADAM_KIN,
    *MOMENTUM_KIN,
    *SIGN,
    *OTHERS,
    *FREE,
    *PRECONDITIONED,
    *AROUND,
]
TORCH_CASES = [case for case in CASES if case.has_twin]
OPTIMIZERS = list(dict.fromkeys(case.optimizer for case in CASES))
TORCH_OPTIMIZERS = list(dict.fromkeys(case.optimizer for case in TORCH_CASES))


# Options that may differ between runs and not within one: a state is kept in terms of them.
KEPT_BY_HAND = {"ScheduleFreeSGD": ("beta",), "ScheduleFreeAdamW": ("betas",)}


def richest(optimizer: str) -> Case:
    """Return the case of an optimizer with the most options, without links around it."""
    cases = [case for case in CASES if case.optimizer == optimizer and case not in AROUND]
    twins = [case for case in cases if case.has_twin]
    return max(twins or cases, key=lambda case: len(case.options))


def one_of_each(cases: Sequence[Case]) -> list[Case]:
    """Return of the cases that run the same program the one with the most options."""
    programs: dict[object, Case] = {}
    for case in cases:
        known = programs.setdefault(case.program, case)
        if len(case.options) > len(known.options):
            programs[case.program] = case
    return [case for case in cases if case in programs.values()]


# One case of each optimizer, for checks to which one set of options does full justice.
RICHEST = [richest(name) for name in OPTIMIZERS]
# One case of each program, for checks in which numbers are what they are.
PROGRAMS = one_of_each(CASES)


def each(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


each_case = each(CASES)
each_program = each(PROGRAMS)
each_optimizer = each(RICHEST)
# What torch.optim has too: the same states, messages and checkpoints.
each_torch_case = each(TORCH_CASES)
# A tensor's path depends on that tensor alone: it may be absent, or be in a group of its own.
each_alone = each([case for case in PROGRAMS if not case.is_coupled])
PRINTED_PROGRAMS = [case for case in PROGRAMS if not case.is_of_matrices]
"""Those that Triton's kernels and a page can run: none works with whole matrices."""
PRINTED_RICHEST = [case for case in RICHEST if not case.is_of_matrices]
# A tensor's path does not depend on where it stands, nor on its order in memory.
each_in_place = each([case for case in PROGRAMS if not case.draws_noise])
each_engine = pytest.mark.parametrize("engine", ["eager", "fused"])
