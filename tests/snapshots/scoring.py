"""How much of what edits did a difference recovers."""

from __future__ import annotations

from dataclasses import dataclass

from graphs_made import Truth

from jitq_explore.snapshots.diff import GraphDiff


@dataclass
class Score:
    right: int = 0
    claimed: int = 0
    true: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.claimed if self.claimed else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 1.0

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.claimed + other.claimed, self.true + other.true)

    def __str__(self) -> str:
        return f"precision {self.precision:.4f} recall {self.recall:.4f} of {self.true}"


def edits_of(diff: GraphDiff) -> set[object]:
    """Every difference that is claimed, by ids of nodes."""
    return {
        *(("added", node.id) for node in diff.added),
        *(("removed", node.id) for node in diff.removed),
        *(
            (frozenset(n.id for n in match.before), frozenset(n.id for n in match.after))
            for match in diff.changed
        ),
    }


def true_edits(truth: Truth, before: dict[int, str], after: dict[int, str]) -> set[object]:
    """The same of what was done."""
    one = frozenset
    return {
        *(("added", after[k]) for k in truth.added),
        *(("removed", before[k]) for k in truth.removed),
        *((one([before[k]]), one([after[k]])) for k in truth.changed),
        *((one([before[k]]), one(after[j] for j in all_)) for k, all_ in truth.copied.items()),
        *((one(before[j] for j in all_), one([after[k]])) for k, all_ in truth.fused.items()),
    }


def score_edits(
    diff: GraphDiff, truth: Truth, before: dict[int, str], after: dict[int, str]
) -> Score:
    """Up to symmetry: a claim that is true of the graphs and no longer than the edits is as good.

    "True" is checked here, not believed: whatever is claimed to be the same must be so.
    """
    claimed, true = edits_of(diff), true_edits(truth, before, after)
    if len(claimed) <= len(true) and claimed != true and is_true(diff):
        return Score(len(true), len(true), len(true))
    return Score(len(claimed & true), len(claimed), len(true))


def score_pairs(
    diff: GraphDiff, before: dict[int, str], after: dict[int, str], truth: Truth
) -> Score:
    """Every pair of nodes, changed or not."""
    claimed = {(a.id, b.id) for m in diff.matched for a in m.before for b in m.after}
    true = {(before[k], after[k]) for k in before if k in after}
    true |= {(before[k], after[j]) for k, all_ in truth.copied.items() for j in all_}
    true |= {(before[j], after[k]) for k, all_ in truth.fused.items() for j in all_}
    if claimed != true and is_true(diff) and len(edits_of(diff)) <= truth.size:
        return Score(len(true), len(true), len(true))
    return Score(len(claimed & true), len(claimed), len(true))


def is_true(diff: GraphDiff) -> bool:
    """Whether what is claimed to be the same is: kinds, attributes, wiring, blocks."""
    number_before = {n.id: k for k, m in enumerate(diff.matched) for n in m.before}
    number_after = {n.id: k for k, m in enumerate(diff.matched) for n in m.after}
    if len(number_before) + len(diff.removed) != len(diff.before.nodes):
        return False
    if len(number_after) + len(diff.added) != len(diff.after.nodes):
        return False

    def origins(graph, number, value, depth=8):
        node = graph.producers.get(value)
        if node is None:
            if value in graph.inputs:
                return {("input", graph.inputs.index(value))}
            block = next(b for b in graph.blocks.values() if value in b.inputs)
            owner = graph.by_id[block.owner]
            return {
                (
                    "inner",
                    number.get(owner.id),
                    owner.blocks.index(block.id),
                    block.inputs.index(value),
                )
            }
        if node.is_constant:  # which of several equal ones, nobody can tell
            return {repr(node.attributes), number.get(node.id, repr(node.attributes))}
        if node.id in number:
            return {(number[node.id], node.outputs.index(value) if len(node.outputs) > 1 else 0)}
        if not depth:
            return set()
        return {o for v in node.inputs for o in origins(graph, number, v, depth - 1)}

    def alike(olds, news):
        return len(olds) == len(news) and all(
            origins(diff.before, number_before, a) & origins(diff.after, number_after, b)
            for a, b in zip(olds, news, strict=True)
        )

    for match in diff.matched:
        if match.changes:
            continue
        (a,), (b,) = match.before, match.after
        if a.kind != b.kind or repr(a.attributes) != repr(b.attributes):
            return False
        if not alike(a.inputs, b.inputs) or len(a.blocks) != len(b.blocks):
            return False
        for mine, theirs in zip(a.blocks, b.blocks, strict=True):
            if not alike(diff.before.blocks[mine].outputs, diff.after.blocks[theirs].outputs):
                return False
        owners = [
            g.blocks[n.block].owner if n.block else ""
            for g, n in ((diff.before, a), (diff.after, b))
        ]
        if number_before.get(owners[0]) != number_after.get(owners[1]):
            return False
    return alike(diff.before.outputs, diff.after.outputs)
