"""What a drawing consists of, as plain data: `Box`, `Edge`, `Picture`, `Cluster`.

Nothing here knows Graphviz: a picture is made from a diff (`sketch`), made smaller (`folding`),
and only then written as DOT (`dot`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import quote, unquote


class Status(StrEnum):
    """Where something is: in both graphs alike, in both but different, or in one of them."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"


SIGNS: Mapping[Status, str] = {
    Status.ADDED: "+",
    Status.REMOVED: "−",
    Status.CHANGED: "~",
    Status.SAME: "",
}
"""The sign beside each colour, for those who do not see the colour."""


class Role(StrEnum):
    """What a box stands for; each has a shape of its own."""

    OPERATION = "operation"
    OBSERVER = "observer"
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"
    CHOICE = "choice"
    INPUT = "input"
    OUTPUT = "output"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Level:
    """One step down into the model: a submodule, or a block of an If or a Loop."""

    name: str
    label: str
    is_block: bool = False


Region: TypeAlias = tuple[Level, ...]
"""Where a box lies: the modules and blocks around it, outermost first."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many nodes there are, and how many of them differ."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    total: int = 0

    @staticmethod
    def one(status: Status) -> Tally:
        """The tally of a single node."""
        return Tally(
            added=int(status is Status.ADDED),
            removed=int(status is Status.REMOVED),
            changed=int(status is Status.CHANGED),
            total=1,
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.added + other.added,
            self.removed + other.removed,
            self.changed + other.changed,
            self.total + other.total,
        )

    @property
    def same(self) -> int:
        """How many do not differ."""
        return self.total - self.added - self.removed - self.changed

    @property
    def status(self) -> Status:
        """The status of all of them together."""
        if self.same == self.total:
            return Status.SAME
        if self.added == self.total:
            return Status.ADDED
        return Status.REMOVED if self.removed == self.total else Status.CHANGED

    @property
    def signs(self) -> str:
        """How many differ, in signs; "" for none."""
        counts = (("+", self.added), ("−", self.removed), ("~", self.changed))
        return " ".join(f"{sign}{count:,}" for sign, count in counts if count)

    @property
    def without_box(self) -> str:
        """That these are not drawn, and why."""
        have = f"{self.total:,} nodes have" if self.total != 1 else "1 node has"
        differ = f" ({self.signs})" if self.signs else ""
        return f"{have} no box{differ}: constants and attribute reads (in labels), checks"

    def __str__(self) -> str:
        nodes = f"{self.total:,} nodes" if self.total != 1 else "1 node"
        return f"{self.signs} of {nodes}" if self.signs else nodes


@dataclass(frozen=True, slots=True)
class Box:
    """One box: a node, an input or output of the graph, or a group of nodes.

    `title` is its name in large, `lines` are what is written small beneath; `tooltip` has a line
    for each thing worth knowing. `tally` counts the nodes that it stands for (an input or output of
    the graph is none).
    """

    id: str
    role: Role
    status: Status
    title: str
    lines: tuple[str, ...] = ()
    tooltip: str = ""
    region: Region = ()
    tally: Tally = Tally()


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that goes from the box `tail` to the box `head`.

    `is_back` marks what a loop carries to its next round. `skipped` counts the boxes that were left
    out on the way (0: the edge is one of the graph's own).
    """

    tail: str
    head: str
    status: Status
    tooltip: str = ""
    is_back: bool = False
    skipped: int = 0


@dataclass(frozen=True)
class Cluster:
    """A frame around boxes and other frames: a module, or a block of an If or a Loop.

    The outermost, around all, has the empty region.
    """

    id: str
    region: Region
    boxes: tuple[Box, ...]
    inner: tuple[Cluster, ...]


@dataclass(frozen=True)
class Picture:
    """All that is drawn.

    `tally` counts the nodes of the graphs (None: nothing is compared), `in_labels` those of them
    that have no box because they are shown in other nodes' labels, or compute nothing. `left_out`
    counts the boxes that are not shown.
    """

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    title: str = ""
    tally: Tally | None = None
    in_labels: Tally = Tally()
    left_out: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the picture does not show, a sentence each."""
        notes = []
        if self.in_labels.status is not Status.SAME:
            notes.append(self.in_labels.without_box)
        if self.left_out:
            notes.append(f"{self.left_out} boxes are left out; dotted lines pass over them")
        groups = [box.tally.total for box in self.boxes if box.role is Role.GROUP]
        if groups:
            notes.append(f"{len(groups)} boxes with a tab stand for {sum(groups)} nodes")
        return tuple(notes)


def svg_id(side: str, name: str) -> str:
    """The id of a box in DOT and SVG.

    `side` is "after" for every node of the graph after, "before" for those that are no more there.
    Whatever the node's own id holds, the result has only letters, digits and `-_.~%`.
    """
    return f"{_LETTERS[side]}-{quote(name, safe='', errors='surrogatepass')}"


def node_of(box_id: str) -> tuple[str, str] | None:
    """The way back: ("after" or "before", node id); None for boxes that are not one node."""
    letter, _, name = box_id.partition("-")
    side = {letter: side for side, letter in _LETTERS.items()}.get(letter)
    return (side, unquote(name, errors="surrogatepass")) if side else None


_LETTERS = {"after": "a", "before": "b"}


def region_id(region: Region) -> str:
    """The id of the cluster, or of the group box, of that region: "m-layer1.0"."""
    path = ".".join(level.name for level in region)
    return f"m-{quote(path, safe='', errors='surrogatepass')}"


def region_label(region: Region) -> str:
    """The name of the innermost level; a mere number ("0") comes with the name above it."""
    label = region[-1].label
    has_parent = len(region) > 1 and not region[-2].is_block
    return f"{region[-2].label}.{label}" if label.isdigit() and has_parent else label


def region_path(region: Region) -> str:
    """All levels in words: "encoder › If: true › fc"."""
    return " › ".join(level.label for level in region)
