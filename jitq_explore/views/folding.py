"""Making a picture smaller: whole modules as one box each, stretches of nodes as one box each.

Every function takes a `Picture` and gives a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import groupby

from jitq_explore.views.boxes import (
    Box,
    Edge,
    Picture,
    Region,
    Role,
    Status,
    Tally,
    region_id,
    region_label,
    region_path,
)
from jitq_explore.views.flow import Flow
from jitq_explore.views.labels import LINE_WIDTH
from jitq_explore.views.printable import shorten_end

_PORTS = (Role.INPUT, Role.OUTPUT)


def fold_alike(picture: Picture, statuses: Collection[Status]) -> Picture:
    """Each module whose boxes all have one and the same of these statuses, the largest such."""
    found: dict[Region, set[Status]] = {}
    for box in picture.boxes:
        for depth in range(1, len(box.region) + 1):
            found.setdefault(box.region[:depth], set()).add(box.status)

    def largest(box: Box) -> Region | None:
        if box.status not in statuses:
            return None
        prefixes = (box.region[:depth] for depth in range(1, len(box.region) + 1))
        return next((prefix for prefix in prefixes if len(found[prefix]) == 1), None)

    return _fold_regions(picture, largest)


def fold_to_depth(picture: Picture, depth: int) -> Picture:
    """Each module (or block) that lies `depth` levels deep, 1 being the outermost, as one box."""
    return _fold_regions(
        picture, lambda box: box.region[:depth] if len(box.region) >= depth else None
    )


def fold_stretches(picture: Picture, max_nodes: int) -> Picture:
    """Neighbours in the list, however unrelated, as one box: the last resort, it always fits."""
    runs = [list(run) for _, run in groupby(picture.boxes, key=lambda box: box.role in _PORTS)]
    size = -(-len(picture.boxes) // max(1, max_nodes - len(runs)))
    groups: dict[str, Box] = {}
    for run in runs:
        for start in range(0, len(run), size):
            members = run[start : start + size]
            if len(members) > 1:
                group = _group(f"s-{members[0].id}", "", (), members)
                groups.update({member.id: group for member in members})
    return _with_groups(picture, groups)


def _fold_regions(picture: Picture, region_of: Callable[[Box], Region | None]) -> Picture:
    """Boxes for which `region_of` gives the same region as one box; a lone one stays as it is.

    A module that is called twice, with something else in between, is two boxes: one would be both
    before and behind what lies between.
    """
    members: dict[Region, list[Box]] = {}
    for box in picture.boxes:
        region = region_of(box)
        if region:
            members.setdefault(region, []).append(box)
    flow = Flow(picture)
    groups: dict[str, Box] = {}
    for region, boxes in members.items():
        for number, part in enumerate(flow.calls(boxes)):
            if len(part) > 1:
                box_id = region_id(region) + (f"-{number}" if number else "")
                group = _group(box_id, region_label(region), region, part)
                groups.update({box.id: group for box in part})
    return _with_groups(picture, groups)


def _group(box_id: str, title: str, region: Region, members: Sequence[Box]) -> Box:
    tally = reduce(Tally.__add__, (box.tally for box in members))
    kinds = Counter(box.title.replace("\n", " ") for box in members if box.role is not Role.GROUP)
    most = ", ".join(f"{kind} ×{count}" for kind, count in kinds.most_common(12))
    heart = ", ".join(dict.fromkeys(_weighted(members))) if region else most
    return Box(
        id=box_id,
        role=Role.GROUP,
        status=_status(tally, members),
        title=title or f"{len(members)} in a row",
        lines=(*([shorten_end(heart, LINE_WIDTH)] if heart else []), str(tally)),
        tooltip="\n".join(line for line in (region_path(region), str(tally), most) if line),
        region=region[:-1],
        tally=tally,
    )


def _weighted(members: Iterable[Box]) -> Iterator[str]:
    """What in a module works with weights: that tells best what kind of module it is."""
    for box in members:
        if any(line.startswith("weight: ") for line in box.lines) and box.role is Role.OPERATION:
            yield box.title.rpartition("\n")[2]


def _status(tally: Tally, members: Iterable[Box]) -> Status:
    """That of all nodes together; or changed, where a mere constant in a member's label did."""
    is_changed = any(box.status is not Status.SAME for box in members)
    return Status.CHANGED if is_changed and tally.status is Status.SAME else tally.status


def _with_groups(picture: Picture, groups: dict[str, Box]) -> Picture:
    """The picture with each group in place of its members, where the first of them stood."""
    boxes = {box.id: box for box in (groups.get(own.id, own) for own in picture.boxes)}
    ends = {box_id: group.id for box_id, group in groups.items()}
    return replace(picture, boxes=tuple(boxes.values()), edges=_merge_edges(picture.edges, ends))


def _merge_edges(edges: Iterable[Edge], ends: dict[str, str]) -> tuple[Edge, ...]:
    """The edges between the new ends, each once; those within one box are gone."""
    merged: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        tail, head = ends.get(edge.tail, edge.tail), ends.get(edge.head, edge.head)
        if tail != head:
            merged.setdefault((tail, head), []).append(edge)
    return tuple(_merged(tail, head, parts) for (tail, head), parts in merged.items())


def _merged(tail: str, head: str, parts: Sequence[Edge]) -> Edge:
    statuses = {edge.status for edge in parts}
    return replace(
        parts[0],
        tail=tail,
        head=head,
        status=parts[0].status if len(statuses) == 1 else Status.SAME,
        tooltip=parts[0].tooltip if len(parts) == 1 else f"{len(parts)} values",
        is_back=all(edge.is_back for edge in parts),
    )
