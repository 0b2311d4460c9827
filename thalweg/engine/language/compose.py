"""Compose the rules of a chain: run them once on symbols, in order, and lower what they did to a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from torch import fx

from thalweg.engine.language.elementwise import ELEMENTWISE
from thalweg.engine.language.lower import Lowering
from thalweg.engine.language.places import (
    RulePlace,
    matrix_states_of,
    name_places,
    scalar_states_of,
    scalars_of,
    states_of,
)
from thalweg.engine.language.rule import GIVEN, Link, Rule, is_switch, refuse
from thalweg.engine.language.trace import ContractError, RuleTracer
from thalweg.engine.matrix.function import result_of
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.reductions import columns, rows
from thalweg.engine.program.shapes import NUMBER, Seen, Shape, ShapeError, text_of, with_block_size
from thalweg.errors import RuleError, sentence
from thalweg.numeric import plural

_programs: dict[tuple[tuple[Rule, ...], tuple[tuple[str, Any], ...]], Program] = {}


def program_of(
    places: Sequence[RulePlace], switches: Mapping[str, Any], label: Callable[[], str]
) -> Program:
    """Return the program of rules in a chain with its switches set, composed once.

    `label` tells what several rules are called together in messages.
    """
    key = (tuple(place.rule for place in places), tuple(switches.items()))
    if key not in _programs:
        called = places[0].rule.where if len(places) == 1 else label()
        _programs[key] = _compose(places, switches, called)
    return _programs[key]


def check_link(link: Link) -> None:
    """Trace a rule alone, with its switches set, so that a broken contract shows where it is defined."""
    switches = {n: v for n, v in link.values.items() if is_switch(v)}
    program_of(name_places([link.rule]), switches, link.__repr__)


def _compose(places: Sequence[RulePlace], switches: Mapping[str, Any], label: str) -> Program:
    """Compose the rules.

    A scalar state that is computed from a reduction is known only once the reduction is; this shows when the
    chain has been traced, which is then done again with that state as an input of its own level.
    """
    reduced: frozenset[str] = frozenset()
    while True:
        program, found = _Composition(places, switches, reduced, label).compose()
        if found == reduced:
            return program
        reduced = found


class _Composition:
    """One way through the chain."""

    def __init__(
        self,
        places: Sequence[RulePlace],
        switches: Mapping[str, Any],
        reduced: frozenset[str],
        label: str,
    ) -> None:
        self.places, self.switches, self.reduced, self.label = places, switches, reduced, label
        self.states, self.scalar_states = states_of(places), scalar_states_of(places)
        self.tracer = RuleTracer(fx.Graph())
        self.builder = b = Builder()
        self.lowering = Lowering(b, {}, ELEMENTWISE)
        names = ("g", "p", *(f"state {s}" for s in self.states))
        self.tensors = {n: self._symbol(n, b.tensor(n)) for n in names}
        self.matrix_states = self._shapes()
        self.tensors_of_matrices = {
            n: self._symbol(f"state {n}", b.matrix_state(n, shape))
            for n, shape in self.matrix_states.items()
        }
        self.seen: dict[Seen, str] = {}
        scalars = [n for n in scalars_of(places) if n not in reduced]
        self.scalars = {n: self._symbol(n, b.scalar(n)) for n in scalars}
        # in the order of the chain, which is the same on every run, as the text of a kernel must be
        numbers = [n for n in self.scalar_states if n in reduced]
        self.numbers = {n: self._symbol(n, b.leaf("number", n)) for n in numbers}
        self.gradient: Any = self.tensors["g"]
        self.new: dict[str, Any] = {}

    def _shapes(self) -> dict[str, Shape]:
        """Return the shapes of states of other shapes; those for blocks, with the size of a block."""
        try:
            return {
                name: with_block_size(shape, self.switches.get(place.names.get("block_size", "")))
                for place in self.places
                for name, shape in matrix_states_of([place]).items()
            }
        except ShapeError as error:
            return refuse(self.label, str(error))

    def _symbol(self, name: str, value: Value) -> Any:
        made = self.tracer.symbol(name.replace(".", "_"))
        self.lowering.bind(made.node, value)
        return made

    def compose(self) -> tuple[Program, frozenset[str]]:
        """Return the program, and the scalar states that are computed from reductions."""
        try:
            moved = self._run()
            states = tuple(self._elements(self.new[s]) for s in self.states)
            matrices = {s: self.lowering.value(self.new[s]) for s in self.matrix_states}
            for name, value in matrices.items():
                _must_have_shape(name, value, self.matrix_states[name])
            kept = {s: self.lowering.value(self.new[s]) for s in self.scalar_states}
            for name, value in kept.items():
                _must_be_number(name, value)
        except (ContractError, ShapeError) as error:
            refuse(self.label, str(error))
        if len(self.seen) > 1:
            refuse(
                self.label,
                f"{' and '.join(self.seen.values())} see a tensor as different matrices (matrices='first' "
                "and 'last'), which the rules of one chain cannot",
            )
        found = {s for s, v in kept.items() if v.level == Level.REDUCED}
        program = Program(
            tuple(self.tensors),
            tuple(self.scalars),
            (moved, *states),
            {s: v for s, v in kept.items() if s not in self.reduced},
            {s: v for s, v in kept.items() if s in self.reduced},
            tuple(self.builder.values),
            self.label,
            self.matrix_states,
            matrices,
            next(iter(self.seen), "first"),
        )
        return program, self.reduced | found

    def _run(self) -> Value:
        """Call the rules; return the new parameter."""
        update: Any = self.tensors["g"]
        point: Any = None
        inside, at_head = False, True
        for place in self.places:
            kind = place.rule.kind
            if kind.after_step and point is None:
                point = self._symbol("point", self._step(update, inside))
            if kind.after_step:
                point = self._call(place, point)
            else:
                update = self._call(place, update)
            inside |= kind.lr_inside
            at_head &= kind.of_gradient
            if at_head:
                self.gradient = update
        return self._step(update, inside) if point is None else self._elements(point)

    def _elements(self, x: Any) -> Value:
        """Return the value of something that has the shape of the parameter."""
        return self.builder.elements(self.lowering.value(x))

    def _step(self, update: Any, inside: bool) -> Value:
        """Return where the step leads: p − lr·update, or p − update."""
        step = self.lowering.value(update)
        if not inside:
            step = self.builder.apply("mul", self.lowering.value(self.scalars["lr"]), step)
        return self.builder.apply("sub", self.lowering.value(self.tensors["p"]), step)

    def _call(self, place: RulePlace, update: Any) -> Any:
        """Call one rule; keep its new states, and return its update."""
        made, names = place.rule, place.names
        signature = made.signature
        known = {s: self.tensors[f"state {names[s]}"] for s in signature.states}
        known |= {s: self.tensors_of_matrices[names[s]] for s in signature.matrix_states}
        known |= {s: self._scalar(names[s]) for s in signature.scalar_states}
        known |= {"p": self.tensors["p"], "gradient": self.gradient}
        arguments = [update, *(known[a] for a in signature.arguments[1:])]
        keywords = {
            name: self._scalar(name if name in GIVEN else names[name]) for name in signature.scalars
        }
        before = len(self.tracer.graph.nodes)
        returned = _returned(made, arguments, keywords)
        calls = list(self.tracer.graph.nodes)[before:]
        if signature.matrix_states or any(map(_sees_matrices, calls)):
            self.seen.setdefault(_sees(made, keywords), made.name)
        self.new |= {
            names[s]: value for s, value in zip(signature.returned, returned[1:], strict=True)
        }
        return returned[0]

    def _scalar(self, name: str) -> Any:
        if name in self.switches:
            return self.switches[name]
        return self.numbers[name] if name in self.reduced else self.scalars[name]


def _must_be_number(name: str, value: Value) -> None:
    if value.level >= Level.MATRIX:
        raise ContractError(
            f"its scalar state `{name}` is computed element by element. A `Scalar` state may depend on "
            "hyperparameters, t, lr, other scalar states and reductions (norm, total, …); make it a tensor "
            "state instead"
        )
    if value.by_unit:
        raise ContractError(
            f"its scalar state `{name}` depends on a reduction with scope='unit', which is not one number "
            "for a tensor. Reduce it further, with scope='tensor', or make it a tensor state"
        )


def _must_have_shape(name: str, value: Value, shape: Shape) -> None:
    if value.level == Level.TENSOR or value.by_unit:
        raise ContractError(
            f"its state `{name}` of {text_of(shape)} is computed element by element. Use a matrix function "
            "that gives that shape, such as gram or mean_of_rows"
        )
    if value.level < Level.MATRIX and value.op != "constant":
        raise ContractError(
            f"its state `{name}` of {text_of(shape)} is one number for the whole tensor. Make it a `Scalar`"
        )
    found = value.shape or NUMBER
    if any(have not in ("1", wanted) for have, wanted in zip(found, shape, strict=True)):
        raise ContractError(
            f"its state `{name}` of {text_of(shape)} is computed as {text_of(found)}"
        )


def _sees(made: Rule, keywords: Mapping[str, Any]) -> Seen:
    """Return how a rule sees a tensor as a matrix: as its switch `matrices` says, if it has one."""
    asked = keywords.get("matrices", made.kind.matrices)
    if asked in get_args(Seen):
        return cast(Seen, asked)
    return refuse(made.where, f"its switch matrices={asked!r} must be 'first' or 'last'")


def _sees_matrices(call: fx.Node) -> bool:
    return result_of(call.target) is not None or call.target in (rows, columns)


def _returned(made: Rule, arguments: list[Any], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
    """Run a rule on symbols; return its update and new states."""
    try:
        result = made.function(*arguments, **keywords)
    except ContractError as error:
        refuse(made.where, str(error))
    except RuleError:
        raise
    except Exception as error:
        raise RuleError(
            f"{made.where}: it failed while it was traced: {type(error).__name__}: {sentence(error)} "
            "A rule is run "
            "once on symbols; it may use arithmetic, comparisons, torch's elementwise functions and the "
            "reductions norm, mean, total, largest."
        ) from error
    returned = result if isinstance(result, tuple) else (result,)
    wanted = made.signature.returned
    if len(returned) != 1 + len(wanted):
        first = (
            "the point where the parameter goes" if made.kind.after_step else "the outgoing update"
        )
        names = ", ".join(("point" if made.kind.after_step else "update", *wanted))
        refuse(
            made.where,
            f"it returns {plural(len(returned), 'value')}, expected "
            f"{1 + len(wanted)}: {first}, then the new value of each state, in the order of the signature: "
            f"return {names}",
        )
    return returned
