"""A figure as SVG for a page: small, the same every time, in the page's own colours."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from jitq_explore.views.paint import FONT
from jitq_explore.views.plots import look
from jitq_explore.views.plots.look import Plot, plain_style
from jitq_explore.views.printable import printable

PAGE_COLOURS = {
    look.INK: "--jitq-ink",
    look.QUIET: "--jitq-quiet",
    look.FAINT: "--jitq-faint-line",
    look.PAPER: "--jitq-paper",
    look.DATA: "--jitq-plot-data",
    look.LIMIT: "--jitq-plot-limit",
    look.OTHER: "--jitq-plot-other",
}
"""Colour of a figure -> the page's variable for it; without one the figure's own stays."""

MARK = "at:"
"""What the gid of an artist that can be chosen begins with."""

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DIGITS = re.compile(r"-?\d+\.\d+")
_LINE_OR_MORE = re.compile(r"([ML]) (\S+) (\S+)|([a-zA-Z][^a-zA-Z]*)")
_REFERENCE = re.compile(r"#([\w.:-]+)")
_KEPT = frozenset(
    {
        "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity",
        "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "opacity",
        "font-size", "font-weight", "font-style", "text-anchor",
    }
)  # fmt: skip
_INITIAL = {("stroke-dashoffset", "0"), ("stroke-linejoin", "miter"), ("opacity", "1")}


def svg_of(figure: Figure) -> str:
    """The figure as an SVG element with a title and, of a `Plot`, a description.

    Text stays text. Artists with a gid "at:KEY" are groups with data-at="KEY". There are no styles
    in it but presentation attributes: pages may forbid all others.
    """
    root = ElementTree.fromstring(_drawn(figure))
    for child in list(root):
        if _local(child) == "metadata":
            root.remove(child)
    _tidy(root)
    _flatten(root)
    _name(root, figure)
    _rename_ids(root)
    width, height = (round(72 * float(size)) for size in figure.get_size_inches())
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": f"{width}",
        "height": f"{height}",
        "role": "img",
        "font-family": FONT,
    }
    return _written(root)


def _drawn(figure: Figure) -> str:
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "jitq_explore"}
    with plain_style(), mpl.rc_context(settings):
        file = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", dpi=72, transparent=True, metadata=nothing)
    return file.getvalue()


def _tidy(element: ElementTree.Element) -> None:
    """Presentation attributes instead of styles, short numbers, colours of the page."""
    for child in list(element):
        if _local(child) == "style":
            element.remove(child)
            continue
        _tidy(child)
    style = element.attrib.pop("style", "")
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, _, value = declaration.partition(":")
        pair = name.strip(), value.strip()
        if pair[0] in _KEPT and pair not in _INITIAL:
            element.set(*pair)
    for name in ("fill", "stroke"):
        variable = PAGE_COLOURS.get(element.get(name, ""))
        if variable is not None:
            element.set(name, f"var({variable},{element.get(name)})")
    for name in ("d", "x", "y", "width", "height", "transform", "font-size"):
        if name in element.attrib:
            text = " ".join(_DIGITS.sub(_short, element.attrib[name]).split())
            element.set(name, _shorter_path(text) if name == "d" else text)
    element.text = (element.text or "").strip() if _local(element) != "text" else element.text
    element.tail = ""


def _short(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")


def _shorter_path(text: str) -> str:
    """A path with H and V for its level and upright lines: histograms are made of them."""
    found, here = [], ("", "")
    for command, x, y, other in _LINE_OR_MORE.findall(text):
        if other:
            found.append(other.strip())
            here = ("", "")  # what ends a figure or bends leaves the place unknown
            continue
        if command == "L" and (x, y) == here:
            continue
        if command == "L" and y == here[1]:
            found.append(f"H{x}")
        elif command == "L" and x == here[0]:
            found.append(f"V{y}")
        else:
            found.append(f"{command}{x} {y}")
        here = (x, y)
    return "".join(found)


def _flatten(element: ElementTree.Element) -> None:
    """Groups that say nothing are left out: an id alone says nothing, unless it is a mark's."""
    found: list[ElementTree.Element] = []
    for child in element:
        _flatten(child)
        gid = child.get("id", "")
        if _local(child) == "g" and gid.startswith(MARK):
            del child.attrib["id"]
            child.set("data-at", gid.removeprefix(MARK))
        elif _local(child) == "g" and child.attrib.keys() <= {"id"}:
            found.extend(child)
            continue
        found.append(child)
    element[:] = found


def _name(root: ElementTree.Element, figure: Figure) -> None:
    title = _titled("title", figure.title if isinstance(figure, Plot) else "Figure")
    names = [title]
    if isinstance(figure, Plot):
        names.append(_titled("desc", figure.said))
        for mark in root.iter():
            key = mark.get("data-at")
            if key is not None:
                mark.insert(0, _titled("title", figure.marks.get(key, "")))
    root[:0] = names


def _titled(tag: str, text: str) -> ElementTree.Element:
    element = ElementTree.Element(f"{{{_SVG}}}{tag}")
    element.text = printable(text)
    return element


def _rename_ids(root: ElementTree.Element) -> None:
    """Ids of what is referred to become the drawing's own: pages hold several."""
    used = {
        name
        for element in root.iter()
        for value in element.attrib.values()
        for name in _references(value)
    }
    prefix = "p" + hashlib.sha256(_written(root).encode()).hexdigest()[:8]
    names = {name: f"{prefix}-{number}" for number, name in enumerate(sorted(used))}
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in names:
                    element.set(key, names[value])
                else:
                    del element.attrib[key]
            elif any(True for _ in _references(value)):
                element.set(key, _REFERENCE.sub(lambda found: f"#{names[found[1]]}", value))


def _references(value: str) -> Iterator[str]:
    if value.startswith(("#", "url(#")):
        yield from _REFERENCE.findall(value)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _written(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ElementTree.tostring(root, encoding="unicode")
