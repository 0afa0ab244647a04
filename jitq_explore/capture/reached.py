"""Which submodules torch's observer pass comes to, and which deadly calls it meets there.

Beginning at one method the pass follows the calls of submodules and of functions, into both
branches of an If, but neither into loops nor into a branch that always ends in a raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jitq_explore.capture.called_functions import ends_the_process, function_name
from jitq_explore.capture.source_ranges import source_of
from jitq_explore.capture.torch_types import CppGraph, CppModule, CppNode


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function by a method of the module at that path."""

    path: str
    method: str
    function: str
    source: str


@dataclass
class Reached:
    """What the pass comes to.

    `methods`: path -> the methods of that module that it comes to. `called`: the paths of all
    modules that are called, also where the pass does not look. `deadly`: the function calls that it
    dies of. `unknown`: a module is called of which nobody can tell which one it is.
    """

    methods: dict[str, set[str]] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    deadly: list[FunctionCall] = field(default_factory=list)
    unknown: bool = False


def reached_from(root: CppModule, method: str) -> Reached:
    """What the pass comes to, beginning at that method of the model."""
    found = Reached()
    _Walk(root, found).enter("", root, method, True)
    return found


class _Walk:
    def __init__(self, root: CppModule, found: Reached) -> None:
        self._found = found
        self._entered: set[tuple[str, str, bool]] = set()
        self._deadly: dict[str, bool] = {}

    def enter(self, path: str, module: CppModule, method: str, seen: bool) -> None:
        """A method is called; `seen` says whether the pass looks at the call."""
        if (path, method, seen) in self._entered:
            return
        self._entered.add((path, method, seen))
        self._found.called.add(path)
        if seen:
            self._found.methods.setdefault(path, set()).add(method)
        graph = module._get_method(method).graph
        for node, looked_at in _nodes(graph):
            if node.kind() == "prim::CallMethod":
                self._follow(path, module, graph, node, seen and looked_at)
            elif node.kind() == "prim::CallFunction" and seen and looked_at:
                self._meet(path, method, node)

    def _follow(
        self, path: str, module: CppModule, graph: CppGraph, call: CppNode, seen: bool
    ) -> None:
        names = _attributes_to(graph, call.inputsAt(0))
        if names is None:
            self._found.unknown = True
            return
        for name in names:
            module = module.getattr(name)
        self.enter(".".join((*filter(None, [path]), *names)), module, call.s("name"), seen)

    def _meet(self, path: str, method: str, call: CppNode) -> None:
        name = function_name(call)
        if name not in self._deadly:
            self._deadly[name] = ends_the_process(call)
        if self._deadly[name]:
            self._found.deadly.append(FunctionCall(path, method, name, source_of(call)))


def _nodes(block: CppGraph, looked_at: bool = True) -> Iterator[tuple[CppNode, bool]]:
    """All nodes, with whether the pass looks at them."""
    for node in block.nodes():
        yield node, looked_at
        for inner in node.blocks():
            seen = looked_at and node.kind() == "prim::If" and not _always_raises(inner)
            yield from _nodes(inner, seen)


def _always_raises(block: CppGraph) -> bool:
    for node in block.nodes():
        if node.kind() == "prim::RaiseException":
            return True
        if node.kind() == "prim::If" and all(map(_always_raises, node.blocks())):
            return True
    return False


def _attributes_to(graph: CppGraph, value: CppNode) -> tuple[str, ...] | None:
    """The names by which a submodule is fetched from the module itself; None for any other."""
    names: list[str] = []
    owner = next(iter(graph.inputs())).debugName()
    while value.debugName() != owner:
        node = value.node()
        if node.kind() != "prim::GetAttr":
            return None
        names.append(node.s("name"))
        value = node.inputsAt(0)
    return tuple(reversed(names))
