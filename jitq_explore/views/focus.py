"""Which part of a picture to show: what changed and what is near it, or one module.

The parts are sets of ids of boxes; `show_only` draws one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from jitq_explore.views.boxes import Edge, Picture, Region, Role, Status

_PORTS = (Role.INPUT, Role.OUTPUT)
_MAX_PORTS = 4
"""Inputs and outputs are kept as landmarks while there are no more of them."""


def near_changes(picture: Picture, hops: int) -> set[str]:
    """What changed, and what is at most `hops` edges away from it, up or down."""
    changed = {box.id for box in picture.boxes if box.status is not Status.SAME}
    ports = [box.id for box in picture.boxes if box.role in _PORTS]
    shown = _within(_neighbours(picture.edges), changed, hops)
    return shown.union(ports if len(ports) <= _MAX_PORTS else ())


def near_module(picture: Picture, path: str) -> set[str]:
    """What lies in the module at that path, and what is next to it.

    ValueError names modules that there are.
    """
    inside = {box.id for box in picture.boxes if f"{_path(box.region)}.".startswith(f"{path}.")}
    if not inside:
        known = sorted({_path(box.region) for box in picture.boxes} - {""})
        raise ValueError(f"unknown module {path!r} (there are {known[:12]})")
    return _within(_neighbours(picture.edges), inside, 1)


def count_islands(picture: Picture, shown: Collection[str]) -> int:
    """The number of pieces that this part of the picture falls into, inputs and outputs aside."""
    unseen = {box.id for box in picture.boxes if box.id in shown and box.role not in _PORTS}
    neighbours = _neighbours(
        edge for edge in picture.edges if edge.tail in unseen and edge.head in unseen
    )
    count = 0
    while unseen:
        count += 1
        unseen -= _within(neighbours, {next(iter(unseen))}, len(unseen))
    return count


def show_only(picture: Picture, shown: Collection[str]) -> Picture:
    """The picture with these boxes alone; edges that passed over the others do so still."""
    left_out = len(picture.boxes) - len(shown)
    if not left_out:
        return picture
    kept = tuple(edge for edge in picture.edges if edge.tail in shown and edge.head in shown)
    return replace(
        picture,
        boxes=tuple(box for box in picture.boxes if box.id in shown),
        edges=(*kept, *_bridges(picture.edges, shown, kept)),
        left_out=picture.left_out + left_out,
    )


def _bridges(edges: Iterable[Edge], shown: Collection[str], kept: Iterable[Edge]) -> Iterator[Edge]:
    """An edge for each shortest way from shown to shown over what is left out."""
    followers: dict[str, list[str]] = {}
    for edge in edges:
        if not edge.is_back:
            followers.setdefault(edge.tail, []).append(edge.head)
    direct = {(edge.tail, edge.head) for edge in kept}
    for tail in sorted(shown):
        for head, skipped in _over_hidden(tail, followers, shown):
            if (tail, head) not in direct:
                tooltip = f"over {skipped} that are not shown"
                yield Edge(tail, head, Status.SAME, tooltip, skipped=skipped)


def _over_hidden(
    start: str, followers: Mapping[str, list[str]], shown: Collection[str]
) -> Iterator[tuple[str, int]]:
    """Each shown box first reached from `start` over hidden ones, with how many those are."""
    seen = {start}
    ways = deque((head, 1) for head in followers.get(start, ()) if head not in shown)
    while ways:
        box, skipped = ways.popleft()
        if box in seen:
            continue
        seen.add(box)
        if box in shown:
            yield box, skipped - 1
        else:
            ways.extend((head, skipped + 1) for head in followers.get(box, ()))


def _neighbours(edges: Iterable[Edge]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge.tail, []).append(edge.head)
        found.setdefault(edge.head, []).append(edge.tail)
    return found


def _within(neighbours: Mapping[str, list[str]], start: set[str], hops: int) -> set[str]:
    reached, edge_of_reach = set(start), start
    for _ in range(hops):
        edge_of_reach = {n for box in edge_of_reach for n in neighbours.get(box, ())} - reached
        if not edge_of_reach:
            break
        reached |= edge_of_reach
    return reached


def _path(region: Region) -> str:
    return ".".join(level.name for level in region if not level.is_block)
