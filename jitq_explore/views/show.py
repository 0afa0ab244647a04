"""What a notebook shows of a diff."""

from __future__ import annotations

import html

from jitq_explore.snapshots.diff import GraphDiff
from jitq_explore.views.dot import diff_dot
from jitq_explore.views.render import RenderError, render_svg
from jitq_explore.views.text import diff_text


def svg_of(diff: GraphDiff, timeout: float = 20.0) -> str:
    """The drawing as HTML: an SVG element, or, where it cannot be made, why not and the text.

    `timeout` is in seconds.
    """
    try:
        return render_svg(diff_dot(diff).dot.source, timeout)
    except RenderError as error:
        text = f"{error}\n\n{diff_text(diff)}"
        return f"<pre>{html.escape(text)}</pre>"


def mimebundle(diff: GraphDiff) -> dict[str, str]:
    """A diff for IPython: the drawing for notebooks, the text for whatever shows no HTML."""
    return {"text/html": svg_of(diff), "text/plain": diff_text(diff)}
