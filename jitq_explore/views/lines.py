"""The lines of a film at one stage: what runs where, in which numbers, and what no longer does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jitq_explore.snapshots.domains import Domain
from jitq_explore.views.cards import Side, Stage
from jitq_explore.views.printable import printable
from jitq_explore.views.routes import Ends, Route

_NUMBERS = frozenset({Domain.FLOAT, Domain.QUANTIZED})


@dataclass(frozen=True, slots=True)
class Line:
    """What runs along a route at one stage; `label` says what its numbers are, where that is new.

    `is_gone`: it ran there before the stage, and does no more.
    """

    route: Route
    domain: Domain
    is_gone: bool = False
    label: str = ""
    tooltip: str = ""


def lines_of(
    stage: Stage,
    home: Mapping[str, str],
    routes: Sequence[Mapping[Ends, Route]],
    drawn: Collection[str],
) -> list[Line]:
    """The lines of a stage, what is gone first, so that it lies beneath.

    `home` maps places to boxes, `drawn` has the boxes that are seen. A line that is gone is left
    out where another runs now: what was put in its way, or taken out of it, says so already. One
    graph alone has only its own lines.
    """
    found = list(_lines_after(stage, home, routes[stage.number]))
    if stage.side is not Side.UNION:
        return found
    covered = {ends for line in found for ends in pairwise(line.route)}
    before = routes[stage.number - 1] if stage.number else {}
    gone = [
        Line(way, Domain.OTHER, is_gone=True, tooltip="no more")
        for ends, way in before.items()
        if all(end in drawn for end in ends) and not covered.issuperset(pairwise(way))
    ]
    return gone + found


def _lines_after(
    stage: Stage, home: Mapping[str, str], routes: Mapping[Ends, Route]
) -> Iterator[Line]:
    scene = stage.scene
    carried = _carried(stage, home)
    taken: dict[str, set[Domain]] = {}
    for (_, head), (domain, _) in carried.items():
        taken.setdefault(head, set()).add(domain)
    labelled: set[tuple[str, Domain]] = set()
    for ends, (domain, name) in carried.items():
        value = scene.graph.values[name]
        label = ""
        is_new = _is_new(domain, taken.get(ends[0], set()))
        if is_new and (ends[0], domain) not in labelled:
            labelled.add((ends[0], domain))
            label = scene.dtypes.get(name, str(domain))
        said = f"%{printable(value.debug_name)} : {printable(value.type)} ({domain})"
        yield Line(routes[ends], domain, label=label, tooltip=said)


def _carried(stage: Stage, home: Mapping[str, str]) -> dict[Ends, tuple[Domain, str]]:
    """(box, box) -> the domain and the name of the first tensor that runs between the two."""
    carried: dict[Ends, tuple[Domain, str]] = {}
    for (tail, head), wire in stage.reel.wires[stage.number].items():
        ends = home[tail], home[head]
        domain = stage.scene.domains.get(wire.value, Domain.OTHER)
        if ends[0] != ends[1] and (ends not in carried or carried[ends][0] is Domain.OTHER):
            carried[ends] = domain, wire.value
    return carried


def _is_new(domain: Domain, taken: Collection[Domain]) -> bool:
    """Whether a box gives out other numbers than it takes in; float is what all begins with."""
    came = _NUMBERS.intersection(taken)
    if domain not in _NUMBERS or domain in came:
        return False
    return bool(came) or domain is Domain.QUANTIZED
