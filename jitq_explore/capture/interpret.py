"""Runs a method's flattened graph node by node: `run_of`.

torch runs a graph whole and shows nothing of what is in between; hooks see modules, not ops, and
extra outputs keep every activation alive at once. Here a run is a generator: it yields what each
node made, keeps a value only until its last use, and several runs can be advanced in turn.

Nodes and values go by the ids and names of `Snapshot.graph()`. Observers hand on what they are
given and are not fed; attributes of the model are never written, nor changed in place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch

from jitq_explore.snapshots.graph import OBSERVE, Node

if TYPE_CHECKING:
    from jitq_explore.capture.program import Program

Rounds: TypeAlias = tuple[int, ...]
"""In which round of each enclosing loop, outermost first."""


class Event(NamedTuple):
    """What a run has just done.

    `names` and `values` are what the node made, or, where a round of a loop begins, what its block
    is given. `taken` is for an If the number of the branch that comes next, and when a Loop ends
    the rounds that it made.
    """

    node: Node
    rounds: Rounds
    names: tuple[str, ...]
    values: tuple[Any, ...]
    taken: int | None = None
    ended: bool = True


Run: TypeAlias = Generator[Event, None, tuple[Any, ...]]


class InterpreterError(RuntimeError):
    """A node that failed, with where it is; the cause is torch's own error."""

    def __init__(self, node: Node, error: BaseException) -> None:
        place = f" of module {node.module_path!r}" if node.module_path else ""
        line = f", {node.source}" if node.source else ""
        first = next(iter(str(error).strip().splitlines()), "")
        super().__init__(f"{node.kind}{place}{line}: {type(error).__name__}: {first}")
        self.node = node


def run_of(program: Program, arguments: Sequence[Any]) -> Run:
    """One run, on a call's arguments, the model itself left out; returns the graph's outputs.

    InterpreterError for a node that fails.
    """
    return _Run(program).go(arguments)


class _Run:
    """One run of a program: the values that are alive, by name."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph = program.graph
        self.values: dict[str, Any] = dict(program.known)
        self.written: dict[tuple[int, str], Any] = {}  # (module, attribute) as this run left it

    def go(self, arguments: Sequence[Any]) -> Run:
        self.values.update(zip(self.graph.inputs[1:], arguments, strict=True))
        yield from self.block("", ())
        return tuple(self.values[name] for name in self.graph.outputs)

    def block(self, name: str, rounds: Rounds) -> Iterator[Event]:
        values = self.values
        for node, dropped in self.program.steps[name]:
            if node.kind == "prim::If":
                yield from self.branch(node, rounds)
            elif node.kind == "prim::Loop":
                yield from self.loop(node, rounds)
            elif node.kind == "prim::fork":
                yield from self.fork(node, rounds)
            else:
                yield self.give(node, rounds, self.compute(node))
            for value in dropped:
                values.pop(value, None)

    def give(
        self, node: Node, rounds: Rounds, made: Sequence[Any], taken: int | None = None
    ) -> Event:
        self.values.update(zip(node.outputs, made, strict=False))
        return Event(node, rounds, node.outputs, tuple(made), taken)

    def results(self, block: str) -> list[Any]:
        """What a block that has run hands on; its own values are not needed any more."""
        names = self.graph.blocks[block].outputs
        found = [self.values[name] for name in names]
        for name in names:
            if name in self.program.own_results[block]:
                self.values.pop(name, None)
        return found

    def branch(self, node: Node, rounds: Rounds) -> Iterator[Event]:
        taken = 0 if self.values[node.inputs[0]] else 1
        yield Event(node, rounds, (), (), taken, ended=False)
        yield from self.block(node.blocks[taken], rounds)
        yield self.give(node, rounds, self.results(node.blocks[taken]), taken)

    def loop(self, node: Node, rounds: Rounds) -> Iterator[Event]:
        most, going, *carried = [self.values[name] for name in node.inputs]
        (block,) = node.blocks
        names = self.graph.blocks[block].inputs
        made = 0
        while going and made < most:
            given = (made, *carried)
            self.values.update(zip(names, given, strict=True))
            inner = (*rounds, made)
            yield Event(node, inner, names, given, ended=False)
            yield from self.block(block, inner)
            going, *carried = self.results(block)
            made += 1
        yield self.give(node, rounds, carried, made)

    def fork(self, node: Node, rounds: Rounds) -> Iterator[Event]:
        """What runs beside is run at once: the results are the same."""
        (block,) = node.blocks
        given = [self.values[name] for name in node.inputs]
        self.values.update(zip(self.graph.blocks[block].inputs, given, strict=True))
        yield from self.block(block, rounds)
        yield self.give(node, rounds, self.results(block))

    def compute(self, node: Node) -> tuple[Any, ...]:
        program, kind = self.program, node.kind
        if kind == "prim::Constant":
            return (program.constant(node),)
        inputs = [self.values[name] for name in node.inputs]
        try:
            if kind == "prim::GetAttr":
                return (self.attribute(node, inputs[0]),)
            if kind == "prim::SetAttr":
                self.written[id(inputs[0]), str(node.attributes["name"])] = inputs[1]
                return ()
            if kind == OBSERVE:
                return (inputs[0],)
            if kind == "prim::CallMethod":
                called = getattr(inputs[0], str(node.attributes["name"]))
                result = called(*inputs[1:])
                return tuple(result) if len(node.outputs) > 1 else (result,)
            return program.op(node)(inputs)
        except Exception as error:
            raise InterpreterError(node, error) from error

    def attribute(self, node: Node, owner: Any) -> Any:
        """As this run has it: the model's own must stay what it is."""
        name = str(node.attributes["name"])
        if node.id not in self.program.written:
            return owner.getattr(name)
        key = id(owner), name
        if key not in self.written:
            value = owner.getattr(name)
            self.written[key] = value.clone() if isinstance(value, torch.Tensor) else value
        return self.written[key]
