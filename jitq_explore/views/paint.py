"""The colours of drawings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jitq_explore.views.boxes import Status

FONT = "Helvetica,Arial,sans-serif"

INK = "#767676"
"""As far from white as from JupyterLab's dark background."""


@dataclass(frozen=True, slots=True)
class Paint:
    """The colours of a box."""

    fill: str
    border: str
    text: str


# Okabe and Ito's colours, which stay apart for colour-blind readers: blue, vermillion, yellow.
PAINT: Mapping[Status, Paint] = {
    Status.ADDED: Paint("#0072b2", "#56b4e9", "#ffffff"),
    Status.REMOVED: Paint("#b84a00", "#e69f00", "#ffffff"),
    Status.CHANGED: Paint("#f0e442", "#8a8000", "#000000"),
    Status.SAME: Paint("#80808020", "#808080", INK),
}
