"""Without llvmlite the package works, eagerly."""

from __future__ import annotations

from tests.fresh import Fresh

BLOCKED = """
import sys
import warnings

warnings.simplefilter("error")
sys.modules["llvmlite"] = None
sys.modules["llvmlite.binding"] = None
import torch
import thalweg
from thalweg.engine import compilations
from thalweg.errors import EngineError
"""

WORKS = """
for make in (thalweg.optim.Adam, thalweg.optim.SGD):
    for engine in ("auto", "eager"):
        w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        v = torch.nn.Parameter(w.detach().clone())
        mine = make([w], lr=0.1, engine=engine)
        theirs = getattr(torch.optim, make.__name__)([v], lr=0.1)
        for _ in range(3):
            w.grad, v.grad = 2 * w.detach(), 2 * v.detach()
            mine.step()
            theirs.step()
        torch.testing.assert_close(w, v)
        ran, _, reason = mine.plan().partition("; not fused: ")
        expected = "eager  (2,)" if engine == "eager" else "foreach  1 tensor, 2 numbers,"
        assert ran == f"{expected} float32 cpu", ran
        assert bool(reason) == (engine == "auto"), reason
chain = thalweg.chain(thalweg.rules.clip_by_norm(1.0), thalweg.rules.adam)
p = torch.ones(3)
after, state = chain.step(p, p, chain.init(p), lr=0.1)
torch.testing.assert_close(after, torch.full((3,), 0.9))
assert compilations() == 0
"""

REFUSES = """
w = torch.nn.Parameter(torch.ones(2))
w.grad = torch.ones(2)
optimizer = thalweg.optim.Adam([w], engine="fused")
try:
    optimizer.step()
except EngineError as error:
    message = str(error)
else:
    raise AssertionError("not refused")
for text in ("engine='fused'", "llvmlite cannot be imported", "Use engine='auto'"):
    assert text in message, message
assert w.tolist() == [1.0, 1.0]
"""


def run(fresh: Fresh, script: str) -> None:
    done = fresh.run(BLOCKED + script)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_everything_runs_eagerly(fresh: Fresh) -> None:
    run(fresh, "import thalweg.rules\n" + WORKS)


def test_the_fused_engine_says_what_is_missing(fresh: Fresh) -> None:
    run(fresh, REFUSES)
