"""The graph of imports within the package: its circles, and its longest chain.

    python tests/import_graph.py        print both

Every import counts, those within functions and those for types alone too: a reader has to follow them all. An
import from the face of a package (`from thalweg.engine import rule`) is followed to the file behind it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "thalweg"

Graph = Mapping[str, frozenset[str]]
"""For each module, those that it imports."""


def import_graph(package: Path = PACKAGE) -> Graph:
    """Return the graph of a package, its faces left out."""
    modules = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return {
        module: frozenset(
            found
            for name in imports_of(path)
            if (found := _home(name, modules)) not in (None, module)
        )
        for module, path in modules.items()
        if path.name != "__init__.py"
    }


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, however indirectly."""
    return [sorted(group) for group in _groups(graph) if len(group) > 1]


def longest_chain(graph: Graph) -> list[str]:
    """Return modules each of which imports the next, as many as there are; a circle counts once."""
    groups = _groups(graph)
    group_of = {module: k for k, group in enumerate(groups) for module in group}

    @cache
    def longest_from(k: int) -> tuple[int, ...]:
        below = {group_of[m] for module in groups[k] for m in graph[module] if m in group_of}
        return (k, *max((longest_from(b) for b in below - {k}), key=len, default=()))

    chain = max(map(longest_from, range(len(groups))), key=len)
    return [", ".join(sorted(groups[k])) for k in chain]


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the whole names of what a file imports."""
    return (name for _, name in lines_of(path))


@cache
def lines_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Return the line and the whole name of everything that a file imports, inside functions too."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(found)


def _home(name: str, modules: Mapping[str, Path]) -> str | None:
    """Return the module in which an imported name is defined, or None where it is not of the package."""
    if name in modules:
        return name
    package, _, own = name.rpartition(".")
    if package not in modules:
        return None
    if modules[package].name == "__init__.py":
        for given in imports_of(modules[package]):
            source, _, imported = given.rpartition(".")
            if imported == own and given != name:
                return _home(given, modules)
            if (
                imported == "*"
                and source in modules
                and own in _defined(modules[source]) - {"__all__"}
            ):
                return source
    return package


@cache
def _defined(path: Path) -> frozenset[str]:
    """Return the names that a file defines at its top level."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def _groups(graph: Graph) -> list[set[str]]:
    """Return the strongly connected components (Tarjan 1972), those that import nothing first."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module] & graph.keys()):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            cut = stack.index(module)
            groups.append(set(stack[cut:]))
            del stack[cut:]

    for module in graph:
        if module not in index:
            visit(module)
    return groups


def _report() -> Iterator[str]:
    graph = import_graph()
    found = circles(graph)
    yield f"{len(graph)} modules, {sum(map(len, found))} of them in circles"
    yield from (" ↔ ".join(group) for group in found)
    chain = longest_chain(graph)
    yield f"longest chain: {len(chain)}"
    yield from (f"  {module}" for module in chain)


if __name__ == "__main__":
    sys.stdout.write("\n".join(_report()) + "\n")
