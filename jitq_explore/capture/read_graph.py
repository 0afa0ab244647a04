"""torch's graphs -> `Graph`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import torch

from jitq_explore.capture.read_tensors import dtype_name, summarize
from jitq_explore.capture.source_ranges import frames_of
from jitq_explore.capture.torch_types import CppGraph, CppNode
from jitq_explore.snapshots.graph import Attribute, Block, Graph, Node, Value, plain_type
from jitq_explore.snapshots.source import users_own

_HIERARCHY_LEVEL = re.compile(r"(?P<name>[^.()]+)\([^()]*\)")

# Stand-ins put into a copy of a graph while torch inlines its functions.
_STAND_INS = {"prim::CallMethod": "jitq::call", "prim::fork": "jitq::fork"}
_STOOD_FOR = {stand_in: kind for kind, stand_in in _STAND_INS.items()}
_ENTER = "jitq::enter"
_LEAVE = "jitq::leave"

_PLAIN_KINDS = frozenset(
    {"prim::Constant", "prim::GetAttr", "prim::SetAttr", "prim::CallMethod", "prim::CallFunction",
     "prim::ListConstruct", "prim::TupleConstruct", "prim::TupleUnpack", "prim::ListUnpack"}
)  # fmt: skip
"""The commonest of torch's own kinds, none of which has blocks; ops of other namespaces have
none."""

_DEEPEST_CALL = 100
"""Rounds of inlining. TorchScript has no recursion, so real call chains are far shorter."""


def read_graph(graph: CppGraph) -> Graph:
    """A torch graph as plain data, node for node: nothing is inlined, folded or left out.

    Raises TypeError for anything but a `torch._C.Graph` (such as `module.graph`).
    """
    if not isinstance(graph, torch._C.Graph):
        raise TypeError(
            f"read_graph needs a torch._C.Graph such as scripted_module.graph, got {type(graph)}"
        )
    return _GraphReader().read(graph)


def read_body(graph: CppGraph, module_types: Collection[str]) -> Graph:
    """One method's graph as plain data, with the functions it calls inlined.

    Calls of modules' methods stay calls: `module_types` are the printed types of all modules, by
    which they are told from calls of TorchScript classes' methods, which are inlined.
    """
    graph, called, names = _without_functions(graph, module_types)
    return _GraphReader(called, names).read(graph)


def live_body(
    graph: CppGraph, module_types: Collection[str]
) -> tuple[CppGraph, tuple[CppNode, ...]]:
    """The graph whose nodes `read_body` reads, and its live nodes, in the order of those.

    The nodes hold as long as that graph is held and no pass has changed it.
    """
    graph, _, _ = _without_functions(graph, module_types)
    return graph, tuple(_live_nodes(graph))


def _live_nodes(graph: CppGraph) -> Iterator[CppNode]:
    for node in graph.nodes():
        kind = node.kind()
        if kind in (_ENTER, _LEAVE) or _is_function(node, kind):
            continue
        yield node
        for block in () if _has_no_blocks(kind) else node.blocks():
            yield from _live_nodes(block)
        for name in _graph_attributes(node):
            yield from _live_nodes(node.g(name))


def _without_functions(
    graph: CppGraph, module_types: Collection[str]
) -> tuple[CppGraph, list[tuple[str, ...]], dict[str, str]]:
    """The graph, or a copy in which functions are inlined; the frames of their calls; names."""
    if not _foreign_calls(graph, module_types):
        return graph, [], {}
    graph = graph.copy()
    names = _hide_module_calls(graph, module_types)
    return graph, _inline_functions(graph), names


class _GraphReader:
    """Reads one graph.

    `called` holds the frames of each function call that has been inlined, by its number (None: the
    graph is read as it is); `names` maps the values of stand-ins to those they stand for.
    """

    def __init__(
        self,
        called: list[tuple[str, ...]] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.called = called
        self.names = names or {}
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.blocks: dict[str, Block] = {}
        self.lines: dict[str, str] = {}
        self.open_calls: list[tuple[str, ...]] = []
        self.inside = ""  # put before the names of a subgraph's values, which are its own

    def read(self, graph: CppGraph) -> Graph:
        inputs = self.add_values(list(graph.inputs()))
        self.read_nodes(graph.nodes(), "")
        return Graph(
            inputs=inputs,
            outputs=self.names_of(graph.outputs()),
            nodes=tuple(self.nodes),
            values=self.values,
            blocks=self.blocks,
            lines=self.lines,
        )

    def add_values(self, values: list[torch._C.Value]) -> tuple[str, ...]:
        names = []
        for value in values:
            name = self.name_of(value)
            debug_name = name.removeprefix(self.inside)
            self.values[name] = Value(name, debug_name, plain_type(str(value.type())))
            names.append(name)
        return tuple(names)

    def name_of(self, value: torch._C.Value) -> str:
        name = value.debugName()
        return self.inside + self.names.get(name, name)

    def names_of(self, values: Iterator[torch._C.Value]) -> tuple[str, ...]:
        return tuple([self.name_of(value) for value in values])

    def read_nodes(self, nodes: Iterator[CppNode], block: str) -> None:
        for node in nodes:
            kind = node.kind()
            if kind == _ENTER and self.called is not None:
                self.open_calls.append(self.called[node.i("call")])
            elif kind == _LEAVE and self.called is not None:
                self.open_calls.pop()
            elif self.called is None or not _is_function(node, kind):
                self.read_node(node, kind, block)

    def read_node(self, node: CppNode, kind: str, block: str) -> None:
        own, lines = frames_of(node)
        self.lines.update(lines)
        frames = own
        for call in reversed(self.open_calls):
            frames += call
        # By index: each iterator of pybind's costs ten times as much as the call it saves.
        outputs = self.add_values([node.outputsAt(k) for k in range(node.outputsSize())])
        inner = [] if _has_no_blocks(kind) else list(node.blocks())
        subgraphs = [node.g(name) for name in _graph_attributes(node)]
        first = len(self.blocks)
        read = Node(
            id=f"n{len(self.nodes)}",
            kind=_STOOD_FOR.get(kind, kind),
            inputs=tuple([self.name_of(node.inputsAt(k)) for k in range(node.inputsSize())]),
            outputs=outputs,
            attributes=_attributes(node, kind),
            module_path=_path(node.getModuleHierarchy()),
            source=users_own(frames),
            frames=frames,
            block=block,
            blocks=tuple(f"b{first + k}" for k in range(len(inner) + len(subgraphs))),
        )
        self.nodes.append(read)
        # All ids are taken before what is inside takes more.
        self.blocks.update((name, Block(name, read.id, (), ())) for name in read.blocks)
        for block_id, content in zip(read.blocks, inner, strict=False):
            self.read_block(block_id, content, self.inside)
        for block_id, content in zip(read.blocks[len(inner) :], subgraphs, strict=True):
            self.read_block(block_id, content, f"{self.inside}{read.id}/")

    def read_block(self, block_id: str, content: CppGraph, inside: str) -> None:
        """A block, or a graph that is taken as one, whose values are called `inside` + name."""
        outer, self.inside = self.inside, inside
        inputs = self.add_values(list(content.inputs()))
        self.read_nodes(content.nodes(), block_id)
        outputs = self.names_of(content.outputs())
        self.blocks[block_id] = replace(self.blocks[block_id], inputs=inputs, outputs=outputs)
        self.inside = outer


def _has_no_blocks(kind: str) -> bool:
    return kind in _PLAIN_KINDS or not kind.startswith("prim::")


def _is_function(node: CppNode, kind: str) -> bool:
    """A constant that names a function: left over where its call has been inlined."""
    return kind == "prim::Constant" and node.output().type().kind() == "FunctionType"


def _attributes(node: CppNode, kind: str) -> dict[str, Attribute]:
    names = node.attributeNames()
    if not names:
        return {}
    if kind == "prim::Constant":
        return {name: _constant(node, name) for name in names}
    return {name: _attribute(node, name) for name in names if node.kindOf(name) != "g"}


def _graph_attributes(node: CppNode) -> list[str]:
    """The attributes that are graphs (of a fork, the one that runs beside this): read as blocks."""
    return [name for name in node.attributeNames() if node.kindOf(name) == "g"]


def _attribute(node: CppNode, name: str) -> Attribute:
    # torch names the getter after the kind of the attribute: i, f, s, t, is, fs, ss, ival, …
    getter = getattr(node, node.kindOf(name), None)
    # Complex numbers have none.
    return plain(getter(name) if getter is not None else node.output().toIValue())


def _constant(node: CppNode, name: str) -> Attribute:
    value = _attribute(node, name)
    return bool(value) if str(node.output().type()) == "bool" else value


def plain(value: object) -> Attribute:
    """Any value that TorchScript hands to Python, as plain data."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return summarize(value)
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return tuple((plain(key), plain(item)) for key, item in value.items())
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, torch.ScriptObject):
        return plain_type(str(value._type()))
    return str(value)


@lru_cache(maxsize=65536)
def _path(hierarchy: str) -> str:
    """torch's "layer1(Sequential).0(Block).SELF(Block)" as "layer1.0"."""
    if not hierarchy:
        return ""
    names = (match["name"] for match in _HIERARCHY_LEVEL.finditer(hierarchy))
    return ".".join(name for name in names if name not in ("SELF", "UNKNOWN_INSTANCE"))


def _foreign_calls(graph: CppGraph, module_types: Collection[str]) -> bool:
    """Whether the graph calls anything but methods of modules."""
    if graph.findNode("prim::CallFunction", True) is not None:
        return True
    return any(
        not _stays_a_call(node, module_types)
        for node in graph.findAllNodes("prim::CallMethod", True)
    )


def _stays_a_call(node: CppNode, module_types: Collection[str]) -> bool:
    receiver = next(node.inputs()).type()
    return receiver.kind() != "ClassType" or str(receiver) in module_types


def _hide_module_calls(graph: CppGraph, module_types: Collection[str]) -> dict[str, str]:
    """Put stand-ins in place of the calls that torch's inliner is to leave alone.

    Their values take over the names. A number cannot be given to a value: for these the returned
    dict says what they were called. (torch never gives out a number twice; a word it does.)
    """
    names = {}
    calls = graph.findAllNodes("prim::CallMethod", True)
    left_alone = [node for node in calls if _stays_a_call(node, module_types)]
    for node in (*left_alone, *graph.findAllNodes("prim::fork", True)):
        kind = _STAND_INS[node.kind()]
        stand_in = graph.create(kind, list(node.inputs()), node.outputsSize())
        stand_in.copyAttributes(node)
        stand_in.copyMetadata(node)
        stand_in.insertBefore(node)
        renamed = []
        for old, new in zip(node.outputs(), stand_in.outputs(), strict=True):
            renamed.append((new, old.debugName()))
            new.setType(old.type())
            old.replaceAllUsesWith(new)
        node.destroy()
        for value, name in renamed:
            if name.isdigit():
                names[value.debugName()] = name
            else:
                value.setDebugName(name)
    return names


def _inline_functions(graph: CppGraph) -> list[tuple[str, ...]]:
    """Inline every function call, each between two marks; returns the frames of the marked calls.

    torch inlines a callee as it was cached, which after a run may itself still hold calls: hence
    the rounds, each at least one call deeper.
    """
    called: list[tuple[str, ...]] = []
    for _ in range(_DEEPEST_CALL):
        calls = _calls(graph)
        if not calls:
            break
        for node in calls:
            enter, leave = graph.create(_ENTER, [], 0), graph.create(_LEAVE, [], 0)
            enter.i_("call", len(called))
            enter.insertBefore(node)
            leave.insertAfter(node)
            called.append(frames_of(node)[0])
        torch._C._jit_pass_inline(graph)
    return called


def _calls(graph: CppGraph) -> list[CppNode]:
    methods = graph.findAllNodes("prim::CallMethod", True)
    return [
        *graph.findAllNodes("prim::CallFunction", True),
        *(node for node in methods if next(node.inputs()).type().kind() == "ClassType"),
    ]
