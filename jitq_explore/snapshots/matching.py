"""Pairs the nodes of two graphs.

A first matcher, of four steps, each linear or close to it:

1. Constants and fetched attributes are paired by what they are, and from then on count as part of
   the nodes that take them.
2. The rest is looked at without what quantization threads into a value's way (observers, quantize,
   dequantize): that is the same graph before and after most passes. Every node gets a signature of
   what it is, what feeds it and what it feeds, some hops far (Weisfeiler-Lehman refinement). Nodes
   are paired from the finest signature to the coarsest, in order where several are alike, first
   with the module path as further evidence, then without.
3. From there on along the edges: a node takes the one of its kind that is fed by the same value, a
   fused kernel takes the chain of float ops named in its kind.
4. Ops that are left are paired in order, where they are the same op at least.
5. What was looked past in step 2 is paired by the value it observes or quantizes.

Names of values and mangled class names play no part in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from jitq_explore.snapshots.graph import OBSERVE, Graph, Node, constant_value, settled_branch

THREADED = frozenset(
    {OBSERVE, "aten::quantize_per_tensor", "aten::quantize_per_channel", "aten::dequantize"}
)
"""Kinds that hand on their first input, in real values: what passes thread into a value's way."""

HOPS = 3
"""How far a signature looks. More tells apart more repeated blocks, and is spoilt by more
changes."""

_ALIASES = {"_convolution": "conv2d", "addmm": "linear", "matmul": "linear"}
"""Float op -> how kernels call it; a traced convolution is an `aten::_convolution`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Nodes that correspond, why, and how sure it is (0 to 1)."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    reason: str
    confidence: float


def match_nodes(before: Graph, after: Graph) -> tuple[Pair, ...]:
    """Pairs in the order of the nodes before; no node is in two of them. Deterministic."""
    if _are_alike(before, after):
        return tuple(
            Pair((old,), (new,), "the whole graph is the same", 1.0)
            for old, new in zip(before.nodes, after.nodes, strict=True)
        )
    matcher = _Matcher(Side.of(before), Side.of(after))
    matcher.match_fixed()
    matcher.match_alike()
    matcher.match_along()
    matcher.match_left_over()
    matcher.match_threaded()
    return matcher.in_order()


def _are_alike(before: Graph, after: Graph) -> bool:
    """Whether the graphs are equal node by node, but for names."""
    if before is after:
        return True
    paths = [node.module_path for node in before.nodes]
    return paths == [node.module_path for node in after.nodes] and (
        before.structure == after.structure
    )


class Side:
    """One graph with what the matcher wants to know of it.

    Its nodes come in three sorts: `fixed` ones (constants and fetched attributes, known by what
    they are), `threaded` ones, and all others, the `core`.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node.id: k for k, node in enumerate(graph.nodes)}
        self.literals = _literals(graph)
        self.core: list[Node] = []
        self.threaded: list[Node] = []
        self.fixed: list[Node] = []
        for node in graph.nodes:
            sort = self.core
            if node.kind in THREADED:
                sort = self.threaded
            elif node.outputs and node.outputs[0] in self.literals:
                sort = self.fixed
            sort.append(node)

    @classmethod
    def of(cls, graph: Graph) -> Side:
        """Made once for each graph: most are the after of one stage and the before of the next."""
        known = graph.__dict__.get("_side")
        if known is None:
            known = graph.__dict__["_side"] = cls(graph)
        return known

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
        ids = [node.id for node in self.core]
        fed_by, feeds = self._edges(ids)
        last = [hash(_own_signature(node)) for node in self.core]
        rounds = [dict(zip(ids, last, strict=True))]
        for _ in range(HOPS):
            last = [
                hash(
                    (
                        own,
                        tuple([fixed if k < 0 else hash((last[k], fixed)) for k, fixed in sources]),
                        # A sum: who else takes a value comes in no order.
                        sum([last[k] ^ how for k, how in takers]),
                    )
                )
                for own, sources, takers in zip(last, fed_by, feeds, strict=True)
            ]
            rounds.append(dict(zip(ids, last, strict=True)))
        return rounds

    def _edges(
        self, ids: list[str]
    ) -> tuple[list[list[tuple[int, int]]], list[list[tuple[int, int]]]]:
        """For each core node what feeds it and what it feeds: (number of the other node, how).

        The number is -1 for a source that is no core node; the hash then says what it is.
        """
        number = {node_id: k for k, node_id in enumerate(ids)}
        fed_by = [[self._source(value, number) for value in node.inputs] for node in self.core]
        feeds = [
            [
                (number[taker.id], hash((place, output)))
                for output, value in enumerate(node.outputs)
                for taker, place in self.takers.get(value, ())
            ]
            for node in self.core
        ]
        return fed_by, feeds

    def _source(self, value: str, number: Mapping[str, int]) -> tuple[int, int]:
        origin = self.origin(value)
        if origin in self.literals:
            return -1, hash(self.literals[origin])
        node = self.graph.producers.get(origin)
        if node is None:
            inputs = self.graph.inputs
            return -1, hash(("input", inputs.index(origin) if origin in inputs else None))
        return number[node.id], node.outputs.index(origin)


def _literals(graph: Graph) -> Mapping[str, Hashable]:
    """Value -> what it is, where that is fixed: a constant, or an attribute of the model."""
    found: dict[str, Hashable] = {}
    for node in graph.nodes:
        if node.kind == "prim::GetAttr":
            owner = node.inputs[0]
            base = () if owner in graph.inputs[:1] else found.get(owner)
            if isinstance(base, tuple):
                found[node.outputs[0]] = (*base, node.attributes["name"])
        elif node.kind in ("prim::Constant", "prim::ListConstruct", "prim::TupleConstruct"):
            constant = constant_value(graph, node.outputs[0])
            if constant is not None:
                found[node.outputs[0]] = repr(constant)
    return found


def _own_signature(node: Node) -> Hashable:
    return node.kind, repr(sorted(node.attributes.items())), len(node.inputs), len(node.outputs)


class _Matcher:
    def __init__(self, before: Side, after: Side) -> None:
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
        return tuple(sorted(self.pairs, key=lambda pair: self.before.position[pair.before[0].id]))

    def match_fixed(self) -> None:
        """Step 1: constants and fetched attributes, by what they are."""
        for path in (_path, _nowhere):
            self._match_groups(
                self.before.fixed,
                self.after.fixed,
                partial(_fixed_key, self.before.literals, path),
                partial(_fixed_key, self.after.literals, path),
                reason="the same constant or attribute",
                confidence=0.9 if path is _path else 0.7,
                in_equal_number=False,
            )

    def match_alike(self) -> None:
        """Step 2: equal surroundings, from the widest view to the narrowest."""
        for path, place in ((_path, " in the same module"), (_nowhere, "")):
            for hops in range(HOPS, 0, -1):
                self._match_signatures(hops, path, f"equal {hops} hops around{place}")

    def match_left_over(self) -> None:
        """Step 4: what is the same op at least, in order."""
        for path, place in ((_path, " in the same module"), (_nowhere, "")):
            self._match_signatures(0, path, f"the same op{place}")

    def _match_signatures(self, hops: int, path: Callable[[Node], str], reason: str) -> None:
        mine, theirs = self.before.signatures[hops], self.after.signatures[hops]
        self._match_groups(
            self.before.core,
            self.after.core,
            lambda node: (mine[node.id], path(node)),
            lambda node: (theirs[node.id], path(node)),
            reason=reason,
            confidence=(0.5 if path is _nowhere else 0.7) + 0.1 * hops,
            in_equal_number=hops > 0,
        )

    def _match_groups(
        self,
        nodes_before: Iterable[Node],
        nodes_after: Iterable[Node],
        key_before: Callable[[Node], Hashable],
        key_after: Callable[[Node], Hashable],
        *,
        reason: str,
        confidence: float,
        in_equal_number: bool,
    ) -> None:
        """Pair unpaired nodes of equal keys in their order.

        With `in_equal_number` only where there are as many of a key on both sides, so that one node
        more or less does not shift all the others.
        """
        groups = _grouped((n for n in nodes_before if n.id not in self.partner), key_before)
        if not groups:
            return
        others = _grouped((n for n in nodes_after if n.id not in self.taken), key_after)
        if not others:
            return
        for key, nodes in groups.items():
            partners = others.get(key, ())
            if len(nodes) == len(partners) or not in_equal_number:
                for old, new in zip(nodes, partners, strict=False):
                    self.add((old,), (new,), reason, confidence)

    def match_along(self) -> None:
        """Step 3: from paired nodes on along the edges, in the order of the graph after.

        A node takes the one of its own kind that is fed by the same value; a fused kernel takes the
        chain of float ops that it computes.
        """
        for node in self.after.core:
            if node.id in self.taken:
                continue
            parts = _parts(node)
            for first in self._candidates(node, parts):
                chain = self._follow(first, parts)
                if chain:
                    names = " + ".join(op.kind for op in chain)
                    reason = f"computes {names}" if _is_kernel(node) else "fed by the same"
                    self.add(tuple(chain), (node,), reason, 0.8)
                    break

    def _candidates(self, node: Node, parts: list[str]) -> list[Node]:
        """Unpaired nodes that take what the node takes; for a kernel of unknown source all
        likes."""
        near: list[Node] = []
        for value in node.inputs[:1]:
            source = self._before_value(self.after.origin(value))
            if source is not None:
                near = [taker for taker, place in self.before.takers.get(source, ()) if place == 0]
        if not near and _is_kernel(node):
            near = self.before.core
        return [op for op in near if op.id not in self.partner and _is_kind(op, parts[0])]

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
        return self.before.origin(outputs[place]) if place < len(outputs) else None

    def _follow(self, first: Node, parts: list[str]) -> list[Node]:
        """The chain of unpaired ops from `first` of those kinds, each feeding the next."""
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
        """Step 5: observers, quantize and dequantize nodes, by the value they stand on."""
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


def _grouped(nodes: Iterable[Node], key: Callable[[Node], Hashable]) -> dict[Hashable, list[Node]]:
    groups: dict[Hashable, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[key(node)].append(node)
    return groups


def _fixed_key(
    literals: Mapping[str, Hashable], path: Callable[[Node], str], node: Node
) -> Hashable:
    return literals[node.outputs[0]], path(node)


def _path(node: Node) -> str:
    return node.module_path


def _nowhere(node: Node) -> str:
    return ""


def _is_kernel(node: Node) -> bool:
    """A kernel that computes on quantized values; packing a weight computes nothing of the
    model."""
    packs = node.kind.endswith(("_prepack", "_unpack"))
    return node.kind.startswith("quantized::") and not packs


def _parts(node: Node) -> list[str]:
    """The ops a node stands for: "quantized::conv2d_relu" -> ["conv2d", "relu"], else its own
    kind."""
    if not _is_kernel(node):
        return [node.kind]
    name = node.kind.removeprefix("quantized::")
    for suffix in ("_fp16", "_dynamic"):
        name = name.removesuffix(suffix)
    for last in ("_relu6", "_relu"):
        if name.endswith(last):
            return [name.removesuffix(last), last[1:]]
    return [name]


def _is_kind(node: Node, part: str) -> bool:
    """Whether the op is what that part stands for: itself, its in-place form, or torch's alias of
    it."""
    name = node.kind.removeprefix("aten::").rstrip("_")
    return part in (node.kind, name, _ALIASES.get(name))
