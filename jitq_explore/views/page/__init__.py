"""The explorer's page: one ES module and one style sheet, each made of the files in this folder."""

from __future__ import annotations

from importlib import resources

SCRIPTS = (
    "graph_shapes.js", "graph_camera.js", "graph_pane.js", "graph_card.js", "graph_minimap.js",
    "graph_index.js", "graph_hands.js", "graph_colours.js", "graph_view.js", "dom.js", "answers.js",
    "follow.js", "strip.js", "toolbar.js", "what_if.js", "details.js", "cells.js", "tables.js",
    "text.js", "steps.js", "plots.js", "tabs.js", "keys.js", "explorer.js",
)  # fmt: skip
"""In the order in which they make up the module: what a file uses at once comes before it."""

STYLES = ("graph_view.css", "explorer.css")


def script() -> str:
    """The module, as text."""
    return _joined(SCRIPTS)


def style() -> str:
    """The style sheet, as text."""
    return _joined(STYLES)


def _joined(names: tuple[str, ...]) -> str:
    folder = resources.files(__name__)
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
