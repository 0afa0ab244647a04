"""The run of one stage beside that of the float model, and what is summed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from jitq_explore.capture.depths import Depths
from jitq_explore.capture.error_sums import ErrorSums, OwnSums
from jitq_explore.capture.held_values import MISSING, HeldValues
from jitq_explore.capture.interpret import InterpreterError, Rounds
from jitq_explore.capture.program import Program
from jitq_explore.capture.returned import named_returns
from jitq_explore.snapshots.counterparts import Counterpart, Counterparts, Recipe
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.numerics import BranchTaken, StageFailure


@dataclass
class PairSums:
    """What is summed of one pair."""

    error: ErrorSums = field(default_factory=ErrorSums)
    own: OwnSums = field(default_factory=OwnSums)
    counted_in: int = -1


class Lane:
    """The run of one stage, and what is summed of it."""

    def __init__(self, stage: str, program: Program, float_graph: Graph) -> None:
        self.stage = stage
        self.program = program
        self.graph = program.graph
        self.pairs = Counterparts.of(float_graph, self.graph)
        self.depths = Depths.of(self.graph)
        self.recipes = self.pairs.needs
        self.followed: dict[str, Recipe | None] = {}
        self.sums = {name: PairSums() for name in self.pairs.pairs}
        self.outputs: dict[str, ErrorSums] = {}
        self.branches: list[BranchTaken] = []
        self.failures: list[StageFailure] = []
        self.wanted = self._wanted()
        self.named_outputs = list(named_returns(self.graph, self.graph.outputs[0], "output"))

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
        """Begin the run of one batch."""
        self.batch = batch
        self.values = HeldValues()
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
        """The value of that name, waited for; `MISSING` where it will not come."""
        if name in self.program.known:
            return self.program.known[name]
        key = self.depths.key(name, rounds)
        while (found := self.values.get(name, key)) is MISSING:
            if not self.alive or self.is_passed(name, key):
                return MISSING
            self.advance()
        return found

    def is_passed(self, name: str, rounds: Rounds) -> bool:
        """Whether the run went another way than where the value is made."""
        home = self.depths.block_of[name]
        for owner, block in self.depths.owners(home) if home else ():
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
