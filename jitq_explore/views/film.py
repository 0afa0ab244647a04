"""A recording drawn as a film: one layout for all stages, so that what does not change keeps still.

`film(recording)` lays out the union of all stages once (`views.reel` says what shares a place, and
why); `Film.svg(stage)` then draws a stage onto these positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.boxes import Region, Role, Status, region_label
from jitq_explore.views.cards import WIDTH, Card, Side, Stage
from jitq_explore.views.folds import Folding, Folds, Stand, path_of
from jitq_explore.views.geometry import Size
from jitq_explore.views.label_places import with_captions_moved
from jitq_explore.views.lines import Line, lines_of
from jitq_explore.views.paper import caption_size, size_of, svg_of_stage
from jitq_explore.views.plan import Plan, plan
from jitq_explore.views.printable import printable, shorten, shorten_end
from jitq_explore.views.reel import Reel
from jitq_explore.views.render import RenderTimeout, warm_up
from jitq_explore.views.routes import Ends, Route, route

_FEWER = (60, 30, 12)
"""How many boxes are tried in turn where a layout takes too long, or grows too wide."""

_WIDE = 1500.0
"""A film that is wider, in points, is not legible when shrunk to the width of a page."""


@dataclass(frozen=True, eq=False)
class Film:
    """All stages of a recording in one fold state.

    `folds` is what is folded (see `views.folds` for moves), `problem` says why more is folded than
    was asked for ("" where it is not).
    """

    reel: Reel
    folds: Folds
    stands: tuple[Stand, ...]
    plan: Plan
    routes: tuple[Mapping[Ends, Route], ...]
    problem: str = ""
    _drawn: dict[tuple[int, Side, int | None], str] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def _home(self) -> Mapping[str, str]:
        return _homes(self.stands)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, "input" first."""
        return self.reel.names

    @property
    def regions(self) -> Mapping[str, Region]:
        """Path -> region, of all that can be folded."""
        return Folding.of(self.reel).regions

    def svg(self, stage: str, hops: int | None = None, side: Side = Side.UNION) -> str:
        """The drawing of a stage and what it changed, as SVG text; all have the same positions.

        `hops`: what lies further than so many lines from any change is faint. KeyError names the
        stages.
        """
        key = self._number(stage), side, hops
        if key not in self._drawn:
            with collector_paused():
                self._drawn[key] = self._draw(*key)
        return self._drawn[key]

    def note(self, stage: str) -> str:
        """What the drawing of a stage does not show, in words; "" for nothing."""
        number = self._number(stage)
        cards = self._cards(number)
        groups = [card.tally.total for card in cards.values() if card.role is Role.GROUP]
        notes = [self.problem] if self.problem else []
        if groups:
            count = sum(len(stand.modules) for stand in self.stands)
            modules = f"{count} modules are" if count > 1 else "1 module is"
            # Alike neighbours share a box.
            boxes = f" into {len(groups)} box{'es' * (len(groups) > 1)}"
            where = boxes if len(groups) < count else ""
            notes.append(f"{modules} folded{where} ({sum(groups):,} nodes)")
        hidden = self._stage(number).without_box
        if hidden.status is not Status.SAME:
            notes.append(hidden.without_box)
        return "; ".join(notes)

    def box_of(self, stage: str, node: str, is_before: bool = False) -> str:
        """The id of the box that shows a node of the stage; "" where none does.

        `is_before`: the node is one of the graph before, which the stage took away.
        """
        number = self._number(stage) - is_before
        return self._home.get(self.reel.place_of[number].get(node, ""), "")

    def boxes(self, stage: str) -> dict[str, str]:
        """Id of each node of the stage's graph that is shown -> the id of its box."""
        return self._boxes(self.reel.place_of[self._number(stage)])

    def gone(self, stage: str) -> dict[str, str]:
        """The same of what the stage took away: ids of the graph before it."""
        number = self._number(stage)
        diff = self.reel.scenes[number].diff
        place_of = self.reel.place_of[number - 1] if diff else {}
        removed = diff.removed if diff else ()
        return self._boxes({n.id: place_of[n.id] for n in removed if n.id in place_of})

    def _boxes(self, place_of: Mapping[str, str]) -> dict[str, str]:
        return {node: self._home[place] for node, place in place_of.items()}

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Id of each box that stands for folded modules -> their paths, to unfold them."""
        return {s.id: tuple(map(path_of, s.modules)) for s in self.stands if s.modules}

    def nodes_of(self, stage: str, box: str) -> tuple[str, ...]:
        """The ids of the nodes of the stage's graph that the box shows."""
        contents = self.reel.contents[self._number(stage)]
        stands = (stand for stand in self.stands if stand.id == box)
        return tuple(
            node.id for s in stands for place in s.places for node in contents.get(place.id, ())
        )

    def modules_of(self, box: str) -> tuple[str, ...]:
        """The paths of the modules that the box stands for, to unfold them."""
        return tuple(path_of(m) for s in self.stands if s.id == box for m in s.modules)

    def _number(self, stage: str) -> int:
        if stage not in self.stages:
            raise KeyError(f"unknown stage {stage!r} (must be one of {list(self.stages)})")
        return self.stages.index(stage)

    def _stage(self, number: int, side: Side = Side.UNION) -> Stage:
        return _stages_of(self.reel)[number, side]

    def _cards(self, number: int, side: Side = Side.UNION) -> dict[str, Card]:
        return cards_of(self._stage(number, side), self.stands)

    def _draw(self, number: int, side: Side, hops: int | None) -> str:
        cards = self._cards(number, side)
        lines = lines_of(self._stage(number, side), self._home, self.routes, cards)
        return svg_of_stage(
            self.plan,
            cards,
            lines,
            self._captions(self._stage(number, side)),
            self._far(cards, lines, hops),
            {stand.id: len(stand.modules) for stand in self.stands},
        )

    def _captions(self, stage: Stage) -> dict[str, tuple[str, ...]]:
        tallies = captions_of(stage)
        return {
            frame.id: tallies[frame.region] for frame in self.plan.frames if frame.region in tallies
        }

    def _far(
        self, cards: Mapping[str, Card], lines: Iterable[Line], hops: int | None
    ) -> frozenset[str]:
        if hops is None:
            return frozenset()
        near = {box for box, card in cards.items() if card.status is not Status.SAME}
        for _ in range(hops if near else 0):
            ends = [(line.route[0], line.route[-1]) for line in lines]
            near |= {b for pair in ends if near.intersection(pair) for b in pair}
        return frozenset(cards.keys() - near) if near else frozenset()


def film(recording: Recording, folds: Folds | None = None, timeout: float = 10.0) -> Film:
    """The film of a recording in a fold state (default: what shows most and is still legible).

    `timeout` is how long the layout may take, in seconds: what is not ready by half of it is laid
    out with more folded, and `problem` says so. RenderError where there is no Graphviz,
    RenderTimeout where not even everything folded could be laid out. Made once for each state.
    """
    warm_up()
    reel = Reel.of(recording)
    known: dict[Folds | None, Film] = reel.__dict__.setdefault("_films", {})
    if folds not in known:
        with collector_paused():
            known[folds] = film_of(reel, folds, timeout)
    return known[folds]


def film_of(reel: Reel, folds: Folds | None = None, timeout: float = 10.0) -> Film:
    """As `film`, of a reel; not kept."""
    folding = Folding.of(reel)
    wanted = folding.default() if folds is None else folds
    states = chain((wanted,), map(folding.default, _FEWER), (folding.everything(),))
    found: Film | None = None
    error: RenderTimeout | None = None
    patience, problem = timeout / 2, ""
    for state in _ever_fewer(folding, states):
        stands = folding.stands(state)
        try:
            found = _laid_out(reel, state, stands, patience, problem)
        except RenderTimeout as late:
            error = late
            problem = _too_late(len(stands), patience)
        else:
            if folds is not None or found.plan.width <= _WIDE:
                break
        patience /= 2
    if found is None:
        raise error or RenderTimeout("there was nothing to lay out")
    return found


def _ever_fewer(folding: Folding, states: Iterable[Folds]) -> Iterator[Folds]:
    """The states, without those that show no less than one before."""
    least = None
    for state in states:
        count = len(folding.stands(state))
        if least is None or count < least:
            least = count
            yield state


def _too_late(boxes: int, seconds: float) -> str:
    return (
        f"laying out {boxes} boxes took longer than {seconds:g} s, so more is folded than asked for"
    )


def _laid_out(
    reel: Reel, folds: Folds, stands: tuple[Stand, ...], timeout: float, problem: str
) -> Film:
    stages = _stages_of(reel)
    home = _homes(stands)
    edges = [
        {(home[t], home[h]) for t, h in wires if home[t] != home[h]} for wires in reel.wires
    ]  # fmt: skip
    unions = [stage for (_, side), stage in stages.items() if side is Side.UNION]
    present = [{s.id for s in stands if union.is_there(s)} for union in unions]
    order = Folding.of(reel).flow.position
    position = {s.id: min(order[place.id] for place in s.places) for s in stands}
    lines, routes = route(edges, present, position)
    back = frozenset(
        (home[edge.tail], home[edge.head]) for edge in reel.picture.edges if edge.is_back
    )
    laid = plan(
        stands,
        _sizes(stages.values(), stands),
        lines,
        back,
        _caption_sizes(unions),
        timeout,
    )
    return Film(reel, folds, stands, with_captions_moved(laid), routes, problem)


def _stages_of(reel: Reel) -> Mapping[tuple[int, Side], Stage]:
    """The stages, seen from all sides, made once: whatever is folded, they are the same."""
    found = reel.__dict__.get("_stages")
    if found is None:
        numbers = range(len(reel.scenes))
        found = {(n, side): Stage.seen(reel, n, side) for n in numbers for side in Side}
        reel.__dict__["_stages"] = found
    assert isinstance(found, dict)
    return found


def cards_of(stage: Stage, stands: Iterable[Stand]) -> dict[str, Card]:
    """Id of each box that is there, or was before -> what is written in it."""
    cards = ((stand.id, _card(stage, stand)) for stand in stands)
    return {box: card for box, card in cards if card is not None}


def _card(stage: Stage, stand: Stand) -> Card | None:
    """Made once: most boxes are there in many fold states."""
    key = stand.id, len(stand.places)  # a row of alike modules is called as its first
    if key not in stage.cards:
        stage.cards[key] = stage.card(stand, Folding.of(stage.reel))
    return stage.cards[key]


def captions_of(stage: Stage) -> dict[Region, tuple[str, ...]]:
    """What is written on the frame of each region of which anything is there, in lines."""
    if stage.captions is None:
        stage.captions = _captions_of(stage)
    return stage.captions


def _captions_of(stage: Stage) -> dict[Region, tuple[str, ...]]:
    folding = Folding.of(stage.reel)
    found = {}
    for path, region in folding.regions.items():
        tally = stage.tally(folding.places[region])
        if tally.total:
            kind = printable(stage.reel.classes.get(path, ""))
            count = f"{tally.total:,} node{'s' * (tally.total != 1)}"
            alike = folding.count_alike(region)
            lines = (
                shorten(printable(region_label(region)), WIDTH),
                shorten_end(kind, WIDTH),
                tally.signs,
                f"of {count}" if tally.signs else count,
                f"×{alike} alike" if alike > 1 else "",
            )
            found[region] = tuple(filter(None, lines))
    return found


def _sizes(stages: Iterable[Stage], stands: tuple[Stand, ...]) -> dict[str, tuple[float, float]]:
    """For each box what it needs at any stage."""
    sizes: dict[str, tuple[float, float]] = {}
    for stage in stages:
        for box, card in cards_of(stage, stands).items():
            width, height = size_of(card)
            known = sizes.get(box, (0.0, 0.0))
            sizes[box] = max(known[0], width), max(known[1], height)
    return {**{stand.id: (10.0, 10.0) for stand in stands}, **sizes}


def _caption_sizes(stages: Iterable[Stage]) -> dict[Region, Size]:
    sizes: dict[Region, Size] = {}
    for stage in stages:
        for region, caption in captions_of(stage).items():
            wide, high = sizes.get(region, (0.0, 0.0))
            width, height = caption_size(caption)
            sizes[region] = max(wide, width), max(high, height)
    return sizes


def _homes(stands: Iterable[Stand]) -> dict[str, str]:
    return {place.id: stand.id for stand in stands for place in stand.places}
