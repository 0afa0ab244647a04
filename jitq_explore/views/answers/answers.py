"""`Answers`: one door to everything the page asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.details import details
from jitq_explore.views.answers.drawing import drawing
from jitq_explore.views.answers.errors import errors
from jitq_explore.views.answers.links import links
from jitq_explore.views.answers.nodes import nodes
from jitq_explore.views.answers.pages import AskError, Book, Page, RunBook
from jitq_explore.views.answers.pairs import PairBook
from jitq_explore.views.answers.plots import plot
from jitq_explore.views.answers.run import run
from jitq_explore.views.answers.steps import step, steps
from jitq_explore.views.answers.tables import table
from jitq_explore.views.answers.text import text
from jitq_explore.views.answers.what_if import answer_what_if

_ASKS: Mapping[str, tuple[Callable[..., object], frozenset[str], frozenset[str]]] = {
    "run": (run, frozenset(), frozenset()),
    "drawing": (drawing, frozenset({"stage"}), frozenset({"folds", "side"})),
    "nodes": (nodes, frozenset({"stage"}), frozenset()),
    "links": (links, frozenset({"stage"}), frozenset()),
    "details": (details, frozenset({"stage", "node"}), frozenset({"gone"})),
    "errors": (errors, frozenset({"stage"}), frozenset()),
    "plot": (plot, frozenset({"name"}), frozenset({"where", "run", "wish"})),
    "step": (step, frozenset({"stage", "number"}), frozenset()),
    "steps": (steps, frozenset({"stage"}), frozenset()),
    "table": (table, frozenset({"name"}), frozenset()),
    "text": (text, frozenset({"stage", "what"}), frozenset()),
    "what_if": (
        answer_what_if,
        frozenset({"value"}),
        frozenset({"observer", "low", "high", "dtype", "per_channel"}),
    ),
}
"""Kind -> who answers it, the arguments that it needs, and those that it may have."""


class Answers:
    """All that the page can ask, of one recording or of two that are compared.

    `kinds` names what can be asked. What has been answered is kept.
    """

    kinds = tuple(_ASKS)

    def __init__(self, book: Book) -> None:
        self.book = book

    @staticmethod
    def of(recording: Recording, before: Answers | None = None) -> Answers:
        """The answers about one recording.

        `before` are those about the same run when it was shorter: what is still true is kept.
        """
        return Answers(RunBook.of(recording, before.book if before is not None else None))

    @staticmethod
    def of_pair(one: Recording, other: Recording, names: tuple[str, str] = ("A", "B")) -> Answers:
        """The answers about two runs, compared stage by stage: `one` is before, `other` after.

        ValueError where both have one name.
        """
        if names[0] == names[1]:
            raise ValueError(f"two runs need two names, not {names[0]!r} twice")
        return Answers(PairBook.of(one, other, names))

    def answer(self, kind: str, arguments: Mapping[str, Any]) -> object:
        """The answer, as JSON; {"error": why} for what cannot be answered."""
        try:
            with collector_paused():
                return self._answer(kind, arguments)
        except AskError as error:
            return {"error": str(error)}
        except Exception as error:
            # One view that fails shall not take the page with it.
            return {"error": f"{type(error).__name__}: {error}"}

    def _answer(self, kind: str, arguments: Mapping[str, Any]) -> object:
        if kind not in _ASKS:
            raise AskError(f"unknown kind {kind!r} (must be one of {list(_ASKS)})")
        answerer, needed, possible = _ASKS[kind]
        unknown = sorted(arguments.keys() - needed - possible)
        if unknown:
            valid = sorted(needed | possible)
            raise AskError(f"unknown arguments {unknown} of {kind!r} (must be of {valid})")
        missing = sorted(needed - arguments.keys())
        if missing:
            raise AskError(f"{kind!r} needs the arguments {missing}")
        given = dict(arguments)
        if "stage" in needed:
            given["stage"] = self._page(given["stage"])
        return answerer(self.book, **given)

    def _page(self, stage: object) -> Page:
        page = self.book.pages.get(stage) if isinstance(stage, str) else None
        if page is None:
            raise AskError(f"unknown stage {stage!r} (must be one of {list(self.book.pages)})")
        return page
