"""`compare`: the same inputs through the float model and through each later stage, in lockstep.

The float model's run leads. After each of its values the runs of the stages are advanced until they
have the counterpart; then the error is added to sums and everything that no later comparison needs
is dropped. So what is alive at a time is what a plain run would hold, a little more where stages
compute in another order, and nothing grows with the number of batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jitq_explore.capture.batches import checked_batches, count_batches
from jitq_explore.capture.error_sums import ErrorSums, OwnSums, real
from jitq_explore.capture.interpret import Event, InterpreterError, Program, Rounds
from jitq_explore.capture.session import Session
from jitq_explore.capture.turn import Turn
from jitq_explore.snapshots.counterparts import Counterpart, Counterparts, Recipe
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lineage import source_of
from jitq_explore.snapshots.numerics import (
    BranchTaken,
    Comparison,
    ErrorRow,
    OutputError,
    StageFailure,
)
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import INPUT

COMPARE = "compare"
"""What a session that is being measured is said to be doing."""

_ROUNDING = 1e-10
"""Of a value's energy: what an error of less is counted as made here, without a second look."""

_SAME_NUMBERS = ("insert_observers", "calibrate")
"""Stages that only observe: compared when asked for."""


def compare(session: Session, inputs: Any, stages: Sequence[str] | None = None) -> Comparison:
    """Run the same inputs through the float model and the model after later stages; measure errors.

    `inputs` is one batch (a tensor, or the tuple of the model's arguments) or an iterable of
    several (a list, a generator). `stages` are names of stages whose models can still be run
    (`session.live_stages`; default: all of these that can change numbers). The result is returned
    and kept in `session.recording.numerics`. Nothing else changes: neither model nor observers.

    Of each batch it takes one run of the float model and of each stage, and each float op once more
    for each stage, to tell the error that is made from the error that came with the inputs.

    ValueError where nothing has run yet, for a stage that cannot be run, and for inputs that the
    float model does not take; it names the batch. RuntimeError while another thread runs the
    session. Stopped by `session.stop()`, the batches that were measured count.
    """
    names = _checked_stages(session, stages)
    with (
        session.measured() as turn,
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
        collector_paused(),
    ):
        turn.begin(COMPARE)
        result = _Comparison(session, names).run(inputs, turn)
        session.store(result)
    return result


def _checked_stages(session: Session, stages: Sequence[str] | None) -> tuple[str, ...]:
    possible = session.live_stages
    recording = session.recording
    if recording.mode == "on_device":
        # Before the run on the device the quantized method has no weights yet.
        ready = ("fold_conv_bn", "quantize", "quantized_run")
        possible = tuple(name for name in possible if name in ready)
        if not possible:
            raise ValueError(
                "on-device: a quantized model computes nothing before its run on the device; "
                "give Session.on_device(..., inputs=...) and run all stages"
            )
    if recording.error is not None:
        possible = tuple(name for name in possible if name != recording.names[-1])
    default = tuple(name for name in possible if name not in _SAME_NUMBERS)
    if isinstance(stages, str):
        stages = (stages,)
    if stages is None:
        if not default:
            raise ValueError("no stage has run yet that changes numbers: session.run() first")
        return default
    unknown = [name for name in stages if name not in possible]
    if unknown or not stages:
        raise ValueError(
            f"cannot run the model after {unknown} (must be of {list(possible)}; other stages "
            "change no numbers, or their model is gone)"
        )
    return tuple(stages)


@dataclass
class _Sums:
    """What is summed of one pair."""

    error: ErrorSums = field(default_factory=ErrorSums)
    own: OwnSums = field(default_factory=OwnSums)
    counted_in: int = -1


class _Values:
    """Values that are held, by name and rounds."""

    def __init__(self) -> None:
        self.held: dict[str, dict[Rounds, Any]] = {}

    def put(self, name: str, rounds: Rounds, value: Any) -> None:
        self.held.setdefault(name, {})[rounds] = value

    def get(self, name: str, rounds: Rounds) -> Any:
        return self.held.get(name, {}).get(rounds, _MISSING)

    def drop(self, name: str, rounds: Rounds) -> None:
        """All of that name within those rounds."""
        found = self.held.get(name)
        if found is None:
            return
        for key in [key for key in found if key[: len(rounds)] == rounds]:
            del found[key]


_MISSING = object()


class _Depths:
    """How many loops stand around each value and node of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.of_block = {"": 0}
        for block in graph.blocks.values():
            owner = graph.by_id[block.owner]
            self.of_block[block.id] = self.of_block[owner.block] + (owner.kind == "prim::Loop")
        self.of_value = dict.fromkeys(graph.inputs, 0)
        self.block_of = dict.fromkeys(graph.inputs, "")
        for node in graph.nodes:
            self.of_value.update(dict.fromkeys(node.outputs, self.of_block[node.block]))
            self.block_of.update(dict.fromkeys(node.outputs, node.block))
        for block in graph.blocks.values():
            self.of_value.update(dict.fromkeys(block.inputs, self.of_block[block.id]))
            self.block_of.update(dict.fromkeys(block.inputs, block.id))

    def key(self, name: str, rounds: Rounds) -> Rounds:
        return rounds[: self.of_value[name]]

    def owners(self, block: str) -> list[tuple[Node, str]]:
        """The Ifs and Loops around a block, innermost first, each with its block."""
        found = []
        while block:
            owner = self.graph.by_id[self.graph.blocks[block].owner]
            found.append((owner, block))
            block = owner.block
        return found


class _Lane:
    """The run of one stage, and what is summed of it."""

    def __init__(self, session: Session, stage: str, float_graph: Graph) -> None:
        self.stage = stage
        self.program = Program(session.live(stage))
        self.graph = self.program.graph
        self.pairs = Counterparts.of(float_graph, self.graph)
        self.depths = _Depths(self.graph)
        self.recipes = self.pairs.needs
        self.followed: dict[str, Recipe | None] = {}
        self.sums = {name: _Sums() for name in self.pairs.pairs}
        self.outputs: dict[str, ErrorSums] = {}
        self.branches: list[BranchTaken] = []
        self.failures: list[StageFailure] = []
        self.wanted = self._wanted()
        self.named_outputs = list(_named(self.graph, self.graph.outputs[0], "output"))

    def _wanted(self) -> frozenset[str]:
        names = {pair.seen for pair in self.pairs.pairs.values()}
        for recipe in self.recipes.values():
            for name in recipe.theirs if recipe else ():
                names.add(self.pairs.name_of(name) or "")
        return frozenset(names)

    def recipe(self, pair: Counterpart, taken: Mapping[str, int]) -> Recipe | None:
        """The recipe for a value, given the branches that the float run has last taken."""
        settled = self.recipes[pair.float_value]
        if settled is None or not settled.branches:
            return settled
        known = self.followed.get(pair.float_value)
        if known is not None and all(taken.get(name) == k for name, k in known.branches.items()):
            return known
        found = self.followed[pair.float_value] = self.pairs.recipe(pair, taken)
        return found

    def start(self, batch: int, arguments: Sequence[Any]) -> None:
        self.batch = batch
        self.values = _Values()
        self.taken: dict[tuple[str, Rounds], int] = {}
        self.tainted: set[str] = set()
        self.alive = True
        self.failed = False
        self.results: tuple[Any, ...] | None = None
        self.events = self.program.run(arguments)
        for name, value in zip(self.graph.inputs[1:], arguments, strict=True):
            if name in self.wanted:
                self.values.put(name, (), self.held(value))

    def held(self, value: Any) -> Any:
        """What is held of a value: a copy where a later op may write into it."""
        if self.program.writes and isinstance(value, Tensor):
            return value.clone()
        return value

    def advance(self) -> None:
        """Go on by one node."""
        try:
            event = next(self.events)
        except StopIteration as end:
            self.alive, self.results = False, tuple(end.value)
            return
        except InterpreterError as error:
            self.alive, self.failed = False, True
            self.failures.append(StageFailure(self.stage, self.batch, str(error)))
            return
        for name, value in zip(event.names, event.values, strict=False):
            if name in self.wanted:
                self.values.put(name, event.rounds, self.held(value))
        if event.taken is not None:
            self.taken[event.node.id, event.rounds] = event.taken

    def value(self, name: str, rounds: Rounds) -> Any:
        """The value of that name, waited for; `_MISSING` where it will not come."""
        key = self.depths.key(name, rounds)
        while (found := self.values.get(name, key)) is _MISSING:
            if not self.alive or self.is_passed(name, key):
                return _MISSING
            self.advance()
        return found

    def is_passed(self, name: str, rounds: Rounds) -> bool:
        """Whether the run went another way than where the value is made."""
        for owner, block in self.depths.owners(self.depths.block_of[name]):
            around = rounds[: self.depths.of_block[owner.block]]
            taken = self.taken.get((owner.id, around))
            if taken is None:
                continue
            if owner.kind == "prim::If" and owner.blocks[taken] != block:
                return True
            if owner.kind == "prim::Loop" and rounds[len(around)] >= taken:
                return True
        return False

    def way_taken(self, node: Node, rounds: Rounds) -> int | None:
        """Which way an If or a Loop goes; None where the run does not come by."""
        while (node.id, rounds) not in self.taken:
            blocked = node.outputs and self.is_passed(node.outputs[0], rounds)
            if not self.alive or blocked:
                return None
            self.advance()
        return self.taken[node.id, rounds]

    def taint(self, node: Node) -> None:
        """From here on nothing counts that depends on what the node gives."""
        waiting = list(node.outputs)
        while waiting:
            name = waiting.pop()
            if name in self.tainted:
                continue
            self.tainted.add(name)
            for user in self.graph.consumers.get(name, ()):
                waiting.extend(user.outputs)
                for block in user.blocks:
                    waiting.extend(self.graph.blocks[block].inputs)
            waiting.extend(self._handed_on.get(name, ()))

    def is_tainted(self, output: str) -> bool:
        """Whether an output, as `_tensors` names it, does not count."""
        return any(
            value in self.tainted
            for name, value in self.named_outputs
            if output == name or output.startswith(f"{name}[")
        )

    @property
    def _handed_on(self) -> Mapping[str, list[str]]:
        """Value -> what an If or Loop gives that has it as a result of a block."""
        known: dict[str, list[str]] | None = self.__dict__.get("_handed_on_known")
        if known is None:
            known = self.__dict__["_handed_on_known"] = {}
            for block in self.graph.blocks.values():
                owner = self.graph.by_id[block.owner]
                for name in block.outputs:
                    known.setdefault(name, []).extend((*owner.outputs, *block.inputs))
        return known


class _Comparison:
    """One float run after the other, with the lanes beside it."""

    def __init__(self, session: Session, stages: Sequence[str]) -> None:
        self.recording = session.recording
        self.program = Program(session.live(INPUT))
        self.graph = self.program.graph
        self.depths = _Depths(self.graph)
        self.lanes = [_Lane(session, stage, self.graph) for stage in stages]
        self.ours = {
            name
            for lane in self.lanes
            for recipe in lane.recipes.values()
            if recipe
            for name in recipe.ours
        }
        self.schema = session.live(INPUT).module._get_method(self.program.method).schema
        self.releases = self._releases()

    def run(self, inputs: Any, turn: Turn) -> Comparison:
        count, total = 0, count_batches(inputs)
        for arguments in checked_batches(inputs, self.schema):
            self.run_batch(count, arguments)
            count += 1
            turn.fed(COMPARE, count, total)
            if turn.is_to_stop:
                break
        if not count:
            raise ValueError("no inputs: give a batch, or an iterable of some that is not used up")
        lanes = self.lanes
        return Comparison(
            stages=tuple(lane.stage for lane in lanes),
            batches=count,
            rows=tuple(row for lane in lanes for row in self.rows(lane)),
            outputs=tuple(_output(lane, name) for lane in lanes for name in lane.outputs),
            branches=tuple(branch for lane in lanes for branch in lane.branches),
            failures=tuple(failure for lane in lanes for failure in lane.failures),
        )

    def run_batch(self, batch: int, arguments: Sequence[Any]) -> None:
        for lane in self.lanes:
            lane.start(batch, arguments)
        self.batch = batch
        self.taken: dict[str, int] = {}
        self.values = _Values()
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

    def branch(self, lane: _Lane, node: Node, event: Event, taken: int) -> BranchTaken:
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
        if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
            return
        if self.program.writes:
            value = value.clone()
        for lane in self.lanes:
            pair = lane.pairs.pairs.get(name)
            if pair is not None and not lane.failed:
                self.compare_pair(lane, pair, rounds, value)

    def compare_pair(self, lane: _Lane, pair: Counterpart, rounds: Rounds, x: Tensor) -> None:
        other = lane.value(pair.seen, rounds)
        if not isinstance(other, Tensor) or pair.seen in lane.tainted or other.shape != x.shape:
            return
        if not x.numel():
            return
        sums = lane.sums[pair.float_value]
        x, y = real(x), real(other)
        sums.error.add(x, y)
        if sums.counted_in != lane.batch:
            sums.counted_in = lane.batch
            sums.error.batches += 1
        # Within rounding error there is nothing to tell apart.
        same = sums.error.last_noise <= _ROUNDING * sums.error.last_signal
        own = x if same or not pair.float_node else self.remake(lane, pair, rounds)
        if own is not None and own.shape == x.shape:
            sums.own.add(x, y, real(own), other, _channel_axis(pair, x))

    def remake(self, lane: _Lane, pair: Counterpart, rounds: Rounds) -> Tensor | None:
        """What the float ops make of the lane's own values."""
        recipe = lane.recipe(pair, self.taken)
        found = self.ingredients(lane, recipe, rounds) if recipe is not None else None
        if recipe is None or found is None:
            return None
        for node in recipe.steps:
            inputs = [found[recipe.place(name)] for name in node.inputs]
            found.update(zip(node.outputs, self.program.compute(node, inputs), strict=False))
        made = found[pair.float_value]
        return made if isinstance(made, Tensor) else None

    def ingredients(self, lane: _Lane, recipe: Recipe, rounds: Rounds) -> dict[str, Any] | None:
        found = {name: self.values.get(name, self.depths.key(name, rounds)) for name in recipe.ours}
        for name in recipe.theirs:
            value = lane.value(lane.pairs.name_of(name) or "", rounds)
            found[name] = real(value) if _is_real(value) else value
        return None if any(value is _MISSING for value in found.values()) else found

    def compare_outputs(self, outputs: tuple[Any, ...]) -> None:
        float_outputs = dict(_tensors(outputs))
        for lane in self.lanes:
            while lane.alive:
                lane.advance()
            theirs = dict(_tensors(lane.results)) if lane.results is not None else {}
            for name, x in float_outputs.items():
                tainted = lane.is_tainted(name)
                sums = lane.outputs.setdefault(name, ErrorSums())
                y = theirs.get(name)
                if y is not None and not tainted and _is_real(x) and y.shape == x.shape:
                    sums.add(real(x), real(y))
                    sums.batches += 1
            lane.results = None
            lane.values = _Values()

    def release(self, node_id: str, rounds: Rounds) -> None:
        """Drop what no comparison after this node needs."""
        for lane, name in self.releases.get(node_id, ()):
            lane.values.drop(name, rounds)

    def _releases(self) -> dict[str, list[tuple[_Lane, str]]]:
        """Id of a float node ("": the beginning) -> what can be dropped once it has run."""
        position = {node.id: k for k, node in enumerate(self.graph.nodes)}
        found: dict[str, list[tuple[_Lane, str]]] = {}
        for lane in self.lanes:
            for name, users in self._users(lane).items():
                last = self._last_of(users, position)
                found.setdefault(last, []).append((lane, name))
        return found

    def _users(self, lane: _Lane) -> dict[str, set[str]]:
        """Each held value -> the float nodes ("": the inputs) when which it is looked at, and the
        blocks that its counterparts live in, as the ids of the nodes that make these."""
        users: dict[str, set[str]] = {}
        for name, pair in lane.pairs.pairs.items():
            node = self.graph.producers.get(name)
            moment = node.id if node is not None else ""
            users.setdefault(pair.seen, set()).add(moment)
            recipe = lane.recipes[name]
            for needed in recipe.theirs if recipe else ():
                users.setdefault(lane.pairs.name_of(needed) or "", set()).add(moment)
                maker = self.graph.producers.get(needed)
                if maker is not None:
                    users[lane.pairs.name_of(needed) or ""].add(maker.id)
                else:
                    block = self.depths.block_of[needed]
                    around = self.depths.owners(block)
                    users[lane.pairs.name_of(needed) or ""].update(
                        owner.id for owner, _ in around[:1]
                    )
        return users

    def _last_of(self, users: Iterable[str], position: Mapping[str, int]) -> str:
        """The last of these nodes, or of the Ifs and Loops around them, in the innermost block that
        holds all."""
        nodes = [self.graph.by_id[user] for user in users if user]
        if not nodes:
            return ""
        chains = []
        for node in nodes:
            owners = [owner for owner, _ in self.depths.owners(node.block)]
            chains.append([node, *owners][::-1])
        level = 0
        while all(len(chain) > level + 1 for chain in chains) and (
            len({chain[level].id for chain in chains}) == 1
            and len({chain[level + 1].block for chain in chains}) == 1
        ):
            level += 1
        return max((chain[level].id for chain in chains), key=position.__getitem__)

    def rows(self, lane: _Lane) -> Iterable[ErrorRow]:
        ordered = sorted(
            lane.pairs.pairs.values(),
            key=lambda pair: lane.pairs.position[pair.float_node.id] if pair.float_node else -1,
        )
        for pair in ordered:
            sums = lane.sums[pair.float_value]
            if sums.error.elements and _is_told(lane, pair):
                yield self.row(lane, pair, sums)

    def user_of(self, value: str) -> Node | None:
        """The first op that takes an input of the model."""
        return next(iter(self.graph.consumers.get(value, ())), None)

    def row(self, lane: _Lane, pair: Counterpart, sums: _Sums) -> ErrorRow:
        first = pair.float_nodes[0] if pair.float_nodes else self.user_of(pair.float_value)
        return ErrorRow(
            stage=lane.stage,
            node=pair.node.id,
            kind=pair.node.kind,
            value=pair.seen,
            float_node=pair.float_node.id if pair.float_node else "",
            float_value=pair.float_value,
            float_kinds=tuple(node.kind for node in pair.float_nodes),
            module=pair.float_nodes[0].module_path if pair.float_nodes else "",
            source=source_of(self.recording, INPUT, first) if first else "",
            sqnr=sums.error.sqnr,
            own_sqnr=sums.own.sqnr,
            inherited_sqnr=sums.own.inherited_sqnr(sums.error.signal),
            own_channel_sqnr=sums.own.channel_sqnr,
            max_abs=sums.error.max_abs,
            mean_abs=sums.error.mean_abs,
            cosine=sums.error.cosine,
            saturated=sums.own.saturated,
            elements=sums.error.elements,
            batches=sums.error.batches,
        )


def _is_told(lane: _Lane, pair: Counterpart) -> bool:
    """Whether a pair makes a row: an op of the model that its inputs go into."""
    unpacked = pair.node.kind.startswith("prim::") and pair.seen == pair.value
    return not unpacked and pair.float_value not in lane.pairs.independent


def _output(lane: _Lane, name: str) -> OutputError:
    sums = lane.outputs[name]
    known = bool(sums.batches)
    return OutputError(
        stage=lane.stage,
        name=name,
        sqnr=sums.sqnr,
        max_abs=sums.max_abs if known else float("nan"),
        mean_abs=sums.mean_abs,
        cosine=sums.cosine if known else float("nan"),
        batches=sums.batches,
    )


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.dtype.is_floating_point or value.is_quantized)


def _channel_axis(pair: Counterpart, x: Tensor) -> int:
    """The dimension of channels: the second of images and of what convolutions make, else the
    last."""
    convolved = any("conv" in node.kind for node in pair.float_nodes)
    return 1 if x.dim() >= 4 or (convolved and x.dim() == 3) else -1


def _named(graph: Graph, value: str, name: str) -> Iterator[tuple[str, str]]:
    """The values that a returned one is put together from, each with its name."""
    maker = graph.producers.get(value)
    if maker is not None and maker.kind == "aten::dequantize":  # of a tuple at once
        yield from _named(graph, maker.inputs[0], name)
    elif maker is not None and maker.kind in ("prim::TupleConstruct", "prim::ListConstruct"):
        for k, item in enumerate(maker.inputs):
            yield from _named(graph, item, f"{name}[{k}]")
    else:
        yield name, value


def _tensors(value: Any, name: str = "") -> Iterable[tuple[str, Tensor]]:
    """The tensors of what a model returns, each with a name."""
    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, f"{name or 'output'}[{key!r}]")
    elif isinstance(value, tuple | list):
        single = not name and len(value) == 1
        for k, item in enumerate(value):
            yield from _tensors(item, "output" if single else f"{name or 'output'}[{k}]")


__all__ = ["compare"]
