"""What is written in the boxes of a film at one stage, as plain data: `Card`, in rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from jitq_explore.snapshots.diff import Match
from jitq_explore.snapshots.domains import is_dequantize, is_quantize
from jitq_explore.snapshots.graph import Node
from jitq_explore.views import labels
from jitq_explore.views.boxes import Region, Role, Status, Tally, region_label, region_path
from jitq_explore.views.folds import Folding, Stand, path_of
from jitq_explore.views.printable import printable, shorten, shorten_end
from jitq_explore.views.reel import Place, Reel
from jitq_explore.views.wiring import Wiring

WIDTH = 30
"""The longest title in a card, in characters."""

_LINE = 46
"""The longest small line."""

_ROWS = 3
"""Ops that a card names; of more only their number is told."""


_PACKED = re.compile(r"(?<=: ).*_jit_pass_packed_weight_\d+$")
"""What torch calls the weight that it packed for a kernel."""


@dataclass(frozen=True, slots=True)
class Row:
    """One op (or several of one status) in a card: its name, and small lines beneath."""

    status: Status
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A box at one stage. `is_pair`: a quantize and its dequantize that no kernel took up."""

    role: Role
    rows: tuple[Row, ...]
    tooltip: str
    tally: Tally
    is_pair: bool = False

    @property
    def status(self) -> Status:
        """That of all rows together."""
        statuses = {row.status for row in self.rows}
        return statuses.pop() if len(statuses) == 1 else Status.CHANGED


class Side(StrEnum):
    """What is seen of a stage: the graphs before and after it at once, or one of them alone."""

    UNION = "union"
    BEFORE = "before"
    AFTER = "after"


class Stage:
    """What stands at the places of a reel at one stage, and what the stage before left there."""

    side = Side.UNION

    def __init__(self, reel: Reel, number: int) -> None:
        self.reel, self.number = reel, number
        self.scene = reel.scenes[number]
        self.before = reel.scenes[number - 1] if number else self.scene
        self.contents = reel.contents[number]
        self.old_contents = reel.contents[number - 1] if number else self.contents
        self.removed = {node.id for node in self.scene.diff.removed} if self.scene.diff else set()
        self.cards: dict[tuple[str, int], Card | None] = {}
        self.captions: dict[Region, tuple[str, ...]] | None = None
        self.has_kernels = any(node.kind.startswith("quantized::") for node in self.scene.drawn)

    @staticmethod
    def seen(reel: Reel, number: int, side: Side = Side.UNION) -> Stage:
        """A stage, seen from that side. Before the first stage there is nothing but the model."""
        if number == 0 or side is Side.UNION:
            return Stage(reel, number)
        return StageBefore(reel, number) if side is Side.BEFORE else StageAfter(reel, number)

    def is_there(self, stand: Stand) -> bool:
        """Whether anything stands there after the stage."""
        return any(place.id in self.contents for place in stand.places)

    def nodes(self, place: Place) -> Iterator[tuple[Node, Status]]:
        """What stands there after the stage, and what the stage took away, where that stood."""
        here = {node.id: node for node in self.contents.get(place.id, ())}
        for old in self.old_contents.get(place.id, ()) if self.scene.diff else ():
            if old.id in self.removed:
                yield old, Status.REMOVED
                continue
            match = self.scene.diff.match_before.get(old.id) if self.scene.diff else None
            for node in match.after if match else ():
                if here.pop(node.id, None):
                    yield node, self.status_of(node)
        for node in here.values():
            yield node, self.status_of(node)

    @property
    def without_box(self) -> Tally:
        """The nodes that are shown in the labels of others, or compute nothing."""
        if self.scene.diff is None:
            return Tally()
        old = self.before.wiring.folded
        gone = sum(node.id in old for node in self.scene.diff.removed)
        hidden = [n for n in self.scene.graph.nodes if n.id in self.scene.wiring.folded]
        statuses = Counter(map(self.scene.own_status_of, hidden))
        return Tally(
            statuses[Status.ADDED],
            gone,
            statuses[Status.CHANGED],
            len(hidden) + gone,
        )

    def status_of(self, node: Node) -> Status:
        """That of a node of the graph after."""
        return self.scene.status_of(node)

    def tally(self, places: Iterable[Place]) -> Tally:
        """How many nodes stand at these places, and how many of them differ."""
        statuses = Counter(status for place in places for _, status in self.nodes(place))
        return Tally(
            statuses[Status.ADDED],
            statuses[Status.REMOVED],
            statuses[Status.CHANGED],
            statuses.total(),
        )

    def card(self, stand: Stand, folding: Folding) -> Card | None:
        """What is written in a box; None where nothing is and was."""
        place = stand.places[0]
        if stand.modules:
            return self._group_card(stand, folding)
        if place.role in (Role.INPUT, Role.OUTPUT):
            return self._port_card(place)
        found = list(self.nodes(place))
        if not found:
            return None
        ops = [pair for pair in found if not self._is_gate(*pair)]
        gates = [pair for pair in found if self._is_gate(*pair)]
        nodes = [node for node, status in gates if status is not Status.REMOVED]
        return Card(
            role=place.role,
            rows=(*self._gate_rows(gates), *self._op_rows(ops)),
            tooltip="\n".join(self._tooltip(node, status) for node, status in found[:6]),
            tally=self.tally((place,)),
            is_pair=self.has_kernels
            and any(map(is_quantize, nodes))
            and any(map(is_dequantize, nodes)),
        )

    def _is_gate(self, node: Node, status: Status) -> bool:
        """Whether the node only observes, quantizes or dequantizes a value."""
        scene = self.before if status is Status.REMOVED else self.scene
        return node.id in scene.gates

    def _tooltip(self, node: Node, status: Status) -> str:
        diff, is_gone = self.scene.diff, status is Status.REMOVED
        match = diff.match_after.get(node.id) if diff and not is_gone else None
        graph = self.before.graph if is_gone else self.scene.graph
        return labels.tooltip(node, graph, status, match)

    def _op_rows(self, found: Sequence[tuple[Node, Status]]) -> Iterator[Row]:
        """A row an op. Ifs and what is in them are counted only, where there is anything else."""
        own = {block for node, _ in found for block in node.blocks}
        plain = [(n, s) for n, s in found if not n.blocks and n.block not in own] or list(found)
        shown = plain[:_ROWS]
        more = Counter(status for _, status in found) - Counter(status for _, status in shown)
        for number, (node, status) in enumerate(shown):
            row = self._op_row(node, status, has_lines=number == 0)
            is_last = all(other is not status for _, other in shown[number + 1 :])
            if is_last and more[status]:
                row = replace(row, title=f"{row.title} (+{more.pop(status)})")
            yield row
        yield from (Row(status, f"{count} more") for status, count in more.items())

    def _op_row(self, node: Node, status: Status, has_lines: bool) -> Row:
        wiring = self.before.wiring if status is Status.REMOVED else self.scene.wiring
        match = self.scene.diff.match_after.get(node.id) if self.scene.diff else None
        lines = labels.detail_lines(node, wiring.graph, wiring.folded) if has_lines else ()
        if status is Status.CHANGED and match is not None:
            told = self._changes(match)
            # "weight: old → new" says all of it that "weight: new" does.
            names = {line.partition(":")[0] for line in told}
            lines = (*told, *(line for line in lines[:1] if line.partition(":")[0] not in names))
        short = (shorten_end(_PACKED.sub("packed", line), _LINE) for line in lines)
        return Row(status, shorten_end(labels.title_of(node), WIDTH), tuple(short))

    def _changes(self, match: Match) -> tuple[str, ...]:
        """What differs, old → new."""
        if len(match.before) == 1 and match.before[0].kind == match.after[0].kind:
            old = operands(match.before[0], self.before.wiring)
            new = operands(match.after[0], self.scene.wiring)
            return labels.change_lines(match, old, new)
        was = " + ".join(dict.fromkeys(map(labels.title_of, match.before)))
        return (f"was {was}",)

    def _gate_rows(self, found: Sequence[tuple[Node, Status]]) -> Iterator[Row]:
        """What goes above what comes; each in one row, in the order of the data."""
        for status in (Status.REMOVED, Status.SAME, Status.CHANGED, Status.ADDED):
            nodes = [node for node, own in found if own is status]
            if nodes:
                names = Counter(filter(None, map(_gate_name, nodes)))
                words = [f"{name} ×{n}" if n > 1 else name for name, n in names.items()]
                title = " → ".join(words) or labels.title_of(nodes[0])
                weight = self._weight(nodes[0], status)
                yield Row(status, shorten_end(f"{weight}{title}", WIDTH + 12))

    def _weight(self, node: Node, status: Status) -> str:
        """What of the model the value is, of a gate that stands on a weight: "weight: "."""
        wiring = self.before.wiring if status is Status.REMOVED else self.scene.wiring
        graph = wiring.graph
        path = labels.operand(node.inputs[0], graph, wiring.folded)
        if not path:
            return ""
        is_constant = graph.producers[node.inputs[0]].is_constant
        return "constant: " if is_constant else f"{shorten(path.rpartition('.')[2], 12)}: "

    def _port_card(self, place: Place) -> Card | None:
        position = int(place.id[2:])
        status = self._port_status(place)
        if status is None:
            return None
        scene = self.scene if place.id in self.contents else self.before
        graph = scene.graph
        names = graph.inputs if place.role is Role.INPUT else graph.outputs
        value = graph.values[names[position]]
        name = f"%{shorten(printable(value.debug_name), WIDTH)}"
        constant = labels.operand(value.name, graph, scene.wiring.folded) or ""
        return Card(
            role=place.role,
            rows=(
                Row(status, f"{place.role} {name}", (shorten(constant, WIDTH),) * bool(constant)),
            ),
            tooltip=f"{place.role} {position}\n{name} : {printable(value.type)}",
            tally=Tally(),
        )

    def _port_status(self, place: Place) -> Status | None:
        """That of an input or output of the graph; None where there is and was none."""
        if place.id not in self.contents:
            return Status.REMOVED if place.id in self.old_contents else None
        return Status.SAME if place.id in self.old_contents else Status.ADDED

    def _group_card(self, stand: Stand, folding: Folding) -> Card | None:
        tally = self.tally(stand.places)
        if not tally.total:
            return None
        first, last = stand.modules[0], stand.modules[-1]
        names = [region_label(first), region_label(last)]
        count = len(stand.modules)
        title = names[0] if count == 1 else f"{names[0]} … {names[1]}"
        kind = printable(self.reel.classes.get(path_of(first), ""))
        alike = folding.count_alike(first)
        said = f"{kind} ×{count}, all alike" if count > 1 else kind
        if count == 1 and alike > 1:
            said = f"{kind} · one of {alike} alike"
        return Card(
            role=Role.GROUP,
            rows=(
                Row(
                    tally.status,
                    shorten_end(title, WIDTH),
                    tuple(shorten_end(line, WIDTH + 6) for line in (said, str(tally)) if line),
                ),
            ),
            tooltip="\n".join((*map(region_path, dict.fromkeys((first, last))), said, str(tally))),
            tally=tally,
        )


class StageAfter(Stage):
    """The graph after the stage alone: what was added or changed."""

    side = Side.AFTER

    def __init__(self, reel: Reel, number: int) -> None:
        super().__init__(reel, number)
        self.removed = set()

    def _port_status(self, place: Place) -> Status | None:
        return super()._port_status(place) if place.id in self.contents else None


class StageBefore(Stage):
    """The graph before the stage alone: what the stage will remove or change.

    `scene` is the one before, so that labels are the old ones; `next_scene` knows what becomes of
    it.
    """

    side = Side.BEFORE

    def __init__(self, reel: Reel, number: int) -> None:
        super().__init__(reel, number - 1)
        self.next_scene = reel.scenes[number]
        self.later_contents = reel.contents[number]
        self.before = self.scene

    def nodes(self, place: Place) -> Iterator[tuple[Node, Status]]:
        """What stands there before the stage."""
        return ((node, self.status_of(node)) for node in self.contents.get(place.id, ()))

    def status_of(self, node: Node) -> Status:
        """What will become of a node of the graph before."""
        return self.next_scene.status_to_come(node)

    def _op_row(self, node: Node, status: Status, has_lines: bool) -> Row:
        row = super()._op_row(node, Status.SAME, has_lines)
        return replace(row, status=status)

    def _port_status(self, place: Place) -> Status | None:
        if place.id not in self.contents:
            return None
        return Status.SAME if place.id in self.later_contents else Status.REMOVED

    def _tooltip(self, node: Node, status: Status) -> str:
        diff = self.next_scene.diff
        match = diff.match_before.get(node.id) if diff else None
        return labels.tooltip(node, self.scene.graph, status, match)


def operands(node: Node, wiring: Wiring) -> dict[str, str]:
    """What of the node's inputs is not drawn: its name -> a constant or a path."""
    return labels.operands(node, wiring.graph, wiring.folded)


def _gate_name(node: Node) -> str:
    """Short, as there are many of them; "" for what only asks a value how it was quantized."""
    if is_quantize(node):
        return "quantize per channel" if "per_channel" in node.kind else "quantize"
    if is_dequantize(node):
        return "dequantize"
    if "choose_qparams" in node.kind:
        return "measure"
    return labels.title_of(node) if node.is_observer else ""
