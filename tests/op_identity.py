"""What an op of a flattened graph is, read off the graph and the weights alone.

A layer is known by the shape of its weight, which no other layer has. Any other op is known by
what it computes and by the layers nearest before and behind it. No matching is involved: equal
identities at two stages are the truth that a matching is held against.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator

from jitq_explore.snapshots.graph import Graph, Node, attribute_names
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.snapshots.settled import settled_branch

WEIGHTED = ("conv1d", "conv2d", "conv3d", "linear", "_convolution")
OTHERS = {
    "relu", "relu6", "hardtanh", "add", "mul", "matmul", "softmax", "layer_norm", "mean", "flatten",
    "adaptive_avg_pool2d", "transpose", "batch_norm", "max_pool2d", "sigmoid", "tanh", "cat",
}  # fmt: skip
_SAME = {"hardtanh": "relu6"}


def parts(node: Node) -> list[str]:
    """The ops a node computes, by plain names."""
    library, _, name = node.kind.partition("::")
    if library == "quantized" and not name.endswith(("_prepack", "_unpack")):
        for mode in ("_dynamic", "_fp16"):
            name = name.replace(mode, "")
        for last in ("_relu6", "_relu"):
            if name.endswith(last):
                return [name.removesuffix(last), last[1:]]
        return [name]
    return [name.rstrip("_")] if library == "aten" else []


class Identities:
    """Node id -> what the node is, for every op that the result depends on."""

    def __init__(self, snapshot: Snapshot, graph: Graph) -> None:
        self.snapshot, self.graph = snapshot, graph
        self.shapes = _shapes(snapshot)
        self.live = self._live()
        self.after: dict[str, set[str]] = defaultdict(set)  # node id -> ids of those that take it
        for node_id in self.live:
            for other in self._makers(graph.by_id[node_id]):
                self.after[other.id].add(node_id)

    def __call__(self) -> dict[str, frozenset[Hashable]]:
        """Ids -> identities; an op whose identity another op shares is left out."""
        found: dict[str, list[Hashable]] = {}
        for node_id in self.live:
            node = self.graph.by_id[node_id]
            for part in parts(node):
                if part in WEIGHTED:
                    found.setdefault(node_id, []).append(("layer", self.layer(node)))
                elif part in OTHERS:
                    identity = (
                        _SAME.get(part, part),
                        self._near(node, True),
                        self._near(node, False),
                    )
                    found.setdefault(node_id, []).append(identity)
        count = Counter(identity for identities in found.values() for identity in identities)
        return {
            node_id: frozenset(i for i in identities if count[i] == 1)
            for node_id, identities in found.items()
        }

    def layer(self, node: Node) -> Hashable:
        """The shape of the weight that a layer takes."""
        value = node.inputs[1]
        while (
            maker := self.graph.producers.get(value)
        ) is not None and maker.kind != "prim::GetAttr":
            if maker.is_constant:
                return maker.attributes["value"].shape
            value = maker.inputs[0]
        names = attribute_names(self.graph, value) or ("?",)
        return self.shapes.get(names, names)

    def _live(self) -> set[str]:
        """Ids of what the result depends on, branches never taken left out."""
        found: set[str] = set()
        waiting = list(self.graph.outputs)
        while waiting:
            node = self._maker(waiting.pop())
            if node is not None and node.id not in found:
                found.add(node.id)
                waiting.extend(node.inputs)
        return found

    def _maker(self, value: str) -> Node | None:
        while (taken := settled_branch(self.graph, value)) is not None:
            value = taken
        return self.graph.producers.get(value)

    def _makers(self, node: Node) -> Iterator[Node]:
        for value in node.inputs:
            maker = self._maker(value)
            if maker is not None:
                yield maker

    def _near(self, node: Node, before: bool) -> frozenset[Hashable]:
        """The layers nearest before a node, or behind it; a kernel that is a layer is its own."""
        found: set[Hashable] = set()
        if before and any(part in WEIGHTED for part in parts(node)):
            return frozenset([self.layer(node)])
        seen = {node.id}
        waiting = self._next(node, before)
        while waiting:
            other = waiting.pop()
            if other.id in seen:
                continue
            seen.add(other.id)
            if any(part in WEIGHTED for part in parts(other)):
                found.add(self.layer(other))
            else:
                waiting.extend(self._next(other, before))
        return frozenset(found)

    def _next(self, node: Node, before: bool) -> list[Node]:
        if before:
            return list(self._makers(node))
        return [self.graph.by_id[node_id] for node_id in self.after[node.id]]


def _shapes(snapshot: Snapshot) -> dict[tuple[str, ...], Hashable]:
    """Names from the model on -> the shape of the weight there, packed or not."""
    found: dict[tuple[str, ...], Hashable] = {}
    for module in snapshot.modules:
        path = tuple(module.path.split(".")) if module.path else ()
        for name, state in module.attributes.items():
            if state.tensor is not None:
                found[(*path, name)] = state.tensor.shape
    return found


def true_pairs(before: Identities, after: Identities) -> set[tuple[str, str]]:
    """Ids of nodes of which an op is the same; a folded batch norm is its layer's."""
    old, new = before(), after()
    where = {identity: node_id for node_id, identities in new.items() for identity in identities}
    has_norms = any(parts(after.graph.by_id[node_id]) == ["batch_norm"] for node_id in new)
    pairs = set()
    for node_id, identities in old.items():
        for identity in identities:
            if identity[0] == "batch_norm" and not has_norms:
                (layer,) = identity[1]
                identity = ("layer", layer)
            if identity in where:
                pairs.add((node_id, where[identity]))
    return pairs


def all_ops(identities: Identities) -> set[str]:
    return {node_id for node_id, found in identities().items() if found}
