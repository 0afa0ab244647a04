"""Pairs the nodes of two graphs.

In three steps, each close to linear in the number of nodes:

1. `lens`: both graphs are looked at as nets of ops, without what quantization threads into a
   value's way, with fused kernels as the ops they stand for. Before and after most passes that is
   the same net.
2. `propagation`: the ops are paired from the inputs on, each by its label and the partners of what
   feeds it. Where several fit, what they are and what follows decides; where none does, the few
   things a pass can have done here are tried against what follows. Hashes of whole cones (Merkle)
   would say that all behind a change is changed; hashes of a neighbourhood (Weisfeiler-Lehman)
   cannot tell the tenth of a hundred equal blocks from the eleventh; aligning the lists of nodes
   (patience) takes independent nodes in another order for a change. Going along the edges has none
   of these faults, and costs one look-up an op.
3. `sharing`: constants, attributes and threaded nodes are paired by the ops they serve. They may be
   copied (one to several) or pooled (several to one).

Names of values, numbers and mangled class names play no part in it. Module paths and source lines
are asked only where nothing else tells two ops apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.ledger import Ledger
from jitq_explore.snapshots.lens import Side as Side
from jitq_explore.snapshots.lens import is_kernel
from jitq_explore.snapshots.norms import lone_norms, stand_in
from jitq_explore.snapshots.propagation import SAME, Propagation
from jitq_explore.snapshots.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Pair:
    """Nodes that correspond, why, and how sure it is (0 to 1)."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    reason: str
    confidence: float


def match_nodes(before: Graph, after: Graph, everything: bool = True) -> tuple[Pair, ...]:
    """Pairs in the order of the nodes before; no node is in two of them. Deterministic.

    Without `everything` no partners are sought for constants, attributes and what is never run,
    which takes half the time; all other pairs are the same.
    """
    # Equal is enough: a recording that was saved and loaded shall tell what it told before.
    if before is after or before == after:
        same = zip(before.nodes, after.nodes, strict=True)
        return tuple(Pair((old,), (new,), "the very same graph", 1.0) for old, new in same)
    old, new = Side.of(before), Side.of(after)
    propagation = Propagation(old, new)
    propagation.run()
    groups = _groups_of_ops(propagation)
    ops = [(olds, news) for olds, news, _ in groups]
    shared = Sharing(old, new, ops, propagation.value).run(everything)
    _settle_norms(shared, groups)
    pairs = [
        Pair(tuple(olds), tuple(news), reason, confidence)
        for olds, news, (reason, confidence) in groups
    ]
    pairs.extend(Pair(tuple(o), tuple(n), why, sure) for o, n, why, sure in shared.groups)
    pairs.sort(key=lambda pair: before.position[pair.before[0].id])
    return tuple(pairs)


Ops = tuple[list[Node], list[Node], tuple[str, float]]


def _groups_of_ops(found: Propagation) -> list[Ops]:
    """The paired ops as nodes: the parts of a kernel are one node."""
    old, new = found.old.ops, found.new.ops
    groups: list[Ops] = []
    of_old: dict[str, Ops] = {}
    of_new: dict[str, Ops] = {}
    why = found.why
    for number, partner in enumerate(found.partner):
        if partner < 0:
            continue
        after = new[number]
        chain = found.chains.get(number, (partner,))
        group = of_new.get(after.id) or of_old.get(old[chain[0]].id)
        if group is None:
            group = [old[chain[0]]], [after], why.get(number, SAME)
            groups.append(group)
            of_new[after.id] = of_old[group[0][0].id] = group
        for k in chain:
            node = old[k]
            if node not in group[0] and node.id not in of_old:
                group[0].append(node)
                of_old[node.id] = group
        if after not in group[1] and after.id not in of_new:
            group[1].append(after)
            of_new[after.id] = group
    return [_explained(group) for group in groups]


def _explained(group: Ops) -> Ops:
    """A kernel says itself what it computes."""
    olds, news, _ = group
    if is_kernel(news[0].kind) and not is_kernel(olds[0].kind):
        return olds, news, ("computes " + " + ".join(node.kind for node in olds), 0.9)
    return group


def _settle_norms(shared: Ledger, groups: list[Ops]) -> None:
    """Pair the batch norms that the lens looked through; one that is gone was folded."""
    old, new = shared.old, shared.new
    lone_before = list(lone_norms(old, shared.new_of))
    lone_after = list(lone_norms(new, shared.old_of))
    if not lone_before and not lone_after:
        return
    place = {node.id: k for k, (olds, _, _) in enumerate(groups) for node in olds}
    partner = {layer.id: olds[-1] for olds, news, _ in groups for layer in news}
    for norm, layer in lone_before:
        k = place.get(layer.id)
        if k is None:
            continue
        found = stand_in(norm, groups[k][1][0], new, shared.old_of)
        if found is not None:
            shared.add([norm], [found], *_IN_PLACE)
        else:
            groups[k] = _with_norm(groups[k], layer, norm)
    for norm, layer in lone_after:
        if layer.id in partner:
            found = stand_in(norm, partner[layer.id], old, shared.new_of)
            if found is not None:
                shared.add([found], [norm], *_IN_PLACE)


_IN_PLACE = "behind the same layer", 0.8


def _with_norm(group: Ops, layer: Node, norm: Node) -> Ops:
    """The group with the norm behind its layer."""
    olds, news, (_, confidence) = group
    index = olds.index(layer) + 1
    why = f"{layer.kind} with {norm.kind} folded into its weight"
    return [*olds[:index], norm, *olds[index:]], news, (why, confidence)


__all__ = ["Pair", "Side", "match_nodes"]
