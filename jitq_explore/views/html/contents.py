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
from jitq_explore.views.printable import printable
from jitq_explore.views.render import RenderError

DRAWINGS_BYTES = 600_000
"""The room for drawings in fold states that nobody asked for, as they stand in the file."""

BOXES_LAID_OUT = 520
"""How many boxes may be laid out for them: a measure of the time, but one that is the same on every
machine and every day, so that the file is too."""

PLOTS_BYTES = 200_000
"""The room for the plots in the details of nodes."""

PLOTS_DRAWN = 120
"""How many of them may be drawn: each takes about 50 ms."""

PLOTS = ("histogram", "timeline", "channels")
"""In the order in which they are worth their room."""

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
        self.run = self.keep("run")  # now that every table is known to have so many rows
        values = set()
        plots: dict[str, Mapping[str, Any]] = {}
        for tab in self.run["plotTabs"]:
            for ask in (*tab["plots"], *tab["widePlots"]):
                self.keep("plot", **ask)
        for stage in self.stages:
            self.keep("links", stage=stage)
            self.keep("errors", stage=stage)
            for number in range(len(self.keep("steps", stage=stage)["steps"])):
                self.keep("step", stage=stage, number=number)
            for what in ("ir", "code"):
                self.keep("text", stage=stage, what=what)
            for node in self.keep("nodes", stage=stage):
                details = self.keep("details", stage=stage, node=node["id"], gone=node["gone"])
                sections = details["sections"]
                values |= {part["value"] for part in sections if part["type"] == "whatIf"}
                asks = (part["ask"] for part in sections if part["type"] == "plot")
                plots |= {answer_key("plot", ask): ask for ask in asks}
        for value in sorted(values):
            self.keep("what_if", value=value)
        self._draw_plots(list(plots.values()))

    def _draw_plots(self, asks: Sequence[Mapping[str, Any]]) -> None:
        """Those in the details of nodes, of every value one before of any a second: what is left
        out for want of room, a notebook draws."""
        known: set[str] = set()
        size = 0.0
        for ask in sorted(asks, key=lambda ask: PLOTS.index(ask["name"]))[:PLOTS_DRAWN]:
            # What cannot be drawn has an error in its place.
            size += _packed_size([self.keep("plot", **ask).get("svg", "")], "<", known)
            if size > PLOTS_BYTES:
                break

    def drawings(self) -> None:
        """In the default state first; in others where there can be any drawing at all."""
        self._draw(None)
        try:
            films = [self.answers.book.film(stage, None) for stage in self.stages]
        except RenderError:
            return  # the drawings say why
        # Where two runs are compared each stage has a layout of its own, else they share one.
        foldings = list({id(film.reel): Folding.of(film.reel) for film in films}.values())
        richest = max(films, key=lambda film: len(film.regions))
        self._draw_states(foldings, Folding.of(richest.reel), richest.folds)

    def _draw_states(self, foldings: Sequence[Folding], richest: Folding, default: Folds) -> None:
        known: set[str] = set()
        size, boxes = 0.0, 0
        for number, state in enumerate(states_worth_having(richest, default)):
            boxes += sum(len(folding.stands(state)) for folding in foldings)
            if number >= _ALWAYS and boxes > BOXES_LAID_OUT:
                break
            paths = sorted(map(printable, state))  # as the page knows them
            self.found.states.append(paths)
            size += _size(self._draw(paths), known)
            if number + 1 >= _ALWAYS and size > DRAWINGS_BYTES:
                break

    def _draw(self, folds: list[str] | None) -> list[Any]:
        return [
            self.keep("drawing", stage=stage, folds=folds, side=str(side))
            for stage in self.stages
            for side in Side
        ]


def _size(drawings: Sequence[Any], known: set[str]) -> float:
    """About how much longer the file becomes by these drawings; lines in `known` are shared."""
    texts = [drawing["svg"] for drawing in drawings]
    rest = [json.dumps([drawing["boxes"], drawing["gone"]]) for drawing in drawings]
    return _packed_size(texts, "\n", known, rest)


def _packed_size(
    texts: Sequence[str], mark: str, known: set[str], more: Sequence[str] = ()
) -> float:
    """The same of texts, which are shared in the parts that the mark makes of them."""
    parts = {part for text in texts for part in text.split(mark)} - known
    known |= parts
    return len(zlib.compress("\n".join(sorted({*parts, *more})).encode())) * 4 / 3
