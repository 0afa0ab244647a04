"""A method that can be run node by node, any number of times: `Program`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch

from jitq_explore.capture.interpret import Run, run_of
from jitq_explore.capture.operators import Op, op_of
from jitq_explore.capture.read_graph import live_body
from jitq_explore.capture.read_modules import type_name, walk
from jitq_explore.capture.torch_types import CppGraph, CppModule, CppNode
from jitq_explore.snapshots.graph import Block, Graph, Node
from jitq_explore.snapshots.recording import Snapshot

_SCRIPT_MODULE: Any = torch._C.ScriptModule


@dataclass(frozen=True)
class LiveModel:
    """A model as one stage left it: its snapshot, the module, and the main method's graph.

    The graph is a copy where a later pass rewrites the module's own.
    """

    snapshot: Snapshot
    module: CppModule
    graph: CppGraph


class _Step(NamedTuple):
    """A node and the values that nobody needs once it has run."""

    node: Node
    dropped: tuple[str, ...]


class Program:
    """One method, ready to be run any number of times."""

    def __init__(self, model: LiveModel, method: str | None = None) -> None:
        self.model = model
        self.method = method or model.snapshot.main_method
        self.graph: Graph = model.snapshot.graph(self.method)
        self._origins = model.snapshot.origins(self.method)
        self._kept: list[CppGraph] = []  # live nodes hold as long as their graph
        self._live = self._live_bodies()
        self._ops: dict[str, Op] = {}
        self._shared_ops: dict[int, Op] = {}
        self._dead: set[str] = set()  # blocks that no run enters
        self.known = self._known()
        self.steps = _plan(self.graph, self.known.keys(), self._dead)

    @cached_property
    def writes(self) -> bool:
        """Whether any op that can run changes a tensor in place; attributes have `written`."""
        return any(
            changes_in_place(node)
            and node.block not in self._dead
            and not self._is_attribute(node.inputs[0])
            for node in self.graph.nodes
        )

    def _is_attribute(self, value: str) -> bool:
        maker = self.graph.producers.get(value)
        return maker is not None and maker.kind == "prim::GetAttr"

    @cached_property
    def own_results(self) -> Mapping[str, frozenset[str]]:
        """Block -> what it hands on that a run of it has made."""
        homes = {name: node.block for name, node in self.graph.producers.items()}
        return {
            block.id: frozenset(
                name
                for name in block.outputs
                if name not in self.known
                if name in block.inputs or homes.get(name) == block.id
            )
            for block in self.blocks
        }

    @property
    def blocks(self) -> Collection[Block]:
        """The blocks of the graph."""
        return self.graph.blocks.values()

    @cached_property
    def written(self) -> frozenset[str]:
        """Ids of the nodes that fetch an attribute which is changed in place or assigned."""
        names = {n.attributes["name"] for n in self.graph.nodes if n.kind == "prim::SetAttr"}
        for node in self.graph.nodes:
            for value in _changed_by(node):
                maker = self.graph.producers.get(value)
                while maker is not None and maker.kind != "prim::GetAttr" and maker.inputs:
                    maker = self.graph.producers.get(maker.inputs[0])
                if maker is not None and maker.kind == "prim::GetAttr":
                    names.add(maker.attributes["name"])
        fetches = self.graph.find("prim::GetAttr")
        return frozenset(node.id for node in fetches if node.attributes["name"] in names)

    def run(self, arguments: Sequence[Any]) -> Run:
        """Run on one call's arguments, the model itself left out; returns the graph's outputs.

        The arguments stay what they are. InterpreterError for a node that fails.
        """
        return run_of(self, _own_copies(arguments) if self.writes else arguments)

    def outputs(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The same to the end, nothing looked at."""
        run = self.run(arguments)
        with torch.no_grad():
            while True:
                try:
                    next(run)
                except StopIteration as end:
                    return tuple(end.value)

    def compute(self, node: Node, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """What one node without blocks makes of any inputs; in-place ops leave these alone."""
        if changes_in_place(node):
            inputs = [i.clone() if isinstance(i, torch.Tensor) else i for i in inputs]
        return self.op(node)(inputs)

    def op(self, node: Node) -> Op:
        """What the node computes."""
        found = self._ops.get(node.id)
        if found is None:
            # A method that is called several times has one live node for all of them.
            live = self.live(node)
            if id(live) not in self._shared_ops:
                self._shared_ops[id(live)] = op_of(node.kind, live)
            found = self._ops[node.id] = self._shared_ops[id(live)]
        return found

    def live(self, node: Node) -> CppNode:
        """torch's own node; one for all calls of the method that it stands in."""
        body, body_id = self._origins[int(node.id[1:])]
        return self._live[id(body)][body_id]

    def constant(self, node: Node) -> Any:
        """What a constant is; a list anew, since an op may change it."""
        value = self.live(node).output().toIValue()
        return list(value) if isinstance(value, list) else value

    def _known(self) -> dict[str, Any]:
        """The values that are the same in every run: constants, and attributes nobody writes.

        What is in a branch whose condition is known not to hold is dead, and not looked at.
        """
        known: dict[str, Any] = {self.graph.inputs[0]: self.model.module}
        constants: dict[int, Any] = {}
        for node in self.graph.nodes:
            if node.block in self._dead:
                self._dead.update(node.blocks)
            elif node.is_constant:
                key = id(self.live(node))
                if key not in constants:
                    constants[key] = self.constant(node)
                if not isinstance(constants[key], list):
                    known[node.outputs[0]] = constants[key]
            elif node.kind == "prim::GetAttr" and node.id not in self.written:
                owner: CppModule = known.get(node.inputs[0])
                name = str(node.attributes["name"])
                if _has(owner, name):
                    known[node.outputs[0]] = owner.getattr(name)
            elif node.kind == "prim::If" and isinstance(known.get(node.inputs[0]), bool):
                self._dead.add(node.blocks[1 if known[node.inputs[0]] else 0])
        return known

    def _live_bodies(self) -> dict[int, dict[str, CppNode]]:
        """By the identity of a body of the snapshot: id of a node in it -> torch's own node."""
        snapshot = self.model.snapshot
        # By path: the snapshot may be of a copy, whose classes are called otherwise.
        by_path = dict(walk(self.model.module))
        modules = {s.class_group: by_path[s.path] for s in snapshot.modules}
        keys = {id(body): key for key, body in snapshot.bodies.items()}
        main = (snapshot.modules[0].class_group, self.method)
        keys[id(snapshot.bodies[main])] = main
        types = {type_name(module) for module in by_path.values()}
        found: dict[int, dict[str, CppNode]] = {}
        for body, _ in self._origins:
            if id(body) not in found:
                group, method = keys[id(body)]
                own = self.model.graph if (group, method) == main else None
                graph = own if own is not None else modules[group]._get_method(method).graph
                held, nodes = live_body(graph, types)
                self._kept.append(held)
                found[id(body)] = {
                    node.id: live for node, live in zip(body.nodes, nodes, strict=True)
                }
        return found


def _has(owner: CppModule, name: str) -> bool:
    return type(owner) is _SCRIPT_MODULE and bool(owner.hasattr(name))


def _own_copies(value: Any) -> Any:
    """The same with tensors of its own: an op may write into them."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(_own_copies(item) for item in value)
    if isinstance(value, dict):
        return {key: _own_copies(item) for key, item in value.items()}
    return value


def changes_in_place(node: Node) -> bool:
    """Whether the op writes into its first input."""
    return _is_in_place(node.kind)


@cache
def _is_in_place(kind: str) -> bool:
    return kind.endswith("_") and not kind.endswith("__")


def _changed_by(node: Node) -> tuple[str, ...]:
    """The values whose tensors a node may write into."""
    if _is_in_place(node.kind):
        return node.inputs[:1]
    # In training mode the running statistics.
    return node.inputs[3:5] if node.kind == "aten::batch_norm" else ()


def _plan(graph: Graph, known: Set[str], dead: Set[str]) -> dict[str, tuple[_Step, ...]]:
    """The steps of every block ("": the graph's own); what is known takes none, and is kept.

    Nor do the blocks that are dead.
    """
    inside: dict[str, list[Node]] = {"": [], **{name: [] for name in graph.blocks}}
    home = dict.fromkeys(graph.inputs, "")  # value -> the block that it lives in
    for block in graph.blocks.values():
        home.update(dict.fromkeys(block.inputs, block.id))
    last: dict[str, Node] = {}  # value -> the step there that makes it or uses it last
    position = graph.position

    def use(name: str, user: Node) -> None:
        while user.block != home[name]:
            user = graph.by_id[graph.blocks[user.block].owner]
        if name not in last or position[user.id] > position[last[name].id]:
            last[name] = user

    for node in graph.nodes:
        if node.block in dead or not known.isdisjoint(node.outputs):
            continue
        inside[node.block].append(node)
        for name in node.inputs:
            # What is taken before it is made is used last by what makes it.
            if name not in known and name in home:
                use(name, node)
        for name in node.outputs:
            home[name] = node.block
            last[name] = node
    kept = {*graph.outputs, *known}
    for block in graph.blocks.values():
        for name in block.outputs if block.id not in dead else ():
            if name in known or home[name] == block.id:
                kept.add(name)
            else:
                use(name, graph.by_id[block.owner])
    dropped: dict[str, list[str]] = {}
    for name, node in last.items():
        if name not in kept:
            dropped.setdefault(node.id, []).append(name)
    return {
        block: tuple(_Step(node, tuple(dropped.get(node.id, ()))) for node in nodes)
        for block, nodes in inside.items()
    }
