"""Floats are compared bitwise in one place, tests/exact.py, which asks for the reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(p for p in TESTS.rglob("*.py") if p.name not in ("exact.py", "test_exact.py"))

EXACT = {"equal", "array_equal", "array_equiv", "assert_array_equal", "assert_equal"}
BOUNDED = {"allclose", "assert_allclose", "assert_close", "isclose", "is_close"}
READ = {"item", "tolist"}


def zero(call: ast.Call, name: str, default: bool) -> bool:
    """Return whether a tolerance is zero; `default` is what it is when it is not given."""
    given = [word.value for word in call.keywords if word.arg == name]
    return default if not given else isinstance(given[0], ast.Constant) and given[0].value == 0


def reads(node: ast.expr) -> bool:
    """Return whether numbers are read out of a tensor, to be compared without a bound."""
    names = {name_of(n) for n in ast.walk(node) if isinstance(n, ast.Call)}
    return bool(names & READ) and "approx" not in names


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def complaint(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in EXACT:
        return f"{node.attr} says no reason: use tests.exact.same, or close"
    if isinstance(node, ast.Call):
        name = name_of(node)
        if name in BOUNDED and zero(node, "rtol", False) and zero(node, "atol", True):
            return f"{name} with a tolerance of zero: use tests.exact.same, or close"
        if name == "approx" and zero(node, "rel", False) and zero(node, "abs", True):
            return "approx with a tolerance of zero: use tests.exact.same, or close"
    equal = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq)
    if equal and reads(node.left) and any(map(reads, node.comparators)):
        return "numbers of two tensors compared with ==: use tests.exact.same, or close"
    return None


def complaints(source: str) -> list[str]:
    found = ((node, complaint(node)) for node in ast.walk(ast.parse(source)))
    return [f"line {getattr(node, 'lineno', 0)}: {text}" for node, text in found if text]


def test_exact_comparisons_say_why() -> None:
    found = {str(p.relative_to(TESTS)): complaints(p.read_text(encoding="utf-8")) for p in FILES}
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    "source",
    [
        "assert torch.equal(a, b)",
        "assert all(map(torch.equal, a, b))",
        "assert a.equal(b)",
        "assert np.array_equal(a, b)",
        "np.testing.assert_array_equal(a, b)",
        "torch.testing.assert_close(a, b, rtol=0, atol=0.0)",
        "np.testing.assert_allclose(a, b, rtol=0)",
        "assert a == pytest.approx(b, rel=0, abs=0)",
        "assert a.item() == b.item()",
        "assert [x.tolist() for x in a] == [y.tolist() for y in b]",
    ],
)
def test_comparisons_without_a_reason_are_found(source: str) -> None:
    assert len(complaints(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "same(a, b, because='a copy')",
        "torch.testing.assert_close(a, b, rtol=0, atol=1e-12)",
        "torch.testing.assert_close(a, b)",
        "assert a.tolist() == [1.0, 2.0]",
        "assert a.item() == pytest.approx(b.item())",
        "assert a == pytest.approx(b, rel=0, abs=1e-9)",
    ],
)
def test_comparisons_with_a_reason_or_a_bound_are_left(source: str) -> None:
    assert complaints(source) == []
