"""The house has floors: a module imports from its own package or from floors below, never above."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.import_graph import circles, import_graph, lines_of, longest_chain

PACKAGE = Path(__file__).parent.parent / "thalweg"

FLOORS = {
    "errors": 0,
    "version": 0,
    "files": 0,
    "numeric": 0,
    "hashing": 0,
    "generators": 0,
    "whole": 1,
    "kept": 0,
    "text_table": 0,
    "reading": 1,
    "schedules": 1,
    "statistics": 1,
    "engine": 1,
    "objective": 1,
    "model": 2,
    "curvature": 2,
    "report": 2,
    "rules": 2,
    "solvers": 2,
    "init": 3,
    "optim": 3,
    "tasks": 4,
    "meta": 4,
    "train": 5,
    "testing": 5,
    "doctor": 6,
    "landscape": 6,
    "movies": 6,
    "network": 6,
    "strategies": 6,
    "race": 6,
    "labs": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 9,
}
LONGEST = 18
"""Modules in the longest chain of imports."""
MOST_MODULES = 20
"""Modules in one folder, those of its subfolders aside."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def home(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def imports(module: Path) -> list[tuple[int, str]]:
    """Return (line, imported name) of every import of this package."""
    return [(line, name) for line, name in lines_of(module) if name.split(".")[0] == "thalweg"]


def test_every_part_of_the_house_has_a_floor() -> None:
    assert {home(module) for module in MODULES} == set(FLOORS)


def test_the_table_of_floors_in_the_documents_is_this_one() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (`[^|]+`) \|", page, re.MULTILINE)
    shown = {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert shown == {name: floor for name, floor in FLOORS.items() if not name.startswith("__")}


def test_a_folder_holds_no_more_modules_than_one_can_survey() -> None:
    modules = Counter(module.parent for module in MODULES if module.name != "__init__.py")
    assert {str(folder): n for folder, n in modules.items() if n > MOST_MODULES} == {}


def test_every_folder_of_modules_is_a_package_that_says_what_it_holds() -> None:
    for folder in {module.parent for module in MODULES}:
        face = folder / "__init__.py"
        assert face.exists(), folder
        assert ast.get_docstring(tree(face)), folder


def upwards(module: Path) -> Iterator[str]:
    """Yield the imports of a module that are not from floors below."""
    own = home(module)
    for line, name in imports(module):
        parts = name.split(".")
        imported = parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"
        if imported == own:
            continue
        if imported == "__init__" and own in ("race", "cli") and parts[-1] == "__version__":
            continue
        if FLOORS[imported] >= FLOORS[own]:
            yield (
                f"{module.relative_to(PACKAGE)}:{line} (floor {FLOORS[own]}) imports {name} "
                f"(floor {FLOORS[imported]})"
            )


def test_imports_run_one_way() -> None:
    wrong = [each for module in MODULES for each in upwards(module)]
    assert not wrong, "\n".join(wrong)


def test_no_imports_run_in_a_circle() -> None:
    """Those for types and those within functions counted."""
    assert circles(import_graph()) == []


def test_no_chain_of_imports_is_longer_than_one_can_follow() -> None:
    chain = longest_chain(import_graph())
    assert len(chain) <= LONGEST, "\n".join(chain)


def test_the_graph_follows_faces_types_and_functions(tmp_path: Path) -> None:
    package = tmp_path / "thalweg"
    (package / "part").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "part/__init__.py": "from thalweg.part.deep import thing",
        "part/deep.py": "def f():\n    from thalweg.low import other",
        "low.py": "import torch\nthing = other = 1",
        "top.py": "if TYPE_CHECKING:\n    from thalweg.part import thing",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    graph = import_graph(package)
    assert longest_chain(graph) == ["thalweg.top", "thalweg.part.deep", "thalweg.low"]
    assert circles(graph) == []
    (package / "low.py").write_text("from thalweg.top import other")
    lines_of.cache_clear()
    assert circles(import_graph(package)) == [["thalweg.low", "thalweg.part.deep", "thalweg.top"]]


def children(package: Path) -> dict[str, list[Path]]:
    """Return the modules of a package by name; a package in it stands for all of its own."""
    found = {module.stem: [module] for module in package.glob("*.py") if module.stem != "__init__"}
    for inner in package.iterdir():
        if (inner / "__init__.py").exists():
            found[inner.name] = sorted(inner.rglob("*.py"))
    return found


@pytest.mark.parametrize(
    "package",
    sorted({module.parent for module in MODULES} - {PACKAGE}),
    ids=lambda package: str(package.relative_to(PACKAGE)),
)
def test_imports_within_a_package_run_in_no_circle(package: Path) -> None:
    """Those under TYPE_CHECKING and in functions aside."""
    prefix = ".".join(("thalweg", *package.relative_to(PACKAGE).parts, ""))
    modules = children(package)
    graph: dict[str, set[str]] = {}
    for name, files in modules.items():
        imported = {
            node.module
            for file in files
            for node in tree(file).body
            if isinstance(node, ast.ImportFrom) and node.module is not None
        }
        within = {m.removeprefix(prefix).split(".")[0] for m in imported if m.startswith(prefix)}
        graph[name] = (within & modules.keys()) - {name}
    done: set[str] = set()
    while graph.keys() - done:
        ready = {m for m in graph.keys() - done if graph[m] <= done}
        assert ready, f"imports run in a circle in {package}: {graph.keys() - done}"
        done |= ready
