"""What lies over what in a drawing: read from its SVG, with the widths that texts take."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from xml.etree import ElementTree

from jitq_explore.views.type_size import text_width

SVG = "{http://www.w3.org/2000/svg}"
NEAR = 0.75
"""What overlaps by less, in points, only touches."""

SIGN = 16.0
"""Before a caption the page has a sign that folds the frame, in so many points."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """A rectangle, shrunk by what counts as touching."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Area) -> bool:
        return (
            self.left < other.right - NEAR
            and other.left < self.right - NEAR
            and self.top < other.bottom - NEAR
            and other.top < self.bottom - NEAR
        )

    def holds(self, other: Area) -> bool:
        return (
            self.left <= other.left + NEAR
            and other.right <= self.right + NEAR
            and self.top <= other.top + NEAR
            and other.bottom <= self.bottom + NEAR
        )

    def is_crossed(self, line: Sequence[Point]) -> bool:
        return any(self._is_cut(*step) for step in pairwise(line))

    def _is_cut(self, start: Point, end: Point) -> bool:
        """Liang and Barsky's clipping."""
        begin, stop = 0.0, 1.0
        lows = self.left + NEAR, self.top + NEAR
        highs = self.right - NEAR, self.bottom - NEAR
        for low, high, one, other in zip(lows, highs, start, end, strict=True):
            way = other - one
            if way == 0:
                if not low < one < high:
                    return False
                continue
            enter, leave = sorted(((low - one) / way, (high - one) / way))
            begin, stop = max(begin, enter), min(stop, leave)
        return begin < stop


@dataclass(frozen=True)
class Drawn:
    """What is drawn at a stage. `captions`, with their signs, and `frames` by the frame's id."""

    boxes: dict[str, Area]
    frames: dict[str, Area]
    captions: dict[str, Area]
    lines: tuple[tuple[str, str, tuple[Point, ...]], ...]  # from, to, points; parts are apart
    labels: tuple[Area, ...]


def drawn(svg: str) -> Drawn:
    """What is in a drawing of a film."""
    root = ElementTree.fromstring(svg)
    found = Drawn({}, {}, {}, (), ())
    lines, labels = [], []
    for group in root.iter(f"{SVG}g"):
        kind = group.get("class", "").partition(" ")[0]
        name = group.get("id", "")
        if kind == "node":
            outlines = [_points(path.get("d", "")) for path in group.iter(f"{SVG}path")]
            found.boxes[name] = _around([point for points in outlines for point in points])
        elif kind == "cluster":
            rect = group.find(f"{SVG}rect")
            x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            found.frames[name] = Area(x, y, x + width, y + height)
            areas = map(_text_area, group.iter(f"{SVG}text"))
            corners = [p for a in areas for p in ((a.left - SIGN, a.top), (a.right, a.bottom))]
            found.captions[name] = _around(corners)
        elif kind == "edge":
            curve = group.find(f"{SVG}path").get("d", "")
            ends = group.get("data-from"), group.get("data-to")
            parts = curve.removeprefix("M").split("M")  # what stands in the way lies over it
            lines.extend((*ends, tuple(_curve(f"M{part}"))) for part in parts)
        elif kind == "domain":
            labels.append(_text_area(group.find(f"{SVG}text")))
    return Drawn(found.boxes, found.frames, found.captions, tuple(lines), tuple(labels))


def drawn_by_graphviz(svg: str) -> Drawn:
    """The lines, frames and captions of a drawing by Graphviz."""
    found = Drawn({}, {}, {}, (), ())
    lines = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        kind = group.get("class", "").partition(" ")[0]
        if kind == "cluster":
            (text,) = group.iter(f"{SVG}text")
            (border,) = (e for e in group if e.tag in (f"{SVG}path", f"{SVG}polygon"))
            numbers = re.findall(r"-?[\d.]+", border.get("d") or border.get("points") or "")
            points = list(zip(map(float, numbers[::2]), map(float, numbers[1::2]), strict=True))
            found.frames[group.get("id", "")] = _around(points)
            found.captions[group.get("id", "")] = _text_area(text)
        elif kind == "edge":
            curve = group.find(f"{SVG}path").get("d", "")
            lines.append((group.get("id"), "", tuple(_curve(curve))))
    return Drawn({}, found.frames, found.captions, tuple(lines), ())


def faults(what: Drawn) -> Counter[str]:
    """How many there are of each kind of overlap."""
    return Counter(kind for kind, *_ in every_fault(what))


def every_fault(what: Drawn) -> Iterator[tuple[str, ...]]:
    """Each overlap: its kind, and what it is between."""
    for (one, area), (other, room) in combinations(what.boxes.items(), 2):
        if area.meets(room):
            yield "box over box", one, other
    for tail, head, line in what.lines:
        around = _around(line)
        near = Area(around.left - 1, around.top - 1, around.right + 1, around.bottom + 1)
        for box, area in what.boxes.items():
            if box not in (tail, head) and near.meets(area) and area.is_crossed(line):
                yield "line through box", f"{tail} → {head}", box
        for frame, area in what.captions.items():
            if near.meets(area) and area.is_crossed(line):
                yield "line through caption", f"{tail} → {head}", frame
        for number, area in enumerate(what.labels):
            if near.meets(area) and area.is_crossed(line):
                yield "line through label", f"{tail} → {head}", str(number)
    for number, area in enumerate(what.labels):
        for later, other in enumerate(what.labels[number + 1 :], number + 1):
            if area.meets(other):
                yield "label over label", str(number), str(later)
        for box, room in what.boxes.items():
            if area.meets(room):
                yield "label over box", str(number), box
        for frame, room in what.captions.items():
            if area.meets(room):
                yield "label over caption", str(number), frame
    for frame, area in what.captions.items():
        if not what.frames[frame].holds(area):
            yield "caption wider than its frame", frame
        for box, room in what.boxes.items():
            if area.meets(room):
                yield "caption over box", frame, box
        for other, room in what.captions.items():
            if other > frame and area.meets(room):
                yield "caption over caption", frame, other
    for box, area in what.boxes.items():
        for frame, room in what.frames.items():
            if area.meets(room) and not room.holds(area):
                yield "box over the border of a frame", box, frame
    for (one, area), (other, room) in combinations(what.frames.items(), 2):
        if area.meets(room) and not area.holds(room) and not room.holds(area):
            yield "frame over frame", one, other


def _text_area(text: ElementTree.Element) -> Area:
    """The room of a line of text, from above its capitals to beneath its p's and q's."""
    size, x, y = (float(text.get(name)) for name in ("font-size", "x", "y"))
    width = text_width(text.text or "", size, text.get("font-weight") == "bold")
    if text.get("textLength"):
        width = float(text.get("textLength"))
    before = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")] * width
    return Area(x - before, y - 0.78 * size, x - before + width, y + 0.22 * size)


_STEP = re.compile(r"([MLCHVAZ])([^MLCHVAZ]*)")


def _steps(path: str) -> Iterator[tuple[str, list[float]]]:
    for kind, numbers in _STEP.findall(path):
        yield kind, [float(number) for number in re.findall(r"-?[\d.]+", numbers)]


def _points(path: str) -> list[Point]:
    """The corners of an outline."""
    found: list[Point] = []
    for kind, numbers in _steps(path):
        if kind == "H":
            found.append((numbers[0], found[-1][1]))
        elif kind == "V":
            found.append((found[-1][0], numbers[0]))
        elif numbers:
            found.append((numbers[-2], numbers[-1]))
    return found


def _curve(path: str) -> Iterator[Point]:
    """Points along a line, a few units apart."""
    here: Point = (0.0, 0.0)
    for kind, numbers in _steps(path):
        if kind in "ML":
            here = numbers[0], numbers[1]
            yield here
        elif kind == "C":
            for n in range(0, len(numbers), 6):
                (x1, y1, x2, y2, x3, y3), (x0, y0) = numbers[n : n + 6], here
                for k in range(1, 17):
                    t = k / 16
                    a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                    yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3
                here = x3, y3


def _around(points: Sequence[Point]) -> Area:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Area(min(xs), min(ys), max(xs), max(ys))
