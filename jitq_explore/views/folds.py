"""Which modules are folded into one box: the fold state of a film, and the moves between states.

A state is a frozen set of paths of regions ("blocks.3"); a region inside a folded one may be in it
or not, which shows when the outer one is unfolded. Alike neighbours that are folded (blocks 1 to 7
of a stage of a ResNet) share one box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jitq_explore.views.boxes import Region, region_id
from jitq_explore.views.flow import Flow
from jitq_explore.views.reel import Place, Reel

Folds: TypeAlias = frozenset[str]
"""The paths of the regions that are folded."""

MAX_BOXES = 100
"""Boxes that a picture stays legible with."""

FEW_BOXES = 40
"""Up to so many, everything is shown; beyond that only one of several alike modules is unfolded."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A box of a film: one place, or all places of a folded module or of a row of alike ones.

    `region` is what lies around it, `modules` the regions that are folded into it, if any.
    """

    id: str
    region: Region
    places: tuple[Place, ...]
    modules: tuple[Region, ...] = ()


def fold(folds: Folds, path: str) -> Folds:
    """The state in which the region at that path is folded too."""
    return folds | {path}


def unfold(folds: Folds, path: str) -> Folds:
    """The state in which what is in the region at that path can be seen: all around it unfolded."""
    names = path.split(".")
    return folds - {".".join(names[:depth]) for depth in range(1, len(names) + 1)}


def is_group(box: str) -> bool:
    """Whether the box of that id stands for folded modules."""
    return box.startswith("m-")


def path_of(region: Region) -> str:
    """The path by which a fold state knows the region."""
    return ".".join(level.name for level in region)


class Folding:
    """What can be folded in a reel, and what is seen in a fold state."""

    def __init__(self, reel: Reel) -> None:
        self.reel = reel
        self.flow = Flow(reel.picture)
        self._box = {box.id: box for box in reel.picture.boxes}
        self._parts: dict[Region, list[tuple[Place, ...]]] = {}
        self.signature = _signatures(reel)
        self.regions: dict[str, Region] = {path_of(region): region for region in self.signature}
        self.alike = Counter(self.signature.values())
        self.places: dict[Region, list[Place]] = {region: [] for region in self.signature}
        for place in reel.places:
            for region in _around(place.region):
                self.places[region].append(place)

    @staticmethod
    def of(reel: Reel) -> Folding:
        """That of a reel, made once."""
        found = reel.__dict__.get("_folding") or Folding(reel)
        assert isinstance(found, Folding)
        reel.__dict__["_folding"] = found
        return found

    def everything(self) -> Folds:
        """The state in which all is folded."""
        return frozenset(self.regions)

    def default(self, max_boxes: int = MAX_BOXES) -> Folds:
        """The state that shows most with at most so many boxes, if all folded are not more.

        Outer modules are unfolded before inner ones. Where there is much to see only the first of
        several alike modules is unfolded: the others would tell nothing new. Of a model that no
        stage has touched yet a batch norm is one box.
        """
        norms = self._scripted_norms() if len(self.reel.scenes) == 1 else frozenset()
        if len(self.reel.places) <= min(FEW_BOXES, max_boxes):
            return norms
        folds = self.everything()
        opened: set[Hashable] = set()
        for path, region in sorted(self.regions.items(), key=lambda item: len(item[1])):
            is_inside = any(path_of(region[:depth]) in folds for depth in range(1, len(region)))
            if is_inside or path in norms or self.signature[region] in opened:
                continue
            if self._is_crowd(region, max_boxes - len(self.stands(folds))):
                continue
            if len(self.stands(folds - {path})) <= max_boxes:
                folds -= {path}
                opened.add(self.signature[region])
        return folds

    def _scripted_norms(self) -> Folds:
        """Batch norms with the branches that they take while they are trained.

        These are wider than all else, and no stage leaves any of them.
        """
        scripted = {"aten::batch_norm", "prim::If", "aten::add_"}
        found = set()
        for path, region in self.regions.items():
            places = self.places[region]
            inside = (nodes.get(p.id, ()) for nodes in self.reel.contents for p in places)
            kinds = Counter(node.kind for nodes in inside for node in nodes)
            if kinds["aten::batch_norm"] == 1 and kinds["prim::If"] and kinds.keys() <= scripted:
                found.add(path)
        return frozenset(found)

    def _is_crowd(self, region: Region, room: int) -> bool:
        """Whether what lies right in the region are more boxes than there is room for."""
        return sum(place.region == region for place in self.places[region]) - 1 > room

    def stands(self, folds: Folds) -> tuple[Stand, ...]:
        """The boxes of that state, in the order of the data."""
        members: dict[Region, list[Place]] = {}
        stands = []
        for place in self.reel.places:
            folded = _outermost(place.region, folds)
            if folded is None:
                stands.append(Stand(place.id, place.region, (place,)))
            else:
                members.setdefault(folded, []).append(place)
        for region, places in members.items():
            stands.extend(self._calls(region, places))
        position = self.flow.position
        return self._in_rows(sorted(stands, key=lambda s: min(position[p.id] for p in s.places)))

    def _calls(self, region: Region, places: Sequence[Place]) -> Iterator[Stand]:
        """A box a call: one around two calls would be both before and behind what is between."""
        if region not in self._parts:
            by_id = {place.id: place for place in places}
            boxes = [self._box[place.id] for place in places]
            parts = self.flow.calls(boxes)
            self._parts[region] = [tuple(by_id[box.id] for box in part) for part in parts]
        for number, inside in enumerate(self._parts[region]):
            if len(inside) == 1:
                yield Stand(inside[0].id, inside[0].region, inside)
            else:
                name = region_id(region) + (f"-{number}" if number else "")
                yield Stand(name, region[:-1], inside, (region,))

    def _in_rows(self, stands: Sequence[Stand]) -> tuple[Stand, ...]:
        """The boxes with alike neighbours, one of which feeds the next and nothing else, as one."""
        home = {place.id: stand for stand in stands for place in stand.places}
        heads: dict[str, set[str]] = {}
        for edge in self.reel.picture.edges:
            tail, head = home[edge.tail], home[edge.head]
            if tail is not head:
                heads.setdefault(tail.id, set()).add(head.id)
        rows = {stand.id: stand for stand in stands}
        row_of = {stand.id: stand.id for stand in stands}
        for stand in stands:
            ahead = heads.get(stand.id, set())
            follower = rows.get(next(iter(ahead))) if len(ahead) == 1 else None
            row = rows[row_of[stand.id]]
            if follower is not None and follower is not row and self._are_alike(row, follower):
                rows[row.id] = Stand(
                    row.id,
                    row.region,
                    row.places + follower.places,
                    row.modules + follower.modules,
                )
                del rows[follower.id]
                row_of.update({each: row.id for each, now in row_of.items() if now == follower.id})
        return tuple(rows.values())

    def _are_alike(self, one: Stand, other: Stand) -> bool:
        if not one.modules or not other.modules or one.region != other.region:
            return False
        return self.signature[one.modules[0]] == self.signature[other.modules[0]]

    def count_alike(self, region: Region) -> int:
        """How many modules there are like this one, itself included."""
        return self.alike[self.signature[region]]


def _outermost(region: Region, folds: Folds) -> Region | None:
    parts = (region[:depth] for depth in range(1, len(region) + 1))
    return next((part for part in parts if path_of(part) in folds), None)


def _signatures(reel: Reel) -> dict[Region, Hashable]:
    """Region -> what makes it alike to others: its code, and what stands in it at every stage."""
    stands: dict[Region, Counter[Hashable]] = {
        region: Counter() for place in reel.places for region in _around(place.region)
    }
    for number, contents in enumerate(reel.contents):
        for place in reel.places:
            kinds = tuple(node.kind for node in contents.get(place.id, ()))
            for region in _around(place.region):
                inner = path_of(place.region[len(region) :])
                stands[region][number, inner, kinds] += 1
    return {
        region: (
            reel.digests.get(path_of(region), path_of(region)),
            frozenset(counted.items()),
        )
        for region, counted in stands.items()
    }


def _around(region: Region) -> Iterable[Region]:
    return (region[:depth] for depth in range(1, len(region) + 1))
