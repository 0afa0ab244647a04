"""What the questions about one stage are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from jitq_explore.diagnostics.explain import explain
from jitq_explore.snapshots.diff import GraphDiff, diff
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lineage import module_of, source_of
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.recording import Recording, StageRecord
from jitq_explore.snapshots.source import short_source

T = TypeVar("T")

MOST_OPTIONS = 8
"""More cannot be weighed against each other at a glance."""


@dataclass(frozen=True)
class Transition:
    """A stage of a recording, and the name of the one before it ("input": the model as given)."""

    recording: Recording
    record: StageRecord
    before: str

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.record.name

    @cached_property
    def diff(self) -> GraphDiff:
        """What the stage did to the graph."""
        return diff(self.recording, self.before, self.stage)

    @property
    def graph(self) -> Graph:
        """The graph after the stage."""
        return self.diff.after

    def place(self, node: Node, stage: str) -> str:
        """Where a node stands, for a student: "conv2d in block1.conv1 (net.py:12)"."""
        module = module_of(self.recording, stage, node)
        source = short_source(source_of(self.recording, stage, node))
        where = f" in {printable(module)}" if module else ""
        line = f" ({printable(source)})" if source else ""
        return f"{printable(node.kind.rpartition('::')[2])}{where}{line}"

    def why(self, node: Node, stage: str) -> str:
        """Why a node is as it is after a stage, in a sentence or two."""
        told = explain(self.recording, node, stage)
        texts = [reason.text for reason in told.reasons] or [told.title]
        if len(texts) > 2:  # a chain of ops, each float because the one before it is
            texts = [texts[0], f"and at the root of it: {texts[-1]}"]
        return printable("; ".join(texts))


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly from first to last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[len(items) // 2]]
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def mixed(right: Sequence[T], wrong: Sequence[T], order: Sequence[T]) -> list[T]:
    """Some of both, at most `MOST_OPTIONS`, in the order given."""
    half = MOST_OPTIONS // 2
    of_right = spread(right, max(half, MOST_OPTIONS - len(wrong)))
    chosen = of_right + spread(wrong, MOST_OPTIONS - len(of_right))
    return [item for item in order if item in chosen]
