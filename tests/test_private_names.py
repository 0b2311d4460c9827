"""Which private names of other packages are used, and why: any of their releases may change them."""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import thalweg

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "thalweg"


@cache
def optimizer() -> torch.optim.Optimizer:
    """Return an optimizer that was stepped under a scheduler."""
    p = nn.Parameter(torch.ones(1))
    made = torch.optim.SGD([p], lr=0.1)
    torch.optim.lr_scheduler.ConstantLR(made)
    p.grad = torch.ones(1)
    made.step()
    return made


def module(name: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(name)


HOOKS_OF_OPTIMIZER = "a step and a state dict of ours run the hooks that PyTorch's would run"
HOOKS_OF_MODULE = "a layer with hooks is not replaced by a batched product"
LISTS = "one call for many tensors, of which torch.optim has no other either"
PRIVATE: dict[str, tuple[str, Callable[[], Any], str]] = {
    # name: (package, what has it, why it is used)
    "_global_optimizer_pre_hooks": ("torch", module("torch.optim.optimizer"), HOOKS_OF_OPTIMIZER),
    "_C": ("torch", module("torch"), "where C functions are found that tell of a tensor"),
    "_compiled_call_impl": ("torch", nn.Module, "whether a module was compiled in place"),
    "_cdata": (
        "torch",
        lambda: torch.ones(1),
        "the C++ tensor, by which those functions are tried",
    ),
    "_global_optimizer_post_hooks": ("torch", module("torch.optim.optimizer"), HOOKS_OF_OPTIMIZER),
    "_optimizer_step_pre_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_optimizer_step_post_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_optimizer_state_dict_pre_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_optimizer_state_dict_post_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_optimizer_load_state_dict_pre_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_optimizer_load_state_dict_post_hooks": ("torch", optimizer, HOOKS_OF_OPTIMIZER),
    "_zero_grad_profile_name": (
        "torch",
        optimizer,
        "set on an instance, so a wrapper keeps its own",
    ),
    "_opt_called": ("torch", optimizer, "schedulers set it on the instance that they patch"),
    "_is_profiler_enabled": (
        "torch",
        module("torch.autograd.profiler"),
        "a step has a name in profiles, at no cost without one",
    ),
    "_is_view": ("torch", lambda: torch.ones(1), "a step number is a view of the numbers kept"),
    "_is_zerotensor": ("torch", lambda: torch.ones(1), "a gradient of zeros may have no memory"),
    "_version": ("torch", lambda: torch.ones(1), "whether user code changed a tensor in place"),
    "_forward_hooks": ("torch", nn.Module, HOOKS_OF_MODULE),
    "_forward_pre_hooks": ("torch", nn.Module, HOOKS_OF_MODULE),
    "_backward_hooks": ("torch", nn.Module, HOOKS_OF_MODULE),
    "_backward_pre_hooks": ("torch", nn.Module, HOOKS_OF_MODULE),
    "_BatchNorm": ("torch", module("torch.nn.modules.batchnorm"), "all batch norms have this base"),
    "_NormBase": ("torch", module("torch.nn.modules.batchnorm"), "instance norms, too"),
    "_schema": ("torch", lambda: torch.ops.aten.add.Tensor, "the name of a random operation"),
    "_overloadname": ("torch", lambda: torch.ops.aten.add.Tensor, "which of its forms it is"),
    "_python_dispatch": ("torch", module("torch.utils"), "noise is drawn below vmap"),
    "_pytree": ("torch", module("torch.utils"), "the tensors in what a model returns"),
    "_iterator": (
        "torch",
        lambda: torch.utils.data.DataLoader([1]),
        "workers that persist would go on with the data of another run",
    ),
    "_reduction": ("torch", module("torch.nn"), "how a loss was told to reduce, in the old words"),
    "_foreach_add": ("torch", module("torch"), LISTS),
    "_foreach_add_": ("torch", module("torch"), LISTS),
    "_foreach_copy_": ("torch", module("torch"), LISTS),
    "_foreach_mul_": ("torch", module("torch"), LISTS),
    "_foreach_norm": ("torch", module("torch"), LISTS),
    "_foreach_sub_": ("torch", module("torch"), LISTS),
    "_rand": ("numpy", module("numpy.random.mtrand"), "the global generator is kept and put back"),
    "_bit_generator": ("numpy", np.random.RandomState, "a legacy generator over bits of any kind"),
    "_make": ("python", lambda: NamedTuple("Pair", [("a", int)]), "a named tuple is made again"),
    "_exit": ("python", module("os"), "a forked child ends without its parent's clean-up"),
    "_getframe": ("python", module("sys"), "the module in which an optimizer is named"),
}
UNDOCUMENTED: dict[str, tuple[str, Callable[[], Any], str]] = {
    "profile_hook_step": ("torch", lambda: torch.optim.Optimizer, "hooks and profiles of a step"),
    "increment_version": ("torch", module("torch.autograd.graph"), "kernels write behind autograd"),
    "map_aggregate": ("torch", module("torch.fx.node"), "the operands of a traced call"),
    "map_arg": ("torch", module("torch.fx.node"), "the operands of a traced call"),
    "GraphAppendingTracer": ("torch", module("torch.fx.proxy"), "a rule is traced by it"),
    "create_arg": ("torch", lambda: torch.fx.Tracer, "numbers of NumPy become Python's"),
    "has_torch_function_unary": ("torch", module("torch.overrides"), "reductions take symbols"),
    "is_lazy": ("torch", module("torch.nn.parameter"), "a layer without a shape yet"),
    "default_generator": ("torch", lambda: torch, "its state is kept and put back"),
    "GOMP_parallel": ("torch", lambda: ctypes.CDLL(None), "its OpenMP threads run kernels"),
    "ObjectFileRef": (
        "llvmlite",
        module("llvmlite.binding"),
        "ctypes reads its pointer, which is null where LLVM cannot read the file",
    ),
    "llvm_version_info": ("llvmlite", module("llvmlite.binding"), "other code of another LLVM"),
}


OVERRIDDEN = {("Wrapper", "_patch_step_function")}
"""Meant: what goes around PyTorch's patch of a step, and what goes inside."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


@cache
def trees() -> dict[str, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    gc.disable()  # or it goes through all nodes again and again while they become more
    try:
        return {str(f.relative_to(ROOT)): ast.parse(f.read_text(encoding="utf-8")) for f in files}
    finally:
        gc.enable()


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Return every node of every file."""
    return [(file, node) for file, tree in trees().items() for node in ast.walk(tree)]


@cache
def own_names() -> frozenset[str]:
    """Return every name that this package itself gives to something."""
    found = set()
    for _, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            found.add(node.attr)
    return frozenset(found)


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node takes from elsewhere; of texts, those that PyTorch's objects have."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (*node.module.split("."), *(alias.name for alias in node.names))
    elif isinstance(node, ast.Import):
        yield from (part for alias in node.names for part in alias.name.split("."))
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_theirs(node.value):
        yield node.value


def is_theirs(name: str) -> bool:
    """Whether a text is the private name of something that PyTorch's objects have."""
    if not is_private(name):
        return False
    return any(hasattr(x, name) for x in (optimizer(), nn.Module(), torch.ones(1)))


@cache
def used() -> dict[str, set[str]]:
    """Return where each name is used."""
    found: dict[str, set[str]] = {}
    for file, node in nodes():
        for name in names_in(node):
            found.setdefault(name, set()).add(file)
    return found


def test_every_private_name_in_use_is_listed() -> None:
    foreign = {n: sorted(f) for n, f in used().items() if is_private(n) and n not in own_names()}
    unlisted = {n: f for n, f in foreign.items() if n not in PRIVATE}
    assert not unlisted, (
        f"private names of other packages: {unlisted}. Do without them, or add them to PRIVATE"
    )


@pytest.mark.full
@pytest.mark.parametrize("name", [*PRIVATE, *UNDOCUMENTED])
def test_every_listed_name_is_used(name: str) -> None:
    methods = {node.name for _, node in nodes() if isinstance(node, ast.FunctionDef)}
    assert name in used() or name in methods, f"{name} is not used any more: take it off the list"


@pytest.mark.parametrize("name", [*PRIVATE, *UNDOCUMENTED])
def test_every_listed_name_exists(name: str) -> None:
    package, holder, why = {**PRIVATE, **UNDOCUMENTED}[name]
    if name == "GOMP_parallel" and sys.platform != "linux":
        pytest.skip("a pool of threads is used where it is missing")
    assert hasattr(holder(), name), f"this version of {package} has no {name} ({why})"


def subclasses(cls: type) -> Iterator[type]:
    for below in cls.__subclasses__():
        yield below
        yield from subclasses(below)


def test_no_private_name_of_a_base_is_overridden_unseen() -> None:
    """A private method of ours that PyTorch comes to use, too, would be called by it."""
    from thalweg.engine.language.trace import RuleTracer, Symbol

    assert thalweg.optim.Adam
    ours = [c for c in subclasses(torch.optim.Optimizer) if c.__module__.startswith("thalweg")]
    taken = {
        (cls.__name__, name)
        for cls in (*ours, RuleTracer, Symbol)
        for name in vars(cls)
        if is_private(name) and name not in PRIVATE and not name.startswith("_abc_")
        for base in cls.__mro__
        if not base.__module__.startswith(("thalweg", "tests")) and name in vars(base)
    }
    assert not taken - OVERRIDDEN


def requirement(package: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (found,) = [x for x in project["dependencies"] if re.match(rf"{package}\b", x)]
    return str(found)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(x) for x in re.findall(r"\d+", version.split("+")[0])[:2])


@pytest.mark.parametrize("package", ["torch", "llvmlite"])
def test_packages_whose_private_names_are_used_have_bounds(package: str) -> None:
    """The next minor release is tried before it is allowed.

    Not of NumPy: its two names are older than any version allowed, and scikit-learn uses the first, too.
    """
    listed = {package for package, _, _ in (*PRIVATE.values(), *UNDOCUMENTED.values())}
    assert listed == {"torch", "llvmlite", "numpy", "python"}
    bounds = re.fullmatch(rf"{package}>=([\d.]+),<([\d.]+)", requirement(package))
    assert bounds, f"{requirement(package)} needs a lower and an upper bound"
    low, high = map(numbers, bounds.groups())
    installed = numbers(importlib.metadata.version(package))
    tested = next(
        line.split("==")[1]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"{package}==")
    )
    assert low <= installed < high
    assert high == (numbers(tested)[0], numbers(tested)[1] + 1)
