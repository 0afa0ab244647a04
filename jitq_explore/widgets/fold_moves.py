"""What can be done to the modules of a drawing, as options of a dropdown. No ipywidgets here."""

from __future__ import annotations

from jitq_explore.views.boxes import region_path
from jitq_explore.views.film import Film
from jitq_explore.views.folds import Folds, fold, unfold
from jitq_explore.views.printable import printable

NO_MOVE = ""
"""The option that does nothing: what the dropdown shows when it is not open."""

_DEFAULT, _ALL, _NONE = "as much as fits", "fold all", "unfold all"


def moves(film: Film | None) -> list[tuple[str, str]]:
    """What can be chosen, each with the move that it stands for."""
    if film is None or not film.regions:
        return [("none to fold", NO_MOVE)]
    folded = film.folds & film.regions.keys()
    options = [(f"{len(folded)} of {len(film.regions)} folded", NO_MOVE)]
    options += [(name, name) for name in (_DEFAULT, _ALL, _NONE)]
    for path, region in film.regions.items():
        is_folded = any(each in folded for each in _around(path))
        what = "unfold" if is_folded else "fold"
        options.append((printable(f"{what} {region_path(region)}"), f"{what}:{path}"))
    return options


def moved(film: Film | None, move: str) -> Folds | None:
    """The fold state after a move (None: the default one)."""
    if film is None or move == _DEFAULT:
        return None
    if move == _ALL:
        return frozenset(film.regions)
    if move == _NONE:
        return frozenset()
    what, _, path = move.partition(":")
    return fold(film.folds, path) if what == "fold" else unfold(film.folds, path)


def _around(path: str) -> list[str]:
    names = path.split(".")
    return [".".join(names[:depth]) for depth in range(1, len(names) + 1)]
