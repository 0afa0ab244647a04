"""Where lines run: along what is there at some stage, through the room of what is not at this one.

At one stage data goes conv → kernel, at another conv → observer → kernel. A line of its own for
each would fill the union with lines past one another; so the first runs where the observer is to
stand, and nothing moves when it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

Ends: TypeAlias = tuple[str, str]

Route: TypeAlias = tuple[str, ...]
"""The boxes that a line touches, from its tail to its head; it joins each to the next."""


def route(
    scenes: Sequence[Collection[Ends]],
    present: Sequence[Collection[str]],
    position: Mapping[str, int],
) -> tuple[tuple[Ends, ...], tuple[Mapping[Ends, Route], ...]]:
    """The lines that the union needs, and for each edge of each scene the boxes that it touches.

    `scenes` has the edges of each scene, `present` the boxes that are there at it; `position` is
    the place of each box in the order of the data.
    """
    lines: dict[str, list[str]] = {}
    routes: list[dict[Ends, Route]] = [{} for _ in scenes]
    # Shorter ones first, for longer ones may run along them.
    every = dict.fromkeys(ends for scene in scenes for ends in sorted(scene))
    for ends in sorted(every, key=lambda ends: abs(position[ends[1]] - position[ends[0]])):
        users = [number for number, scene in enumerate(scenes) if ends in scene]
        found = [_through(ends, lines, present[number]) for number in users]
        if None in found:
            lines.setdefault(ends[0], []).append(ends[1])
            found = [ends] * len(users)
        for number, way in zip(users, found, strict=True):
            routes[number][ends] = way or ends
    return tuple((tail, head) for tail, heads in lines.items() for head in heads), tuple(routes)


def _through(
    ends: Ends, lines: Mapping[str, Sequence[str]], present: Collection[str]
) -> Route | None:
    """The shortest way along the lines that touches only boxes that are not there."""
    start, goal = ends
    came_from = {start: ""}
    ahead = deque([start])
    while ahead:
        box = ahead.popleft()
        for head in lines.get(box, ()):
            if head == goal:
                way = [goal, box]
                while came_from[way[-1]]:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
            if head not in came_from and head not in present:
                came_from[head] = box
                ahead.append(head)
    return None
