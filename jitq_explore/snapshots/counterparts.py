"""Which value of a quantized graph is which of the float one, and how to make it again from others.

The pairs are those of `diff`; of a fused kernel only the result has a counterpart. A value is
compared as those see it that take it: quantized, where a quantize node stands behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.matching import Side, match_nodes
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.tracking import layer_of

LONGEST_RECIPE = 200
"""Float ops that are run again at most to make one value from its nearest counterparts."""

UNKNOWN = -1
"""In place of a branch in a recipe that is not to be followed."""

_IS_TENSOR = re.compile(r"Tensor$|(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)\(")
_HOLDS_TENSORS = re.compile(r"Tensor|(Float|Double|Half|BFloat16)\(")


@lru_cache(maxsize=4096)
def _is_tensor(printed: str) -> bool:
    """Whether a printed type is that of a tensor."""
    return _IS_TENSOR.match(printed) is not None


@lru_cache(maxsize=4096)
def _holds_tensors(printed: str) -> bool:
    """Whether a value of that printed type may be, or hold, a tensor of real numbers."""
    return _HOLDS_TENSORS.search(printed) is not None


@dataclass(frozen=True)
class Counterpart:
    """A value of the float graph and what it is in the other one.

    `value` is made by `node`; `seen` is the same, or the result of the quantize node behind it, as
    its users see it. For an input of the model there is no float node, and `node` is the quantize
    node. `float_nodes` are the ops that the node stands for, the last of them makes `float_value`.
    """

    float_value: str
    float_nodes: tuple[Node, ...]
    value: str
    seen: str
    node: Node

    @property
    def float_node(self) -> Node | None:
        """The op of the float model that makes the value."""
        return self.float_nodes[-1] if self.float_nodes else None


@dataclass(frozen=True)
class Recipe:
    """How to make a value of the float graph from others.

    `steps` are float nodes, in order. Their inputs are results of earlier steps, values of `theirs`
    (names in the float graph, whose counterparts are to be taken) or of `ours` (taken from the
    float run: constants, weights, numbers, whatever does not depend on the model's inputs).
    `aliases` maps what an If hands on to what it is; `branches` are the Ifs for which that depends
    on the run, each with the branch that was assumed.
    """

    steps: tuple[Node, ...]
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    aliases: Mapping[str, str]
    branches: Mapping[str, int]

    def place(self, name: str) -> str:
        """The value that a name stands for."""
        while name in self.aliases:
            name = self.aliases[name]
        return name


class Counterparts:
    """The pairs of values between the float graph and that of one later stage."""

    def __init__(self, before: Graph, after: Graph) -> None:
        self.before, self.after = before, after
        with collector_paused():
            self._matched = match_nodes(before, after, everything=False)
        self._old, self._new = Side.of(before), Side.of(after)
        # Ids are unique within a graph, not among two.
        self._dead = {id(side): {n.id for n in side.dead} for side in (self._old, self._new)}
        self.inputs = {
            old: self.seen(new)
            for old, new in zip(before.inputs[1:], after.inputs[1:], strict=False)
        }
        self.pairs = {pair.float_value: pair for pair in self._find()}

    @classmethod
    def of(cls, before: Graph, after: Graph) -> Counterparts:
        """Made once for each two graphs."""
        known: dict[int, Counterparts] = before.__dict__.setdefault("_counterparts", {})
        found = known.get(id(after))
        if found is None or found.after is not after:
            found = known[id(after)] = cls(before, after)
        return found

    @cached_property
    def needs(self) -> Mapping[str, Recipe | None]:
        """Float value -> what its recipe may need, whatever branches are taken."""
        return {name: self.recipe(pair) for name, pair in self.pairs.items()}

    def seen(self, value: str) -> str:
        """The quantized form of a value, where it has one."""
        return self._quantized.get(value, value)

    def name_of(self, float_value: str) -> str | None:
        """The counterpart of a value, an input of a loop's round or of the model, as it is seen."""
        pair = self.pairs.get(float_value)
        if pair is not None:
            return pair.seen
        return self.inputs.get(float_value) or self._carried.get(float_value)

    @cached_property
    def control(self) -> Mapping[str, Node]:
        """Id of an If or a Loop of the float graph -> its counterpart."""
        return {
            match.before[0].id: match.after[0]
            for match in self._matched
            if match.before[0].blocks and match.after[0].kind == match.before[0].kind
            if len(match.before[0].blocks) == len(match.after[0].blocks)
        }

    def recipe(self, pair: Counterpart, taken: Mapping[str, int] | None = None) -> Recipe | None:
        """How the float ops make the pair's value from its nearest counterparts.

        `taken` maps the id of each If that has run to its branch; without it the recipe lists
        what any branches would need, and is to be followed only if it has no `branches`. None
        where it cannot be made.
        """
        if pair.float_node is None:
            return Recipe((), (pair.float_value,), (), {}, {})
        return _Recipes(self, self._old, pair.float_node, taken).write()

    @property
    def independent(self) -> frozenset[str]:
        """The values of the float graph that no tensor given to the model goes into."""
        found: frozenset[str] | None = self.before.__dict__.get("_independent")
        if found is None:
            found = self.before.__dict__["_independent"] = _independent_in(self.before)
        return found

    @cached_property
    def _quantized(self) -> Mapping[str, str]:
        """Value -> what the quantize node behind it gives."""
        found: dict[str, str] = {}
        for node in self._new.threaded:
            if role_of(node) == "quantize":
                value = self._new.origin(node.inputs[0])
                if self._place(value) == self._new.place.get(node.block):
                    found.setdefault(value, node.outputs[0])
        return found

    def _place(self, value: str) -> str:
        maker = self.after.producers.get(value)
        if maker is not None:
            return self._new.place.get(maker.block, "")
        holding = (b.id for b in self.after.blocks.values() if value in b.inputs)
        return self._new.place.get(next(holding, ""), "")

    @cached_property
    def _carried(self) -> Mapping[str, str]:
        """What a round of a float loop is given -> the same in the other graph."""
        found: dict[str, str] = {}
        for owner, other in self.control.items():
            for mine, theirs in zip(self.before.by_id[owner].blocks, other.blocks, strict=True):
                names = self.before.blocks[mine].inputs, self.after.blocks[theirs].inputs
                found.update(zip(names[0], map(self.seen, names[1]), strict=False))
        return found

    def _find(self) -> Iterator[Counterpart]:
        for name, other in self.inputs.items():
            quantizer = self.after.producers.get(other)
            if quantizer is not None:
                yield Counterpart(name, (), quantizer.inputs[0], other, quantizer)
        folded = self._folded()
        for match in self._matched:
            before = (*match.before, *folded.get(match.after[0].id, ()))
            if self._computes(before[0], self._old) and self._computes(match.after[0], self._new):
                yield from self._of_ops(before, match.after)

    def _folded(self) -> Mapping[str, list[Node]]:
        """Id of a node -> the batch norms that went into its weights."""
        partner = {node.id: pair.after[0] for pair in self._matched for node in pair.before}
        found: dict[str, list[Node]] = {}
        for node in self.before.find("aten::batch_norm"):
            layer = layer_of(self.before, node) if node.id not in partner else None
            if layer is not None and layer.id in partner:
                found.setdefault(partner[layer.id].id, []).append(node)
        return found

    def _computes(self, node: Node, side: Side) -> bool:
        """Whether the node is an op of the model."""
        fixed = bool(node.outputs) and node.outputs[0] in side.fixed
        threaded = node.is_observer or role_of(node) is not None
        return not (fixed or threaded or node.blocks or node.id in self._dead[id(side)])

    def _of_ops(self, before: tuple[Node, ...], after: tuple[Node, ...]) -> Iterator[Counterpart]:
        made = _ends(after, self._new)[0]
        for last in _ends(before, self._old):
            ops = (*(node for node in before if node is not last), last)
            for mine, theirs in zip(last.outputs, made.outputs, strict=False):
                if _is_tensor(self.before.values[mine].type):
                    yield Counterpart(mine, ops, theirs, self.seen(theirs), made)


def _ends(nodes: tuple[Node, ...], side: Side) -> tuple[Node, ...]:
    """Those whose results no other one of them takes."""
    if len(nodes) == 1:
        return nodes
    taken = {side.origin(name) for node in nodes for name in node.inputs}
    return tuple(node for node in nodes if taken.isdisjoint(node.outputs)) or nodes[-1:]


def _independent_in(graph: Graph) -> frozenset[str]:
    """The values of a graph that none of the tensors it is given goes into."""
    dependent = set(graph.inputs[1:])
    handed: dict[str, list[str]] = {}
    for block in graph.blocks.values():
        owner = graph.by_id[block.owner]
        for name in block.outputs:
            handed.setdefault(name, []).extend((*owner.outputs, *block.inputs))
    waiting = list(dependent)
    while waiting:
        name = waiting.pop()
        reached = list(handed.get(name, ()))
        for user in graph.consumers.get(name, ()):
            reached.extend(user.outputs)
            reached.extend(n for block in user.blocks for n in graph.blocks[block].inputs)
        for other in reached:
            if other not in dependent and _holds_tensors(graph.values[other].type):
                dependent.add(other)
                waiting.append(other)
    return frozenset(graph.values.keys() - dependent)


class _Recipes:
    """Writes the recipe of what one node makes."""

    def __init__(
        self, pairs: Counterparts, side: Side, node: Node, taken: Mapping[str, int] | None
    ) -> None:
        self.pairs, self.side, self.node, self.taken = pairs, side, node, taken
        self.graph = pairs.before
        self.steps: dict[str, Node] = {}
        self.theirs: dict[str, None] = {}
        self.ours: dict[str, None] = {}
        self.aliases: dict[str, str] = {}
        self.branches: dict[str, int] = {}

    def write(self) -> Recipe | None:
        if not self.make(self.node):
            return None
        steps = sorted(self.steps.values(), key=lambda node: self.graph.position[node.id])
        return Recipe(
            tuple(steps), tuple(self.theirs), tuple(self.ours), self.aliases, self.branches
        )

    def make(self, node: Node) -> bool:
        """Add the op that makes a value, and all that it needs."""
        if node.id in self.steps:
            return True
        if node.blocks or len(self.steps) >= LONGEST_RECIPE:
            return False
        self.steps[node.id] = node
        return all(self.need(name) for name in node.inputs)

    def need(self, name: str) -> bool:
        """Add what makes a value, as near as can be; whether it can be had."""
        origin = self.side.origin(name)
        if origin != name:
            self.aliases[name] = origin
            name = origin
        if name in self.side.fixed or not _holds_tensors(self.graph.values[name].type):
            self.ours[name] = None
            return True
        if self.pairs.name_of(name) is not None:
            self.theirs[name] = None
            return True
        if name in self.pairs.independent:
            self.ours[name] = None
            return True
        maker = self.graph.producers.get(name)
        if maker is not None and maker.kind == "prim::If":
            return self.need_result(maker, name)
        return maker is not None and self.make(maker)

    def need_result(self, branching: Node, name: str) -> bool:
        """What an If hands on is what its branch made."""
        place = branching.outputs.index(name)
        results = [self.graph.blocks[block].outputs[place] for block in branching.blocks]
        if self.taken is None:
            self.branches[branching.id] = UNKNOWN
            found = [self.need(result) for result in results]
            return any(found)
        if branching.id not in self.taken:
            return False
        branch = self.branches[branching.id] = self.taken[branching.id]
        self.aliases[name] = results[branch]
        return self.need(results[branch])
