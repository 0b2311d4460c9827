"""A conformance kit: does an optimizer keep the contracts of `torch.optim`?

`check_optimizer` runs on any `torch.optim.Optimizer`, whoever wrote it. `python -m thalweg.testing` prints
what it finds on PyTorch's own.
"""

from thalweg.testing.checks import CHECKS
from thalweg.testing.conformance import check_optimizer
from thalweg.testing.result import CheckResult, Conformance

__all__ = ["CHECKS", "CheckResult", "Conformance", "check_optimizer"]
