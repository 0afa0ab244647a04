"""Which node stands at which place, at every stage (see `views.reel` for what a place is)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.domains import is_dequantize, is_quantize
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.views.boxes import Level, Region, Role
from jitq_explore.views.regions import below, blocks_of, common
from jitq_explore.views.wiring import Wire

if TYPE_CHECKING:
    from jitq_explore.views.reel import Scene

Spot: TypeAlias = tuple[str, Role, Region]
"""Id, role and region of a place."""

_CROWD = 40
"""More places side by side than this, in one module, are put into made-up parts."""

_PARTS, _PART = 25, 20
"""Into about so many parts, none of which holds fewer places than this."""


def gates_of(graph: Graph) -> frozenset[str]:
    """The ids of the nodes that only stand on a value's way: observe, quantize or dequantize it.

    So do those that measure a value for a quantize, or ask a quantized one how it was quantized,
    and those around a number (the 6 of a relu6) that is quantized like the value beside it.
    """
    found = {node.id for node in graph.nodes if _is_gate(node)}
    for node in graph.nodes:
        if node.kind in ("prim::dtype", "aten::scalar_tensor"):
            users = [user.id for name in node.outputs for user in graph.consumers.get(name, ())]
            if users and found.issuperset(users):
                found.add(node.id)
        elif node.kind == "aten::item":
            maker = graph.producers.get(node.inputs[0])
            if maker is not None and is_dequantize(maker):
                found.add(node.id)
    return frozenset(found)


def _is_gate(node: Node) -> bool:
    is_measure = node.kind.startswith(("aten::_choose_qparams", "aten::q_"))
    return node.is_observer or is_measure or is_quantize(node) or is_dequantize(node)


def ends_of(wire: Wire) -> tuple[str, str]:
    """The ids of the nodes that it joins; of ports "i-0", "o-0"."""
    tail = wire.tail.id if isinstance(wire.tail, Node) else f"i-{wire.tail}"
    head = wire.head.id if isinstance(wire.head, Node) else f"o-{wire.head}"
    return tail, head


class Tracks:
    """The ops, followed from scene to scene by their matches. Those of one place share a root."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.parent: list[int] = []
        self.regions: list[Region] = []
        self.roles: list[Role] = []
        self.of: list[dict[str, int]] = []
        for scene in scenes:
            self.of.append(self._follow(scene, self.of[-1] if self.of else {}))
        for before, scene, of in zip(scenes, scenes[1:], self.of, strict=False):
            self._join_what_goes(before, scene, of)

    def root(self, track: int) -> int:
        """The track that stands for all that share a place with this one."""
        while self.parent[track] != track:
            self.parent[track] = self.parent[self.parent[track]]
            track = self.parent[track]
        return track

    def _join(self, tracks: Iterable[int]) -> int:
        first, *others = sorted({self.root(track) for track in tracks})
        for other in others:
            self.parent[other] = first
        return first

    def _follow(self, scene: Scene, old: Mapping[str, int]) -> dict[str, int]:
        """Node id -> track, for the ops of a scene."""
        matches: Mapping[str, Match] = scene.diff.match_after if scene.diff else {}
        folded = scene.wiring.folded
        found: dict[str, int] = {}
        around: dict[str, Region] = {"": ()}
        for node in scene.graph.nodes:
            region = around.get(node.block, ())
            name = ""
            if node.id not in folded and node.id not in scene.gates:
                track = self._known(node, matches.get(node.id), old)
                if track is None:
                    path = node.module_path or scene.modules.get(node.id, "")
                    track = self._begin(node, below(region, path))
                found[node.id] = track
                region, name = self.regions[track], f"p-{track}"
            if node.blocks:
                around.update(blocks_of(scene.graph, node, name, region))
        return found

    def _known(self, node: Node, match: Match | None, old: Mapping[str, int]) -> int | None:
        """The track of what the node was made of; of several copies only the first keeps it."""
        if match is None or match.after[0].id != node.id:
            return None
        tracks = [old[before.id] for before in match.before if before.id in old]
        return self._join(tracks) if tracks else None

    def _begin(self, node: Node, region: Region) -> int:
        self.parent.append(len(self.parent))
        self.regions.append(region)
        self.roles.append(Role.CHOICE if node.blocks else Role.OPERATION)
        return len(self.parent) - 1

    def _join_what_goes(self, before: Scene, scene: Scene, of: Mapping[str, int]) -> None:
        """What goes away shares the place of the op before it, where only it uses that op.

        A module that goes away as a whole (a batch norm, with all that is around it in a script)
        counts as one.
        """
        gone = _gone(scene.diff) & of.keys() if scene.diff else set()
        tails: dict[str, set[str]] = {}
        heads: dict[str, set[str]] = {}
        for tail, head in map(ends_of, before.wiring.wires if gone else ()):
            tails.setdefault(head, set()).add(tail)
            heads.setdefault(tail, set()).add(head)
        nodes = before.graph.by_id
        for part in self._parts(gone, of):
            sources = {tail for each in part for tail in tails.get(each, ())} - part
            source = sources.pop() if len(sources) == 1 else ""
            is_op = source in of and source not in gone
            if is_op and heads[source] <= part and nodes[source].block == _outer(part, nodes):
                self._join(of[each] for each in (source, *part))

    def _parts(self, gone: set[str], of: Mapping[str, int]) -> list[set[str]]:
        """The ops that go away, those of a module that goes as a whole together."""
        stay = {_module(self.regions[track]) for node, track in of.items() if node not in gone}
        parts: dict[Hashable, set[str]] = {}
        for node in sorted(gone):
            module = _module(self.regions[of[node]])
            parts.setdefault(node if module in stay or not module else module, set()).add(node)
        return list(parts.values())


def _gone(diff: GraphDiff) -> set[str]:
    """Ids of the nodes that a stage takes away; those it folds into an op of another kind too."""
    folded = (
        node
        for match in diff.matched
        if match.before[0].kind == match.after[0].kind
        for node in match.before[1:]
    )
    return {node.id for node in (*diff.removed, *folded)}


def _module(region: Region) -> Region:
    """The innermost module of the region, blocks aside."""
    return tuple(level for level in region if not level.is_block)


def _outer(part: Iterable[str], nodes: Mapping[str, Node]) -> str:
    """The block that all of the part lies in; "?" where there is none."""
    blocks = {nodes[each].block for each in part}
    own = {block for each in part for block in nodes[each].blocks}
    return (blocks - own).pop() if len(blocks - own) == 1 else "?"


class Placing:
    """Gives every drawn node of every scene its place.

    `on_weights` has, a scene, the ids of the gates that stand on weights and other constants.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self.tracks = Tracks(scenes)
        self.region = self._regions()
        self.gates: dict[Hashable, Spot] = {}
        self.on_weights: list[set[str]] = []
        self.place_of = tuple(
            self._places_of(scene, of) for scene, of in zip(scenes, self.tracks.of, strict=True)
        )

    def spots(self) -> tuple[Spot, ...]:
        """All places, roughly in the order of the data."""
        ops = {
            f"p-{root}": (f"p-{root}", self.tracks.roles[root], region)
            for root, region in self.region.items()
        }
        gates = {spot[0]: spot for spot in self.gates.values()}
        used = (place for of in self.place_of for place in of.values())
        inner = [ops.get(place) or gates[place] for place in dict.fromkeys(used)]
        return (*self._ports(Role.INPUT), *without_crowds(inner), *self._ports(Role.OUTPUT))

    def _ports(self, role: Role) -> Iterator[Spot]:
        positions: set[int] = set()
        for scene in self.scenes:
            is_input = role is Role.INPUT
            positions.update(
                scene.wiring.inputs if is_input else range(len(scene.graph.outputs))
            )  # fmt: skip
        return ((f"{role[0]}-{position}", role, ()) for position in sorted(positions))

    def _regions(self) -> dict[int, Region]:
        """Root -> region: what all tracks of the place share, without modules of a single op."""
        shared: dict[int, Region] = {}
        for track, region in enumerate(self.tracks.regions):
            root = self.tracks.root(track)
            shared[root] = common((shared[root], region)) if root in shared else region
        worth_a_frame = set(self._joined_within(shared))
        for root, region in shared.items():
            while region and region not in worth_a_frame and not region[-1].is_block:
                region = region[:-1]
            shared[root] = region
        return shared

    def _joined_within(self, shared: Mapping[int, Region]) -> Iterator[Region]:
        """The regions in which data goes from one op to another."""
        for scene, of in zip(self.scenes, self.tracks.of, strict=True):
            for tail, head in map(ends_of, scene.wiring.wires):
                if tail in of and head in of:
                    ends = self.tracks.root(of[tail]), self.tracks.root(of[head])
                    both = common((shared[ends[0]], shared[ends[1]]))
                    if ends[0] != ends[1]:
                        yield from (both[:depth] for depth in range(1, len(both) + 1))

    def _places_of(self, scene: Scene, of: Mapping[str, int]) -> dict[str, str]:
        """Node id -> id of its place."""
        self.on_weights.append(set())
        return {
            node.id: f"p-{self.tracks.root(of[node.id])}"
            if node.id in of
            else self._gate_of(scene, node, of)
            for node in scene.drawn
        }

    def _gate_of(self, scene: Scene, node: Node, of: Mapping[str, int]) -> str:
        """The place of a gate: one a value; that of the op that takes it where it is a weight."""
        source: Node | int | None = node
        value = ""
        while isinstance(source, Node) and source.id in scene.gates:
            value = source.inputs[0]
            source = scene.wiring.source(value)
        if isinstance(source, Node):
            root = self.tracks.root(of[source.id])
            index = source.outputs.index(value) if value in source.outputs else 0
            return self._gate(("output", root, index), self.region[root])
        if source is not None:
            return self._gate(("input", source), ())
        self.on_weights[-1].add(node.id)
        user = self._user(scene, node, of)
        return f"p-{user}" if user is not None else self._gate((scene.name, node.id), ())

    def _gate(self, key: Hashable, region: Region) -> str:
        spot = self.gates.setdefault(key, (f"g-{len(self.gates)}", Role.OBSERVER, region))
        return spot[0]

    def _user(self, scene: Scene, node: Node, of: Mapping[str, int]) -> int | None:
        """The root of the first op that takes what a gate makes, right away or over others."""
        ahead, seen = [node], {node.id}
        while ahead:
            gate = ahead.pop()
            for user in (u for v in gate.outputs for u in scene.graph.consumers.get(v, ())):
                if user.id in of:
                    return self.tracks.root(of[user.id])
                if user.id not in seen and user.id in scene.gates:
                    seen.add(user.id)
                    ahead.append(user)
        return None


def without_crowds(spots: Sequence[Spot]) -> list[Spot]:
    """Where very many places lie in one region, parts of it as regions of their own."""
    crowd: dict[Region, int] = {}
    for _, _, region in spots:
        crowd[region] = crowd.get(region, 0) + 1
    count: dict[Region, int] = {}
    found = []
    for name, role, region in spots:
        here = region
        if crowd[region] > _CROWD:
            number = count[region] = count.get(region, -1) + 1
            size = max(_PART, -(-crowd[region] // _PARTS))
            part = number // size
            first, last = part * size + 1, min((part + 1) * size, crowd[region])
            here = (*region, Level(f"~{part}", f"nodes {first}–{last}"))
        found.append((name, role, here))
    return found
