"""IR as torch prints it -> `Graph`."""

from __future__ import annotations

from jitq_explore.snapshots.graph import Graph


def parse_ir_text(text: str) -> Graph:
    """The graph that a printed one describes, as far as the text tells."""
    raise NotImplementedError
