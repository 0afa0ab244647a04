"""DOT -> SVG, with whatever Graphviz there is, and never without end."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec

import graphviz

from jitq_explore.views.layout_process import LayoutProcess

_HOW_TO_INSTALL = (
    "install either `pip install pygraphviz` (version 2 or later brings Graphviz with it) or your "
    "system's graphviz package (`apt install graphviz`, `brew install graphviz`, …)"
)

_NODE = re.compile(r'^\s*(?!graph\b|node\b|edge\b)(?:"[^"\n]*"|[\w.%~-]+) \[', re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_TITLE = re.compile(r"<title>[^<]*</title>\n?")
_LINK = re.compile(r' xlink:href="[^"]*"')
_TIP = re.compile(
    r'<g id="a_[^"]*"><a xlink:title="(?P<tip>[^"]*)">\n(?P<inside>.*?)</a>\n</g>\n', re.DOTALL
)


class RenderError(RuntimeError):
    """A drawing could not be made."""


class RenderTimeout(RenderError):  # noqa: N818
    """A drawing took too long."""


_worker = LayoutProcess()


def warm_up() -> None:
    """Start what a first drawing would have to wait for, where anything is to be started."""
    if _native() is None and find_spec("pygraphviz") is not None:
        _worker.start()


def render_svg(dot_source: str, timeout: float = 20.0) -> str:
    """A graph in DOT as SVG text, from `<svg` on, that can stand in an HTML page as it is.

    It has no scripts and refers to nothing outside. Uses `dot` where there is one, else pygraphviz.
    `timeout` is in seconds. Raises RenderTimeout after that, RenderError where there is no Graphviz
    or it cannot read the source.
    """
    try:
        return _embeddable(_layout(dot_source, timeout))
    except TimeoutError:
        count = len(_NODE.findall(dot_source))
        what = f"{count} boxes" if count else "the graph"
        raise RenderTimeout(
            f"laying out {what} took longer than {timeout:g} s: draw less of the graph "
            "(hops=0, a smaller max_nodes, only=<a module>) or give it more time (timeout=…)"
        ) from None


def _layout(source: str, timeout: float) -> str:
    native = _native()
    if native is None and find_spec("pygraphviz") is None:
        raise RenderError(
            "drawing needs Graphviz, but there is neither a `dot` on the PATH nor pygraphviz: "
            + _HOW_TO_INSTALL
        )
    try:
        return _worker.draw(source, timeout) if native is None else _run(native, source, timeout)
    except (ValueError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise RenderError(f"Graphviz could not draw this: {error}") from error


def _native() -> str | None:
    return shutil.which(str(graphviz.DOT_BINARY))


def _run(dot: str, source: str, timeout: float) -> str:
    """What `graphviz.Source(source).pipe()` does, which knows no timeout."""
    try:
        done = subprocess.run(
            [dot, "-Tsvg"], input=source.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}")
    return done.stdout.decode()


def _embeddable(svg: str) -> str:
    """The SVG element alone; tooltips where browsers look for them, which is in titles.

    Graphviz puts the nodes' and edges' names into titles and the tooltips into links.
    """
    start = svg.find("<svg")
    if start < 0:
        raise RenderError("Graphviz answered with something that is no SVG")
    svg = _TITLE.sub("", _COMMENT.sub("", svg[start:]))
    svg = _TIP.sub(r"<title>\g<tip></title>\n\g<inside>", svg)
    return _LINK.sub("", svg).strip()
