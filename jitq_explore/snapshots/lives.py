"""A life as plain data: what each stage did to one node or value."""

from __future__ import annotations

from dataclasses import dataclass

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.source import short_source


@dataclass(frozen=True, slots=True)
class Event:
    """What one stage did to the node or value.

    `what` is "given" (it is in the model as given), "created", "survived", "changed", "replicated",
    "merged", "fused", "folded", "replaced", "dropped" or "removed"; for a value "observed" and
    "quantized", too. `detail` says it in words. `nodes_before` and `nodes_after` are all nodes
    that take part, those that were fused with it included; `method` is the one that holds
    `nodes_after` (where there are none, `nodes_before`).
    """

    stage: str
    what: str
    nodes_before: tuple[Node, ...]
    nodes_after: tuple[Node, ...]
    detail: str = ""
    method: str = "forward"

    def __str__(self) -> str:
        return f"{self.stage}: {self.what}{' ' + self.detail if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of one node or value, from the model as given to the newest stage.

    `subject` names it as it is after `stage`, where it was asked for; `module` is its module path,
    `sources` are the user's own lines ("file:line:column") that it stands for. `alive` says whether
    something of it is there after the newest stage, be it as part of a kernel.
    """

    subject: str
    stage: str
    module: str
    sources: tuple[str, ...]
    steps: tuple[Event, ...]
    alive: bool

    def __str__(self) -> str:
        where = f" of {self.module}" if self.module else ""
        places = ", ".join(dict.fromkeys(short_source(source) for source in self.sources))
        title = f"{self.subject}{where} after {self.stage!r}{f', {places}' if places else ''}"
        # Parts that are later fused go through the same stages side by side.
        rows = list(dict.fromkeys((step.stage, step.what, step.detail) for step in self.steps))
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
        body = (
            f"  {stage:<{widths[0]}}  {what:<{widths[1]}}  {detail}".rstrip()
            for stage, what, detail in rows
        )
        return "\n".join((title, *body))
