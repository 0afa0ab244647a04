"""All that the page in a file will ask for, answered; of fold states what there is room for."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitq_explore.views.answers import Answers
from jitq_explore.views.cards import Side
from jitq_explore.views.folds import Folding, Folds
from jitq_explore.views.html.fold_states import states_worth_having
from jitq_explore.views.render import RenderError

DRAWINGS_BYTES = 600_000
"""The room for drawings in fold states that nobody asked for, as they stand in the file."""

BOXES_LAID_OUT = 600
"""How many boxes may be laid out for them: a measure of the time, but one that is the same on every
machine and every day, so that the file is too."""

_ALWAYS = 2
"""So many states are there in any case: the default, and all folded."""

_HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass
class Contents:
    """The answers by their keys, and the fold states that there are drawings of."""

    answers: dict[str, Any] = field(default_factory=dict)
    states: list[list[str]] = field(default_factory=list)


def answer_key(kind: str, arguments: Mapping[str, object]) -> str:
    """What the page looks an answer up by: as `JSON.stringify` writes the arguments, sorted."""
    ordered = dict(sorted(arguments.items()))
    written = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    return f"{kind} " + _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", written)


def contents_of(answers: Answers) -> Contents:
    """All answers, drawings in as many fold states as there is room for."""
    collecting = _Collecting(answers)
    collecting.facts()
    collecting.drawings()
    return collecting.found


class _Collecting:
    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.found = Contents()
        self.run = self.keep("run")
        self.stages: list[str] = [stage["name"] for stage in self.run["stages"]]

    def keep(self, kind: str, **arguments: object) -> Any:
        """The answer, which is put in the file."""
        answer = self.answers.answer(kind, arguments)
        self.found.answers[answer_key(kind, arguments)] = answer
        return answer

    def facts(self) -> None:
        """All but the drawings."""
        for tab in self.run["tabs"]:
            self.keep("table", name=tab["name"])
        for stage in self.stages:
            self.keep("links", stage=stage)
            for what in ("ir", "code"):
                self.keep("text", stage=stage, what=what)
            for node in self.keep("nodes", stage=stage):
                self.keep("details", stage=stage, node=node["id"], gone=node["gone"])

    def drawings(self) -> None:
        """In the default state first; in others where stages can be drawn at all."""
        self._draw(self.stages, None)
        try:
            layouts = self._layouts()
        except RenderError:
            return  # the drawings say why
        for folding, default, stages in layouts:
            self._draw_states(folding, default, stages, len(layouts))

    def _layouts(self) -> list[tuple[Folding, Folds, list[str]]]:
        """What can be folded, the default state, and the stages that share a layout."""
        found: dict[int, tuple[Folding, Folds, list[str]]] = {}
        for stage in self.stages:
            film = self.answers.book.film(stage, None)
            known = found.setdefault(id(film.reel), (Folding.of(film.reel), film.folds, []))
            known[2].append(stage)
        return list(found.values())

    def _draw_states(
        self, folding: Folding, default: Folds, stages: Sequence[str], shares: int
    ) -> None:
        known: set[str] = set()
        size, boxes = 0.0, 0
        for number, state in enumerate(states_worth_having(folding, default)):
            boxes += len(folding.stands(state))
            if number >= _ALWAYS and boxes > BOXES_LAID_OUT / shares:
                break
            drawn = self._draw(stages, sorted(state))
            if sorted(state) not in self.found.states:
                self.found.states.append(sorted(state))
            size += _size(drawn, known)
            if size > DRAWINGS_BYTES / shares:
                break

    def _draw(self, stages: Sequence[str], folds: list[str] | None) -> list[Any]:
        return [
            self.keep("drawing", stage=stage, folds=folds, side=str(side))
            for stage in stages
            for side in Side
        ]


def _size(drawings: Sequence[Any], known: set[str]) -> float:
    """About how much longer the file becomes by these drawings; lines in `known` are shared."""
    lines = {line for drawing in drawings for line in drawing["svg"].split("\n")} - known
    known |= lines
    rest = {json.dumps([drawing["boxes"], drawing["gone"]]) for drawing in drawings}
    return len(zlib.compress("\n".join(sorted(lines | rest)).encode())) * 4 / 3
