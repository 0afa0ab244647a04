"""All stages of a recording as one: where each node stands, from its first stage to its last.

A *place* is what keeps still while the stages change. Three decisions keep the union of all stages
small enough to be looked at:

- Nodes that a pass makes into one (conv + relu → one kernel) share one place from the start, and so
  do an op and what a pass takes away right behind it (the batch norm that is folded into its conv):
  otherwise every later stage would be full of the holes that the fused ops leave.
- What stands on a value's way without computing anything (an observer, then the quantize and
  dequantize that replace it) shares one place a value: its *gate*. A pass moves these about, but
  never changes what they stand on. A gate with both a quantize and a dequantize in it is the pair
  that dangles, if no kernel took it up.
- A gate lies in the module of the op that made the value, so that it folds away with that. The
  gates of its weights stand in the op's own box: beside it they would take half of the picture, and
  after finalize there is nothing of them left.

Places that are empty at some stage keep their room; lines pass through it (`views.routes`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jitq_explore.snapshots.diff import GraphDiff, diff_graphs
from jitq_explore.snapshots.domains import Domain, domains_of, dtypes_of
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.modules import ModuleState
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot
from jitq_explore.views.boxes import Box, Edge, Picture, Region, Role, Status
from jitq_explore.views.places import Placing, ends_of, gates_of
from jitq_explore.views.wiring import Wire, Wiring


@dataclass(frozen=True, eq=False)
class Scene:
    """One stage: its graph and what became of the graph before it (None: nothing is before).

    `modules` has the module paths of nodes that do not know their own, by their ids: kernels forget
    it, which only matters where no scene before them has what they were made of.
    """

    name: str
    graph: Graph
    diff: GraphDiff | None = None
    modules: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def wiring(self) -> Wiring:
        """What of the graph is drawn. Stages that share a graph share it."""
        found = self.graph.__dict__.setdefault("_wiring", Wiring(self.graph))
        assert isinstance(found, Wiring)
        return found

    @cached_property
    def drawn(self) -> tuple[Node, ...]:
        """The nodes that are drawn, in order."""
        folded = self.wiring.folded
        return tuple(node for node in self.graph.nodes if node.id not in folded)

    @cached_property
    def gates(self) -> frozenset[str]:
        """The ids of the nodes that only observe, quantize or dequantize a value."""
        return gates_of(self.graph)

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """Name of a value -> its domain."""
        return domains_of(self.graph)

    @cached_property
    def dtypes(self) -> Mapping[str, str]:
        """Name of a value that a quantize makes -> its element type, where that is told."""
        return dtypes_of(self.graph)

    def own_status_of(self, node: Node) -> Status:
        """That of a node of the graph, as it is counted."""
        if self.diff is None:
            return Status.SAME
        match = self.diff.match_after.get(node.id)
        if match is None:
            return Status.ADDED
        return Status.CHANGED if match.changes else Status.SAME

    def status_of(self, node: Node) -> Status:
        """That of a node of the graph, as it is drawn: a changed operand changes its user."""
        own = self.own_status_of(node)
        if own is Status.SAME and not self.changed_operands.isdisjoint(node.inputs):
            return Status.CHANGED
        return own

    def status_to_come(self, old: Node) -> Status:
        """What the stage makes of a node of the graph before it."""
        match = self.diff.match_before.get(old.id) if self.diff else None
        if match is None:
            return Status.REMOVED if self.diff else Status.SAME
        is_changed = match.changes or Status.CHANGED in map(self.status_of, match.after)
        return Status.CHANGED if is_changed else Status.SAME

    @cached_property
    def changed_operands(self) -> frozenset[str]:
        """Values that are not drawn and differ from the stage before, or are made of such.

        Equal constants that a pass made into one are still the same operand.
        """
        if self.diff is None:
            return frozenset()
        changed = {
            node.id
            for match in self.diff.changed
            if any(what != "copies" for what, _, _ in match.changes)
            for node in match.after
        }
        found: set[str] = set()
        for node in self.graph.nodes:
            is_changed = node.id in changed or not found.isdisjoint(node.inputs)
            if is_changed and node.id in self.wiring.folded:
                found.update(node.outputs)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Place:
    """A place, and where it lies: the modules and blocks around it."""

    id: str
    role: Role
    region: Region = ()


@dataclass(frozen=True, eq=False)
class Reel:
    """The scenes of a recording and the places that they share.

    `place_of` has, a scene, node id -> id of its place, `on_weights` the ids of the gates that
    stand on weights. `classes` maps the path of a module to the
    name of its class, `digests` to a digest of what it computes (modules with one and the same are
    alike as far as their code goes).
    """

    scenes: tuple[Scene, ...]
    places: tuple[Place, ...]
    place_of: tuple[Mapping[str, str], ...]
    on_weights: tuple[frozenset[str], ...]
    classes: Mapping[str, str]
    digests: Mapping[str, str]

    @staticmethod
    def of(recording: Recording) -> Reel:
        """The reel of a recording, made once."""
        found = recording.__dict__.get("_reel")
        if found is None:
            with collector_paused():
                found = recording.__dict__["_reel"] = _reel_of(recording)
        assert isinstance(found, Reel)
        return found

    @staticmethod
    def of_scenes(
        scenes: Sequence[Scene],
        classes: Mapping[str, str] | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> Reel:
        """The reel of these scenes, each of which was compared with the one before."""
        placing = Placing(scenes)
        places = tuple(Place(*spot) for spot in placing.spots())
        weights = tuple(map(frozenset, placing.on_weights))
        return Reel(tuple(scenes), places, placing.place_of, weights, classes or {}, digests or {})

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the scenes, in order."""
        return tuple(scene.name for scene in self.scenes)

    @cached_property
    def wires(self) -> tuple[Mapping[tuple[str, str], Wire], ...]:
        """A scene: (place, place) -> the first wire between the two.

        What a weight's gate hands to further ops than the one it stands with is left out, as
        constants are: weights that many ops share would tie the whole picture together.
        """
        return tuple(
            dict(_placed(scene.wiring.wires, of, weights))
            for scene, of, weights in zip(self.scenes, self.place_of, self.on_weights, strict=True)
        )

    @cached_property
    def contents(self) -> tuple[Mapping[str, tuple[Node, ...]], ...]:
        """A scene: id of a place -> the nodes that stand there, in order; ports have none."""
        found = []
        for scene, of in zip(self.scenes, self.place_of, strict=True):
            ports = [f"i-{position}" for position in scene.wiring.inputs]
            ports += [f"o-{position}" for position in range(len(scene.graph.outputs))]
            stands: dict[str, list[Node]] = {port: [] for port in ports}
            for node in scene.drawn:
                stands.setdefault(of[node.id], []).append(node)
            found.append({place: tuple(nodes) for place, nodes in stands.items()})
        return tuple(found)

    @cached_property
    def picture(self) -> Picture:
        """The union as a picture of bare boxes: for questions about its shape."""
        boxes = tuple(Box(p.id, p.role, Status.SAME, "", region=p.region) for p in self.places)
        edges: dict[tuple[str, str], Edge] = {}
        for wires in self.wires:
            for (tail, head), wire in wires.items():
                known = edges.get((tail, head))
                is_back = wire.is_back and (known is None or known.is_back)
                edges[tail, head] = Edge(tail, head, Status.SAME, is_back=is_back)
        return Picture(boxes, tuple(edges.values()))


def _reel_of(recording: Recording) -> Reel:
    scenes = [Scene(INPUT, recording.input.graph())]
    for record in recording:
        before, after = scenes[-1], record.after.graph()
        scenes.append(Scene(record.name, after, diff_graphs(before.graph, after)))
    return Reel.of_scenes(scenes, classes_of(recording.input), digests_of(recording.input))


def classes_of(snapshot: Snapshot) -> dict[str, str]:
    """Path of each module -> the name of its class."""
    return {module.path: module.short_class for module in _modules(snapshot)}


def digests_of(snapshot: Snapshot) -> dict[str, str]:
    """Path of each module -> a digest of what it computes."""
    structure = snapshot.structure
    return {
        module.path: f"{module.class_name} {structure.get((module.path, 'forward'), '')}"
        for module in _modules(snapshot)
    }


def _modules(snapshot: Snapshot) -> list[ModuleState]:
    return [module for module in snapshot.modules if not module.is_observer]


def _placed(
    wires: Sequence[Wire], place_of: Mapping[str, str], on_weights: Collection[str]
) -> Iterator[tuple[tuple[str, str], Wire]]:
    """The wires between places, each with its ends; those within one place are none."""
    for wire in reversed(wires):  # the first of several shall win
        source, target = ends_of(wire)
        tail, head = place_of.get(source, source), place_of.get(target, target)
        if tail != head and source not in on_weights:
            yield (tail, head), wire
