"""What became of a node that has no partner after a stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import (
    Attribute,
    Node,
    TensorSummary,
    attribute_names,
    constant_value,
    show_attribute,
)
from jitq_explore.snapshots.modules import AttributeState
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.snapshots.tracking import Spot, Tracker, folded_into, is_fixed, origin_of


@dataclass(frozen=True, slots=True)
class Ending:
    """`what` is "fused", "folded", "replaced", "dropped" or "removed"; `into` are the nodes after
    that go on in its stead."""

    what: str
    detail: str
    into: tuple[Node, ...] = ()


def ending_of(diff: GraphDiff, before: Snapshot, after: Snapshot, node: Node) -> Ending:
    """What a node of `diff.before` that has no partner was made into.

    `before` and `after` are the snapshots that the two graphs are of.
    """
    return _Ender(diff, before, after, node).end()


def ending_at(tracker: Tracker, spot: Spot) -> Ending:
    """What the stage after that spot made of a node that has no partner there."""
    way = next(tracker.ways_on(spot.index, spot.method), None)
    if way is None:
        return Ending("removed", f"with the method {spot.method}")
    diff = tracker.diff(spot.index + 1, spot.method, way)
    before, after = tracker.snapshots[spot.index], tracker.snapshots[spot.index + 1]
    return ending_of(diff, before, after, tracker.node(spot))


@dataclass(frozen=True, slots=True)
class _Heir:
    """A node with a partner that took, at that place, what came of the ended node."""

    node: Node
    place: int
    match: Match

    @property
    def after(self) -> Node:
        return self.match.after[0]

    @property
    def packs(self) -> bool:
        """Whether what comes in at that place is packed with the weight of a kernel.

        Of a float convolution or linear op all but the input is: bias, strides, groups, too.
        """
        weight = WEIGHT_INPUT.get(self.node.kind)
        return is_kernel(self.after) and weight is not None and (self.place > 0 or weight == 0)


class _Ender:
    def __init__(self, diff: GraphDiff, before: Snapshot, after: Snapshot, node: Node) -> None:
        self.diff, self.node = diff, node
        self.snapshot_before, self.snapshot_after = before, after
        self.heirs = list(self._heirs())

    def end(self) -> Ending:
        if self.node.is_observer:
            return self._observer()
        if self._comes_from_attributes(self.node):
            return self._fixed()
        if role_of(self.node):
            return self._quant_node()
        return self._op()

    def _heirs(self) -> Iterator[_Heir]:
        """Nodes with a partner that the ended node led to, through others that ended with it."""
        waiting, seen = [self.node], {self.node.id}
        while waiting:
            for value in waiting.pop(0).outputs:
                for user in self.diff.before.consumers.get(value, ()):
                    match = self.diff.match_before.get(user.id)
                    if match is not None:
                        yield _Heir(user, user.inputs.index(value), match)
                    elif user.id not in seen:
                        seen.add(user.id)
                        waiting.append(user)

    def _comes_from_attributes(self, node: Node) -> bool:
        """Whether the node depends on nothing but the model's own attributes and constants."""
        graph = self.diff.before
        maker: Node | None = node
        while maker is not None and not is_fixed(maker) and (role_of(maker) or maker.is_observer):
            maker = graph.producers.get(maker.inputs[0])
        return maker is not None and is_fixed(maker)

    def _observer(self) -> Ending:
        """Quantize nodes that stand where it stood."""
        quantizers = [
            node
            for node in self.diff.added
            if role_of(node) in ("quantize", "saturate") and self._stands_there(node)
        ]
        if not quantizers:
            return Ending("removed", "no quantize node stands in its place")
        names = ", ".join(f"{node.kind} %{node.outputs[0]}" for node in quantizers)
        return Ending("replaced", f"by {names}", tuple(quantizers))

    def _stands_there(self, quantizer: Node) -> bool:
        before = origin_of(self.diff.before, self.node.inputs[0])
        return self._value_before(origin_of(self.diff.after, quantizer.inputs[0])) == before

    def _value_before(self, value: str) -> str | None:
        if value in self.diff.after.inputs:
            place = self.diff.after.inputs.index(value)
            inputs = self.diff.before.inputs
            return inputs[place] if place < len(inputs) else None
        maker = self.diff.after.producers.get(value)
        match = self.diff.match_after.get(maker.id) if maker is not None else None
        if maker is None or match is None:
            return None
        place = maker.outputs.index(value)
        outputs = match.before[-1].outputs
        return origin_of(self.diff.before, outputs[place]) if place < len(outputs) else None

    def _fixed(self) -> Ending:
        """A constant, an attribute, or a node on the way from one to an op."""
        for heir in self.heirs:
            packed = self._packed_attribute(heir.after) if heir.packs else None
            if packed is not None:
                return Ending(
                    "folded", f"into the packed attribute {packed} of {heir.after.kind}",
                    heir.match.after,
                )  # fmt: skip
        folded = self._folded_with() or self._unpacked_again()
        if folded is not None:
            return folded
        value = self._value()
        for heir in self.heirs:
            if heir.after.is_constant:
                return _into_constant(heir.after)
            constant = self._equal_constant(heir, value) if value is not None else None
            if constant is not None:
                return _into_constant(constant)
        kernel = next((heir for heir in self.heirs if is_kernel(heir.after)), None)
        if kernel is not None:
            constant = self._tensor_at(kernel)
            if constant is not None:
                return _into_constant(constant)
            return Ending("fused", f"into {kernel.after.kind}", kernel.match.after)
        return Ending("removed", self._why_unused())

    def _why_unused(self) -> str:
        if not self.node.outputs:
            return ""
        owner = self.diff.before.blocks[self.node.block].owner if self.node.block else ""
        if owner and owner not in self.diff.match_before:
            return f"with the {self.diff.before.by_id[owner].kind} that held it"
        users = [
            user.kind
            for value in self.node.outputs
            for user in self.diff.before.consumers.get(value, ())
        ]
        if not users:
            return "nothing used it"
        if self.heirs:
            return f"{self.heirs[0].after.kind} goes on without it"
        return f"with what used it: {', '.join(dict.fromkeys(users))}"

    def _folded_with(self) -> Ending | None:
        """A parameter of a batch norm goes where that goes."""
        for value in self.node.outputs:
            for user in self.diff.before.consumers.get(value, ()):
                match = folded_into(self.diff, user)
                if match is not None:
                    text = f"with {user.kind} into the weight and bias of {match.after[0].kind}"
                    return Ending("folded", text, match.after)
        return None

    def _packed_attribute(self, kernel: Node) -> str | None:
        """The path of the packed weight that a kernel takes."""
        for value in kernel.inputs:
            names = attribute_names(self.diff.after, value)
            state = _state(self.snapshot_after, names) if names else None
            if names and state is not None and state.kind == "packed":
                return ".".join(names)
        return None

    def _unpacked_again(self) -> Ending | None:
        """Into a packed weight that is unpacked for a float op, as no kernel came in its place."""
        for heir in self.heirs:
            makers = map(self.diff.after.producers.get, heir.after.inputs)
            for maker in makers:
                packed = self._packed_attribute(maker) if maker and _unpacks(maker) else None
                if maker is not None and packed is not None:
                    text = f"into the packed attribute {packed}, which {maker.kind} unpacks again"
                    return Ending("folded", text, (maker,))
        return None

    def _value(self) -> Attribute:
        """What the ended node always gave: a constant, a scalar attribute, or a tensor's digest."""
        constant = constant_value(self.diff.before, self.node.outputs[0])
        if constant is not None:
            return constant[0]
        names = attribute_names(self.diff.before, self.node.outputs[0])
        state = _state(self.snapshot_before, names) if names else None
        if state is None:
            return None
        return state.value if state.tensor is None else state.tensor.digest

    def _equal_constant(self, heir: _Heir, value: Attribute) -> Node | None:
        """The constant of that value which a heir takes, at the same place where there is one."""
        inputs = heir.after.inputs
        for name in (*inputs[heir.place : heir.place + 1], *inputs):
            node = self.diff.after.producers.get(name)
            if node is not None and node.is_constant:
                found = node.attributes.get("value")
                if value in (found, found.digest if isinstance(found, TensorSummary) else found):
                    return node
        return None

    def _quant_node(self) -> Ending:
        """A quantize node goes into what makes its value, all others into what takes it.

        So does one whose qparams are computed at run time: dynamic kernels quantize their input.
        """
        maker = self._maker()
        heirs = [heir.match for heir in self.heirs]
        makers = [maker] if maker is not None else []
        ends = makers + heirs if self._is_static_quantize() else heirs + makers
        if not ends:
            return Ending("removed", self._why_unused())
        kind = ends[0].after[0].kind
        if is_kernel(ends[0].after[0]):
            return Ending("fused", f"into {kind}", ends[0].after)
        return Ending("dropped", f"{kind} works on quantized values", ends[0].after)

    def _tensor_at(self, heir: _Heir) -> Node | None:
        """The constant tensor that a heir takes where it took what came of the ended node."""
        for name in heir.after.inputs[heir.place : heir.place + 1]:
            node = self.diff.after.producers.get(name)
            if node is not None and isinstance(node.attributes.get("value"), TensorSummary):
                return node
        return None

    def _is_static_quantize(self) -> bool:
        if role_of(self.node) != "quantize":
            return False
        scale = self.diff.before.producers.get(self.node.inputs[1])
        return scale is None or role_of(scale) != "choose_qparams"

    def _maker(self) -> Match | None:
        """The match of the op that makes the value which the node stands on."""
        graph = self.diff.before
        maker = graph.producers.get(origin_of(graph, self.node.inputs[0]))
        return self.diff.match_before.get(maker.id) if maker is not None else None

    def _op(self) -> Ending:
        """An op: bypassed, or gone."""
        maker = self._maker() if self.node.inputs else None
        if not self.heirs:
            return Ending("removed", self._why_unused())
        heir = self.heirs[0]
        if maker is not None and self._is_bypassed(maker, heir):
            text = f"{heir.after.kind} takes the result of {maker.after[0].kind}"
            return Ending("removed", text, heir.match.after)
        return Ending("removed", self._why_unused(), heir.match.after)

    def _is_bypassed(self, maker: Match, heir: _Heir) -> bool:
        made = {name for node in maker.after for name in node.outputs}
        return any(origin_of(self.diff.after, name) in made for name in heir.after.inputs)


def _into_constant(constant: Node) -> Ending:
    shown = show_attribute(constant.attributes.get("value"))
    return Ending("folded", f"into the constant %{constant.outputs[0]} = {shown}", (constant,))


def is_kernel(node: Node) -> bool:
    """Whether a node computes on quantized values; packing a weight computes nothing."""
    packs = node.kind.endswith(("_prepack", "_unpack"))
    return node.kind.startswith("quantized::") and not packs


def _unpacks(node: Node) -> bool:
    return node.kind.startswith("quantized::") and node.kind.endswith("_unpack")


def _state(snapshot: Snapshot, names: tuple[str, ...]) -> AttributeState | None:
    module = snapshot.by_path.get(".".join(names[:-1]))
    return module.attributes.get(names[-1]) if module is not None else None
