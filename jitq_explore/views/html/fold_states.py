"""Which fold states a file offers, and in which order they are worth their room."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.views.folds import Folding, Folds, fold, path_of, unfold

MOST_BOXES = 250
"""A picture of more boxes takes seconds to lay out, and tells nothing at a glance."""


def states_worth_having(folding: Folding, default: Folds) -> Iterator[Folds]:
    """The default, all folded, nothing folded, then what clicks lead to, the fewest clicks first.

    States with more than `MOST_BOXES` boxes are left out, and those that look like one before. They
    are many: take from the iterator what there is room for.
    """
    seen: set[frozenset[str]] = set()

    def is_new(state: Folds) -> bool:
        looks = frozenset(stand.id for stand in folding.stands(state))
        if looks in seen or (len(looks) > MOST_BOXES and state != default):
            return False
        seen.add(looks)
        return True

    start = (default, folding.everything(), frozenset[str]())
    yield from filter(is_new, start)
    nearest = [default]
    while nearest:
        found = []
        for state in nearest:
            for after in filter(is_new, moves(folding, state)):
                yield after
                found.append(after)
        nearest = found


def moves(folding: Folding, state: Folds) -> Iterator[Folds]:
    """What one click makes of a state: a module unfolded or folded.

    A click on a box of several alike modules unfolds all of them; one of them alone, which is
    chosen in a list, tells as much as any other.
    """
    rows = [
        [path_of(module) for module in stand.modules]
        for stand in folding.stands(state)
        if stand.modules
    ]
    for row in rows:
        yield _unfolded(state, row)
        yield unfold(state, row[0])
    for path in folding.regions:
        if not _is_folded(path, state):
            yield fold(state, path)
    for _, *others in rows:
        for path in others:
            yield unfold(state, path)


def _unfolded(state: Folds, paths: list[str]) -> Folds:
    for path in paths:
        state = unfold(state, path)
    return state


def _is_folded(path: str, state: Folds) -> bool:
    names = path.split(".")
    return any(".".join(names[:depth]) in state for depth in range(1, len(names) + 1))
