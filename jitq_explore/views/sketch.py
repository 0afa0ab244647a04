"""A diff, or a single graph, as a complete `Picture`: every drawn node a box of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.views import labels
from jitq_explore.views.boxes import Box, Edge, Picture, Role, Status, Tally
from jitq_explore.views.printable import printable, shorten
from jitq_explore.views.regions import regions_of, settle_helpers
from jitq_explore.views.union import Item, union_of, union_of_one
from jitq_explore.views.wiring import Wire, Wiring


def sketch_diff(diff: GraphDiff) -> Picture:
    """The union of both graphs."""
    title = printable(f"{diff.before_name} → {diff.after_name}")
    return _Sketch(diff.before, diff.after, union_of(diff)).picture(title)


def sketch_graph(graph: Graph, title: str = "") -> Picture:
    """One graph that is compared with nothing."""
    picture = _Sketch(graph, graph, union_of_one(graph)).picture(printable(title))
    return replace(picture, tally=None)


class _Sketch:
    def __init__(self, before: Graph, after: Graph, items: tuple[Item, ...]) -> None:
        self.old, self.new = Wiring(before), Wiring(after)
        self.items = items
        self.box_after = {item.node.id: item.id for item in items if _is_after(item)}
        self.box_before = _boxes_before(items)
        self.regions = regions_of(items, before, after, self.box_before)
        self.changed_operands = self.find_changed_operands()

    def picture(self, title: str) -> Picture:
        nodes = [self.box(item) for item in self.items if not self.is_folded(item)]
        boxes = (*self.ports(Role.INPUT), *nodes, *self.ports(Role.OUTPUT))
        drawn = {box.id for box in boxes}
        edges = [edge for edge in self.edges() if drawn.issuperset((edge.tail, edge.head))]
        boxes = tuple(settle_helpers(boxes, edges))
        folded = [item for item in self.items if self.is_folded(item)]
        return Picture(
            boxes=boxes,
            edges=without_detoured(boxes, edges),
            title=title,
            tally=_tally(self.items),
            in_labels=_tally(folded),
        )

    def wiring(self, item: Item) -> Wiring:
        return self.new if _is_after(item) else self.old

    def is_folded(self, item: Item) -> bool:
        return item.node.id in self.wiring(item).folded

    def find_changed_operands(self) -> frozenset[str]:
        """Values that are not drawn and differ, or are made of such."""
        found: set[str] = set()
        for item in self.items:
            if _is_after(item) and self.is_folded(item):
                is_changed = item.status is Status.CHANGED
                if is_changed or not found.isdisjoint(item.node.inputs):
                    found.update(item.node.outputs)
        return frozenset(found)

    def box(self, item: Item) -> Box:
        node, wiring = item.node, self.wiring(item)
        status = item.status
        if status is Status.SAME and not self.changed_operands.isdisjoint(node.inputs):
            status = Status.CHANGED  # the only place where a changed constant can be seen
        title = labels.title_of(node)
        changes: tuple[str, ...] = ()
        if status is Status.CHANGED and item.match is not None:
            title, changes = labels.title_of_match(item.match), self.changes(item.match)
        details = labels.detail_lines(node, wiring.graph, wiring.folded)
        return Box(
            id=item.id,
            role=labels.role_of(node),
            status=status,
            title=title,
            lines=(*changes, *details, *labels.name_line(node, wiring.graph)),
            tooltip=labels.tooltip(node, wiring.graph, status, item.match),
            region=self.regions[item.id],
            tally=Tally.one(item.status),
        )

    def changes(self, match: Match) -> tuple[str, ...]:
        """What differs in two nodes of one kind, old → new."""
        if len(match.before) != 1 or match.before[0].kind != match.after[0].kind:
            return ()
        old = labels.operands(match.before[0], self.old.graph, self.old.folded)
        new = labels.operands(match.after[0], self.new.graph, self.new.folded)
        return labels.change_lines(match, old, new)

    def ports(self, role: Role) -> Iterator[Box]:
        """The graph's inputs or outputs, matched by position."""
        old, new = self.positions(self.old, role), self.positions(self.new, role)
        for position in sorted(old | new):
            status = Status.SAME
            if position not in old:
                status = Status.ADDED
            elif position not in new:
                status = Status.REMOVED
            wiring = self.new if position in new else self.old
            yield _port(role, position, status, wiring)

    def positions(self, wiring: Wiring, role: Role) -> set[int]:
        return set(wiring.inputs if role is Role.INPUT else range(len(wiring.graph.outputs)))

    def edges(self) -> Iterator[Edge]:
        """The wires of both graphs, each once."""
        old = {self.ends(wire, self.box_before): wire for wire in self.old.wires}
        new = {self.ends(wire, self.box_after): wire for wire in self.new.wires}
        for ends in dict.fromkeys((*new, *old)):
            tail, head, is_back = ends
            status = Status.SAME if ends in old else Status.ADDED
            if ends not in new:
                status = Status.REMOVED
            if tail != head:
                graph, wire = (
                    (self.new.graph, new[ends]) if ends in new else (self.old.graph, old[ends])
                )
                yield Edge(tail, head, status, _says(wire, graph), is_back)

    def ends(self, wire: Wire, boxes: dict[str, str]) -> tuple[str, str, bool]:
        tail = boxes[wire.tail.id] if isinstance(wire.tail, Node) else f"i-{wire.tail}"
        head = boxes[wire.head.id] if isinstance(wire.head, Node) else f"o-{wire.head}"
        return tail, head, wire.is_back


def without_detoured(boxes: Iterable[Box], edges: Sequence[Edge]) -> tuple[Edge, ...]:
    """The edges without those that are gone only because added boxes were put in their way.

    The boxes say it already, and a line past each of them would hide it.
    """
    added = {box.id for box in boxes if box.status is Status.ADDED}
    detours: dict[str, list[str]] = {}
    for edge in edges:
        if edge.status is Status.ADDED:
            detours.setdefault(edge.tail, []).append(edge.head)

    def is_detoured(edge: Edge) -> bool:
        ahead, seen = list(detours.get(edge.tail, ())), {edge.tail}
        while ahead:
            box = ahead.pop()
            if box == edge.head:
                return True
            if box in added and box not in seen:
                ahead.extend(detours.get(box, ()))
            seen.add(box)
        return False

    return tuple(e for e in edges if e.status is not Status.REMOVED or not is_detoured(e))


def _tally(items: Iterable[Item]) -> Tally:
    return reduce(Tally.__add__, (Tally.one(item.status) for item in items), Tally())


def _is_after(item: Item) -> bool:
    return item.status is not Status.REMOVED


def _boxes_before(items: tuple[Item, ...]) -> dict[str, str]:
    """Id of a node before -> id of its item: its own where it is gone, else its partner's."""
    boxes: dict[str, str] = {}
    for item in items:
        nodes = item.match.before if item.match else (item.node,)
        if item.status is not Status.ADDED:
            boxes.update({node.id: boxes.get(node.id, item.id) for node in nodes})
    return boxes


def _port(role: Role, position: int, status: Status, wiring: Wiring) -> Box:
    graph = wiring.graph
    values = graph.inputs if role is Role.INPUT else graph.outputs
    value = graph.values[values[position]]
    name = f"%{shorten(printable(value.debug_name), labels.LINE_WIDTH)}"
    constant = labels.operand(value.name, graph, wiring.folded) or ""
    return Box(
        id=f"{'i' if role is Role.INPUT else 'o'}-{position}",
        role=role,
        status=status,
        title=f"{role} {name}",
        lines=(shorten(constant, labels.LINE_WIDTH),) if constant else (),
        tooltip=f"{role} {position}\n{name} : {printable(value.type)}",
    )


def _says(wire: Wire, graph: Graph) -> str:
    value = graph.values[wire.value]
    return f"%{printable(value.debug_name)} : {printable(value.type)}"
