"""All quantization nodes of a run: which stage inserted each, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jitq_explore.snapshots.diff import GraphDiff, Match, diff_graphs
from jitq_explore.snapshots.graph import Node, attribute_names, attribute_path
from jitq_explore.snapshots.modules import AttributeState
from jitq_explore.snapshots.observations import (
    WEIGHT_INPUT,
    newest_readings,
    observers_of_quantizers,
)
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.quant_node import Place, QuantNode, float_value, role_of, users_of
from jitq_explore.snapshots.recording import Recording, Snapshot

_PREPACKED = re.compile(r"(_relu6?|_dynamic|_fp16)+$")
"""What a kernel's name has more than that of the op which packs its weight."""


@once
def quant_nodes(recording: Recording) -> tuple[QuantNode, ...]:
    """Every such node of the run: by the stage that inserted it, then in the order of the graph."""
    return tuple(_Reader(recording).read())


class _Reader:
    """Goes through the stages of one recording; each difference is computed once."""

    def __init__(self, recording: Recording) -> None:
        self.stages = [stage for stage in recording.stages if stage.error is None]
        self.readings = newest_readings(recording)
        self.found_observers: dict[tuple[int, str], dict[str, str]] = {}
        self.diffs: dict[tuple[int, str], GraphDiff] = {}

    def read(self) -> Iterator[QuantNode]:
        for index, stage in enumerate(self.stages):
            for method in _methods(stage.after):
                graph = stage.after.graph(method)
                place = Place(stage.after, graph, self.observers(index, method), self.readings)
                for node in self.inserted(index, method):
                    yield place.describe(node, stage.name, self.fate(index, method, node))
                if method in stage.before.method_names:
                    yield from self.packed(index, method)

    def observers(self, index: int, method: str) -> dict[str, str]:
        """Id of a quantize node -> its observer, in the graph after a stage that replaced
        observers."""
        key = index, method
        if key not in self.found_observers:
            before = self.stages[index].before
            observed = method in before.method_names and any(
                node.is_observer for node in before.graph(method).nodes
            )
            self.found_observers[key] = (
                observers_of_quantizers(self.diff(index, method)) if observed else {}
            )
        return self.found_observers[key]

    def packed(self, index: int, method: str) -> Iterator[QuantNode]:
        """Prepack nodes that a stage inserted and folded at once: their packed weights tell of
        them."""
        stage = self.stages[index]
        graph = stage.after.graph(method)
        before = stage.before.by_path
        for node in graph.find("prim::GetAttr"):
            names = attribute_names(graph, node.outputs[0]) or ("",)
            path = ".".join(names[:-1])
            state = stage.after.by_path[path].attributes.get(names[-1]) if names[-1] else None
            known = before[path].attributes if path in before else {}
            if state is None or state.kind != "packed" or names[-1] in known:
                continue
            users = graph.consumers.get(node.outputs[0], ())
            module, value, observer = self.weight_of(index, method, users)
            kernel = users[0].kind if users else ""
            yield QuantNode(
                node=node,
                inserted_by=stage.name,
                kind=f"{_PREPACKED.sub('', kernel)}_prepack",
                role="prepack",
                value=value,
                module=module,
                scale=state.scale,
                zero_point=state.zero_point,
                axis=state.axis,
                dtype=str(state.value),
                scheme=_scheme_of(state),
                observer=observer,
                feeds=tuple(user.kind for user in users),
                fate=f"folded into the attribute {'.'.join(names)}",
            )

    def weight_of(self, index: int, method: str, kernels: Sequence[Node]) -> tuple[str, str, str]:
        """Module, value and observer of the weight of the float op that a kernel stands for."""
        match = self.diff(index, method).match_after.get(kernels[0].id) if kernels else None
        if match is None:
            return "", "", ""
        graph = self.stages[index].before.graph(method)
        for op in match.before:
            weight = WEIGHT_INPUT.get(op.kind)
            maker = graph.producers.get(op.inputs[weight]) if weight is not None else None
            if maker is not None and role_of(maker) and index:
                place = Place(
                    self.stages[index].before,
                    graph,
                    self.observers(index - 1, method),
                    self.readings,
                )
                return place.observed(maker, place.quantizer(maker))
        return match.before[0].module_path, "", ""

    def inserted(self, index: int, method: str) -> list[Node]:
        stage = self.stages[index]
        found = [node for node in stage.after.graph(method).nodes if role_of(node)]
        if not found or method not in stage.before.method_names:
            return found
        added = {node.id for node in self.diff(index, method).added}
        return [node for node in found if node.id in added]

    def diff(self, index: int, method: str) -> GraphDiff:
        key = index, method
        if key not in self.diffs:
            stage = self.stages[index]
            self.diffs[key] = diff_graphs(stage.before.graph(method), stage.after.graph(method))
        return self.diffs[key]

    def fate(self, index: int, method: str, node: Node) -> str:
        """Follow the node through the later stages."""
        for later in range(index + 1, len(self.stages)):
            if method not in self.stages[later].after.method_names:
                return "removed"
            diff = self.diff(later, method)
            match = diff.match_before.get(node.id)
            if match is None:
                return end_of(diff, node)[0]
            node = match.after[0]
        return "kept"


def _methods(snapshot: Snapshot) -> tuple[str, ...]:
    """The methods that hold a run's quantization: one, but for the two on-device ones."""
    base = snapshot.method_name
    wanted = (base, f"quantize_{base}", f"quantized_{base}")
    return tuple(name for name in wanted if name in snapshot.method_names)


def end_of(diff: GraphDiff, node: Node) -> tuple[str, Match | None]:
    """What a node that has no partner after a stage was made into, and the match of what does its
    work from there on."""
    graph = diff.before
    weight = float_value(graph, node)
    user = next(
        (m for m in (diff.match_before.get(n.id) for n in users_of(graph, node)) if m), None
    )
    if weight is not None and attribute_path(graph, weight) is not None:
        kernel = user.after[0].kind if user else ""
        return f"folded into the packed weight of {kernel}" if user else "folded", user
    maker = graph.producers.get(weight or "")
    made = diff.match_before.get(maker.id) if maker is not None else None
    ends = (made, user) if role_of(node) == "quantize" else (user, made)
    for match in ends:
        if match is not None and match.after[0].kind.startswith("quantized::"):
            return f"fused into {match.after[0].kind}", match
    for match in ends:
        if match is not None:
            return f"dropped: {match.after[0].kind} works on quantized values", match
    return "removed", None


def _scheme_of(state: AttributeState) -> str:
    if not state.scale:
        return str(state.value)
    return "per tensor" if state.axis is None else "per channel"
