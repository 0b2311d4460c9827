"""PyTorch's own optimizers: what each fails is known, and the page in the docs says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from thalweg.testing import CHECKS, check_optimizer
from thalweg.testing.checks import contract
from thalweg.testing.torch_table import Entry, torch_entries

ENTRIES = {entry.label: entry for entry in torch_entries()}
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

# the fused kernels of the CPU count on contiguous memory, and do not touch version counters
FUSED = "stale_graph layouts gradient_layout"
# all that fails in PyTorch 2.13; what is not here passes everything
FAILS = {
    # a step uses the eta that was computed at the end of the step before
    "ASGD": "scheduler state_dtype",
    "ASGD foreach": "scheduler state_dtype",
    # weight decay adds the parameter to the sparse gradient, which PyTorch's `add` refuses
    "SGD": "sparse_gradient",
    "SGD foreach": "sparse_gradient",
    # momentum buffers: a list with None is refused; one made in a skipped step is never written;
    # bfloat16 vectors are not written back
    "SGD fused": f"{FUSED} late_gradient grad_scaler bfloat16",
    "Adafactor": "empty_parameter",
    "Adafactor foreach": "empty_parameter",
    "Adagrad fused": FUSED,
    "Adam fused": FUSED,
    "AdamW fused": FUSED,
    "LBFGS": "none_gradient add_param_group deepcopied pickled layouts gradient_layout",
    # mu_product is kept in float32, and cast to the dtype of the parameter when loaded
    "NAdam": "state_dtype",
    "NAdam foreach": "state_dtype",
    # lr is its first step size, and step sizes have a least value
    "Rprop": "scheduler learning_rate_zero",
    "Rprop foreach": "scheduler learning_rate_zero",
}


def expected(label: str) -> set[str]:
    return set(FAILS.get(label, "").split())


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="verdicts on PyTorch 2.13")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("label", ENTRIES)
def test_torch_fails_what_is_known(label: str) -> None:
    found = ENTRIES[label].check()
    assert {result.name for result in found.failed} == expected(label), str(found)


def test_the_table_names_optimizers_and_checks() -> None:
    assert set(FAILS) <= set(ENTRIES)
    assert set().union(*(expected(label) for label in FAILS)) <= set(CHECKS)


def test_all_of_torch_is_in_the_table() -> None:
    classes = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    assert classes - {"Optimizer"} <= {entry.name for entry in ENTRIES.values()}


def test_the_page_says_the_same() -> None:
    """The page is written by `python -m thalweg.testing > docs/conformance.md`."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (.+?) \|$", text, flags=re.MULTILINE)
    fails = {label: set(re.findall(r"`(\w+)`", names)) for label, _, _, names in rows}
    assert fails == {label: expected(label) for label in ENTRIES}
    for label, passed, skipped, _ in rows:
        assert int(passed) + int(skipped) + len(expected(label)) == len(CHECKS)
    for name in CHECKS:
        assert f"- `{name}`: {contract(name)}" in text


def test_modes_that_were_found_out() -> None:
    assert "closure" in check_optimizer(torch.optim.LBFGS, only=["empty_refused"]).notes[0]
    muon = Entry("Muon", options={"lr": 0.01}).check(only=["scalar_parameter"])
    assert "matrices" in muon.notes[0]
    assert muon["scalar_parameter"].outcome == "skip"
    sparse = Entry("SparseAdam").check(only=["sparse_gradient"])
    assert "sparse gradients" in sparse.notes[0]
    assert sparse["sparse_gradient"].outcome == "skip"
