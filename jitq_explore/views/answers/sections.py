"""The parts that an answer about a node is made of."""

from __future__ import annotations

from collections.abc import Iterable

from jitq_explore.views.printable import printable


def pair_row(
    label: str,
    value: str,
    old: str | None = None,
    node: tuple[str, bool] | None = None,
    hint: str = "",
) -> dict[str, object]:
    """A named value; `old` is what it was before, `node` leads to a node: its id, and whether the
    stage took it away."""
    return {
        "label": printable(label),
        "value": printable(value),
        "old": printable(old) if old is not None and old != value else None,
        "node": node[0] if node is not None else None,
        "gone": node is not None and node[1],
        "hint": printable(hint),
    }


def pairs(
    title: str, rows: Iterable[dict[str, object]], hint: str = "", prose: bool = False
) -> dict[str, object]:
    """Named values, a row each; `prose` where they are sentences, and no code."""
    return {"type": "pairs", "title": title, "hint": hint, "rows": list(rows), "prose": prose}


def code_line(text: str, number: int | None = None, mark: bool = False) -> dict[str, object]:
    """A line of code; `mark` is for the one that is meant."""
    return {"text": printable(text.expandtabs(4)), "number": number, "mark": mark}
