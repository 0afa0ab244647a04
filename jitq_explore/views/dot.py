"""Pictures in Graphviz's language."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import graphviz

from jitq_explore.snapshots.diff import GraphDiff
from jitq_explore.snapshots.graph import Graph
from jitq_explore.views.boxes import (
    SIGNS,
    Box,
    Cluster,
    Edge,
    Picture,
    Region,
    Role,
    Status,
    Tally,
    clusters_of,
)
from jitq_explore.views.fitting import MAX_NODES, fit
from jitq_explore.views.focus import near_module, show_only
from jitq_explore.views.sketch import sketch_diff, sketch_graph

_INK = "#767676"  # as far from white as from JupyterLab's dark background
_FONT = "Helvetica,Arial,sans-serif"
_SHORT_SPLINES = 60
"""Boxes up to which curved edges are laid out fast enough."""


@dataclass(frozen=True, slots=True)
class _Paint:
    fill: str
    border: str
    text: str
    style: str


# Okabe and Ito's colours, which stay apart for colour-blind readers: blue, vermillion, yellow.
_PAINT: Mapping[Status, _Paint] = {
    Status.ADDED: _Paint("#0072B2", "#56B4E9", "#FFFFFF", "filled,bold"),
    Status.REMOVED: _Paint("#B84A00", "#E69F00", "#FFFFFF", "filled,dashed"),
    Status.CHANGED: _Paint("#F0E442", "#8A8000", "#000000", "filled"),
    Status.SAME: _Paint("#80808020", "#808080", _INK, "filled"),
}

_EDGE_COLORS: Mapping[Status, str] = {
    Status.ADDED: "#1F8FD0",
    Status.REMOVED: "#D55E00",
    Status.CHANGED: _INK,
    Status.SAME: "#8A8A8A",
}

_SHAPES: Mapping[Role, str] = {
    Role.OPERATION: "box",
    Role.OBSERVER: "ellipse",
    Role.QUANTIZE: "invtrapezium",
    Role.DEQUANTIZE: "trapezium",
    Role.CHOICE: "diamond",
    Role.INPUT: "cds",
    Role.OUTPUT: "cds",
    Role.GROUP: "folder",
}


@dataclass(frozen=True)
class Drawing:
    """A graph in DOT, with the number of boxes in it and what it leaves out ("" for nothing)."""

    dot: graphviz.Digraph
    nodes_drawn: int
    note: str


def diff_dot(
    diff: GraphDiff,
    *,
    hops: int | None = None,
    max_nodes: int = MAX_NODES,
    only: str | None = None,
) -> Drawing:
    """Both graphs of a diff as one, each node in the colour and with the sign of its status.

    Where that would take more than `max_nodes` boxes less is drawn (see `fit`), and `note` says
    what is missing. `hops` asks for what changed and at most so many edges around it, `only` for
    one module, named by its path, and what is next to it. ValueError for a path that is none.
    """
    picture = sketch_diff(diff)
    if only is not None:
        picture = show_only(picture, near_module(picture, only))
    return draw(fit(picture, max_nodes, hops))


def graph_dot(graph: Graph, title: str = "", *, max_nodes: int = MAX_NODES) -> Drawing:
    """One graph alone, folded like a diff where it is too large."""
    return draw(fit(sketch_graph(graph, title), max_nodes))


def draw(picture: Picture) -> Drawing:
    """The picture in DOT."""
    dot = graphviz.Digraph(
        "graph",
        graph_attr=_graph_attributes(picture),
        node_attr={"fontname": _FONT, "fontsize": "12", "margin": "0.12,0.06", "height": "0.3"},
        edge_attr={"arrowsize": "0.6", "penwidth": "1.2"},
    )
    frames, frame_of = clusters_of(picture.boxes)
    inside: dict[Region, list[Box]] = {}
    for box in picture.boxes:
        inside.setdefault(frame_of[box.id], []).append(box)
    _fill(dot, (), frames, inside)
    for edge in picture.edges:
        _add_edge(dot, edge)
    return Drawing(dot, len(picture.boxes), "; ".join(picture.notes))


def _graph_attributes(picture: Picture) -> dict[str, str]:
    return {
        "label": _heading(picture),
        "labelloc": "t",
        "labeljust": "l",
        "fontname": _FONT,
        "fontsize": "13",
        "fontcolor": _INK,
        "bgcolor": "transparent",
        "rankdir": "TB",
        "nodesep": "0.22",
        "ranksep": "0.32",
        # Without these limits shared values make dot search for minutes.
        "nslimit": "1",
        "nslimit1": "1",
        "mclimit": ".1",
        "splines": "true" if len(picture.boxes) <= _SHORT_SPLINES else "line",
    }


def _fill(
    dot: graphviz.Digraph,
    region: Region,
    frames: Mapping[Region, Cluster],
    inside: Mapping[Region, list[Box]],
) -> None:
    """Write the boxes of a frame and the frames within it."""
    own_id = frames[region].id if region else ""
    for box in inside.get(region, ()):
        _add_box(dot, box, region)
    for inner, frame in frames.items():
        if frame.parent == own_id:
            with dot.subgraph(name=f"cluster_{frame.id}", graph_attr=_frame_attributes(frame)) as sub:
                _fill(sub, inner, frames, inside)


def _frame_attributes(frame: Cluster) -> dict[str, str]:
    return {
        "label": _text(frame.label),
        "id": frame.id,
        "class": "block" if frame.is_block else "module",
        "tooltip": _tip(frame.tooltip),
        "style": "filled,dashed" if frame.is_block else "filled,rounded",
        "fillcolor": "#8080800C",
        "color": "#80808080",
        "fontsize": "11",
        "labeljust": "l",
        "margin": "8",
    }


def _add_box(dot: graphviz.Digraph, box: Box, frame: Region) -> None:
    paint = _PAINT[box.status]
    dot.node(
        box.id,
        label=_box_label(box, frame),
        id=box.id,
        **{"class": f"{box.status} {box.role}"},
        tooltip=_tip(box.tooltip),
        shape=_SHAPES[box.role],
        style=f"{paint.style},rounded" if box.role is Role.OPERATION else paint.style,
        fillcolor=paint.fill,
        color=paint.border,
        fontcolor=paint.text,
    )


def _box_label(box: Box, frame: Region) -> str:
    sign = SIGNS[box.status]
    title = "<BR/>".join(_text(line) for line in box.title.split("\n"))
    place = ".".join(level.label for level in box.region[len(frame) :])
    lines = [f"<B>{sign + ' ' if sign else ''}{title}</B>"]
    small = (*box.lines, *([f"in {place}"] if place else []))
    lines.extend(f'<FONT POINT-SIZE="9">{_text(line)}</FONT>' for line in small)
    return f"<{'<BR/>'.join(lines)}>"


def _add_edge(dot: graphviz.Digraph, edge: Edge) -> None:
    style = "dashed" if edge.status is Status.REMOVED else "solid"
    if edge.skipped:
        style = "dotted"
    dot.edge(
        edge.tail,
        edge.head,
        **{"class": str(edge.status)},
        color=_EDGE_COLORS[edge.status],
        style=style,
        edgetooltip=_tip(edge.tooltip),
        constraint="false" if edge.is_back else None,
        penwidth="2" if edge.status in (Status.ADDED, Status.REMOVED) else None,
    )


def _heading(picture: Picture) -> str:
    """Title, counts in the colours that they explain, and what is left out."""
    rows = [f'<TR><TD ALIGN="LEFT" COLSPAN="5"><B>{_text(picture.title)}</B></TD></TR>']
    if picture.tally is not None:
        rows.append(f"<TR>{''.join(_chips(picture.tally))}</TR>")
    rows.extend(
        f'<TR><TD ALIGN="LEFT" COLSPAN="5"><FONT POINT-SIZE="10">{_text(note)}</FONT></TD></TR>'
        for note in picture.notes
    )
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="3">{"".join(rows)}</TABLE>>'


def _chips(tally: Tally) -> list[str]:
    if tally.status is Status.SAME:
        return [f'<TD ALIGN="LEFT" COLSPAN="5">nothing changed ({tally})</TD>']
    counts = (
        (Status.ADDED, tally.added),
        (Status.REMOVED, tally.removed),
        (Status.CHANGED, tally.changed),
        (Status.SAME, tally.same),
    )
    return [
        f'<TD BGCOLOR="{_PAINT[status].fill}"><FONT COLOR="{_PAINT[status].text}">'
        f"{SIGNS[status]} {count} {'the same' if status is Status.SAME else status}</FONT></TD>"
        for status, count in counts
    ] + ["<TD></TD>"]


def _text(text: str) -> str:
    r"""Text for an HTML-like label, where Graphviz would read a plain `\N` as the node's name."""
    return html.escape(text).replace("\\", "\\\\")


def _tip(text: str) -> str:
    r"""Text for a tooltip, where Graphviz reads `\N` as the node's name even with two backslashes.

    An invisible character (word joiner) behind the backslash keeps the two apart.
    """
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\\u2060")
    return str(graphviz.nohtml(escaped or " "))
