"""What follows what in a model: a graph of calls, by `torch.fx` or recorded while a batch runs through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from thalweg.kept import undisturbed, watched
from thalweg.model.activations import OPTIONS
from thalweg.model.layers import WEIGHTED
from thalweg.objective.nested import tensors_in

INPUT = "placeholder"
"""The label of what the model is given."""

Run = Callable[[nn.Module, Any], Any]
"""Runs a model on a batch."""

_ADDS = frozenset({"add", "add_", "iadd", "__add__", "__iadd__", "__radd__"})


@dataclass(frozen=True)
class Call:
    """One call: of a module with this name, or of a function, on the results of earlier calls.

    `within` is the module that makes it. Where a batch was recorded, `shapes` are those of the results, and
    `spent` what a counter said that the call took.
    """

    label: str
    module: str | None
    inputs: tuple[int, ...]
    options: Mapping[str, Any]
    within: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    spent: int = 0

    @property
    def is_sum(self) -> bool:
        """Whether two results are added."""
        return self.module is None and self.label in _ADDS and len(set(self.inputs)) > 1


@dataclass(frozen=True)
class CallGraph:
    """The calls of a model in order, and those whose results it returns."""

    calls: tuple[Call, ...]
    returned: tuple[int, ...]
    by: str
    """How it was found: "torch.fx" or "a batch"."""


def graph_of(
    model: nn.Module,
    x: Any = None,
    run: Run = nn.Module.__call__,
    counter: Callable[[], int] = lambda: 0,
) -> CallGraph | None:
    """Return the graph of a model; None where `torch.fx` cannot trace it and there is no batch.

    With a batch the calls are recorded while `run` runs it through, and `counter` is read after each: what
    it grew by is the call's `spent`. Without one the model is traced by `torch.fx`, which cannot follow a
    model that branches on values.
    """
    if x is not None:
        return _recorded(model, x, run, counter)
    try:
        return _traced(model)
    except Exception:  # whatever a user's forward does to a symbol
        return None


def is_whole(module: nn.Module) -> bool:
    """Whether a module is one call: a layer, or one of PyTorch's without parts.

    >>> is_whole(nn.Linear(1, 1)), is_whole(nn.Sequential(nn.Linear(1, 1)))
    (True, False)
    """
    if isinstance(module, WEIGHTED):
        return True
    own = type(module).__module__.startswith("torch.nn")
    return own and not any(module.children())


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_whole(m)


def trace_nodes(model: nn.Module) -> list[fx.Node]:
    """Return the calls of a model as `torch.fx` traces them; raises whatever a forward does to a symbol."""
    return list(_Tracer().trace(model).nodes)


def _traced(model: nn.Module) -> CallGraph:
    if is_whole(model):
        return CallGraph((Call(type(model).__name__, "", (), {}),), (0,), "torch.fx")
    place: dict[fx.Node, int] = {}
    calls: list[Call] = []
    returned: tuple[int, ...] = ()
    for node in trace_nodes(model):
        inputs = tuple(place[each] for each in node.all_input_nodes)
        if node.op == "output":
            returned = inputs
            continue
        module = str(node.target) if node.op == "call_module" else None
        options = dict(node.kwargs)
        if module is not None:
            label = type(model.get_submodule(module)).__name__
        elif node.op == "call_function":
            label, options = _function(node.target, node.args, options)
        else:
            label = str(node.target) if node.op == "call_method" else node.op
        place[node] = len(calls)
        calls.append(Call(label, module, inputs, options, _caller(node, module)))
    return CallGraph(tuple(calls), returned, "torch.fx")


def _caller(node: fx.Node, module: str | None) -> str:
    """Return the innermost module within which a node of `torch.fx` was made, itself left out."""
    stack = [str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return next((path for path in reversed(stack) if path != module), "")


def _function(function: Any, args: Any, kwargs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = str(getattr(function, "__name__", function))
    options = {k: v for k, v in kwargs.items() if k in OPTIONS and isinstance(v, (int, float, str))}
    if name.rstrip("_") == "leaky_relu" and len(args) > 1 and isinstance(args[1], (int, float)):
        options["negative_slope"] = args[1]
    return name, options


class Recorder(TorchFunctionMode):
    """Is told of each call, outside of other calls; a subclass says what it notes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.within = 0
        self.callers: list[str] = []
        self.has_begun = False

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        if not self.within:
            with torch._C.DisableTorchFunction():
                self.note_function(func, args, given, result)
        return result

    def note_inputs(self, given: Any) -> None:
        """Note what the model is given."""

    def note_module(self, module: nn.Module, name: str, args: Any, result: Any) -> None:
        """Note a call of a whole module."""

    def note_function(self, function: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Note a call of a function or method of tensors."""


def record(model: nn.Module, x: Any, run: Run, recorder: Recorder) -> Any:
    """Run a batch through a model in evaluation mode, and tell the recorder of each call; return the outputs.

    Modes, buffers and PyTorch's generators are put back.
    """
    names = {module: name for name, module in model.named_modules() if is_whole(module)}

    def enter(module: nn.Module, _: Any) -> None:
        recorder.within += 1

    def leave(module: nn.Module, args: Any, result: Any) -> None:
        recorder.within -= 1
        if not recorder.within:
            with torch._C.DisableTorchFunction():
                recorder.note_module(module, names[module], args, result)

    def begin(_: nn.Module, args: Any) -> None:
        if not recorder.has_begun:
            recorder.has_begun = True
            with torch._C.DisableTorchFunction():
                recorder.note_inputs(args)

    handles = [model.register_forward_pre_hook(begin)]
    handles += [module.register_forward_pre_hook(enter) for module in names]
    for name, module in model.named_modules():
        if module not in names:
            handles += [
                module.register_forward_pre_hook(
                    lambda *_, name=name: recorder.callers.append(name)
                ),
                module.register_forward_hook(lambda *_: _left(recorder.callers)),
            ]
    try:
        with undisturbed(model), watched(list(names), leave):
            model.eval()
            with recorder:
                return run(model, x)
    finally:
        for handle in handles:
            handle.remove()


def _left(callers: list[str]) -> None:
    """Forget the module that made the last calls; a hook must return nothing."""
    callers.pop()


class _Calls(Recorder):
    """Makes a graph of the calls."""

    def __init__(self, counter: Callable[[], int]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._counter, self._counted = counter, 0
        self._place: dict[int, int] = {}
        self._kept: list[Tensor] = []  # so that no address is used twice

    def note_inputs(self, given: Any) -> None:
        self._note(INPUT, None, (), given, {})

    def note_module(self, module: nn.Module, name: str, args: Any, result: Any) -> None:
        self._note(type(module).__name__, name, args, result, {})

    def note_function(self, function: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        label, options = _function(function, args, kwargs)
        self._note(label, None, (args, kwargs), result, options)

    def _note(
        self, label: str, module: str | None, given: Any, result: Any, options: Mapping[str, Any]
    ) -> None:
        inputs = self.places(given)
        made = list(tensors_in(result))
        if not made or not (inputs or module is not None or label == INPUT):
            return
        for tensor in made:
            self._place[id(tensor)] = len(self.calls)
            self._kept.append(tensor)
        caller = self.callers[-1] if self.callers else ""
        shapes = tuple(tuple(tensor.shape) for tensor in made)
        count = self._counter()
        spent, self._counted = count - self._counted, count
        self.calls.append(Call(label, module, inputs, options, caller, shapes, spent))

    def places(self, value: Any) -> tuple[int, ...]:
        with torch._C.DisableTorchFunction():
            found = (self._place.get(id(tensor)) for tensor in tensors_in(value))
            return tuple(dict.fromkeys(place for place in found if place is not None))


def _recorded(model: nn.Module, x: Any, run: Run, counter: Callable[[], int]) -> CallGraph:
    calls = _Calls(counter)
    returned = record(model, x, run, calls)
    return CallGraph(tuple(calls.calls), calls.places(returned), "a batch")


def followers(graph: CallGraph) -> list[list[int]]:
    """Return, for each call, those that take its result."""
    found: list[list[int]] = [[] for _ in graph.calls]
    for place, call in enumerate(graph.calls):
        for before in call.inputs:
            found[before].append(place)
    return found


def ancestors(graph: CallGraph) -> list[frozenset[int]]:
    """Return, for each call, all calls that its result depends on."""
    found: list[frozenset[int]] = []
    for call in graph.calls:
        found.append(frozenset(call.inputs).union(*(found[i] for i in call.inputs)))
    return found
