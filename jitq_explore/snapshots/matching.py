"""Pairs the nodes of two graphs.

A first matcher, of four steps, each linear or close to it:

1. Both graphs are looked at without what quantization threads into a value's way (observers,
   quantize, dequantize): what is left is the same graph before and after most passes.
2. Every node gets a signature of what it is and of what feeds it and what it feeds, some hops far
   (Weisfeiler-Lehman refinement). Nodes are paired from the finest signature to the coarsest, in
   order where several are alike, first with the module path as further evidence, then without.
3. A fused kernel takes the chain of float ops named in its kind, found through its data input.
4. What was left out in step 1 is paired by the value it observes or quantizes.

Names of values and mangled class names play no part in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import OBSERVE, Graph, Node, attribute_path, constant_value, settled_branch

THREADED = frozenset(
    {OBSERVE, "aten::quantize_per_tensor", "aten::quantize_per_channel", "aten::dequantize"}
)
"""Kinds that hand on their first input, in real values: what passes thread into a value's way."""

HOPS = 3
"""How far a signature looks. More tells apart more repeated blocks, and is spoilt by more changes."""

_FUSED_KERNEL = "quantized::"


@dataclass(frozen=True, slots=True)
class Pair:
    """Nodes that correspond, why, and how sure it is (0 to 1)."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    reason: str
    confidence: float


def match_nodes(before: Graph, after: Graph) -> tuple[Pair, ...]:
    """Pairs in the order of the nodes before; no node is in two of them. Deterministic."""
    matcher = _Matcher(_Side(before), _Side(after))
    matcher.match_alike()
    matcher.match_fused()
    matcher.match_threaded()
    return matcher.in_order()


class _Side:
    """One graph with what the matcher wants to know of it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.core = [node for node in graph.nodes if node.kind not in THREADED]
        self.threaded = [node for node in graph.nodes if node.kind in THREADED]
        self.position = {node.id: k for k, node in enumerate(graph.nodes)}

    def origin(self, value: str) -> str:
        """The value itself, followed back through what was threaded into its way."""
        node = self.graph.producers.get(value)
        while node is not None:
            if node.kind in THREADED:
                value = node.inputs[0]
            elif node.kind == "prim::If" and (yielded := settled_branch(self.graph, value)):
                value = yielded
            else:
                break
            node = self.graph.producers.get(value)
        return value

    @cached_property
    def takers(self) -> Mapping[str, list[tuple[Node, int]]]:
        """Value -> the core nodes that take it, with the place of the input, in order."""
        found: dict[str, list[tuple[Node, int]]] = defaultdict(list)
        for node in self.core:
            for place, value in enumerate(node.inputs):
                found[self.origin(value)].append((node, place))
        return found

    @cached_property
    def signatures(self) -> list[dict[str, int]]:
        """For 0, 1, … HOPS: node id -> hash of the node's surroundings that far."""
        rounds = [{node.id: hash(_own_signature(node)) for node in self.core}]
        for _ in range(HOPS):
            last = rounds[-1]
            rounds.append({node.id: self._refined(node, last) for node in self.core})
        return rounds

    def _refined(self, node: Node, last: Mapping[str, int]) -> int:
        fed_by = tuple(self._source(value, last) for value in node.inputs)
        feeds = sorted(
            hash((last[taker.id], place, output))
            for output, value in enumerate(node.outputs)
            for taker, place in self.takers.get(value, ())
        )
        return hash((last[node.id], fed_by, tuple(feeds)))

    @cached_property
    def literals(self) -> Mapping[str, Hashable]:
        """Value -> what it is, where that is fixed: a constant, or an attribute of the model."""
        found: dict[str, Hashable] = {}
        for node in self.core:
            for value in node.outputs:
                constant = constant_value(self.graph, value)
                path = attribute_path(self.graph, value) if node.kind == "prim::GetAttr" else None
                if constant is not None or path is not None:
                    found[value] = repr(constant), path
        return found

    def _source(self, value: str, last: Mapping[str, int]) -> Hashable:
        origin = self.origin(value)
        if origin in self.literals:
            return self.literals[origin]
        node = self.graph.producers.get(origin)
        if node is None:
            return origin in self.graph.inputs and self.graph.inputs.index(origin)
        return last[node.id], node.outputs.index(origin)


def _own_signature(node: Node) -> Hashable:
    return node.kind, repr(sorted(node.attributes.items())), len(node.inputs), len(node.outputs)


class _Matcher:
    def __init__(self, before: _Side, after: _Side) -> None:
        self.before, self.after = before, after
        self.pairs: list[Pair] = []
        self.partner: dict[str, Pair] = {}  # id of a node before -> its pair
        self.taken: dict[str, Pair] = {}  # id of a node after -> its pair

    def add(
        self, before: tuple[Node, ...], after: tuple[Node, ...], reason: str, confidence: float
    ) -> None:
        pair = Pair(before, after, reason, confidence)
        self.pairs.append(pair)
        self.partner.update((node.id, pair) for node in before)
        self.taken.update((node.id, pair) for node in after)

    def in_order(self) -> tuple[Pair, ...]:
        return tuple(
            sorted(self.pairs, key=lambda pair: self.before.position[pair.before[0].id])
        )

    def match_alike(self) -> None:
        """Steps 1 and 2: equal surroundings, from the widest view to the node alone."""
        for with_path in (True, False):
            for hops in range(HOPS, -1, -1):
                mine, theirs = self.before.signatures[hops], self.after.signatures[hops]
                path = _path if with_path else _nowhere
                self._match_groups(
                    lambda node, seen=mine, path=path: (seen[node.id], path(node)),
                    lambda node, seen=theirs, path=path: (seen[node.id], path(node)),
                    reason=f"equal {hops} hops around" + (" in the same module" if with_path else ""),
                    confidence=(0.6 + 0.1 * hops) if with_path else (0.4 + 0.1 * hops),
                )

    def _match_groups(
        self,
        key_before: Callable[[Node], Hashable],
        key_after: Callable[[Node], Hashable],
        reason: str,
        confidence: float,
    ) -> None:
        """Pair nodes of equal keys in their order, where there are as many on both sides.

        At the coarsest view (no hops) an unequal number is no hindrance: the first ones are paired.
        """
        free = [node for node in self.before.core if node.id not in self.partner]
        groups = _grouped(free, key_before)
        others = _grouped((n for n in self.after.core if n.id not in self.taken), key_after)
        for key, nodes in groups.items():
            partners = others.get(key, [])
            if len(nodes) == len(partners) or (partners and reason.startswith("equal 0")):
                for old, new in zip(nodes, partners, strict=False):
                    self.add((old,), (new,), reason, confidence)

    def match_fused(self) -> None:
        """Step 3: each quantized kernel takes the float ops that it computes."""
        for kernel in self.after.core:
            if _is_fused_kernel(kernel) and kernel.id not in self.taken:
                chain = self._chain_of(kernel)
                if chain:
                    names = " + ".join(node.kind for node in chain)
                    self.add(tuple(chain), (kernel,), f"computes {names}", 0.8)

    def _chain_of(self, kernel: Node) -> list[Node]:
        parts = _parts(kernel.kind.removeprefix(_FUSED_KERNEL))
        for first in self._candidates(kernel):
            chain = self._follow(first, parts)
            if chain:
                return chain
        return []

    def _candidates(self, kernel: Node) -> list[Node]:
        """Unpaired float ops that take what the kernel takes; else all, in order."""
        value = self._before_value(self.after.origin(kernel.inputs[0]))
        near = [node for node, _ in self.before.takers.get(value, ())] if value else []
        return [
            node
            for node in (near or self.before.core)
            if node.id not in self.partner and not node.is_constant
        ]

    def _before_value(self, value: str) -> str | None:
        """The value before that a value after corresponds to."""
        graph = self.after.graph
        if value in graph.inputs:
            place = graph.inputs.index(value)
            inputs = self.before.graph.inputs
            return inputs[place] if place < len(inputs) else None
        node = graph.producers.get(value)
        if node is None:
            return None
        pair = self.taken.get(node.id)
        if pair is None:
            return None
        outputs = pair.before[-1].outputs
        place = node.outputs.index(value)
        return outputs[place] if place < len(outputs) else None

    def _follow(self, first: Node, parts: list[str]) -> list[Node]:
        """The chain of unpaired ops from `first` whose kinds are those parts, each feeding the next."""
        if not parts or not _is_kind(first, parts[0]):
            return []
        chain = [first]
        for part in parts[1:]:
            users = self.before.takers.get(chain[-1].outputs[0], ())
            found = next(
                (n for n, _ in users if _is_kind(n, part) and n.id not in self.partner), None
            )
            if found is None:
                return []
            chain.append(found)
        return chain

    def match_threaded(self) -> None:
        """Step 4: observers, quantize and dequantize nodes, by the value they stand on."""
        new_value = self._values_after()
        keys = defaultdict(list)
        for node in self.after.threaded:
            keys[node.kind, self.after.origin(node.inputs[0])].append(node)
        for node in self.before.threaded:
            value = new_value.get(self.before.origin(node.inputs[0]))
            free = keys.get((node.kind, value or ""), [])
            if free:
                self.add((node,), (free.pop(0),), "stands on the same value", 0.9)

    def _values_after(self) -> dict[str, str]:
        """Value before -> value after, for the inputs and the outputs of paired nodes."""
        found = dict(zip(self.before.graph.inputs, self.after.graph.inputs, strict=False))
        for pair in self.pairs:
            found.update(zip(pair.before[-1].outputs, pair.after[-1].outputs, strict=False))
        return found


def _grouped(
    nodes: Iterable[Node], key: Callable[[Node], Hashable]
) -> dict[Hashable, list[Node]]:
    groups: dict[Hashable, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[key(node)].append(node)
    return groups


def _path(node: Node) -> str:
    return node.module_path


def _nowhere(node: Node) -> str:
    return ""


def _is_fused_kernel(node: Node) -> bool:
    """A kernel that computes; packing a weight computes nothing of the model."""
    packs = node.kind.endswith(("_prepack", "_unpack"))
    return node.kind.startswith(_FUSED_KERNEL) and not packs


def _parts(kernel: str) -> list[str]:
    """ "conv2d_relu" -> ["conv2d", "relu"]; suffixes that name no op are dropped."""
    name = kernel
    for suffix in ("_dynamic", "_fp16"):
        name = name.removesuffix(suffix)
    for last in ("_relu6", "_relu"):
        if name.endswith(last):
            return [name.removesuffix(last), last[1:]]
    return [name]


def _is_kind(node: Node, part: str) -> bool:
    """Whether the float op is what that part of a kernel's name stands for, in-place forms included."""
    name = node.kind.removeprefix("aten::").rstrip("_")
    same = {"_convolution": "conv2d", "addmm": "linear", "matmul": "linear"}
    return part in (name, same.get(name))
