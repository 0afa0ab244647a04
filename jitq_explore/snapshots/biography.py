"""Writes lives: back from a node to the model as given, and on from it to the newest stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from jitq_explore.snapshots.endings import ending_at, is_kernel
from jitq_explore.snapshots.graph import Node, attribute_names, show_attribute
from jitq_explore.snapshots.lives import Event, Life
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Link, Spot, Tracker, origin_of
from jitq_explore.snapshots.value_events import put_on_by

_SHOWN = 4
"""How many nodes a line of text names."""


class Biography:
    """Writes one life: back from the spot that was asked for, then on from it."""

    def __init__(
        self, recording: Recording, tracker: Tracker, spot: Spot, value: str | None = None
    ) -> None:
        self.recording, self.tracker, self.spot, self.value = recording, tracker, spot, value

    def write(self) -> Life:
        """The whole life."""
        name = f"%{self.value} =" if self.value else self.spot.node_id
        subject = f"{name} {self.tracker.node(self.spot).kind}"
        return Life(
            subject=subject,
            stage=self.tracker.names[self.spot.index],
            module=self.tracker.module(self.spot),
            sources=self.tracker.sources(self.spot),
            steps=(*self.back(), *self.on()),
            alive=bool(self.tracker.ends(self.spot)),
        )

    def back(self) -> list[Event]:
        """Events up to the stage asked for, oldest first."""
        found: list[Event] = []
        spots: tuple[Spot, ...] = (self.spot,)
        while spots:
            links = [self.tracker.back(spot) for spot in spots]
            index = spots[0].index
            events = [
                self.birth(spot) for spot, link in zip(spots, links, strict=True) if link is None
            ]
            events += self.joined([link for link in links if link], index)
            found[:0] = events
            spots = tuple(dict.fromkeys(s for link in links if link for s in link.before))
        return found

    def birth(self, spot: Spot) -> Event:
        """The event of a node that comes from no other."""
        node = self.tracker.node(spot)
        what = "given" if spot.index == 0 else "created"
        detail = _described(node, self.tracker.module(spot))
        return Event(self.tracker.names[spot.index], what, (), (node,), detail, spot.method)

    def on(self) -> list[Event]:
        """Events after the stage asked for, oldest first."""
        found: list[Event] = []
        spots: tuple[Spot, ...] = (self.spot,)
        for index in range(self.spot.index + 1, self.tracker.last + 1):
            links = [self.tracker.onward(spot) for spot in spots]
            if any(
                link and spot != link.before[-1] for spot, link in zip(spots, links, strict=True)
            ):
                self.value = None  # It is within a fused op from here on.
            found += self.joined([link for link in links if link], index)
            found += [
                self.end(spot) for spot, link in zip(spots, links, strict=True) if link is None
            ]
            spots = tuple(dict.fromkeys(s for link in links if link for s in link.after))
        return found

    def joined(self, links: Iterable[Link], index: int) -> list[Event]:
        """An event for each match, once, and for a value what was put on it by the stage."""
        events: list[Event] = []
        for link in {link.before + link.after: link for link in links}.values():
            what, detail = self.news(link)
            before = tuple(self.tracker.node(spot) for spot in link.before)
            stage, method = self.tracker.names[index], link.after[0].method
            events.append(Event(stage, what, before, link.match.after, detail, method))
            if self.value is not None:
                events += put_on_by(self.recording, self.tracker, link)
        return events

    def news(self, link: Link) -> tuple[str, str]:
        """What happened to the nodes of a match, in a word and in words."""
        old = tuple(self.tracker.node(spot) for spot in link.before)
        new = link.match.after
        if len(new) > 1:
            return "replicated", f"into {_listed(new)}"
        if len(old) > 1 and {node.kind for node in old} == {new[0].kind}:
            return "merged", f"{len(old)} equal ones into one"
        if len(old) > 1 or (is_kernel(new[0]) and old[0].kind != new[0].kind):
            fusion = f"{_listed(old, ' + ')} into {new[0].kind}"
            return "fused", "; ".join((fusion, *self.new_values(link)))
        if new[0].is_constant and not old[0].is_constant:
            value = show_attribute(new[0].attributes.get("value"))
            return "folded", f"into the constant %{new[0].outputs[0]} = {value}"
        return self.changes(link)

    def changes(self, link: Link) -> tuple[str, str]:
        """The same for a node that goes on as it is, or nearly so."""
        changes = [f"{what}: {old} → {new}" for what, old, new in link.match.changes]
        changes += self.new_values(link)
        if changes:
            return "changed", "; ".join(changes)
        method = link.after[0].method
        moved = method != link.before[0].method
        return "survived", f"in {method}" if moved else ""

    def new_values(self, link: Link) -> Iterator[str]:
        """Attributes that the first node of a match fetches or takes and that hold other numbers
        than before."""
        old = dict(self.attributes(link.before[0]))
        for name, digest in self.attributes(link.after[0]):
            if old.get(name, digest) != digest:
                yield f"{name} holds new numbers"

    def attributes(self, spot: Spot) -> Iterator[tuple[str, str]]:
        """Path and digest of each tensor that a node fetches or takes from the model."""
        node = self.tracker.node(spot)
        graph = self.tracker.graph(spot.index, spot.method)
        by_path = self.tracker.snapshots[spot.index].by_path
        for value in node.outputs if node.kind == "prim::GetAttr" else node.inputs:
            names = attribute_names(graph, origin_of(graph, value)) or ("",)
            module = by_path.get(".".join(names[:-1]))
            state = module.attributes.get(names[-1]) if module is not None else None
            if state is not None and state.tensor is not None:
                yield ".".join(names), state.tensor.digest

    def end(self, spot: Spot) -> Event:
        """The event of a node that the next stage has no partner for."""
        ending = ending_at(self.tracker, spot)
        node = self.tracker.node(spot)
        stage = self.tracker.names[spot.index + 1]
        return Event(stage, ending.what, (node,), ending.into, ending.detail, spot.method)


def _described(node: Node, module: str) -> str:
    """What an event of birth says: the kind, its module and its result."""
    name = f"%{node.outputs[0]} = " if node.outputs else ""
    return f"{name}{node.kind}{f' in {module}' if module else ''}"


def _listed(nodes: Sequence[Node], between: str = ", ") -> str:
    shown = between.join(node.kind for node in nodes[:_SHOWN])
    more = len(nodes) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
