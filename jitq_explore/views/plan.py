"""Where everything stands in a film: boxes, lines and frames, laid out once by Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree

import graphviz

from jitq_explore.views.boxes import Box, Cluster, Edge, Picture, Region, Role, Status
from jitq_explore.views.clusters import clusters_of
from jitq_explore.views.flow import Flow
from jitq_explore.views.folds import Stand
from jitq_explore.views.geometry import Point, Rect, Size, grown, trace
from jitq_explore.views.render import render_svg
from jitq_explore.views.routes import Ends

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame around boxes: a module, or a block of an If or a Loop; with the caption's room."""

    id: str
    region: Region
    rect: Rect
    caption: Rect


@dataclass(frozen=True)
class Plan:
    """The result of a layout, in points.

    `lines` has for each line the points of a Bézier curve (a start, then three points a piece).
    `frames` has the outer ones first.
    """

    width: float
    height: float
    boxes: Mapping[str, Rect]
    lines: Mapping[Ends, tuple[Point, ...]]
    frames: tuple[Frame, ...]

    @cached_property
    def traces(self) -> Mapping[Ends, tuple[Point, ...]]:
        """The lines as points so close that they can be joined by straight lines."""
        return {ends: tuple(trace(curve)) for ends, curve in self.lines.items()}

    @cached_property
    def outlines(self) -> Mapping[Ends, Rect]:
        """A rectangle around each line, with some room: a straight one would meet nothing."""
        return {ends: grown(_rect(points)) for ends, points in self.traces.items()}


def plan(
    stands: Sequence[Stand],
    sizes: Mapping[str, Size],
    lines: Sequence[Ends],
    back: frozenset[Ends],
    captions: Mapping[Region, Size],
    timeout: float,
) -> Plan:
    """The layout of boxes of these sizes, in points, and of these lines between them.

    `back` are lines against the order of the data, `captions` the sizes of the frames' captions.
    A caption has a room of its own, like a box, left of the first boxes in its frame: in a strip
    above these the lines that come in from above would run through it.
    RenderTimeout after `timeout` seconds, RenderError where there is no Graphviz.
    """
    picture = _picture(stands, lines, back)
    outer = clusters_of(picture)
    frames: dict[str, Cluster] = {}
    dot = graphviz.Digraph("film", graph_attr=_GRAPH, node_attr=_BOX, edge_attr={"dir": "none"})
    number = {stand.id: str(n) for n, stand in enumerate(stands)}
    onwards = [ends for ends in lines if ends not in back]
    rooms = dict(_caption_rooms(outer, captions, sizes, onwards))
    _fill(dot, outer, sizes, rooms, number, frames)
    is_side = _sides(stands, lines)
    for n, ends in enumerate(lines):
        tail, head = (number[end] for end in ends)
        weight = "0" if ends[0] in is_side else "12"
        constraint = "false" if ends in back else None
        dot.edge(tail, head, id=f"line-{n}", weight=weight, constraint=constraint)
    for tail, head in Flow(picture).waits():
        dot.edge(number[tail], number[head], style="invis")
    svg = render_svg(dot.source, timeout)
    return _read(svg, stands, lines, frames)


_GRAPH = {
    "rankdir": "TB",
    "nodesep": "0.2",
    "ranksep": "0.3",
    "nslimit": "1",
    "nslimit1": "1",
    "mclimit": ".5",
    "splines": "true",
    "fontname": "Helvetica,Arial,sans-serif",
}
_BOX = {"shape": "box", "fixedsize": "true", "label": ""}


def _picture(stands: Sequence[Stand], lines: Sequence[Ends], back: frozenset[Ends]) -> Picture:
    return Picture(
        tuple(
            Box(s.id, s.places[0].role, Status.SAME, "", region=s.region) for s in stands
        ),
        tuple(Edge(*ends, Status.SAME, is_back=ends in back) for ends in lines),
    )  # fmt: skip


def _sides(stands: Sequence[Stand], lines: Sequence[Ends]) -> set[str]:
    """Boxes that nothing feeds, graph inputs aside: weights, which give way to the data."""
    fed = {head for _, head in lines}
    return {s.id for s in stands if s.id not in fed and s.places[0].role is not Role.INPUT}


def _fill(
    dot: graphviz.Digraph,
    cluster: Cluster,
    sizes: Mapping[str, Size],
    rooms: Mapping[str, tuple[Size, str | None]],
    number: Mapping[str, str],
    frames: dict[str, Cluster],
) -> None:
    for box in cluster.boxes:
        dot.node(number[box.id], id=f"box-{number[box.id]}", **_inches(sizes[box.id]))
    for inner in cluster.inner:
        name = f"frame-{len(frames)}"
        frames[name] = inner
        attributes = {"id": name, "margin": "8"}
        with dot.subgraph(name=f"cluster_{name}", graph_attr=attributes) as frame:
            room, first = rooms[inner.id]
            caption = f"caption-{name}"
            frame.node(caption, id=caption, **_inches(room))
            _fill(frame, inner, sizes, rooms, number, frames)
        if first is not None:
            dot.edge(caption, number[first], style="invis", minlen="0")


def _caption_rooms(
    outer: Cluster,
    captions: Mapping[Region, Size],
    sizes: Mapping[str, Size],
    lines: Sequence[Ends],
) -> Iterator[tuple[str, tuple[Size, str | None]]]:
    """Id of each frame -> the room for its caption, and the box that this stands beside.

    It is the first one in the frame; the room is as high as that is, so that it begins as it does.
    """
    for cluster in outer.inner:
        first = _first_box(cluster, lines)
        width, height = captions.get(cluster.region, (1.0, 1.0))
        height = max(height, sizes[first][1] if first else 0.0)
        yield cluster.id, ((width, height), first)
        yield from _caption_rooms(cluster, captions, sizes, lines)


def _inches(size: Size) -> dict[str, str]:
    width, height = (f"{length / 72:.3f}" for length in size)
    return {"width": width, "height": height}


def _first_box(cluster: Cluster, lines: Sequence[Ends]) -> str | None:
    """The first one that nothing within the frame feeds.

    One is enough: tied to all of them, captions of large frames cost Graphviz half a minute.
    """
    inside = _inside(cluster)
    fed = {head for tail, head in lines if tail in inside}
    return next((box for box in inside if box not in fed), None)


def _inside(cluster: Cluster) -> dict[str, None]:
    """The ids of all boxes within a frame, its own ones first."""
    found = dict.fromkeys(box.id for box in cluster.boxes)
    for inner in cluster.inner:
        found |= _inside(inner)
    return found


def _read(
    svg: str, stands: Sequence[Stand], lines: Sequence[Ends], frames: Mapping[str, Cluster]
) -> Plan:
    """The positions out of what Graphviz drew."""
    root = ElementTree.fromstring(svg)
    top, _, width, height = _numbers(root.get("viewBox", ""))
    inner = root.find(f"{_SVG}g")
    assert inner is not None
    dx, dy = _numbers(inner.get("transform", "").partition("translate")[2])[:2]

    def points(group: ElementTree.Element, tag: str, attribute: str) -> tuple[Point, ...]:
        found = group.find(f".//{_SVG}{tag}")
        numbers = _numbers(found.get(attribute, "")) if found is not None else []
        return tuple(
            (x + dx, y + dy) for x, y in zip(numbers[::2], numbers[1::2], strict=True)
        )  # fmt: skip

    boxes: dict[str, Rect] = {}
    paths: dict[Ends, tuple[Point, ...]] = {}
    found_frames: dict[str, Rect] = {}
    captions: dict[str, Rect] = {}
    for group in inner.iter(f"{_SVG}g"):
        kind, _, name = group.get("id", "").partition("-")
        if kind == "box":
            boxes[stands[int(name)].id] = _rect(points(group, "polygon", "points"))
        elif kind == "line":
            paths[lines[int(name)]] = points(group, "path", "d")
        elif kind == "frame":
            found_frames[f"frame-{name}"] = _rect(points(group, "polygon", "points"))
        elif kind == "caption":
            captions[name] = _rect(points(group, "polygon", "points"))
    outwards = [
        Frame(frames[name].id, frames[name].region, rect, captions[name])
        for name, rect in found_frames.items()
    ]
    outwards.sort(key=lambda frame: len(frame.region))
    return Plan(width - top, height, boxes, paths, tuple(outwards))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _rect(corners: Sequence[Point]) -> Rect:
    # As exact as is drawn: sums of heights within a box then end where the box does.
    xs, ys = [round(x, 1) for x, _ in corners], [round(y, 1) for _, y in corners]
    return Rect(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
