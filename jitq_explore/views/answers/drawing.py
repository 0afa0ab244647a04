"""The drawing of a stage: its SVG, and which node is shown by which of its boxes."""

from __future__ import annotations

from typing import Any

from jitq_explore.views.answers.pages import AskError, Book, Page
from jitq_explore.views.boxes import region_path
from jitq_explore.views.cards import Side
from jitq_explore.views.film import Film
from jitq_explore.views.folds import Folding, Folds
from jitq_explore.views.printable import printable
from jitq_explore.views.render import RenderError


def drawing(
    book: Book, stage: Page, folds: object = None, side: object = Side.UNION
) -> dict[str, object]:
    """The answer to "drawing"."""
    if not isinstance(side, str) or side not in tuple(Side):
        raise AskError(f"unknown side {side!r} (must be one of {[str(each) for each in Side]})")
    wanted = _folds(folds)
    key = "drawing", wanted if _layout_is_shared(book) else (wanted, stage.name)
    if key in book.kept:
        return _no_drawing(wanted, book.kept[key])
    try:
        film = book.film(stage.name, _known(book, stage, wanted))
        return _drawn(film, stage, Side(side))
    except Exception as error:
        # Whatever is wrong with a drawing, the text and the tables shall still be shown.
        book.kept[key] = _said(error)
        return _no_drawing(wanted, book.kept[key])


def _layout_is_shared(book: Book) -> bool:
    return len(book.runs) == 1


def _folds(given: object) -> Folds | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(path, str) for path in given):
        raise AskError(f"folds must be null or a list of paths, not {given!r}")
    return frozenset(given)


def _known(book: Book, stage: Page, wanted: Folds | None) -> Folds | None:
    """The regions that are meant: the page knows their paths as they are printed."""
    if wanted is None:
        return None
    regions = book.film(stage.name, None).regions
    return frozenset(path for path in regions if path in wanted or printable(path) in wanted)


def _drawn(film: Film, stage: Page, side: Side) -> dict[str, object]:
    svg = film.svg(stage.name, side=side)
    return {
        "folds": sorted(map(printable, film.folds)),
        "regions": _regions(film),
        "svg": svg,
        "width": film.plan.width,
        "height": film.plan.height,
        "note": film.note(stage.name),
        "problem": "",
        "boxes": film.boxes(stage.name),
        "gone": film.gone(stage.name),
        "groups": {box: list(map(printable, paths)) for box, paths in film.groups.items()},
    }


def _regions(film: Film) -> list[dict[str, object]]:
    folding = Folding.of(film.reel)
    return [
        {
            "path": printable(path),
            "title": region_path(region),
            "kind": "block" if region[-1].is_block else "module",
            "alike": folding.count_alike(region),
        }
        for path, region in film.regions.items()
    ]


def _no_drawing(folds: Folds | None, problem: str) -> dict[str, Any]:
    return {
        "folds": sorted(folds or ()),
        "regions": [],
        "svg": "",
        "width": 0.0,
        "height": 0.0,
        "note": "",
        "problem": problem,
        "boxes": {},
        "gone": {},
        "groups": {},
    }


def _said(error: Exception) -> str:
    """The message; of an error that nobody foresaw its type too."""
    return str(error) if isinstance(error, RenderError) else f"{type(error).__name__}: {error}"
