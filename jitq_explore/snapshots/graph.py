"""A TorchScript graph as plain data: `Value`, `Node`, `Block`, `Graph`.

The same classes hold a graph as torch keeps it (one method, submodules called) and a
*flattened* one (submodules inlined, observers kept as single nodes).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias

OBSERVE = "jitq::observe"
"""Kind of the single node that stands for an observer's whole `forward` in a flattened graph."""

_MANGLE = re.compile(r"___torch_mangle_\d+\.")


@lru_cache(maxsize=65536)
def plain_type(printed: str) -> str:
    """A printed type or class name without the counters torch adds to tell classes apart."""
    return _MANGLE.sub("", printed)


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """What is kept of a constant tensor.

    `shape` counts elements per dimension; `values` are the elements in row-major order, kept only
    where there are at most 64 of them; `digest` is a hash of dtype, shape and contents.
    """

    dtype: str
    shape: tuple[int, ...]
    digest: str
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "scalar"
        if self.values and len(self.values) <= 4:
            return f"{self.dtype}[{', '.join(f'{v:g}' for v in self.values)}]"
        return f"{self.dtype}[{shape}]"


Attribute: TypeAlias = "bool | int | float | str | TensorSummary | tuple[Attribute, ...] | None"
"""What an attribute of a node or a module can be."""


@dataclass(frozen=True, slots=True)
class Value:
    """An edge of the graph.

    `name` is unique in its graph; `debug_name` is what torch called the value in the method that
    made it (the name that qparam attributes such as `x.8_scale_0` are derived from); `type` is
    printed without mangling counters.
    """

    name: str
    debug_name: str
    type: str


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    `inputs` and `outputs` are names of values. `module_path` is the submodule whose code made the
    node ("" at the top). `source` is the user's own line, "file:line:column"; `frames` is the whole
    chain of calls, innermost first, library code included. `block` is the id of the block that
    holds the node ("" for the graph itself), `blocks` the ids of the node's own blocks.
    """

    id: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    module_path: str = ""
    source: str = ""
    frames: tuple[str, ...] = ()
    block: str = ""
    blocks: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether the node is a literal."""
        return self.kind == "prim::Constant"

    @property
    def is_observer(self) -> bool:
        """Whether the node stands for an observer's `forward`."""
        return self.kind == OBSERVE


@dataclass(frozen=True, slots=True)
class Block:
    """A block of an If or a Loop: its inputs and outputs (names of values), its owner's id."""

    id: str
    owner: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """One method's graph.

    `nodes` holds every node, those of nested blocks too, flat, in order: a node with blocks comes
    before the nodes inside them. `lines` maps "file:line" to the text of that line, where known.
    `held` maps what a flattened graph fetches of the model's settings (numbers, texts, None) to
    what they are.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    blocks: Mapping[str, Block] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Attribute] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        # The fields of a large graph would fill a notebook for minutes; `print` shows the nodes.
        return f"<Graph of {len(self.nodes)} nodes>"

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """Id -> node."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Id of a node -> its place among the nodes."""
        return {node.id: place for place, node in enumerate(self.nodes)}

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """Name of a value -> the node that makes it (graph and block inputs have none)."""
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Name of a value -> the nodes that take it, in order, each once."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def structure(self) -> str:
        """A digest of what the graph computes, whatever its values and sources are called."""
        number: dict[str, int] = {}
        for name in self.inputs:
            number[name] = len(number)
        rows: list[object] = []
        for node in self.nodes:
            inner = [self.blocks[block_id] for block_id in node.blocks]
            for name in (*node.outputs, *(name for block in inner for name in block.inputs)):
                number.setdefault(name, len(number))
            # A pass may leave a value that is taken before it is made.
            taken = [number.setdefault(name, len(number)) for name in node.inputs]
            rows.append((node.kind, taken, len(node.outputs)))
            rows.append(
                (sorted(node.attributes.items()), node.block, [len(b.inputs) for b in inner])
            )
        rows.extend([number[name] for name in block.outputs] for block in self.blocks.values())
        rows.append([number[name] for name in self.outputs])
        return hashlib.blake2b(repr(rows).encode(), digest_size=12).hexdigest()

    def node(self, node_id: str) -> Node:
        """The node of that id; KeyError names the graph's size and a few ids that exist."""
        try:
            return self.by_id[node_id]
        except KeyError:
            few = ", ".join(node.id for node in self.nodes[:3])
            message = f"unknown node {node_id!r}: this graph has {len(self.nodes)} nodes ({few}, …)"
            raise KeyError(message) from None

    def line_of(self, source: str) -> str:
        """The text of a source line given as "file:line:column"; "" where torch kept none."""
        return self.lines.get(source.rpartition(":")[0], "").strip()

    def find(self, kind: str) -> Iterator[Node]:
        """The nodes of that kind, in order."""
        return (node for node in self.nodes if node.kind == kind)

    def __str__(self) -> str:
        return "\n".join(graph_lines(self))


def attribute_names(graph: Graph, value: str) -> tuple[str, ...] | None:
    """The attributes a value was fetched through, from the model on ("layer1", "0", "weight").

    None where the value does not come from the model's own attributes alone.
    """
    names: list[str] = []
    while value not in graph.inputs[:1]:
        node = graph.producers.get(value)
        if node is None or node.kind != "prim::GetAttr":
            return None
        names.append(str(node.attributes["name"]))
        value = node.inputs[0]
    return tuple(reversed(names)) or None


def attribute_path(graph: Graph, value: str) -> str | None:
    """The same as one path ("layer1.0.weight"); a name may itself hold dots ("x.8_scale_0")."""
    names = attribute_names(graph, value)
    return None if names is None else ".".join(names)


def constant_value(graph: Graph, value: str) -> tuple[Attribute] | None:
    """What a value always is, as a tuple of one (None is a value too), or None where it varies.

    Lists and tuples built from constants are constants: some passes fold them, some do not.
    """
    node = graph.producers.get(value)
    if node is None:
        return None
    if node.is_constant:
        return (node.attributes.get("value"),)
    if node.kind not in ("prim::ListConstruct", "prim::TupleConstruct"):
        return None
    items = [constant_value(graph, name) for name in node.inputs]
    return None if None in items else (tuple(item[0] for item in items if item),)


def show_attribute(value: Attribute) -> str:
    """An attribute as short text."""
    if isinstance(value, tuple):
        return "[" + ", ".join(show_attribute(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value) if isinstance(value, str) else str(value)


def show_attributes(attributes: Mapping[str, Attribute]) -> str:
    """Attributes as short text: "name=value, name=value"."""
    return ", ".join(f"{name}={show_attribute(value)}" for name, value in attributes.items())


def node_line(node: Node) -> str:
    """One node as one line of text, close to torch's own printing."""
    outputs = ", ".join(f"%{name}" for name in node.outputs)
    attributes = f"[{show_attributes(node.attributes)}]" if node.attributes else ""
    inputs = ", ".join(f"%{name}" for name in node.inputs)
    place = f"  # {node.module_path}" if node.module_path else ""
    return f"{outputs + ' = ' if outputs else ''}{node.kind}{attributes}({inputs}){place}"


def graph_lines(graph: Graph) -> Iterator[str]:
    """The graph as lines of text, blocks indented."""
    return (line for line, _ in graph_rows(graph))


def graph_rows(graph: Graph) -> Iterator[tuple[str, Node | Block | None]]:
    """The same with the node that each line is about.

    A line that ends a block comes with that block, the first and the last with None.
    """
    depth = {"": 1}
    yield f"graph({', '.join('%' + name for name in graph.inputs)}):", None
    opened: list[str] = []
    for node in graph.nodes:
        while opened and opened[-1] != node.block:
            yield _close(graph, opened.pop(), depth)
        if node.block and (not opened or opened[-1] != node.block):
            opened.append(node.block)
        yield "  " * depth[node.block] + node_line(node), node
        for block_id in reversed(node.blocks):
            depth[block_id] = depth[node.block] + 1
            opened.append(block_id)
    while opened:
        yield _close(graph, opened.pop(), depth)
    yield f"  return ({', '.join('%' + name for name in graph.outputs)})", None


def _close(graph: Graph, block_id: str, depth: Mapping[str, int]) -> tuple[str, Block]:
    block = graph.blocks[block_id]
    outputs = ", ".join("%" + name for name in block.outputs)
    return "  " * depth[block_id] + f"-> ({outputs})", block
