"""What the explorer shows at a moment, as a frozen object with its moves. No ipywidgets here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from jitq_explore.snapshots.recording import INPUT

SIDES = ("union", "both")
"""How a stage is drawn: before and after as one drawing, or as two side by side."""

REACHES = (None, 0, 1, 2)
"""How far from a change a node may lie and not be faint, in hops; None: however far."""

Links = Callable[[str], Mapping[str, Mapping[str, Sequence[str]]]]
"""Stage -> `{"forward": {old id: [new ids]}, "back": {new id: [old ids]}}`."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChosenNode:
    """A node of a stage: of the graph after it, or, if `gone`, one of before that it took away."""

    stage: str
    id: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What is shown, out of the stages that there are ("input" first).

    `stage` is the chosen one (default: the first), `node` the node whose details are shown. `folds`
    are the paths of what is folded (None: what the drawing thinks best), `side` and `reach` as in
    `SIDES` and `REACHES`. `query` are the words looked for, `module` narrows tables to a module,
    `tab` names what stands beneath the drawing, `errors` says whether boxes have the colours of
    what is lost in them. ValueError says what is wrong and what is valid.
    """

    stages: tuple[str, ...]
    stage: str = ""
    node: ChosenNode | None = None
    folds: tuple[str, ...] | None = None
    side: str = "union"
    reach: int | None = None
    query: str = ""
    module: str = ""
    tab: str = "details"
    errors: bool = False

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("there is no stage to choose from")
        if not self.stage:
            object.__setattr__(self, "stage", self.stages[0])
        _one_of(self.stages, "stage", self.stage)
        _one_of(SIDES, "side", self.side)
        _one_of(REACHES, "reach", self.reach)
        _one_of((False, True), "errors", self.errors)
        if self.node is not None:
            _one_of(self.stages, "stage of the node", self.node.stage)

    # Stages ---------------------------------------------------------------------------------------

    @property
    def index(self) -> int:
        """The number of the chosen stage, from 0."""
        return self.stages.index(self.stage)

    @property
    def is_first(self) -> bool:
        """Whether there is no stage before the chosen one."""
        return self.index == 0

    @property
    def is_last(self) -> bool:
        """Whether there is no stage after the chosen one."""
        return self.index == len(self.stages) - 1

    def next(self) -> Selection:
        """One stage on; the same at the end."""
        return self if self.is_last else replace(self, stage=self.stages[self.index + 1])

    def previous(self) -> Selection:
        """One stage back; the same at the beginning."""
        return self if self.is_first else replace(self, stage=self.stages[self.index - 1])

    def last(self) -> Selection:
        """The newest stage."""
        return replace(self, stage=self.stages[-1])

    def choose(self, stage: str) -> Selection:
        """The stage of that name; ValueError, which lists the stages, for a name that is none."""
        return replace(self, stage=_one_of(self.stages, "stage", stage))

    def with_stages(self, stages: Sequence[str]) -> Selection:
        """Over other stages, as when a run goes on; what is gone gives way to the last stage."""
        stages = tuple(stages)
        stage = self.stage if self.stage in stages else stages[-1]
        node = self.node if self.node and self.node.stage in stages else None
        return replace(self, stages=stages, stage=stage, node=node)

    # Nodes ----------------------------------------------------------------------------------------

    def select(self, node: str, *, gone: bool = False) -> Selection:
        """A node of the chosen stage, or, if `gone`, one that the stage took away."""
        return replace(self, node=ChosenNode(self.stage, node, gone))

    def clear(self) -> Selection:
        """No node."""
        return replace(self, node=None)

    def follow(self, links: Links) -> Selection:
        """The chosen node at the chosen stage, found from stage to stage; none if it is not there.

        Of several that a node became, or was made of, the first.
        """
        return replace(self, node=self.node and self._followed(self.node, links))

    def _followed(self, node: ChosenNode, links: Links) -> ChosenNode | None:
        at, here = self.stages.index(node.stage), self.index
        if at == here:
            return node
        found: str | None = node.id
        if node.gone:
            at -= 1
        for stage in self.stages[at + 1 : here + 1]:
            before, found = found, _first(links(stage).get("forward", {}), found)
            if found is None:
                return ChosenNode(stage, str(before), gone=True) if stage == self.stage else None
        for stage in reversed(self.stages[here + 1 : at + 1]):
            found = _first(links(stage).get("back", {}), found)
        return ChosenNode(self.stage, found) if found is not None else None

    # Folding: `shown` is what is folded in fact where the selection leaves that to the drawing ----

    def fold(self, path: str, shown: Iterable[str] = ()) -> Selection:
        """With one more module or block folded."""
        return self.fold_all({*self._folds(shown), path})

    def unfold(self, path: str, shown: Iterable[str] = ()) -> Selection:
        """With that one open; ValueError, which lists what is folded, where it is not."""
        folded = self._folds(shown)
        _one_of(folded, "folded path", path)
        return self.fold_all(folded - {path})

    def fold_all(self, paths: Iterable[str]) -> Selection:
        """With these folded and no others; none at all unfolds everything."""
        return replace(self, folds=tuple(sorted(set(paths))))

    def _folds(self, shown: Iterable[str]) -> set[str]:
        return set(shown if self.folds is None else self.folds)

    # The rest -------------------------------------------------------------------------------------

    def draw(self, side: str) -> Selection:
        """Drawn as one of `SIDES`."""
        return replace(self, side=side)

    def within(self, reach: int | None) -> Selection:
        """With what is further from any change made faint: one of `REACHES`."""
        return replace(self, reach=reach)

    def colour(self, errors: bool = True) -> Selection:
        """With the boxes coloured by what is lost in them, or as ever."""
        return replace(self, errors=errors)

    def search(self, words: str) -> Selection:
        """With what is found by these words marked; spaces around them do not count."""
        return replace(self, query=words.strip())

    def narrow(self, module: str) -> Selection:
        """With the tables of one module alone; "" for all."""
        return replace(self, module=module)

    def open(self, tab: str) -> Selection:
        """With that tab open."""
        return replace(self, tab=tab)

    # As the page has it ---------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As plain data, the page's state; without the stages."""
        node = self.node
        return {
            "stage": self.stage,
            "node": node and {"stage": node.stage, "id": node.id, "gone": node.gone},
            "folds": None if self.folds is None else list(self.folds),
            "side": self.side,
            "reach": self.reach,
            "query": self.query,
            "module": self.module,
            "tab": self.tab,
            "errors": self.errors,
        }

    @classmethod
    def from_dict(cls, stages: Sequence[str], state: Mapping[str, Any]) -> Selection:
        """The selection that `to_dict` made that of; what is missing is as at the beginning.

        ValueError for what cannot be says what is wrong and what is valid.
        """
        if not isinstance(state, Mapping):
            raise ValueError(f"the state must be a dict; got a {type(state).__name__}")
        known = [name for name in cls.__dataclass_fields__ if name != "stages"]
        for name in state:
            _one_of(known, "key of the state", name)
        given = dict(state)
        for name in ("stage", "side", "query", "module", "tab"):
            if name in given:
                _is_text(name, given[name])
        if given.get("node") is not None:
            given["node"] = _node_of(given["node"])
        if given.get("folds") is not None:
            given["folds"] = _paths_of(given["folds"])
        return cls(tuple(stages), **given)


def beginning(stages: Sequence[str], *, has_failed: bool = False) -> Selection:
    """What is shown at first: the stage that failed, else the first one after the input."""
    at_input = Selection(tuple(stages), INPUT)
    return at_input.last() if has_failed else at_input.next()


def _one_of(valid: Collection[T], what: str, given: T) -> T:
    # By type as well: True equals 1.
    if not any(type(given) is type(one) and given == one for one in valid):
        listed = sorted(map(str, valid)) if isinstance(valid, set) else list(valid)
        raise ValueError(f"unknown {what} {given!r} (must be one of {listed})")
    return given


def _is_text(name: str, given: object) -> None:
    if not isinstance(given, str):
        raise ValueError(f"{name} must be a text; got {given!r}")


def _node_of(given: object) -> ChosenNode:
    if not isinstance(given, Mapping) or not {"stage", "id"} <= set(given) <= {
        "stage",
        "id",
        "gone",
    }:
        raise ValueError(f"node must be None or have stage, id and gone; got {given!r}")
    _is_text("node's stage", given["stage"])
    _is_text("node's id", given["id"])
    return ChosenNode(given["stage"], given["id"], bool(given.get("gone", False)))


def _paths_of(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(path, str) for path in given):
        raise ValueError(f"folds must be None or a list of paths; got {given!r}")
    return tuple(sorted(set(given)))


def _first(ids: Mapping[str, Sequence[str]], node: str | None) -> str | None:
    found = ids.get(node) if node is not None else None
    return found[0] if found else None
