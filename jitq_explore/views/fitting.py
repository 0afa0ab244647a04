"""How much of a picture is drawn: all of it where that is legible, else less, and it says so."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.views.boxes import Box, Picture, Status
from jitq_explore.views.focus import count_islands, near_changes, show_only
from jitq_explore.views.folding import fold_alike, fold_stretches, fold_to_depth

MAX_NODES = 100
"""Boxes that a picture stays legible with."""

_FEWEST = 4
_MAX_ISLANDS = 8
"""Pieces that "only what changed" may fall into before folded modules tell more."""


def fit(picture: Picture, max_nodes: int = MAX_NODES, hops: int | None = None) -> Picture:
    """The picture with at most `max_nodes` boxes, by the gentlest means that will do.

    `hops` asks for only what changed and what lies at most so many edges from it, however small
    the picture is. Otherwise everything is drawn where it fits; else what changed and its
    neighbours, or what changed alone, where that hangs together; else modules become one box each:
    first those without changes, then those new or gone as a whole, then the innermost; and where
    there are no modules, stretches of nodes do. ValueError for a `max_nodes` below 4 and a negative
    `hops`.
    """
    if max_nodes < _FEWEST:
        raise ValueError(f"max_nodes must be at least {_FEWEST}, got {max_nodes}")
    if hops is not None and hops < 0:
        raise ValueError(f"hops must not be negative, got {hops}")
    if hops is not None and _has_changes(picture):
        picture = show_only(picture, near_changes(picture, hops))
        attempts = _folded(picture, max_nodes)
    else:
        attempts = _focused_or_folded(picture, max_nodes)
    if len(picture.boxes) <= max_nodes:
        return picture
    return next(smaller for smaller in attempts if len(smaller.boxes) <= max_nodes)


def _focused_or_folded(picture: Picture, max_nodes: int) -> Iterator[Picture]:
    for hops in (1, 0) if _has_changes(picture) else ():
        shown = near_changes(picture, hops)
        if len(shown) <= max_nodes and count_islands(picture, shown) <= _MAX_ISLANDS:
            yield show_only(picture, shown)
    yield from _folded(picture, max_nodes)


def _folded(picture: Picture, max_nodes: int) -> Iterator[Picture]:
    # Without any change, folding what is alike would leave one box.
    alike = (Status.SAME, Status.ADDED, Status.REMOVED) if _has_changes(picture) else ()
    yield fold_alike(picture, alike[:1])
    yield fold_alike(picture, alike)
    for depth in range(max(map(_depth, picture.boxes), default=0), 0, -1):
        picture = fold_to_depth(picture, depth)
        yield fold_alike(picture, alike)
    yield fold_stretches(picture, max_nodes)


def _has_changes(picture: Picture) -> bool:
    return any(box.status is not Status.SAME for box in picture.boxes)


def _depth(box: Box) -> int:
    return len(box.region)
