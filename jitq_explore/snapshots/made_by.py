"""Which fusion rule made a node of the finished graph.

Within a fusion a value keeps its name; freezing renumbers the values of its copy, and neither adds
a quantized op nor changes their order. So the first quantized op of a kind after the fusion is the
first of that kind in the end, and so on. Where it drops some, with a branch that a setting rules
out, what is left is found among them in order, and named where all places it can have come from
have one rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.step_changes import kind_made, names_made
from jitq_explore.snapshots.steps import Step, StepGraph


def rule_of(recording: Recording, node_id: str) -> FusionRule | None:
    """The rule that made that node of the last graph, of a deep recording.

    None for a node that no rule made: one that was there before, or that another pass made.
    KeyError for a node that the last graph has not.
    """
    recording.last.graph().node(node_id)
    return rules_by_node(recording).get(node_id)


@once
def rules_by_node(recording: Recording) -> Mapping[str, FusionRule]:
    """Id of a node of the last graph -> the rule that made it."""
    steps = [step for stage in recording for step in stage.steps if step.rule and step.after]
    if not steps or steps[-1].after is None:
        return {}
    names = _made(steps)
    mode = "static" if recording.mode == "static" else "dynamic"
    rules = {rule.name: rule for rule in recording.rules if rule.mode == mode}
    made = list(_in_order(steps[-1].after, names))
    return {
        node_id: rules[name]
        for node_id, name in _paired(made, recording.last.graph())
        if name in rules
    }


def _made(steps: Iterable[Step]) -> Mapping[str, str]:
    """Name of a value -> the last rule that made it."""
    return {name: step.rule for step in steps for event in step.events for name in event.values}


def _in_order(fused: StepGraph, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Kind of each node after the fusion, and the rule that made it ("" for none)."""
    for line in fused.lines:
        made = names_made(line)
        if made:
            yield kind_made(line), names.get(made[0], "")


def _paired(fused: Sequence[tuple[str, str]], final: Graph) -> Iterator[tuple[str, str]]:
    """Nodes of the last graph, with the rules of the nodes they were; none where that is open."""
    rules: dict[str, list[str]] = defaultdict(list)
    for kind, rule in fused:
        rules[kind].append(rule)
    nodes: dict[str, list[str]] = defaultdict(list)
    for node in final.nodes:
        nodes[node.kind].append(node.id)
    rest = set()
    for kind, ids in nodes.items():
        if len(ids) == len(rules[kind]):
            yield from zip(ids, rules[kind], strict=True)
        elif len(set(rules[kind])) == 1 and len(ids) < len(rules[kind]):
            yield from ((node_id, rules[kind][0]) for node_id in ids)
        elif any(rules[kind]):
            rest.add(kind)
    if rest:
        made = [pair for pair in fused if any(rules[pair[0]])]
        left = [node for node in final.nodes if any(rules[node.kind])]
        for node, place in zip(left, _places([node.kind for node in left], made), strict=False):
            if node.kind in rest and len(place) == 1:
                yield node.id, next(iter(place))


def _places(kinds: Sequence[str], made: Sequence[tuple[str, str]]) -> Iterator[set[str]]:
    """For each of the kinds that are left in order the rules of all places it can have had."""
    first = _embedded(kinds, [kind for kind, _ in made])
    last = _embedded(kinds[::-1], [kind for kind, _ in reversed(made)])
    if first is None or last is None:
        return
    for kind, low, high in zip(kinds, first, reversed(last), strict=True):
        span = made[low : len(made) - high]
        yield {rule for other, rule in span if other == kind}


def _embedded(kinds: Sequence[str], among: Sequence[str]) -> list[int] | None:
    """The earliest places of the kinds, in order, among others; None where they do not fit."""
    found: list[int] = []
    for kind in kinds:
        place = next(
            (k for k in range(found[-1] + 1 if found else 0, len(among)) if among[k] == kind), None
        )
        if place is None:
            return None
        found.append(place)
    return found
