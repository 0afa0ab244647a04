"""Where everything stands in a film: boxes, lines and frames, laid out once by Graphviz."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree import ElementTree

import graphviz

from jitq_explore.views.boxes import Box, Cluster, Edge, Picture, Region, Role, Status
from jitq_explore.views.clusters import clusters_of
from jitq_explore.views.flow import Flow
from jitq_explore.views.folds import Stand
from jitq_explore.views.render import render_svg
from jitq_explore.views.routes import Ends

Point: TypeAlias = tuple[float, float]
Size: TypeAlias = tuple[float, float]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle: its left upper corner and its size, in points; y runs down."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame around boxes: a module, or a block of an If or a Loop."""

    id: str
    region: Region
    rect: Rect


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


def plan(
    stands: Sequence[Stand],
    sizes: Mapping[str, Size],
    lines: Sequence[Ends],
    back: frozenset[Ends],
    captions: Mapping[Region, float],
    timeout: float,
) -> Plan:
    """The layout of boxes of these sizes, in points, and of these lines between them.

    `back` are lines against the order of the data, `captions` the widths of the frames' captions.
    RenderTimeout after `timeout` seconds, RenderError where there is no Graphviz.
    """
    picture = _picture(stands, lines, back)
    outer = clusters_of(picture)
    frames: dict[str, Cluster] = {}
    dot = graphviz.Digraph("film", graph_attr=_GRAPH, node_attr=_BOX, edge_attr={"dir": "none"})
    number = {stand.id: str(n) for n, stand in enumerate(stands)}
    _fill(dot, outer, sizes, captions, number, frames)
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
# Room for a caption of that width.
_CAPTION = (
    '<<TABLE BORDER="0" CELLPADDING="0" CELLSPACING="0">'
    '<TR><TD FIXEDSIZE="TRUE" WIDTH="{:.0f}" HEIGHT="14"></TD></TR></TABLE>>'
)
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
    captions: Mapping[Region, float],
    number: Mapping[str, str],
    frames: dict[str, Cluster],
) -> None:
    for box in cluster.boxes:
        width, height = (f"{length / 72:.3f}" for length in sizes[box.id])
        dot.node(number[box.id], id=f"box-{number[box.id]}", width=width, height=height)
    for inner in cluster.inner:
        name = f"frame-{len(frames)}"
        frames[name] = inner
        caption = _CAPTION.format(captions.get(inner.region, 0.0))
        with dot.subgraph(
            name=f"cluster_{name}",
            graph_attr={"id": name, "label": caption, "labeljust": "l", "margin": "8"},
        ) as frame:
            _fill(frame, inner, sizes, captions, number, frames)


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
    found_frames: list[Frame] = []
    for group in inner.iter(f"{_SVG}g"):
        kind, _, name = group.get("id", "").partition("-")
        if kind == "box":
            boxes[stands[int(name)].id] = _rect(points(group, "polygon", "points"))
        elif kind == "line":
            paths[lines[int(name)]] = points(group, "path", "d")
        elif kind == "frame":
            cluster = frames[f"frame-{name}"]
            rect = _rect(points(group, "polygon", "points"))
            found_frames.append(Frame(cluster.id, cluster.region, rect))
    found_frames.sort(key=lambda frame: len(frame.region))
    return Plan(width - top, height, boxes, paths, tuple(found_frames))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _rect(corners: Sequence[Point]) -> Rect:
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Rect(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
