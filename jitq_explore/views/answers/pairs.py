"""Two runs side by side, as a book: at each stage the graph of the one and that of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jitq_explore.snapshots.lineage import module_of
from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.views.answers.pages import Page
from jitq_explore.views.film import Film, film_of
from jitq_explore.views.folds import Folds
from jitq_explore.views.reel import Reel, Scene, classes_of, digests_of


@dataclass(frozen=True, eq=False)
class PairBook:
    """Stages of the same name are compared; a page that only one run has is shown alone."""

    runs: tuple[Recording, Recording]
    run_names: tuple[str, str]
    pages: Mapping[str, Page]
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(one: Recording, other: Recording, names: tuple[str, str]) -> PairBook:
        """The pages of both runs, in an order that suits both."""
        pages = {name: _page(name, one, other, names) for name in merged_names(one, other)}
        return PairBook((one, other), names, pages)

    def film(self, stage: str, folds: Folds | None) -> Film:
        """A layout for each stage: of the one graph and the other."""
        key = "film", stage, folds
        if key not in self.kept:
            self.kept[key] = film_of(self._reel(stage), folds)
        found: Film = self.kept[key]
        return found

    def _reel(self, stage: str) -> Reel:
        key = "reel", stage
        if key not in self.kept:
            page = self.pages[stage]
            last = self.runs[0 if page.only == self.run_names[0] else 1]
            scenes = [replace(page.scene, modules=_forgotten(last, stage))]
            if page.before is not None:
                first = f"{stage} of {self.run_names[0]}"
                known = _forgotten(self.runs[0], stage)
                scenes.insert(0, Scene(first, page.before.graph(), modules=known))
            given = last.input
            self.kept[key] = Reel.of_scenes(scenes, classes_of(given), digests_of(given))
        found: Reel = self.kept[key]
        return found

    def origin(self, stage: str, gone: bool) -> tuple[Recording, str]:
        """What only the first run has is from there; all else from the second."""
        is_first = gone or self.pages[stage].only == self.run_names[0]
        return self.runs[0 if is_first else 1], stage


def _forgotten(recording: Recording, stage: str) -> Mapping[str, str]:
    """Id of each op that does not know its module (a kernel) -> the one of what it was made of."""
    ops = (node for node in recording.snapshot(stage).graph().nodes if not node.is_constant)
    return {op.id: module_of(recording, stage, op) for op in ops if not op.module_path}


def merged_names(one: Recording, other: Recording) -> Iterator[str]:
    """The stages of both, each once; what only the second has stands behind what it follows."""
    waiting = list(other.names)
    yield INPUT
    for name in one.names:
        if name in waiting:
            place = waiting.index(name)
            yield from waiting[:place]
            del waiting[: place + 1]
        yield name
    yield from waiting


def _page(name: str, one: Recording, other: Recording, names: tuple[str, str]) -> Page:
    runs = [(run, mine) for run, mine in zip(names, (one, other), strict=True) if _has(mine, name)]
    both = tuple((run, mine[name]) for run, mine in runs if name != INPUT)
    snapshots = [mine.snapshot(name) for _, mine in runs]
    if len(runs) == 1:
        return Page(name, snapshots[0], both=both, only=runs[0][0])
    return Page(name, snapshots[1], snapshots[0], names, both=both)


def _has(recording: Recording, name: str) -> bool:
    return name == INPUT or name in recording
