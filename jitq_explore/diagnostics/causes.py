"""Why an op is still float: the first cause on the way back that explains it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from jitq_explore.diagnostics.nearest import nearest_rule
from jitq_explore.diagnostics.op_kinds import (
    COMPUTE_NOTHING,
    FOLLOWS_INPUTS,
    ON_QUANTIZED,
    has_rule,
    in_place_of,
    is_compute,
    is_tensor,
    own_tensor,
)
from jitq_explore.diagnostics.qconfig_keys import (
    NO_QCONFIG,
    about_key,
    key_to_give,
    qconfig_text,
)
from jitq_explore.diagnostics.reasons import Reason
from jitq_explore.diagnostics.stage_groups import CONVERTS, FUSES, PREPARES, base_name
from jitq_explore.diagnostics.unseen_places import unseen_place
from jitq_explore.snapshots.domains import Domain, domains_of
from jitq_explore.snapshots.graph import (
    Graph,
    Node,
    constant_value,
)
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settled import settled_branch
from jitq_explore.snapshots.tracking import Spot, Tracker


@once
def float_ops(recording: Recording) -> tuple[Node, ...]:
    """The compute ops of the newest graph that work on real numbers."""
    examiner = Examiner.newest(recording)
    return tuple(node for node in examiner.graph.nodes if examiner.is_float_op(node))


class Examiner:
    """Answers for the nodes of one graph of a recording: `index` 0 is the model as given."""

    def __init__(self, recording: Recording, index: int, method: str | None = None) -> None:
        self.recording = recording
        self.tracker = Tracker.of(recording)
        self.index = index
        self.snapshot = self.tracker.snapshots[index]
        self.method = method or self.snapshot.main_method
        self.graph = self.tracker.graph(index, self.method)

    @staticmethod
    def newest(recording: Recording) -> Examiner:
        """The one for the newest graph."""
        return Examiner(recording, Tracker.of(recording).last)

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """Name of each value of the graph -> its domain."""
        return domains_of(self.graph)

    @cached_property
    def given(self) -> Graph:
        """The graph that torch's passes decided on: that before the observers were inserted."""
        return self.tracker.graph(self.decided_at)

    @cached_property
    def decided_at(self) -> int:
        """Index of that graph."""
        places = (k for k, name in enumerate(self.tracker.names) if base_name(name) in PREPARES)
        return max(0, next(places, 1) - 1)

    @property
    def is_prepared_only(self) -> bool:
        """Whether values are observed in this graph: nothing is quantized yet."""
        return any(node.is_observer for node in self.graph.nodes)

    @property
    def is_where_it_failed(self) -> bool:
        """Whether the run ended here with an error."""
        return self.recording.error is not None and self.index == self.tracker.last

    def later(self, node: Node) -> tuple[Examiner, Node] | None:
        """The same node, or the kernel it went into, in the newest graph, and who answers there.

        Where nothing was converted yet, or nothing is left of the node, None.
        """
        names = map(base_name, self.tracker.names[self.index + 1 :])
        if not any(name in CONVERTS for name in names):
            return None
        spots: tuple[Spot, ...] = (Spot(self.index, self.method, node.id),)
        for _ in range(self.index, self.tracker.last):
            links = [self.tracker.onward(each) for each in spots]
            spots = tuple(s for link in links if link for s in link.after)
        if not spots:
            return None
        return Examiner(self.recording, spots[0].index, spots[0].method), self.tracker.node(
            spots[0]
        )

    def nearest(self, node: Node) -> str:
        """The fusion rule that came nearest, and what it asked for in vain; "" where none did."""
        spot = Spot(self.index, self.method, node.id)
        while base_name(self.tracker.names[spot.index]) not in CONVERTS:
            link = self.tracker.back(spot)
            if link is None:
                return ""
            spot = link.before[0]
        graph = self.tracker.graph(spot.index, spot.method)
        found = nearest_rule(self.recording, graph, graph.by_id[spot.node_id])
        return f"nearest rule {found[0].name!r}: {found[1]}" if found is not None else ""

    def is_float_op(self, node: Node) -> bool:
        """Whether the node computes on real numbers."""
        if not is_compute(self.graph, node):
            return False
        return Domain.QUANTIZED not in {self.domains.get(name) for name in node.inputs}

    def reasons(self, node: Node) -> tuple[Reason, ...]:
        """Why the op is float, then why what is to blame for it is, and so on to the root."""
        found: list[Reason] = []
        seen = set()
        here: Node | None = node
        while here is not None and here.id not in seen:
            seen.add(here.id)
            reason = self._reason(here)
            found.append(reason)
            here = self.graph.by_id.get(reason.node) if reason.node else None
        return tuple(found)

    def _reason(self, node: Node) -> Reason:
        return next(reason for reason in self._candidates(node) if reason is not None)

    def _candidates(self, node: Node) -> Iterator[Reason | None]:
        yield self._of_the_run()
        yield self._of_the_method(node)
        yield self._of_the_place(node)
        yield self._of_the_kind(node)
        yield self._of_debug(node)
        yield self._of_the_qconfig(node)
        yield self._of_training(node)
        yield self._of_operands(node)
        yield self._of_inputs(node)
        yield self._of_its_module(node)
        yield self._of_the_fusion()
        yield self._of_what_stands_between(node)
        yield Reason(
            "no_match",
            f"{node.kind} has a rule, and none of its patterns fits here; "
            "record with deep=True to see the nearest one",
        )

    def _of_the_run(self) -> Reason | None:
        """What holds for every op of the graph."""
        if self.is_where_it_failed:
            stage, error = self.recording.stages[-1], self.recording.error
            return Reason(
                "failed",
                f"the run ended with an error in {stage.name!r}: {error.line if error else ''}",
                "Cure the error: see jq.diagnose(recording).",
            )
        done = [base_name(name) for name in self.tracker.names[: self.index + 1]]
        prepared = any(name in PREPARES for name in done)
        if not prepared and any(name in CONVERTS for name in done):
            return Reason(
                "not_prepared",
                "the model was converted without having been prepared: there were no observers",
                "Call prepare_jit (and calibrate) first, or let quantize_jit do all of it.",
            )
        if not any(name in CONVERTS for name in done):
            what = "observed" if prepared else "looked at"
            return Reason("not_yet", f"nothing is quantized yet at this stage, only {what}")
        return None

    def _of_the_method(self, node: Node) -> Reason | None:
        if self.method == self.snapshot.main_method:
            return None
        return Reason(
            "other_method",
            f"it is in the method {self.method!r}: static and dynamic quantization change "
            "'forward' alone",
            "Quantize a module whose forward is that method.",
        )

    def _of_the_place(self, node: Node) -> Reason | None:
        """Where torch's passes do not look: loops, forks, functions."""
        before = self.tracker.snapshots[self.decided_at]
        places = [unseen_place(self.given, before, origin) for origin in self.origins(node)]
        return places[0] if places and None not in places else None

    def origins(self, node: Node) -> list[Node]:
        """The nodes that it was, in the graph that torch's passes decided on."""
        spot = Spot(self.index, self.method, node.id)
        found: list[Node] = []
        if self.index >= self.decided_at:
            spots = [spot]
            for _ in range(self.index - self.decided_at):
                links = [self.tracker.back(each) for each in spots]
                spots = list(dict.fromkeys(s for link in links if link for s in link.before))
            found = [self.tracker.node(each) for each in spots]
            found = [each for each in found if each.kind == node.kind]
        # An unrolled loop and an inlined fork have no partner that says so.
        return found or [
            other
            for other in self.given.nodes
            if (other.kind, other.frames[:1]) == (node.kind, node.frames[:1])
            and other.frames
            and node.module_path in ("", other.module_path)
        ]

    def _of_the_kind(self, node: Node) -> Reason | None:
        mode = self.recording.mode
        if has_rule(node.kind, mode):
            return None
        instead = in_place_of(node.kind, mode)
        if mode != "static" and has_rule(node.kind, "static"):
            return Reason(
                "dynamic_only",
                f"dynamic quantization covers aten::linear alone, and this is {node.kind}",
                "Quantize statically (quantize_jit) to cover it, or leave it in float.",
            )
        return Reason(
            "no_rule",
            f"no rule of torch's {mode.replace('_', '-')} quantization is for {node.kind}",
            f"Use {instead}." if instead else "Leave it in float: there is no quantized kernel.",
        )

    def _of_debug(self, node: Node) -> Reason | None:
        if not self.recording.debug or not self._dequantized(node):
            return None
        return Reason(
            "debug",
            "a debug run stops before the kernels are put in: the op computes in float on values "
            "that were quantized and dequantized",
            "Run without debug=True.",
        )

    def _dequantized(self, node: Node) -> list[str]:
        return [name for name in node.inputs if self._maker_role(name) == "dequantize"]

    def _maker_role(self, value: str) -> str | None:
        maker = self.graph.producers.get(value)
        return role_of(maker) if maker is not None else None

    def module_of(self, node: Node) -> str:
        """The module whose code made the node."""
        return self.tracker.module(Spot(self.index, self.method, node.id))

    def _of_the_qconfig(self, node: Node) -> Reason | None:
        if node.kind in FOLLOWS_INPUTS or node.kind in ON_QUANTIZED:
            return None  # what their inputs are decides first
        return self._of_its_module(node)

    def _of_its_module(self, node: Node) -> Reason | None:
        paths = dict.fromkeys(each.module_path for each in self.origins(node))
        for path in paths or {self.module_of(node): None}:
            if qconfig_text(self.recording, path) == NO_QCONFIG:
                named = f"module {path!r}" if path else "the model itself"
                return Reason(
                    "no_qconfig",
                    f"{named} has no qconfig: {about_key(self.recording, path)}",
                    f"Give the key {key_to_give(self.recording, path)!r} a QConfig.",
                    module=path,
                )
        return None

    def _of_the_fusion(self) -> Reason | None:
        done = {base_name(name) for name in self.tracker.names[: self.index + 1]}
        to_come = [name for name in self.recording.planned if name in FUSES and name not in done]
        if not to_come:
            return None
        return Reason("not_yet", f"the kernels are put in by {to_come[0]!r}, which comes later")

    def _of_training(self, node: Node) -> Reason | None:
        if node.kind != "aten::batch_norm" or len(node.inputs) < 6:
            return None
        if constant_value(self.graph, node.inputs[5]) != (True,):
            return None
        return Reason(
            "training",
            "the batch norm uses each batch's own statistics, which nothing can fold or quantize: "
            "the model was traced in training mode, or the norm keeps none",
            "Call .eval() on the eager model before torch.jit.trace; let the norm keep statistics.",
        )

    def _of_operands(self, node: Node) -> Reason | None:
        if node.kind in ("aten::add", "aten::add_") and len(node.inputs) > 2:
            alpha = constant_value(self.graph, node.inputs[2])
            if alpha is not None and alpha != (1,):
                return Reason(
                    "alpha",
                    f"torch's rules are for additions with alpha=1, and this one has {alpha[0]}",
                    "Multiply first (`x + 2 * y`): add and mul have kernels of their own.",
                )
        if node.kind not in FOLLOWS_INPUTS:
            return None
        for place, name in self._operands(node):
            held = own_tensor(self.graph, name)
            if held is not None:
                return Reason(
                    "parameter",
                    f"its input {place} is the model's own {held!r}, which torch does not observe: "
                    "it quantizes weights of layers and what ops make",
                    "Multiply it into weight and bias of the layer before."
                    if "mul" in node.kind
                    else "Make it the bias of the layer before, or a number.",
                )
        return None

    def _of_inputs(self, node: Node) -> Reason | None:
        """The first input that is not quantized, and the op that makes it."""
        if node.kind not in FOLLOWS_INPUTS and node.kind not in ON_QUANTIZED:
            return None
        for place, name in self._operands(node):
            maker, value = self._maker(name)
            known = self.graph.values[value].debug_name
            if self.domains.get(value) is Domain.QUANTIZED:
                continue
            if maker is None:
                return Reason(
                    "float_model_input",
                    f"its input {place} is the model's own input %{known}, which is quantized only "
                    "for ops that have a kernel",
                    "Put a layer that can be quantized before it, or leave it in float.",
                )
            if role_of(maker) == "dequantize":
                continue
            return Reason(
                "float_input",
                f"it runs on quantized values where input {place} is one; %{known} comes from "
                f"{maker.kind}, which is float",
                "Quantize the op that makes it.",
                node=maker.id,
            )
        return None

    def _of_what_stands_between(self, node: Node) -> Reason | None:
        """An op that torch observes through, as if it ran on quantized values, and does not let
        run on them: what takes its result then has no dequantize before it."""
        for place, name in self._operands(node):
            maker, _ = self._maker(name)
            if maker is None or maker.kind not in COMPUTE_NOTHING or not maker.inputs:
                continue
            if self._maker_role(maker.inputs[0]) != "dequantize":
                continue
            plain = maker.kind.removesuffix("_")
            has_twin = plain != maker.kind and plain in ON_QUANTIZED
            return Reason(
                "between",
                f"its kernel needs a dequantize on input {place}; that comes from {maker.kind}, "
                "behind the dequantize: torch observes through it, and does not move it",
                f"Use {plain} (inplace=False), which runs on quantized values."
                if has_twin
                else "Leave it out of the model that is quantized, or move it behind.",
            )
        return None

    def _operands(self, node: Node) -> Iterator[tuple[int, str]]:
        """The tensors that an op takes, those in a list too, each with its place."""
        for place, name in enumerate(node.inputs):
            maker = self.graph.producers.get(name)
            if maker is not None and maker.kind in ("prim::ListConstruct", "prim::TupleConstruct"):
                yield from ((place, item) for item in maker.inputs if self._is_held(item))
            elif self._is_held(name):
                yield place, name

    def _is_held(self, value: str) -> bool:
        """Whether a value is a tensor, be it the model's own."""
        return is_tensor(self.graph, value) or own_tensor(self.graph, value) is not None

    def _maker(self, value: str) -> tuple[Node | None, str]:
        """The op that makes a value, looked for inside of branches and loops, and that value."""
        while True:
            maker = self.graph.producers.get(value)
            if maker is not None and maker.kind in ("prim::ListUnpack", "prim::TupleUnpack"):
                value = maker.inputs[0]
                continue
            if maker is None or maker.kind not in ("prim::If", "prim::Loop"):
                return maker, value
            settled = settled_branch(self.graph, value)
            body = self.graph.blocks[maker.blocks[-1]]
            place = maker.outputs.index(value) + (maker.kind == "prim::Loop")
            value = settled or body.outputs[place]
