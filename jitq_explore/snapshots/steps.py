"""Inside a stage: what a C++ pass said of itself while it ran."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.ir_text import parse_ir_text


@dataclass(frozen=True)
class Event:
    """One thing that a pass said.

    `kind` is a word such as "recorded" or "fused"; `text` is what torch printed; `values` are the
    debug names of the values that it is about; `module` is the path of the module, or its class
    where the log tells no more; `cause` says in words why, where there is a reason to tell.
    """

    kind: str
    text: str
    values: tuple[str, ...] = ()
    module: str = ""
    cause: str = ""


@dataclass(frozen=True)
class StepGraph:
    """A graph as the log printed it; parsed when `graph` is first asked for."""

    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The IR as torch printed it."""
        return "\n".join(self.lines) + "\n"

    @cached_property
    def graph(self) -> Graph:
        """The IR as plain data, as far as a text tells it."""
        return parse_ir_text(self.text)

    def __repr__(self) -> str:
        return f"<StepGraph of {len(self.lines)} lines>"


@dataclass(frozen=True)
class Step:
    """An inner step of a stage.

    `before` and `after` are None where the log shows no graph. `rule` is the name of the
    `FusionRule` that was applied ("" for other steps).
    """

    name: str
    title: str
    events: tuple[Event, ...] = ()
    before: StepGraph | None = None
    after: StepGraph | None = None
    rule: str = ""
