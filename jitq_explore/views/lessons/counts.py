"""What will the stage do to the graph as a whole?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.stage_groups import base_name
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition

_MORE = {
    "inline": " Drawings look into submodules at every stage, and so do not show this one: it "
    "changes where torch keeps the ops, and none of them.",
    "reset_observers": " What changes are the observers' readings.",
    "observe": " What changes are the observers' readings.",
}
"""Stages that do something else than their graph shows."""


def ask(transition: Transition) -> Iterator[Question]:
    """Asked of any stage."""
    found = transition.diff
    added, removed, changed = len(found.added), len(found.removed), len(found.changed)
    is_right = {
        "It stays as it is": found.is_empty,
        "Nodes are added, none is removed": bool(added and not removed),
        "Nodes are removed, none is added": bool(removed and not added),
        "Nodes are added and removed": bool(added and removed),
        "Nodes are neither added nor removed, but some are changed": bool(
            changed and not added and not removed
        ),
    }
    yield Choice(
        "What will this stage do to the graph?",
        tuple(Option(label, right) for label, right in is_right.items()),
        f"{found.summary()}.{_MORE.get(base_name(transition.stage), '')}",
        is_single=True,
    )
