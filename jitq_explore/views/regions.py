"""Where each node of the union lies: in which submodule, in which block of an If or a Loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TypeVar

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.views.boxes import Box, Edge, Level, Region, Role, Status
from jitq_explore.views.labels import role_of
from jitq_explore.views.printable import printable
from jitq_explore.views.union import Item
from jitq_explore.views.wiring import is_settled

T = TypeVar("T")

_HELPERS = (Role.OBSERVER, Role.QUANTIZE, Role.DEQUANTIZE)


def regions_of(
    items: tuple[Item, ...], before: Graph, after: Graph, box_before: Mapping[str, str]
) -> dict[str, Region]:
    """Id of each item -> its region.

    `box_before` maps the ids of the nodes before to those of their items: a block of an If that is
    in both graphs is one region, whichever graph a node inside is from.
    """
    regions: dict[str, Region] = {}
    in_block: dict[str, Region] = {"": ()}
    for item in items:
        if item.status is not Status.REMOVED:
            regions[item.id] = below(in_block[item.node.block], _path_of(item))
            in_block.update(blocks_of(after, item.node, item.id, regions[item.id]))
    in_block_before: dict[str, Region] = {"": ()}
    for node in before.nodes:
        box = box_before[node.id]
        if box not in regions:
            regions[box] = below(in_block_before[node.block], node.module_path)
        in_block_before.update(blocks_of(before, node, box, regions[box]))
    return regions


def _path_of(item: Item) -> str:
    """The node's module path; its partner's where a pass such as `quant_finalize` lost it."""
    if item.node.module_path or item.match is None:
        return item.node.module_path
    main = [node for node in item.match.before if role_of(node) not in _HELPERS]
    paths = [node.module_path.split(".") for node in main or item.match.before]
    return ".".join(common(paths))


def below(around: Region, path: str) -> Region:
    """The region of the module at that path, seen from a block that may lie in a parent of it."""
    names = path.split(".") if path else []
    outer = [level.name for level in around if not level.is_block]
    if names[: len(outer)] != outer:
        return around
    inner = names[len(outer) :]
    return (*around, *(Level(name, printable(name)) for name in inner))


def blocks_of(graph: Graph, node: Node, box: str, region: Region) -> dict[str, Region]:
    """The node's blocks -> their regions. What an If always enters is no place of its own."""
    if is_settled(graph, node):
        return dict.fromkeys(node.blocks, region)
    labels = ("If: true", "If: false") if node.kind == "prim::If" else ("Loop body",)
    return {
        block: (*region, Level(f"{box}:{number}", label, is_block=True))
        for number, (block, label) in enumerate(zip(node.blocks, labels, strict=False))
    }


def settle_helpers(boxes: Sequence[Box], edges: Iterable[Edge]) -> list[Box]:
    """Observers, quantize and dequantize moved to where the ops they stand between have in common.

    torch adds many of them to the model itself, even those between two ops of one submodule.
    """
    by_id = {box.id: box for box in boxes}
    around: dict[str, list[str]] = {}
    for edge in edges:
        around.setdefault(edge.tail, []).append(edge.head)
        around.setdefault(edge.head, []).append(edge.tail)

    def settled(box: Box) -> Region:
        ops: list[Region] = []
        seen, ahead = {box.id}, [box.id]
        while ahead:
            for near in around.get(ahead.pop(), ()):
                if by_id[near].role not in _HELPERS:
                    ops.append(by_id[near].region)
                elif near not in seen:
                    seen.add(near)
                    ahead.append(near)
        shared = common(ops)
        return shared if shared[: len(box.region)] == box.region else box.region

    return [replace(b, region=settled(b)) if b.role in _HELPERS else b for b in boxes]


def common(sequences: Iterable[Sequence[T]]) -> tuple[T, ...]:
    """What all of them begin with."""
    alike = takewhile(lambda items: len(set(items)) == 1, zip(*sequences, strict=False))
    return tuple(items[0] for items in alike)
