"""Pictures in Graphviz's language."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
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
    region_label,
    region_path,
)
from jitq_explore.views.clusters import clusters_of
from jitq_explore.views.fitting import MAX_NODES, fit
from jitq_explore.views.flow import Flow
from jitq_explore.views.focus import near_module, show_only
from jitq_explore.views.paint import FONT, INK, PAINT
from jitq_explore.views.sketch import sketch_diff, sketch_graph

_STYLES: Mapping[Status, str] = {
    Status.ADDED: "filled,bold",
    Status.REMOVED: "filled,dashed",
    Status.CHANGED: "filled",
    Status.SAME: "filled",
}

_EDGE_COLORS: Mapping[Status, str] = {
    Status.ADDED: "#1F8FD0",
    Status.REMOVED: "#D55E00",
    Status.CHANGED: INK,
    Status.SAME: "#8A8A8A",
}

# Quantizing narrows, dequantizing widens; an observer stores what it sees.
_SHAPES: Mapping[Role, Mapping[str, str]] = {
    Role.OPERATION: {"shape": "box"},
    Role.OBSERVER: {"shape": "cylinder"},
    Role.QUANTIZE: {"shape": "polygon", "sides": "4", "distortion": "0.18"},
    Role.DEQUANTIZE: {"shape": "polygon", "sides": "4", "distortion": "-0.18"},
    Role.CHOICE: {"shape": "hexagon"},
    Role.INPUT: {"shape": "ellipse"},
    Role.OUTPUT: {"shape": "ellipse"},
    Role.GROUP: {"shape": "folder"},
}

_SLANTED = (Role.QUANTIZE, Role.DEQUANTIZE, Role.CHOICE)
"""Shapes that dot makes twice as large as their text needs."""

_TITLE_SIZE, _LINE_SIZE = 12, 9


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
        node_attr={"fontname": FONT, "fontsize": "12", "margin": "0.12,0.06", "height": "0.3"},
        edge_attr={"arrowsize": "0.6", "penwidth": "1.2"},
    )
    _fill(dot, clusters_of(picture))
    for edge in picture.edges:
        _add_edge(dot, edge)
    for tail, head in Flow(picture).waits():
        dot.edge(tail, head, style="invis")
    return Drawing(dot, len(picture.boxes), "; ".join(picture.notes))


def _graph_attributes(picture: Picture) -> dict[str, str]:
    return {
        "label": _heading(picture),
        "labelloc": "t",
        "labeljust": "l",
        "fontname": FONT,
        "fontsize": "13",
        "fontcolor": INK,
        "bgcolor": "transparent",
        "rankdir": "TB",
        "nodesep": "0.22",
        "ranksep": "0.32",
        # Without these limits shared values make dot search for minutes.
        "nslimit": "1",
        "nslimit1": "1",
        "mclimit": ".1",
        "splines": "true",
    }


def _fill(dot: graphviz.Digraph, cluster: Cluster) -> None:
    """Write the boxes of a frame and the frames within it."""
    for box in cluster.boxes:
        _add_box(dot, box, cluster.region)
    for inner in cluster.inner:
        name = f"cluster_{inner.id}"
        with dot.subgraph(name=name, graph_attr=_frame_attributes(inner)) as frame:
            _fill(frame, inner)


def _frame_attributes(cluster: Cluster) -> dict[str, str]:
    is_block = cluster.region[-1].is_block
    return {
        "label": _plain(region_label(cluster.region)),
        "id": cluster.id,
        "class": "block" if is_block else "module",
        "tooltip": _tip(region_path(cluster.region)),
        "style": "filled,dashed" if is_block else "filled,rounded",
        "fillcolor": "#8080800C",
        "color": "#80808080",
        "fontsize": "11",
        "labeljust": "l",
        "margin": "8",
    }


def _add_box(dot: graphviz.Digraph, box: Box, frame: Region) -> None:
    paint, style = PAINT[box.status], _STYLES[box.status]
    title = f"{SIGNS[box.status]} {box.title}".strip().split("\n")
    lines = _small_lines(box, frame)
    dot.node(
        box.id,
        label=_box_label(title, lines),
        id=box.id,
        **{"class": f"{box.status} {box.role}"},
        tooltip=_tip(box.tooltip),
        **_SHAPES[box.role],
        **(_size(title, lines) if box.role in _SLANTED else {}),
        style=f"{style},rounded" if box.role is Role.OPERATION else style,
        fillcolor=paint.fill,
        color=paint.border,
        fontcolor=paint.text,
    )


def _small_lines(box: Box, frame: Region) -> tuple[str, ...]:
    """The box's lines, and the module that it lies in where that has no frame."""
    place = ".".join(level.label for level in box.region[len(frame) :])
    is_said = not place or any(f"{place}." in line for line in box.lines)
    return box.lines if is_said else (*box.lines, f"in {place}")


def _box_label(title: Sequence[str], lines: Sequence[str]) -> str:
    rows = [f"<B>{'<BR/>'.join(map(_text, title))}</B>"]
    rows.extend(f'<FONT POINT-SIZE="{_LINE_SIZE}">{_text(line)}</FONT>' for line in lines)
    return f"<{'<BR/>'.join(rows)}>"


def _size(title: Sequence[str], lines: Sequence[str]) -> dict[str, str]:
    """Room for the text in a shape with slanted sides, in inches."""
    widths = (
        *(len(line) * _TITLE_SIZE * 0.6 for line in title),
        *(len(line) * _LINE_SIZE * 0.54 for line in lines),
    )
    height = 1.25 * (len(title) * _TITLE_SIZE + len(lines) * _LINE_SIZE) + 8
    return {
        "width": f"{(max(widths) + 8) * 1.22 / 72:.2f}",
        "height": f"{height / 72:.2f}",
        "fixedsize": "true",
    }


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
    table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="5">'
    return f"<{table}{''.join(rows)}</TABLE>>"


def _chips(tally: Tally) -> list[str]:
    if tally.status is Status.SAME:
        return [f'<TD ALIGN="LEFT" COLSPAN="5">nothing changed ({tally})</TD>']
    counts = (
        (Status.ADDED, tally.added),
        (Status.REMOVED, tally.removed),
        (Status.CHANGED, tally.changed),
        (Status.SAME, tally.same),
    )
    return [*(_chip(status, count) for status, count in counts), "<TD></TD>"]


def _chip(status: Status, count: int) -> str:
    """A count on its colour, which so is explained; without colour where there is nothing of it."""
    paint = PAINT[status if count else Status.SAME]
    words = f"{SIGNS[status]} {count} {'the same' if status is Status.SAME else status}".strip()
    return f'<TD BGCOLOR="{paint.fill}"><FONT COLOR="{paint.text}">{words}</FONT></TD>'


def _text(text: str) -> str:
    r"""Text for an HTML-like label, where Graphviz would read a plain `\N` as the node's name."""
    return html.escape(text).replace("\\", "\\\\")


def _plain(text: str) -> str:
    r"""Text for a label that is not HTML-like."""
    return str(graphviz.escape(text.replace("&", "&amp;")))


def _tip(text: str) -> str:
    r"""Text for a tooltip, where Graphviz reads `\N` as the node's name even with two backslashes.

    An invisible character (word joiner) behind the backslash keeps the two apart.
    """
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\\u2060")
    return str(graphviz.nohtml(escaped or " "))
