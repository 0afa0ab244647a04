"""A graph as the matcher looks at it: `Side`.

Most passes change a great deal of a graph and little of what it computes. `Side` shows the latter:
the *ops*, and which value feeds which, with everything looked through that quantization threads
into a value's way (observers, quantize and dequantize, packing), that folding removes (a batch norm
behind a convolution) or that never decides anything (an If on a constant or on a setting of the
model, which freezing drops). A fused
kernel shows as the float ops it stands for, one behind the other. What is the same net then is the
same graph, before and after nearly every pass.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import cached_property, lru_cache
from typing import TypeAlias

from jitq_explore.snapshots.graph import OBSERVE, Graph, Node, constant_value
from jitq_explore.snapshots.settled import taken_block

THREADED = frozenset(
    {OBSERVE, "aten::quantize_per_tensor", "aten::quantize_per_channel", "aten::dequantize",
     "aten::_saturate_weight_to_fp16"}
)  # fmt: skip
"""Kinds that hand on their first input, in real values: what passes thread into a value's way."""

ASIDE = frozenset(
    {"aten::_choose_qparams_per_tensor", "aten::q_scale", "aten::q_zero_point",
     "aten::q_per_channel_scales", "aten::q_per_channel_zero_points", "aten::q_per_channel_axis",
     "prim::dtype"}
)  # fmt: skip
"""Kinds that only ask a value something, for the sake of a quantize node."""

LISTS = frozenset({"prim::ListConstruct", "prim::TupleConstruct"})

ALIASES = {
    "_convolution": "conv", "conv1d": "conv", "conv2d": "conv", "conv3d": "conv",
    "conv_transpose1d": "conv", "conv_transpose2d": "conv", "conv_transpose3d": "conv",
    "batch_norm1d": "batch_norm", "batch_norm2d": "batch_norm", "batch_norm3d": "batch_norm",
    "hardtanh": "relu6", "addmm": "linear",
}  # fmt: skip
"""Names of what is one op: a traced convolution is an `aten::_convolution`, `F.relu6` a
`hardtanh`."""

_PACKING = re.compile(r"quantized::\w+_(un)?pack(_\w+)?$|quantized::\w+_prepack(_\w+)?$")
_MODES = re.compile(r"(_fp16|_dynamic|_scalar|_out|_tensor)+$")
_FUSED_IN = ("_leaky_relu", "_relu6", "_relu", "_tanh", "_add")
_FOLDED_INTO = frozenset({"conv", "linear"})

Key: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Label of an op, the block that it stands in, the values that it takes."""

Use: TypeAlias = tuple[int, int]
"""Number of an op that takes a value, and which of its sources the value is."""

DEEPEST = 6
"""How many hops ahead a comparison looks, step by step."""

FAR = (12, 24, 48)
"""How far it looks where all of that is the same: repeated blocks are told apart by their end."""


@lru_cache(maxsize=4096)
def parts_of(kind: str) -> tuple[str, ...]:
    """The ops a node stands for: "quantized::conv2d_relu" -> ("conv", "relu").

    In-place forms and torch's aliases go by one name.
    """
    if not is_kernel(kind):
        return (_plain(kind),)
    name = _MODES.sub("", kind.removeprefix("quantized::"))
    last: list[str] = []
    while (suffix := next((s for s in _FUSED_IN if name.endswith(s)), "")) and name != "leaky_relu":
        last.append(suffix[1:])
        name = _MODES.sub("", name.removesuffix(suffix))
    return tuple(_plain(part) for part in (name, *reversed(last)))


def is_kernel(kind: str) -> bool:
    """A kernel that computes on quantized values; packing a weight computes nothing of the
    model."""
    return kind.startswith("quantized::") and not is_packing(kind)


@lru_cache(maxsize=4096)
def is_packing(kind: str) -> bool:
    """Whether nodes of that kind pack a weight for a kernel, or unpack it."""
    return _PACKING.match(kind) is not None


def _plain(kind: str) -> str:
    name = kind.removeprefix("aten::").rstrip("_") or kind
    return ALIASES.get(name, name)


class Side:
    """One graph through the lens.

    Its nodes come in sorts: `ops`; `fixed` ones (constants, and what is fetched from the model:
    known by what they are); `threaded` ones, which hand a value on; `aside` ones; `settled` Ifs,
    which always go one way; and `dead` ones, within the branch such an If never takes.

    Ops are numbered. A fused kernel has a number for each of its parts, `ops[k]` is then the same
    node for several k. `sources[k]` are the values an op takes, fixed ones left out, followed back
    through what was threaded in; `results[k]` are those it makes, with the inputs of its blocks
    behind them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: list[Node] = []
        self.results: list[tuple[str, ...]] = []
        self.keys: list[Key] = []
        self.maker: dict[str, int] = {}  # value -> number of the op that makes it
        self.same_keys: dict[Key, list[int]] = {}
        self.in_a_row: set[int] = set()  # ops next to one of the same label
        self.fixed: dict[str, Node] = {}
        self.threaded: list[Node] = []
        self.aside: list[Node] = []
        self.settled: list[Node] = []
        self.dead: list[Node] = []
        self.handed: dict[str, str] = {}  # value -> the value that was handed on as it
        self.folds: set[str] = set()  # values that a foldable batch norm makes
        self.place: dict[str, str] = {"": ""}  # block -> the block it counts as
        self._sort_nodes()
        self._ahead: list[dict[int, int]] = [{} for _ in range(FAR[-1] + 1)]
        self._exactly_ahead: list[dict[int, int]] = [{} for _ in range(DEEPEST + 1)]
        self._exactly: dict[int, Hashable] = {}
        self._literals: dict[str, Hashable] = {}

    @classmethod
    def of(cls, graph: Graph) -> Side:
        """Made once for each graph: most are the after of one stage and the before of the next."""
        known: Side | None = graph.__dict__.get("_side")
        if known is None:
            known = graph.__dict__["_side"] = cls(graph)
        return known

    def _sort_nodes(self) -> None:
        fixed, handed, place = self.fixed, self.handed, self.place
        model = self.graph.inputs[:1]
        for node in self.graph.nodes:
            kind, inputs, block = node.kind, node.inputs, node.block
            if block and place[block] == DEAD:
                self.dead.append(node)
                place.update((inner, DEAD) for inner in node.blocks)
            elif (
                (kind == "prim::Constant" and node.outputs)
                or (kind == "prim::GetAttr" and (inputs[0] in fixed or inputs[0] in model))
                or (kind in LISTS and all(name in fixed for name in inputs))
            ):
                fixed[node.outputs[0]] = node
            elif inputs and (kind in THREADED or is_packing(kind)):
                self.threaded.append(node)
                handed[node.outputs[0]] = inputs[0]
            elif kind in ASIDE:
                self.aside.append(node)
            elif kind == "prim::If" and self._settle(node):
                self.settled.append(node)
            else:
                self._add_op(node, place[block] if block else "")

    def _settle(self, node: Node) -> bool:
        """See through an If that always goes one way."""
        taken = taken_block(self.graph, node)
        if taken is None:
            return False
        self.place.update((block, DEAD) for block in node.blocks)
        self.place[taken] = self.place[node.block]
        self.handed.update(zip(node.outputs, self.graph.blocks[taken].outputs, strict=True))
        return True

    def _add_op(self, node: Node, block: str) -> None:
        fixed, handed = self.fixed, self.handed
        sources = []
        for value in node.inputs:
            while value in handed:
                value = handed[value]
            if value not in fixed:
                sources.append(value)
        parts = parts_of(node.kind)
        if parts[0] == "batch_norm" and self._is_foldable(node, sources):
            self.threaded.append(node)
            handed[node.outputs[0]] = node.inputs[0]
            self.folds.add(node.outputs[0])
            return
        results = node.outputs
        if node.blocks:
            for inner in node.blocks:
                self.place[inner] = inner
                results = (*results, *self.graph.blocks[inner].inputs)
        taken = tuple(sources)
        for part in parts[:-1]:
            inner_value = f"{results[0]}|{part}"
            self._number(node, (part, block, taken), (inner_value,))
            taken = (inner_value,)
        self._number(node, (parts[-1], block, taken), results)

    def _number(self, node: Node, key: Key, results: tuple[str, ...]) -> None:
        number = len(self.ops)
        self.ops.append(node)
        self.keys.append(key)
        self.results.append(results)
        for value in results:
            self.maker[value] = number
        for value in key[2]:
            before = self.maker.get(value)
            if before is not None and self.keys[before][0] == key[0]:
                self.in_a_row.update((before, number))
        same = self.same_keys.get(key)
        if same is None:
            self.same_keys[key] = [number]
        else:
            same.append(number)

    def _is_foldable(self, norm: Node, sources: list[str]) -> bool:
        """Whether the batch norm stands behind a layer whose weight the model holds: torch
        multiplies it into that weight."""
        number = self.maker.get(sources[0]) if sources else None
        if number is None or self.keys[number][0] not in _FOLDED_INTO:
            return False
        layer = self.ops[number]
        if is_kernel(layer.kind) or len(layer.inputs) < 2 or norm.block != layer.block:
            return False
        weight = self.fixed.get(self.seen_through(layer.inputs[1]))
        return weight is not None and weight.kind == "prim::GetAttr"

    def seen_through(self, value: str) -> str:
        """The value that all of the lens sees: back through threaded, settled and folded nodes."""
        while value in self.handed:
            value = self.handed[value]
        return value

    def origin(self, value: str) -> str:
        """The value itself, followed back through what was threaded into its way.

        A batch norm is not looked through: it makes another value.
        """
        while value in self.handed and value not in self.folds:
            value = self.handed[value]
        return value

    @cached_property
    def uses(self) -> Mapping[str, list[Use]]:
        """Value -> the ops that take it, in order."""
        found: dict[str, list[Use]] = {}
        for number, (_, _, sources) in enumerate(self.keys):
            for index, value in enumerate(sources):
                if value in found:
                    found[value].append((number, index))
                else:
                    found[value] = [(number, index)]
        return found

    @cached_property
    def ends(self) -> Mapping[str, list[tuple[str, int, int]]]:
        """Value -> where it leaves: as which output of the graph, or of which block of what."""
        found: dict[str, list[tuple[str, int, int]]] = {}
        for index, value in enumerate(self.graph.outputs):
            found.setdefault(self.seen_through(value), []).append(("", 0, index))
        for node in self.ops:
            for which, block in enumerate(node.blocks):
                for index, value in enumerate(self.graph.blocks[block].outputs):
                    end = node.kind, which, index
                    found.setdefault(self.seen_through(value), []).append(end)
        return found

    @cached_property
    def live(self) -> frozenset[int]:
        """The ops that the graph's outputs are made with: no checks, no bookkeeping."""
        found: set[int] = set()
        waiting = list(self.graph.outputs)
        while waiting:
            number = self.maker.get(self.seen_through(waiting.pop()))
            if number is not None and number not in found:
                found.add(number)
                waiting.extend(self.keys[number][2])
                for block in self.ops[number].blocks:
                    waiting.extend(self.graph.blocks[block].outputs)
        return frozenset(found)

    def next_in_row(self, number: int) -> list[int]:
        """The ops of the same label that take what an op makes."""
        if number not in self.in_a_row:
            return []
        users = (user for value in self.results[number] for user, _ in self.uses.get(value, ()))
        return [user for user in users if self.keys[user][0] == self.keys[number][0]]

    def ahead(self, number: int, hops: int, exactly: bool = False) -> int:
        """A hash of what an op's results go into, that many hops far; the op itself left out.

        The ops are known by their labels, or by all that `exactly` says of them.
        """
        memory = (self._exactly_ahead if exactly else self._ahead)[hops]
        found = memory.get(number)
        if found is None:
            found = memory[number] = self._look_ahead(number, hops, exactly)
        return found

    def _look_ahead(self, number: int, hops: int, exactly: bool) -> int:
        total = 0
        # Passes drop checks; to what computes the outputs, only what does so counts.
        live = self.live
        is_live = number in live
        for which, value in enumerate(self.results[number]):
            # A sum: what takes a value comes in no order.
            for user, index in self.uses.get(value, ()):
                if is_live and user not in live:
                    continue
                further = self.ahead(user, hops - 1, exactly) if hops > 1 else 0
                what = self.exactly(user) if exactly else self.keys[user][0]
                total += hash((which, index, what, further))
            for end in self.ends.get(value, ()):
                total += hash((which, end))
        return total

    @cached_property
    def all_ahead(self) -> list[int]:
        """For each op a hash of all that follows from it, however far."""
        found = [0] * len(self.ops)
        live = self.live
        for number in range(len(self.ops) - 1, -1, -1):
            total = 0
            is_live = number in live
            for which, value in enumerate(self.results[number]):
                for user, index in self.uses.get(value, ()):
                    if is_live and user not in live:
                        continue
                    total += hash((which, index, self.keys[user][0], found[user]))
                for end in self.ends.get(value, ()):
                    total += hash((which, end))
            found[number] = hash(total)
        return found

    def exactly(self, number: int) -> Hashable:
        """What an op is, with its attributes and all that is fixed of its inputs."""
        found = self._exactly.get(number)
        if found is None:
            found = self._exactly[number] = self._read_exactly(number)
        return found

    def _read_exactly(self, number: int) -> Hashable:
        node = self.ops[number]
        inner = tuple(
            sorted(other.kind for block in node.blocks for other in self.by_block.get(block, ()))
        )
        fixed = tuple(
            (place, self.literal(value))
            for place, value in enumerate(map(self.seen_through, node.inputs))
            if value in self.fixed
        )
        return hash(
            (self.keys[number][0], node.kind, repr(sorted(node.attributes.items())), fixed, inner)
        )

    def attributes(self, number: int) -> frozenset[Hashable]:
        """The model's own attributes that an op takes, packed weights of kernels left out."""
        node = self.ops[number]
        if is_kernel(node.kind):
            return frozenset()
        fetched = map(self.seen_through, node.inputs)
        return frozenset(
            self.literal(value)
            for value in fetched
            if value in self.fixed and self.fixed[value].kind == "prim::GetAttr"
        )

    def threads(self, number: int) -> Hashable:
        """What is threaded into the way of an op's inputs."""
        return tuple(
            tuple(node.kind for node in self.row(value))
            for value in self.ops[number].inputs
            if value in self.handed
        )

    def row(self, value: str) -> list[Node]:
        """What hands a value on, from the taker back to the origin."""
        row = []
        while value in self.handed:
            row.append(self.graph.producers[value])
            value = self.handed[value]
        return row

    @cached_property
    def by_block(self) -> Mapping[str, list[Node]]:
        """Block -> the nodes right in it."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            found.setdefault(node.block, []).append(node)
        return found

    def literal(self, value: str) -> Hashable:
        """What a fixed value is: a constant, the path of an attribute, or a list of such."""
        found = self._literals.get(value)
        if found is None:
            found = self._literals[value] = self._read_literal(value)
        return found

    def _read_literal(self, value: str) -> Hashable:
        node = self.fixed.get(value)
        if node is None:
            return "the model"
        if node.kind == "prim::GetAttr":
            return self.literal(node.inputs[0]), node.attributes.get("name")
        constant = constant_value(self.graph, value)
        if constant is not None:
            return repr(constant), self.graph.values[value].type if constant == (None,) else ""
        return node.kind, tuple(self.literal(name) for name in node.inputs)


DEAD = "(never taken)"
"""The block that all nodes count to which lie within a branch that is never taken."""
