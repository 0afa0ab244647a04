"""The names of frames in a drawing by Graphviz, moved out of the way of lines.

Graphviz keeps a strip free for them at the top of a frame, but lets lines run through it.
"""

from __future__ import annotations

import re
from itertools import pairwise

from jitq_explore.views.geometry import Rect, grown, is_cut_by_any, steps_within, trace
from jitq_explore.views.type_size import text_width

_CURVE = re.compile(r'<path fill="none"[^>]* d="(M[^"]*)"')
_FRAME = re.compile(
    r'class="cluster [^>]*>(?:\s*<title>[^<]*</title>)?\s*<(?:path|polygon)[^>]*? '
    r'(?:d|points)="(?P<border>[^"]*)"[^>]*/>\s*<text [^>]*?text-anchor="(?P<anchor>\w+)" '
    r'x="(?P<x>[^"]*)" y="(?P<y>[^"]*)"[^>]*font-size="(?P<size>[^"]*)"[^>]*>(?P<text>[^<]*)<'
)
_NUMBER = re.compile(r"-?[\d.]+")


def with_captions_moved(svg: str) -> str:
    """The drawing with the name of each frame along its strip where no line is, if there is room.

    A name that no line crosses stays where it is.
    """
    lines = [tuple(trace(_points(curve))) for curve in _CURVE.findall(svg)]

    def moved(found: re.Match[str]) -> str:
        size, x, y = (float(found[name]) for name in ("size", "x", "y"))
        width = 1.1 * text_width(found["text"], size)  # of a wider font, too
        left = {"middle": x - width / 2, "end": x - width}.get(found["anchor"], x)
        xs = [corner for corner, _ in _points(found["border"])]
        room = Rect(min(xs), y - size, max(xs) - min(xs), 1.3 * size)
        steps = [step for line in lines for step in steps_within(room, line)]
        for shift in _shifts(left, max(xs) - 8 - width, 4.0):
            if not is_cut_by_any(grown(Rect(left + shift, room.y, width, room.height)), steps):
                return _put(found, x + shift)
        return found[0]

    return _FRAME.sub(moved, svg)


def _shifts(left: float, rightmost: float, step: float) -> list[float]:
    """How far to the right it is tried in turn; nowhere else than where it is first."""
    return [0.0, *(step * n for n in range(1, int(max(rightmost - left, 0.0) / step) + 1))]


def _put(found: re.Match[str], x: float) -> str:
    start, end = found.start("x") - found.start(), found.end("x") - found.start()
    return f"{found[0][:start]}{x:.2f}{found[0][end:]}"


def _points(numbers: str) -> list[tuple[float, float]]:
    found = [float(number) for number in _NUMBER.findall(numbers)]
    return [(x, y) for x, y in pairwise(found)][::2]
