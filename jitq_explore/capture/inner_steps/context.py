"""What is known of a pass besides its log: the model before and after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.capture.log_entries import LogReader
from jitq_explore.snapshots.graph import plain_type
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.steps import StepGraph

_SELF = re.compile(r"graph\(%[\w.]+ : (?P<type>[\w.]+)")


@dataclass(frozen=True)
class Context:
    """The snapshots around a pass, and the rules that a fusion may name.

    `left` is a graph of the model that the pass was given, as the pass left it: `quant_finalize`
    fuses in there and freezes a copy.
    """

    before: Snapshot
    after: Snapshot
    reader: LogReader
    rules: tuple[FusionRule, ...] = ()
    left: StepGraph | None = None

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        """Class group -> paths; passes give their own copy of the model classes of its own."""
        found: dict[str, list[str]] = {}
        for snapshot in (self.before, self.after):
            for module in snapshot.modules:
                paths = found.setdefault(module.class_group, [])
                if module.path not in paths:
                    paths.append(module.path)
        return found

    def where(self, graph: StepGraph | None) -> str:
        """The path of the module whose method that is; its class where it has several instances."""
        group = group_of(graph)
        paths = self._paths.get(group, [])
        return paths[0] if len(paths) == 1 else plain_type(group).rpartition(".")[2]

    def owner(self, path: str) -> str:
        """The path of the module that has the attribute; attributes' names may hold dots."""
        above = path
        while above:
            above = above.rpartition(".")[0]
            if above in self.before.by_path:
                break
        return above

    def holding(self, values: tuple[str, ...]) -> str:
        """The only module, or only class of modules, a method of which has all these values."""
        groups = {
            group
            for (group, _), body in self.before.bodies.items()
            if all(value in body.values for value in values)
        }
        paths = [path for group in groups for path in self._paths.get(group, [])]
        classes = {plain_type(group).rpartition(".")[2] for group in groups}
        if len(paths) == 1:
            return paths[0]
        return classes.pop() if len(classes) == 1 else ""

    def is_main(self, graph: StepGraph) -> bool:
        """Whether that is a method of the model itself."""
        return "" in self._paths.get(group_of(graph), [])

    def text_after(self, graph: StepGraph, method: str) -> StepGraph | None:
        """The same method as the pass left it."""
        text = self.after.texts.get((group_of(graph), method))
        return None if text is None else self.reader.graph_of(text)

    @property
    def main_before(self) -> StepGraph:
        """The model's own method before the pass."""
        return self.reader.graph_of(self.before.text())

    @property
    def main_after(self) -> StepGraph | None:
        """The model's own method after the pass; None where the pass has failed."""
        return None if self.after is self.before else self.reader.graph_of(self.after.text())


def counted(number: int, what: str) -> str:
    """ "1 value", "2 values"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def group_of(graph: StepGraph | None) -> str:
    """The printed class of the module whose method that is ("" for a graph of no module)."""
    found = _SELF.match(graph.lines[0]) if graph is not None and graph.lines else None
    return found["type"] if found else ""
