"""The float model's run and those of the stages beside it, in lockstep.

The float model's run leads. After each of its values the runs of the stages are advanced until they
have the counterpart; then the error is added to sums and everything that no later comparison needs
is dropped. So what is alive at a time is what a plain run would hold, a little more where stages
compute in another order, and nothing grows with the number of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from jitq_explore.capture.depths import Depths
from jitq_explore.capture.error_sums import ErrorSums, Reference, real
from jitq_explore.capture.held_values import MISSING, HeldValues
from jitq_explore.capture.interpret import Event, InterpreterError, Rounds
from jitq_explore.capture.lanes import Lane
from jitq_explore.capture.releases import releases
from jitq_explore.capture.returned import tensors_in
from jitq_explore.capture.session import Session
from jitq_explore.snapshots.counterparts import Counterpart, Recipe
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lineage import source_of
from jitq_explore.snapshots.numerics import BranchTaken
from jitq_explore.snapshots.recording import INPUT

_ROUNDING = 1e-10
"""Of a value's energy: what an error of less is counted as made here, without a second look."""


class Lockstep:
    """One float run after the other, with the lanes beside it."""

    def __init__(self, session: Session, stages: Sequence[str]) -> None:
        self.recording = session.recording
        self.program = session.program(INPUT)
        self.graph = self.program.graph
        self.depths = Depths.of(self.graph)
        self.lanes = [Lane(stage, session.program(stage), self.graph) for stage in stages]
        self.ours = {
            name
            for lane in self.lanes
            for recipe in lane.recipes.values()
            if recipe
            for name in recipe.ours
        }
        self.pairs: dict[str, list[tuple[Lane, Counterpart]]] = {}
        for lane in self.lanes:
            for name, pair in lane.pairs.pairs.items():
                self.pairs.setdefault(name, []).append((lane, pair))
        self.releases = releases(self.graph, self.depths, self.lanes)
        self.batches = 0

    def run_batch(self, batch: int, arguments: Sequence[Any]) -> None:
        """Add the errors of one batch.

        ValueError where the float model does not take it.
        """
        for lane in self.lanes:
            lane.start(batch, arguments)
        self.batch = batch
        self.taken: dict[str, int] = {}
        self.values = HeldValues()
        for name, value in zip(self.graph.inputs[1:], arguments, strict=True):
            self.put(name, (), value)
            self.compare_value(name, (), value)
        self.release("", ())
        run = self.program.run(arguments)
        while True:
            try:
                self.look(next(run))
            except StopIteration as end:
                self.compare_outputs(tuple(end.value))
                self.batches += 1
                return
            except InterpreterError as error:
                raise ValueError(
                    f"batch {batch}: the float model cannot be run on it: {error}"
                ) from error

    def look(self, event: Event) -> None:
        """Compare what the float run has just made."""
        for name, value in zip(event.names, event.values, strict=False):
            self.put(name, event.rounds, value)
            if event.ended:
                self.compare_value(name, event.rounds, value)
        if event.taken is not None:
            self.taken[event.node.id] = event.taken
            self.compare_way(event)
        if event.ended:
            self.release(event.node.id, event.rounds)

    def put(self, name: str, rounds: Rounds, value: Any) -> None:
        """Hold a value that a recipe will take."""
        if name in self.ours:
            self.values.put(name, rounds, value)

    def compare_way(self, event: Event) -> None:
        """Whether the lanes take the same branch, or make as many rounds."""
        assert event.taken is not None
        if (event.node.kind == "prim::If") == event.ended:
            return  # an If before its branch, a Loop when it has ended
        for lane in self.lanes:
            node = lane.pairs.control.get(event.node.id)
            if node is None or lane.tainted.issuperset(node.outputs or ("",)):
                continue
            taken = lane.way_taken(node, event.rounds)
            if taken is None or taken == event.taken:
                continue
            lane.branches.append(self.branch(lane, node, event, taken))
            lane.taint(node)

    def branch(self, lane: Lane, node: Node, event: Event, taken: int) -> BranchTaken:
        """What is reported of a lane that goes another way."""
        assert event.taken is not None
        return BranchTaken(
            stage=lane.stage,
            node=node.id,
            float_node=event.node.id,
            kind=node.kind,
            module=event.node.module_path,
            source=source_of(self.recording, INPUT, event.node),
            batch=self.batch,
            rounds=event.rounds,
            float_taken=event.taken,
            taken=taken,
        )

    def compare_value(self, name: str, rounds: Rounds, value: Any) -> None:
        """Add the errors of the counterparts that a value has."""
        pairs = self.pairs.get(name)
        if not pairs or not isinstance(value, Tensor):
            return
        if value.dtype.is_floating_point and value.numel():
            # A lane may be where a later op has written into the value already.
            x = Reference(value.clone() if self.program.writes else value)
            for lane, pair in pairs:
                if not lane.failed:
                    self.compare_pair(lane, pair, rounds, x)

    def compare_pair(self, lane: Lane, pair: Counterpart, rounds: Rounds, x: Reference) -> None:
        """Add the error of one counterpart, whole and own."""
        other = lane.value(pair.seen, rounds)
        if not isinstance(other, Tensor) or pair.seen in lane.tainted:
            return
        if other.shape != x.real.shape:
            return
        sums = lane.sums[pair.float_value]
        axis, y = _channel_axis(pair, x.real), real(other)
        error = sums.error.add(x, y, axis)
        if sums.counted_in != lane.batch:
            sums.counted_in = lane.batch
            sums.error.batches += 1
        # Within rounding error there is nothing to tell apart.
        same = error.total <= _ROUNDING * x.squares(axis).total
        if same or not pair.float_node:
            sums.own.add_same(x, error, other, axis)
            return
        own = self.remake(lane, pair, rounds)
        if own is not None and own.shape == y.shape:
            sums.own.add(x, y, real(own), other, axis)

    def remake(self, lane: Lane, pair: Counterpart, rounds: Rounds) -> Tensor | None:
        """What the float ops make of the lane's own values.

        None where that is not known, or where they cannot take these: nodes are matched by
        structure, and may be matched wrongly.
        """
        recipe = lane.recipe(pair, self.taken)
        found = self.ingredients(lane, recipe, rounds) if recipe is not None else None
        if recipe is None or found is None:
            return None
        for node in recipe.steps:
            inputs = [found[recipe.place(name)] for name in node.inputs]
            try:
                results = self.program.compute(node, inputs)
            except Exception:  # whatever torch raises where the lane's values do not fit the op
                return None
            found.update(zip(node.outputs, results, strict=False))
        made = found[pair.float_value]
        return made if isinstance(made, Tensor) else None

    def ingredients(self, lane: Lane, recipe: Recipe, rounds: Rounds) -> dict[str, Any] | None:
        """What a recipe takes; None where something is not there."""
        found = {name: self.own_value(name, rounds) for name in recipe.ours}
        for name in recipe.theirs:
            value = lane.value(lane.pairs.name_of(name) or "", rounds)
            found[name] = real(value) if _is_real(value) else value
        return None if any(value is MISSING for value in found.values()) else found

    def own_value(self, name: str, rounds: Rounds) -> Any:
        """A value of the float run that no input goes into; `MISSING` where it is not made."""
        if name in self.program.known:
            return self.program.known[name]
        return self.values.get(name, self.depths.key(name, rounds))

    def compare_outputs(self, outputs: tuple[Any, ...]) -> None:
        """Run the lanes to their ends and add the errors of what the model returns."""
        float_outputs = dict(tensors_in(outputs))
        for lane in self.lanes:
            while lane.alive:
                lane.advance()
            theirs = dict(tensors_in(lane.results)) if lane.results is not None else {}
            for name, x in float_outputs.items():
                tainted = lane.is_tainted(name)
                sums = lane.outputs.setdefault(name, ErrorSums())
                y = theirs.get(name)
                if y is not None and not tainted and _is_real(x) and y.shape == x.shape:
                    sums.add(Reference(x), real(y), -1)
                    sums.batches += 1
            lane.results = None
            lane.values = HeldValues()

    def release(self, node_id: str, rounds: Rounds) -> None:
        """Drop what no comparison after this node needs."""
        for lane, name in self.releases.get(node_id, ()):
            lane.values.drop(name, rounds)


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.dtype.is_floating_point or value.is_quantized)


def _channel_axis(pair: Counterpart, x: Tensor) -> int:
    """The dimension of channels: the second of images and of what convolutions make, else the
    last."""
    convolved = any("conv" in node.kind for node in pair.float_nodes)
    return 1 if x.dim() >= 4 or (convolved and x.dim() == 3) else -1
