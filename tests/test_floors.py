"""The house has floors: a module imports from its own package or from floors below, never above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "thalweg"

FLOORS = {
    "errors": 0,
    "version": 0,
    "files": 0,
    "schedules": 1,
    "engine": 1,
    "report": 2,
    "rules": 2,
    "objective": 2,
    "optim": 3,
    "tasks": 3,
    "train": 4,
    "meta": 4,
    "testing": 4,
    "race": 5,
    "cli": 6,
    "__main__": 7,
    "__init__": 7,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def home(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(module: Path) -> list[tuple[int, str]]:
    """Return (line, imported name) of every import of this package, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write the whole name"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.split(".")[0] == "thalweg"]


def test_every_part_of_the_house_has_a_floor() -> None:
    assert {home(module) for module in MODULES} == set(FLOORS)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_run_one_way(module: Path) -> None:
    own = home(module)
    for line, name in imports(module):
        parts = name.split(".")
        imported = parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"
        if imported == own:
            continue
        if imported == "__init__" and own in ("race", "cli") and parts[-1] == "__version__":
            continue
        assert FLOORS[imported] < FLOORS[own], (
            f"{module.relative_to(PACKAGE)}:{line} (floor {FLOORS[own]}) imports {name} "
            f"(floor {FLOORS[imported]})"
        )


def test_modules_of_the_engine_have_no_cycles() -> None:
    """Within a package imports may not run in a circle; TYPE_CHECKING and in-function ones aside."""
    for package in sorted({home(m) for m in MODULES if m.parent != PACKAGE}):
        graph: dict[str, set[str]] = {}
        for module in sorted((PACKAGE / package).glob("*.py")):
            if module.stem == "__init__":
                continue
            tree = ast.parse(module.read_text(encoding="utf-8"))
            names = {
                node.module
                for node in tree.body
                if isinstance(node, ast.ImportFrom) and node.module is not None
            }
            prefix = f"thalweg.{package}."
            graph[module.stem] = {n.removeprefix(prefix) for n in names if n.startswith(prefix)}
        done: set[str] = set()
        while graph.keys() - done:
            ready = {m for m in graph.keys() - done if graph[m] <= done | {m}}
            assert ready, f"imports run in a circle in thalweg/{package}: {graph.keys() - done}"
            done |= ready
