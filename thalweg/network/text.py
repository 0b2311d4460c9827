"""A model's graph as text: a tree of modules with a line for each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.network.shown import amount, shades, shape_words
from thalweg.text_table import aligned


def tree_lines(record: Mapping[str, Any]) -> list[str]:
    """Return a table of the nodes, indented by the modules that they lie in; × says how often one comes."""
    known = shades(record)
    extra = [key for key in ("gradient", "ratio") if key in known]
    heads = ("node", "kind", "result", "parameters", "FLOPs", *_heads(extra))
    rows: list[tuple[str, ...]] = []
    open_modules: list[str] = []
    for place, node in enumerate(record["nodes"]):
        path = _path(node)
        shared = 0
        while shared < min(len(path), len(open_modules)) and path[shared] == open_modules[shared]:
            shared += 1
        rows += [
            ("  " * depth + path[depth], *[""] * (len(heads) - 1))
            for depth in range(shared, len(path))
        ]
        open_modules = path
        many = f" × {node['repeats']}" if node["repeats"] > 1 else ""
        own = node["name"].rpartition(".")[2] if node["name"] else node["label"]
        rows.append(
            (
                "  " * len(path) + own + many,
                node["label"] if node["name"] else "",
                shape_words(node, record["rows"]),
                amount(node["parameters"]) if node["parameters"] else "",
                amount(node["flops"]) if node["flops"] else "",
                *("" if (s := known[key][place]) is None else s.words for key in extra),
            )
        )
    return aligned(heads, rows)


def _path(node: Mapping[str, Any]) -> list[str]:
    """Return the modules that a node lies in, from the outside."""
    if node["name"] in ("", "(the model)"):
        return str(node["within"]).split(".") if node["within"] else []
    return str(node["name"]).split(".")[:-1]


def _heads(extra: Sequence[str]) -> list[str]:
    return [{"gradient": "gradient norm", "ratio": "update / weight"}[key] for key in extra]
