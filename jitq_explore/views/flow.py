"""In which order the data of a picture flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitq_explore.views.boxes import Box, Picture, Role


class Flow:
    """The boxes of a picture, each behind those that it gets data from."""

    def __init__(self, picture: Picture) -> None:
        self.region = {box.id: box.region for box in picture.boxes}
        self.feeds: dict[str, list[str]] = {box.id: [] for box in picture.boxes}
        self.takes: dict[str, list[str]] = {box.id: [] for box in picture.boxes}
        for edge in picture.edges:
            if not edge.is_back:
                self.feeds[edge.tail].append(edge.head)
                self.takes[edge.head].append(edge.tail)
        self.order = _sorted(self.takes)
        self.position = {box: position for position, box in enumerate(self.order)}
        self.sides = self._find_sides(picture)

    def calls(self, boxes: Sequence[Box]) -> list[list[Box]]:
        """The boxes in parts between which data flows through boxes that are none of them.

        The first part is what no data comes back to after leaving, the second what it comes back to
        once, and so on.
        """
        inside = {box.id for box in boxes}
        returns = self._returns(inside)
        parts: dict[int, list[Box]] = {}
        for box in boxes:
            parts.setdefault(returns[box.id], []).append(box)
        return [parts[number] for number in sorted(parts)]

    def _returns(self, inside: set[str]) -> dict[str, int]:
        """How often data that has been inside left and came back on its way to each box inside."""
        returns = dict.fromkeys(inside, 0)
        outside: dict[str, int] = {}
        first = min(self.position[box] for box in inside)
        last = max(self.position[box] for box in inside)
        for box in self.order[first:last]:
            count = returns[box] if box in inside else outside.get(box, -1)
            if count < 0:
                continue
            for head in self.ahead(box):
                if head in inside:
                    returns[head] = max(returns[head], count + (box not in inside))
                else:
                    outside[head] = max(outside.get(head, -1), count)
        for box in reversed(self.order[first:last]):
            heads = [returns[head] for head in self.ahead(box) if head in inside]
            if box in inside and box in self.sides and heads:
                returns[box] = min(heads)
        return returns

    def ahead(self, box: str) -> list[str]:
        """Where the box's data goes, not back: old and new edges together can run in a circle."""
        return [head for head in self.feeds[box] if self.position[head] > self.position[box]]

    def waits(self) -> Iterator[tuple[str, str]]:
        """Pairs (a box that feeds an op, a weight of that op): to be drawn one below the other.

        Otherwise the weight of a module's first op would be drawn beside the end of the module
        before, and the two modules side by side, each a bit further to the right.
        """
        for side in (box for box in self.order if box in self.sides):
            if not self.takes[side]:
                for tail in self.takes[self._user(side)]:
                    if tail not in self.sides and not self._encloses(tail, side):
                        yield tail, side

    def _encloses(self, outer: str, inner: str) -> bool:
        region = self.region[outer]
        return self.region[inner][: len(region)] == region

    def _user(self, side: str) -> str:
        while side in self.sides and self.ahead(side):
            side = self.ahead(side)[0]
        return side

    def _find_sides(self, picture: Picture) -> set[str]:
        """What no input of the graph reaches, such as weights: it belongs to where it is used."""
        fed = {box.id for box in picture.boxes if box.role is Role.INPUT}
        for box in self.order:
            if box in fed:
                fed.update(self.feeds[box])
        return set(self.order) - fed if fed else set()


def _sorted(takes: dict[str, list[str]]) -> list[str]:
    """Sources first, by depth-first search; where there are circles one edge of each is ignored."""
    order: list[str] = []
    seen: set[str] = set()
    for start in takes:
        stack = [(start, False)]
        while stack:
            box, is_done = stack.pop()
            if is_done:
                order.append(box)
            elif box not in seen:
                seen.add(box)
                stack.append((box, True))
                stack.extend((tail, False) for tail in reversed(takes[box]) if tail not in seen)
    return order
