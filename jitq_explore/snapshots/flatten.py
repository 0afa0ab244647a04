"""One method with its submodules inlined: the same shape of graph at every stage.

torch's own inliner would do, but for three things: it inlines the observers' bodies too (a prepared
ResNet-18 grows from some 700 to over 6,000 nodes), it reads cached callees after a run, and it
needs torch. So the calls are followed here, on plain data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from jitq_explore.snapshots.graph import OBSERVE, Attribute, Block, Graph, Node, Value
from jitq_explore.snapshots.source import is_library, users_own

if TYPE_CHECKING:
    from jitq_explore.snapshots.recording import Snapshot

Origin: TypeAlias = tuple[Graph, str]
"""Of a node of a flattened graph: the body that it was taken from, and its id there."""


def flatten(snapshot: Snapshot, method: str) -> tuple[Graph, tuple[Origin, ...]]:
    """The flattened graph of the model's method of that name, and where its nodes are from.

    A call of a submodule's method is replaced by that method's nodes; a call of an observer's
    `forward` becomes one node of kind `jitq::observe` with the attributes `observer` (its module
    path), `class` and `value` (the observed value's name in the method that observes it). A call
    through an interface type stays a call, as torch leaves it.
    """
    flattener = _Flattener(snapshot)
    return flattener.run(method), tuple(flattener.taken)


class Chains(dict[tuple[str, ...], tuple[tuple[str, ...], str]]):
    """Frames of a node in its own body -> the whole chain of calls, and the user's own line."""

    def __init__(self, outer: tuple[str, ...]) -> None:
        self.outer = outer
        self.own = users_own(outer)

    def __missing__(self, frames: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        chain = frames + self.outer
        own = users_own(frames)
        if not own or is_library(own):
            own = self.own if self.own and not is_library(self.own) else chain[0] if chain else ""
        found = self[frames] = chain, own
        return found


@dataclass(slots=True)
class _Call:
    """One call of a method that is being inlined.

    `renamed` maps the values of its body to ours and grows, `block_ids` its blocks; `path` is the
    module whose method it is.
    """

    body: Graph
    renamed: dict[str, str]
    path: str
    chains: Chains
    block_ids: dict[str, str]


class _Flattener:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.nodes: list[Node] = []
        self.taken: list[Origin] = []
        self.values: dict[str, Value] = {}
        self.blocks: dict[str, Block] = {}
        self.lines: dict[str, str] = {}
        self.module_of: dict[str, str] = {}  # name of a value that is a module -> the module's path
        self.repeats: dict[str, int] = {}
        self.held: dict[str, Attribute] = {}
        self.early: set[str] = set()  # values taken before they are made
        self.is_set = {  # names of the attributes that some method changes
            node.attributes["name"]
            for body in snapshot.bodies.values()
            for node in body.find("prim::SetAttr")
        }

    def run(self, method: str) -> Graph:
        body = self.snapshot.bodies[self.snapshot.modules[0].class_group, method]
        renamed = {name: self.new_value(body.values[name]) for name in body.inputs}
        if body.inputs:
            self.module_of[renamed[body.inputs[0]]] = ""
        outputs = self.inline(_Call(body, renamed, "", Chains(()), {"": ""}))
        return Graph(
            inputs=tuple(renamed[name] for name in body.inputs),
            outputs=outputs,
            nodes=tuple(self.nodes),
            values=self.values,
            blocks=self.blocks,
            lines=self.lines,
            held=self.held,
        )

    def new_value(self, value: Value) -> str:
        """A copy of the value under a name that is free: `x`, then `x#2`, `x#3`, …"""
        debug_name = value.debug_name
        count = self.repeats[debug_name] = self.repeats.get(debug_name, 0) + 1
        if count == 1 and value.name == debug_name:
            self.values[debug_name] = value
            return debug_name
        name = debug_name if count == 1 else f"{debug_name}#{count}"
        self.values[name] = Value(name, debug_name, value.type)
        return name

    def inline(self, call: _Call) -> tuple[str, ...]:
        """Append the nodes of the body that is called; returns its outputs."""
        body, renamed = call.body, call.renamed
        self.lines.update(body.lines)
        for node in body.nodes:
            if node.kind == "prim::GetAttr":
                self.fetch(node, call)
                continue
            called = self.called_module(node, call) if node.kind == "prim::CallMethod" else None
            if called is None:
                self.copy(node, call)
            elif self.snapshot.by_path[called].is_observer:
                # What the value is called here is what its qparams will be named after.
                attributes = {
                    "observer": called,
                    "class": self.snapshot.by_path[called].short_class,
                    "value": node.inputs[1],
                }
                observe = replace(node, kind=OBSERVE, inputs=node.inputs[1:], attributes=attributes)
                self.copy(observe, call)
            else:
                callee = self.body_of(called, node)
                given = dict(zip(callee.inputs, (renamed[i] for i in node.inputs), strict=True))
                chain, _ = call.chains[node.frames]
                block_ids = {"": call.block_ids[node.block]}
                outputs = self.inline(_Call(callee, given, called, Chains(chain), block_ids))
                renamed.update(zip(node.outputs, outputs, strict=True))
        self.close_blocks(call)
        return tuple(renamed[name] for name in body.outputs)

    def fetch(self, node: Node, call: _Call) -> None:
        """Append an attribute access, unless it only fetches an observer to be called."""
        fetched = self.fetched_module(node, call)
        if fetched is None:
            self.hold(self.copy(node, call))
        elif self.is_only_observed_through(fetched, node, call.body):
            hidden = f"<{fetched}>"
            call.renamed[node.outputs[0]] = hidden
            self.module_of[hidden] = fetched
        else:
            self.module_of[self.copy(node, call).outputs[0]] = fetched

    def copy(self, node: Node, call: _Call) -> Node:
        """Append one node under our own names."""
        renamed, block_ids, path = call.renamed, call.block_ids, call.path
        chain, source = call.chains[node.frames]
        try:
            inputs = [renamed[name] for name in node.inputs]
        except KeyError:
            inputs = [self.taken_as(name, call) for name in node.inputs]
        outputs = self.renew(node.outputs, call)
        new_id = f"n{len(self.nodes)}"
        for block_id in node.blocks:
            block_ids[block_id] = self.new_block(call.body.blocks[block_id], new_id, call)
        # By position, since there are thousands.
        copy = Node(
            new_id,
            node.kind,
            tuple(inputs),
            outputs,
            node.attributes,
            _join(path, node.module_path) if node.module_path else path,
            source,
            chain,
            block_ids[node.block],
            tuple([block_ids[block_id] for block_id in node.blocks]),
        )
        if node.kind == "prim::fork":
            for block_id in copy.blocks:
                self.hand_on_modules(copy.inputs, self.blocks[block_id].inputs)
        self.nodes.append(copy)
        self.taken.append((call.body, node.id))
        return copy

    def hold(self, fetch: Node) -> None:
        """Note what a setting of the model is that a node fetches."""
        name = str(fetch.attributes["name"])
        owner = self.module_of.get(fetch.inputs[0])
        if owner is None or name in self.is_set:
            return
        state = self.snapshot.by_path[owner].attributes.get(name)
        if state is None or state.kind != "attribute" or state.tensor is not None:
            return
        # Of what is no plain value only a description is kept, as text.
        of = state.type.removeprefix("Optional[").removesuffix("]")
        is_none = state.value is None and state.type.startswith(("NoneType", "Optional["))
        if is_none or of in _PLAIN:
            self.held[fetch.outputs[0]] = state.value

    def hand_on_modules(self, given: tuple[str, ...], taken: tuple[str, ...]) -> None:
        """A fork's block takes what the fork is given: modules too."""
        for outer, inner in zip(given, taken, strict=False):
            if outer in self.module_of:
                self.module_of[inner] = self.module_of[outer]

    def renew(self, names: tuple[str, ...], call: _Call) -> tuple[str, ...]:
        """Our own names of values that a node or a block makes."""
        renamed = call.renamed
        for name in names:
            if not self.early or renamed.get(name) not in self.early:
                renamed[name] = self.new_value(call.body.values[name])
        return tuple([renamed[name] for name in names])

    def taken_as(self, name: str, call: _Call) -> str:
        """Our name of a value that a node takes.

        torch's passes may leave a graph in which a value is taken before it is made.
        """
        if name not in call.renamed:
            call.renamed[name] = self.new_value(call.body.values[name])
            self.early.add(call.renamed[name])
        return call.renamed[name]

    def new_block(self, block: Block, owner: str, call: _Call) -> str:
        new_id = f"b{len(self.blocks)}"
        self.blocks[new_id] = Block(new_id, owner, self.renew(block.inputs, call), ())
        return new_id

    def close_blocks(self, call: _Call) -> None:
        """What a block returns is known only when all of its nodes have been copied."""
        for old_id, block in call.body.blocks.items():
            outputs = tuple([call.renamed[name] for name in block.outputs])
            opened = self.blocks[call.block_ids[old_id]]
            self.blocks[opened.id] = Block(opened.id, opened.owner, opened.inputs, outputs)

    def fetched_module(self, node: Node, call: _Call) -> str | None:
        """The path of the submodule that an attribute access yields, where it yields one."""
        owner = self.module_of.get(call.renamed[node.inputs[0]])
        if owner is None:
            return None
        path = _join(owner, str(node.attributes["name"]))
        return path if path in self.snapshot.by_path else None

    def is_only_observed_through(self, path: str, fetch: Node, body: Graph) -> bool:
        if not self.snapshot.by_path[path].is_observer:
            return False
        users = body.consumers.get(fetch.outputs[0], ())
        return all(
            user.kind == "prim::CallMethod" and user.attributes["name"] == "forward"
            for user in users
        )

    def called_module(self, node: Node, call: _Call) -> str | None:
        """The path of the module whose method is called, where it is one that is to be inlined."""
        path = self.module_of.get(call.renamed[node.inputs[0]])
        if path is None:
            return None
        state = self.snapshot.by_path[path]
        name = str(node.attributes["name"])
        receiver = call.body.values[node.inputs[0]]
        through_interface = receiver.type != f"__torch__.{state.class_name}"
        if state.is_observer:
            return path if name == "forward" else None
        known = (state.class_group, name) in self.snapshot.bodies
        return path if known and not through_interface else None

    def body_of(self, path: str, call: Node) -> Graph:
        group = self.snapshot.by_path[path].class_group
        return self.snapshot.bodies[group, str(call.attributes["name"])]


_PLAIN = ("bool", "int", "float", "str")
"""Printed types of settings whose value is kept as it is."""


def _join(path: str, inner: str) -> str:
    return f"{path}.{inner}" if path and inner else path or inner
