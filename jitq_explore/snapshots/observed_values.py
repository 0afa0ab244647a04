"""Every observed value from its observer to the kernel that computes with its quantized form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitq_explore.snapshots.endings import ending_at, is_kernel
from jitq_explore.snapshots.graph import Graph, Node, attribute_names, attribute_path
from jitq_explore.snapshots.modules import QPARAM
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Spot, Tracker, neighbours, origin_of

NOT_QUANTIZED = "observed only: no quantize node stands on it"
NOT_YET = "observed so far"


@dataclass(frozen=True, slots=True)
class ObservedValue:
    """One observed value through all stages.

    `source` is the user's own line ("file:line:column") of the op that makes the value, or, for a
    weight, that uses it. `quantize_node` is the node that quantizes it, as "kind %result", "" where
    none was inserted; `fate` says what became of that node. `kernel` is the kind of the op of the
    newest graph that computes with the quantized value, "" where none does; `float_ops` are the ops
    of the float model that this kernel (without one: the observed op) stands for, joined by " + ".
    Several kernels, and the ops of each, are separated by ", ". `op`, `quantizer` and `kernels` are
    the nodes themselves: the op that is observed, the quantize node, the newest graph's kernels.
    """

    value: str
    role: str
    module: str
    source: str
    reading: ObserverReading
    quantize_node: str
    fate: str
    kernel: str
    float_ops: str
    op: Spot | None
    quantizer: Spot | None
    kernels: tuple[Spot, ...]


@once
def observed_values(recording: Recording) -> tuple[ObservedValue, ...]:
    """One for each of `observations`, in the order of the graph that was observed."""
    stage = observing_stage(recording)
    if stage is None:
        return ()
    tracker = Tracker.of(recording)
    index = tracker.names.index(stage.name)
    reader = _Reader(tracker, index, tracker.snapshots[index].main_method)
    return tuple(reader.read(seen) for seen in observations(recording))


class _Reader:
    """Looks up one observed value after the other in the graph that has the quantize nodes."""

    def __init__(self, tracker: Tracker, observed: int, method: str) -> None:
        self.tracker = tracker
        self.observed = observed
        self.method = method
        self.graph = tracker.graph(observed, method)
        self.quantized = next(self._indices_with_quantizers(), None)
        self.standing: dict[str, list[Node]] = {}
        self.named: dict[tuple[str, str], list[Node]] = {}
        if self.quantized is not None:
            self._look_at(tracker.graph(self.quantized))

    def _indices_with_quantizers(self) -> Iterator[int]:
        """The snapshots that have no observer left, and quantize nodes instead."""
        for index in range(self.observed + 1, self.tracker.last + 1):
            nodes = self.tracker.graph(index).nodes
            if any(_quantizes(node) for node in nodes):
                yield index

    def _look_at(self, graph: Graph) -> None:
        for node in filter(_quantizes, graph.nodes):
            self.standing.setdefault(origin_of(graph, node.inputs[0]), []).append(node)
            for key in _names_of(graph, node):
                self.named.setdefault(key, []).append(node)

    def read(self, seen: Observation) -> ObservedValue:
        op = self._op(seen)
        spot = Spot(self.observed, self.method, op.id) if op is not None else None
        quantizer = self._quantizer(seen)
        fate, kernels = self._fate(quantizer)
        observer = Spot(self.observed, self.method, seen.node.id)
        own_ops = self._stands_for(spot) if spot is not None else ""
        pairs = dict.fromkeys((self._kind(end), self._stands_for(end)) for end in kernels)
        return ObservedValue(
            value=seen.value,
            role=seen.role,
            module=self._module(seen, spot),
            source=(self.tracker.source(spot) if spot else "") or self.tracker.source(observer),
            reading=seen.reading,
            quantize_node=_named_node(quantizer),
            fate=fate,
            kernel=", ".join(kind for kind, _ in pairs),
            float_ops=", ".join(ops for _, ops in pairs) or own_ops,
            op=spot,
            quantizer=self._spot(quantizer),
            kernels=tuple(kernels),
        )

    def _spot(self, quantizer: Node | None) -> Spot | None:
        if quantizer is None or self.quantized is None:
            return None
        method = self.tracker.snapshots[self.quantized].main_method
        return Spot(self.quantized, method, quantizer.id)

    def _kind(self, spot: Spot) -> str:
        return self.tracker.node(spot).kind

    def _stands_for(self, spot: Spot) -> str:
        return " + ".join(self._kind(origin) for origin in self.tracker.origins(spot))

    def _op(self, seen: Observation) -> Node | None:
        """The op that makes an activation, or that uses a weight or an input of the model."""
        value = origin_of(self.graph, seen.node.inputs[0])
        maker = self.graph.producers.get(value)
        if maker is not None and attribute_path(self.graph, value) is None:
            return maker
        return next(neighbours(self.graph, seen.node), None)

    def _module(self, seen: Observation, spot: Spot | None) -> str:
        """On the device observers sit at the top: the op knows better."""
        if seen.reading.module or spot is None or seen.role == "activation":
            return seen.reading.module
        return self.tracker.module(spot)

    def _quantizer(self, seen: Observation) -> Node | None:
        """The quantize node on the same value; of several the one whose qparams bear its name."""
        if self.quantized is None:
            return None
        value = self._value_when_quantized(origin_of(self.graph, seen.node.inputs[0]))
        standing = self.standing.get(value, []) if value is not None else []
        keys = ((seen.reading.module, seen.value), (seen.reading.path, ""))
        named = [node for key in keys for node in self.named.get(key, ())]
        both = [node for node in standing if node in named]
        return next(iter((*both, *standing, *named)), None)

    def _value_when_quantized(self, value: str) -> str | None:
        """The name of a value of the observed graph in the quantized one."""
        assert self.quantized is not None
        method, name = self.method, value
        for index in range(self.observed, self.quantized):
            found = self.tracker.value_on(index, method, name)
            if found is None:
                return None
            method, name = found
        return origin_of(self.tracker.graph(self.quantized, method), name)

    def _fate(self, quantizer: Node | None) -> tuple[str, list[Spot]]:
        """What became of a quantize node, and the newest kernels that have to do with it."""
        if self.quantized is None:
            return NOT_YET, []
        here = self._spot(quantizer)
        if here is None:
            return NOT_QUANTIZED, []
        while here.index < self.tracker.last:
            link = self.tracker.onward(here)
            if link is None:
                ending = ending_at(self.tracker, here)
                way = next(self.tracker.ways_on(here.index, here.method), here.method)
                into = [Spot(here.index + 1, way, node.id) for node in ending.into]
                newest = [end for spot in into for end in self.tracker.ends(spot)]
                detail = f"{ending.what} {ending.detail}".strip()
                return detail, [spot for spot in newest if is_kernel(self.tracker.node(spot))]
            here = link.after[0]
            if is_kernel(link.match.after[0]):
                return f"fused into {link.match.after[0].kind}", list(self.tracker.ends(here))
        return self._kept(here)

    def _kept(self, here: Spot) -> tuple[str, list[Spot]]:
        graph = self.tracker.graph(here.index, here.method)
        users = neighbours(graph, graph.by_id[here.node_id])
        kernels = [Spot(here.index, here.method, user.id) for user in users if is_kernel(user)]
        return "kept", kernels or self._unpacked_elsewhere(graph, here)

    def _unpacked_elsewhere(self, graph: Graph, here: Spot) -> list[Spot]:
        """On the device one method packs a weight and keeps it, another one computes with it."""
        kept = set(_kept_as(graph, graph.by_id[here.node_id].outputs))
        main = self.tracker.snapshots[here.index].main_method
        other = self.tracker.graph(here.index, main)
        return [
            Spot(here.index, main, user.id)
            for fetch in other.find("prim::GetAttr")
            if kept and attribute_path(other, fetch.outputs[0]) in kept
            for user in other.consumers.get(fetch.outputs[0], ())
            if is_kernel(user)
        ]


def _kept_as(graph: Graph, values: Sequence[str]) -> Iterator[str]:
    """Paths of the attributes that a value, once packed, is stored in."""
    for value in values:
        for user in graph.consumers.get(value, ()):
            if user.kind == "prim::SetAttr":
                owner = attribute_path(graph, user.inputs[0])
                name = str(user.attributes["name"])
                yield f"{owner}.{name}" if owner else name
            elif role_of(user) == "prepack":
                yield from _kept_as(graph, user.outputs)


def _quantizes(node: Node) -> bool:
    return role_of(node) in ("quantize", "saturate")


def _names_of(graph: Graph, quantizer: Node) -> Iterator[tuple[str, str]]:
    """(module, value) that the qparams are named after, or (observer's path, "") where it is
    asked."""
    for value in quantizer.inputs[1:]:
        names = attribute_names(graph, value)
        qparam = QPARAM.match(names[-1]) if names else None
        if names and qparam:
            yield ".".join(names[:-1]), qparam["value"]
        elif names and names[-1] == "dtype":
            yield ".".join(names[:-1]), ""


def _named_node(node: Node | None) -> str:
    return f"{node.kind} %{node.outputs[0]}" if node is not None else ""
