"""Rectangles and lines in a drawing, in points; y runs down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
Size: TypeAlias = tuple[float, float]
Step: TypeAlias = tuple[Point, Point]
"""A straight piece of a line."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle: its left upper corner and its size, in points; y runs down."""

    x: float
    y: float
    width: float
    height: float


_PIECES = tuple(
    ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    for t in (n / 12 for n in range(1, 13))
)


def trace(curve: Sequence[Point]) -> Iterator[Point]:
    """Points along a Bézier curve (a start, then three points a piece), close to one another."""
    yield curve[0]
    for start in range(0, len(curve) - 1, 3):
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve[start : start + 4]
        for a, b, c, d in _PIECES:
            yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3


def holds(outer: Rect, inner: Rect) -> bool:
    """Whether the inner one lies within the outer one."""
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def meet(one: Rect, other: Rect) -> bool:
    """Whether the two have more than a border in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def corners(rect: Rect) -> tuple[Point, ...]:
    """The border as a line, back to its start."""
    left, right = rect.x, rect.x + rect.width
    top, bottom = rect.y, rect.y + rect.height
    return (left, top), (right, top), (right, bottom), (left, bottom), (left, top)


def grown(rect: Rect) -> Rect:
    """With some room around it: lines are thick, and have heads."""
    return Rect(rect.x - 1.5, rect.y - 1.5, rect.width + 3, rect.height + 3)


def steps_within(rect: Rect, line: Sequence[Point]) -> list[Step]:
    """The pieces of the line that may run through the rectangle."""
    return [step for step in pairwise(line) if not _is_beside(rect, *step)]


def _is_beside(rect: Rect, start: Point, end: Point) -> bool:
    (x1, y1), (x2, y2) = start, end
    right, bottom = rect.x + rect.width, rect.y + rect.height
    return (
        (x1 < rect.x and x2 < rect.x)
        or (x1 > right and x2 > right)
        or (y1 < rect.y and y2 < rect.y)
        or (y1 > bottom and y2 > bottom)
    )


def is_cut_by_any(rect: Rect, steps: Sequence[Step]) -> bool:
    """Whether one of the pieces runs through the rectangle."""
    return any(not _is_beside(rect, *step) and is_cut(rect, *step) for step in steps)


def is_cut(rect: Rect, start: Point, end: Point) -> bool:
    """Liang and Barsky's clipping of a straight piece."""
    first, last = 0.0, 1.0
    for low, size, one, other in (
        (rect.x, rect.width, start[0], end[0]),
        (rect.y, rect.height, start[1], end[1]),
    ):
        way = other - one
        if way == 0:
            if not low < one < low + size:
                return False
            continue
        enter, leave = sorted(((low - one) / way, (low + size - one) / way))
        first, last = max(first, enter), min(last, leave)
    return first < last
