"""A model as a sequence of parts, each with layers of its own: what greedy pretraining trains one by one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from thalweg.errors import TaskError
from thalweg.kept import attributes_kept
from thalweg.model.graph import is_whole, trace_nodes
from thalweg.objective.blame import blame
from thalweg.strategies.layers import WEIGHTED


def parts_of(model: nn.Module) -> nn.Sequential:
    """Return a model as a sequence whose parts are, or share, its own layers.

    An nn.Sequential of layers is one already. Of another model the calls are traced by `torch.fx`, and cut
    where all that is computed so far goes on in one tensor, before the next linear or convolutional layer: a
    residual block, whose input goes on beside its layers, is one part.

    Raises:
        TaskError: for a model that cannot be traced.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.a, self.b, self.c = (nn.Linear(2, 2) for _ in range(3))
    ...
    ...     def forward(self, x):
    ...         x = self.a(x).relu()
    ...         return self.c(x + self.b(x))
    >>> [sorted(dict(part.named_parameters())) for part in parts_of(Net())]
    [['a.bias', 'a.weight'], ['b.bias', 'b.weight'], ['bias', 'weight']]
    """
    if isinstance(model, nn.Sequential) and all(map(is_whole, model)):
        return model
    if is_whole(model):
        return nn.Sequential(model)
    nodes = _traced(model)
    given = next(node for node in nodes if node.op == "placeholder")
    parts = []
    for piece in _cut(model, nodes):
        parts.append(_part(model, given, piece))
        given = piece[-1]
    return nn.Sequential(*parts)


def has_weights(layer: nn.Module) -> bool:
    """Whether there is a linear or convolutional layer in it."""
    return any(isinstance(each, WEIGHTED) for each in layer.modules())


def _traced(model: nn.Module) -> list[fx.Node]:
    try:
        with attributes_kept(model):  # what a forward stores in its module would be a symbol
            return trace_nodes(model)
    except Exception as error:  # whatever a user's forward does to a symbol
        raise TaskError(
            f"Greedy pretraining follows the calls of a model by torch.fx, which cannot trace this "
            f"{type(model).__name__}. {blame(error)} Write it as an nn.Sequential, or so that its forward "
            "pass does not branch on values."
        ) from error


def _cut(model: nn.Module, nodes: Sequence[fx.Node]) -> list[list[fx.Node]]:
    """Return the calls in pieces, each with a weighted layer and ending in the one tensor that goes on."""
    pieces: list[list[fx.Node]] = []
    waiting: list[fx.Node] = []
    open_until: dict[fx.Node, int] = {}
    place = {node: k for k, node in enumerate(nodes)}
    for k, node in enumerate(nodes):
        if node.op == "output":
            break
        if node.op != "placeholder":
            waiting.append(node)
        if node.users:
            open_until[node] = max(place[user] for user in node.users)
        goes_on = [each for each, last in open_until.items() if last > k]
        if goes_on != [node] or not waiting:
            continue
        if not pieces or (_is_weighted(model, waiting) and _is_weighted(model, pieces[-1])):
            pieces.append(waiting)
        else:
            pieces[-1] += waiting
        waiting = []
    return pieces


def _is_weighted(model: nn.Module, nodes: Sequence[fx.Node]) -> bool:
    modules = (str(node.target) for node in nodes if node.op == "call_module")
    return any(has_weights(model.get_submodule(name)) for name in modules)


def _part(model: nn.Module, given: fx.Node, nodes: Sequence[fx.Node]) -> nn.Module:
    """Return what computes these calls: the layer itself where it is one, else a graph of layers."""
    last = nodes[-1]
    if len(nodes) == 1 and last.op == "call_module":
        return model.get_submodule(str(last.target))
    graph = fx.Graph()
    copies = {given: graph.placeholder("x")}
    for node in nodes:
        copies[node] = graph.node_copy(node, lambda each: copies[each])
        if "training" in node.kwargs:  # a mode that was read when the model was traced
            with graph.inserting_before(copies[node]):
                mode = graph.create_node("get_attr", "training")
            copies[node].update_kwarg("training", mode)
    graph.output(copies[last])
    return fx.GraphModule(model, graph)
