"""Triton as the plan of a step knows it: what its kernels can step, and the batches that they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from thalweg.engine.cohort import Cohort
from thalweg.engine.dense import dense_refusal, slot_dtypes
from thalweg.engine.member import Member
from thalweg.engine.program.program import Program
from thalweg.engine.triton.available import device_problem, triton_problem
from thalweg.engine.triton.printed import unprintable
from thalweg.errors import EngineError

if TYPE_CHECKING:
    from thalweg.engine.triton.batch import TritonBatch

DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.complex64: "float32",
    torch.complex128: "float64",
}

Kind = tuple[torch.device, tuple[str, ...]]


class Triton:
    """Steps dense tensors on a GPU by printed kernels, one launch a pass for all of one device and dtypes."""

    name = "triton"
    alone = True

    def problem(self, program: Program) -> str | None:
        """Return why a program has no kernels, or None."""
        problem = triton_problem()
        if problem is None and program.sees_matrices:
            problem = "matrix functions are not run between its kernels"
        if problem is None and (names := unprintable(program)):
            problem = f"no kernel can run {', '.join(dict.fromkeys(names))}"
        return problem

    def kind(self, member: Member) -> Kind | None:
        """Return the device and the dtypes of a member's slots if a kernel can take it.

        Raises:
            EngineError: the member is not where kernels run.
        """
        problem = _place_problem(member.param)
        if problem is not None:
            raise EngineError(
                f"engine='triton' was asked for, but of {member.called}: {problem}. Move the model to a GPU, "
                "or use engine='auto'; to try kernels on the CPU, set TRITON_INTERPRET=1 before Python "
                "starts."
            )
        dtypes = slot_dtypes(member, DTYPES)
        return None if dtypes is None else (member.param.device, dtypes)

    def refusal(self, member: Member) -> str | None:
        """Return why a kernel cannot take a member, or None."""
        return _place_problem(member.param) or dense_refusal(member, DTYPES)

    def batch(self, cohort: Cohort, kind: Kind, positions: Sequence[int]) -> TritonBatch:
        """Return a batch of members on this device with these dtypes."""
        from thalweg.engine.triton.batch import TritonBatch
        from thalweg.engine.triton.device_numbers import DeviceNumbers
        from thalweg.engine.triton.host_numbers import HostNumbers

        members = [cohort.members[k] for k in positions]
        device, dtypes = kind
        if cohort.on_device:
            row_of = list(range(len(members)))
            on_device = DeviceNumbers(cohort, members, device)
            return TritonBatch(cohort.program, dtypes, members, row_of, on_device)
        row_of = [cohort.row_of[k] for k in positions]
        numbers = HostNumbers(cohort.program, members, cohort.table, device)
        return TritonBatch(cohort.program, dtypes, members, row_of, numbers)


def _place_problem(x: Tensor) -> str | None:
    """Return why no kernel can be launched for a tensor where it lies, or None."""
    return device_problem(x) or _launch_problem(x.device)


def _launch_problem(device: torch.device) -> str | None:
    from thalweg.engine.triton.probe import launch_problem  # imports Triton, where a GPU is there

    return launch_problem(device)
