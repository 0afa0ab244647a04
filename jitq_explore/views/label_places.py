"""Where labels and captions stand: where nothing else is.

A label stands beside its line, near its start. Graphviz could place it too, but only at the cost of
room for each of them at every stage. A caption has its room from Graphviz, beside the first boxes
of its frame, and is moved on to the frame's corner as far as nothing is in its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot

from jitq_explore.views.geometry import (
    Point,
    Rect,
    Step,
    corners,
    grown,
    holds,
    is_cut,
    is_cut_by_any,
    meet,
    steps_within,
)
from jitq_explore.views.plan import Frame, Plan
from jitq_explore.views.routes import Ends

_BESIDE = (4.0, 10.0, 16.0)
"""Between a label and its line, in points: the nearest first."""

_FAR = 170.0
"""A label further than this from the start of its line, in points, would not be seen with it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label of that width and height, in points, for any of these lines, which start alike."""

    lines: tuple[Ends, ...]
    width: float
    height: float


def label_places(plan: Plan, wanted: Iterable[Wanted], drawn: Iterable[Ends]) -> list[Rect]:
    """The room of each label, one behind the other.

    Lines of other stages are avoided too where there is room enough, so that labels keep still as
    boxes do; those that are `drawn` lie under a label only where that cannot be helped.
    """
    seen = set(drawn)
    taken = [*plan.boxes.values(), *(frame.caption for frame in plan.frames)]
    found = []
    for label in wanted:
        found.append(_place(plan, label, seen, taken))
        taken.append(found[-1])
    return found


def with_captions_moved(plan: Plan) -> Plan:
    """The same with each caption in the left upper corner of its frame, or on the way there."""
    frames = list(plan.frames)
    for number, frame in enumerate(frames):
        way = _way_to_corner(frame)
        near = [f for f in frames if f is not frame and meet(f.rect, way)]
        inner = [f.rect for f in near if holds(frame.rect, f.rect)]
        solid = [*plan.boxes.values(), *inner, *(f.caption for f in near)]
        steps = [step for _, line in _lines_near(plan, way) for step in steps_within(way, line)]
        moved = _moved(frame, [rect for rect in solid if meet(rect, way)], steps)
        frames[number] = replace(frame, caption=moved)
    return replace(plan, frames=tuple(frames))


def _way_to_corner(frame: Frame) -> Rect:
    """All that the caption may cover on its way."""
    rect, caption = frame.rect, frame.caption
    right, bottom = caption.x + caption.width, caption.y + caption.height
    return grown(Rect(rect.x, rect.y, right - rect.x, bottom - rect.y))


def _lines_near(plan: Plan, rect: Rect) -> Iterator[tuple[Ends, Sequence[Point]]]:
    """The lines that may run through the rectangle."""
    for ends, line in plan.traces.items():
        if meet(plan.outlines[ends], rect):
            yield ends, line


def _moved(frame: Frame, solid: Sequence[Rect], steps: Sequence[Step]) -> Rect:
    caption, margin = frame.caption, 8.0

    def is_free(rect: Rect) -> bool:
        room = grown(rect)
        return not any(meet(room, other) for other in solid) and not is_cut_by_any(room, steps)

    for y in _from_to(frame.rect.y + margin, caption.y):
        for x in _from_to(frame.rect.x + margin, caption.x):
            moved = replace(caption, x=x, y=y)
            if is_free(moved):
                return moved
    return caption


def _from_to(low: float, high: float) -> Iterator[float]:
    yield from (low + 4 * step for step in range(int(max(high - low, 0.0) / 4) + 1))
    yield high


def _place(plan: Plan, label: Wanted, seen: set[Ends], taken: Sequence[Rect]) -> Rect:
    candidates = _candidates(plan, label)
    around = grown(_around(candidates))
    solid = [rect for rect in taken if meet(rect, around)]
    near = {ends: steps_within(around, line) for ends, line in _lines_near(plan, around)}
    near = {ends: steps for ends, steps in near.items() if steps}
    borders = [step for frame in plan.frames for step in steps_within(around, corners(frame.rect))]

    def cost(rect: Rect) -> tuple[int, int, int, int]:
        room = grown(rect)
        over = sum(meet(room, other) for other in solid)
        if over > least[0]:
            return over, 0, 0, 0
        crossed = {ends for ends, steps in near.items() if is_cut_by_any(room, steps)}
        on_border = sum(is_cut(room, *step) for step in borders)
        return over, len(crossed & seen), len(crossed), on_border

    best, least = candidates[0], (len(taken) + 1, 0, 0, 0)
    for rect in candidates:
        price = cost(rect)
        if price < least:
            best, least = rect, price
        if not any(price):
            break
    return best


def _candidates(plan: Plan, label: Wanted) -> list[Rect]:
    """Places beside the lines, those at the start first."""
    found: list[tuple[float, Rect]] = []
    for ends in label.lines:
        way = 0.0
        for (x1, y1), (x2, y2) in pairwise(plan.traces[ends]):
            if way <= _FAR:
                for gap in _BESIDE:
                    for left in (x1 + gap, x1 - gap - label.width):
                        rect = Rect(left, y1 - label.height / 2, label.width, label.height)
                        found.append((way + 3 * gap, rect))
            way += hypot(x2 - x1, y2 - y1)
    found.sort(key=lambda place: place[0])
    return [rect for _, rect in found]


def _around(rects: Sequence[Rect]) -> Rect:
    left, top = min(r.x for r in rects), min(r.y for r in rects)
    right, bottom = max(r.x + r.width for r in rects), max(r.y + r.height for r in rects)
    return Rect(left, top, right - left, bottom - top)
