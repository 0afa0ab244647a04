"""Differences that show themselves: a drawing in a notebook, text in a terminal."""

from __future__ import annotations

import html
from dataclasses import fields

from jitq_explore.snapshots import diff as differences
from jitq_explore.snapshots.diff import GraphDiff
from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.dot import diff_dot
from jitq_explore.views.dot_captions import with_captions_moved
from jitq_explore.views.render import RenderError, render_svg
from jitq_explore.views.text import diff_text


class ShownDiff(GraphDiff):
    """A `GraphDiff` that IPython draws and `print` writes out."""

    def __str__(self) -> str:
        return diff_text(self)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": svg_of(self), "text/plain": diff_text(self)}


def diff(recording: Recording, before: str, after: str, method: str | None = None) -> ShownDiff:
    """The difference between the model after stage `before` and after stage `after`.

    Either may be "input", the model as given. `method` names the method to compare (default: the
    one that shows the quantization, at each side). KeyError names the stages and methods there are.
    """
    return _shown(differences.diff(recording, before, after, method))


def diff_graphs(
    before: Graph, after: Graph, before_name: str = "before", after_name: str = "after"
) -> ShownDiff:
    """The difference of any two graphs; the names are for titles."""
    return _shown(differences.diff_graphs(before, after, before_name, after_name))


def _shown(found: GraphDiff) -> ShownDiff:
    return ShownDiff(**{field.name: getattr(found, field.name) for field in fields(found)})


def svg_of(diff: GraphDiff, timeout: float = 20.0) -> str:
    """The drawing as HTML: an SVG element, or, where it cannot be made, why not and the text.

    `timeout` is in seconds.
    """
    try:
        return with_captions_moved(render_svg(diff_dot(diff).dot.source, timeout))
    except RenderError as error:
        text = f"{error}\n\n{diff_text(diff)}"
        return f"<pre>{html.escape(text)}</pre>"
