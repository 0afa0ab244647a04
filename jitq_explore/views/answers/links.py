"""Which node of a stage is which node of the stage before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.whereabouts import of_observed_values

Links = dict[str, list[str]]


def links(book: Book, stage: Page) -> dict[str, Links]:
    """The answer to "links"; where two runs are compared, from the first to the second.

    "forward" and "back" lead from a node to those that it was matched with. What a stage took away
    or put there for an observed value has none: "heirs" and "forebears" lead to what stands for the
    value in its place, such as from an observer to the quantize node.
    """
    if "links" not in stage.kept:
        stage.kept["links"] = _links(book, stage)
    found: dict[str, Links] = stage.kept["links"]
    return found


def _links(book: Book, page: Page) -> dict[str, Links]:
    matched = page.diff.matched if page.diff is not None else ()
    forward: Links = {}
    back: Links = {}
    for match in matched:
        old, new = [node.id for node in match.before], [node.id for node in match.after]
        forward.update(dict.fromkeys(old, new))
        back.update(dict.fromkeys(new, old))
    heirs: Links = {}
    forebears: Links = {}
    for old, new in _observed(book, page):
        _lead(heirs, old, new, forward, back)
        _lead(forebears, new, old, back, forward)
    return {"forward": forward, "back": back, "heirs": heirs, "forebears": forebears}


def _observed(book: Book, page: Page) -> Iterable[tuple[list[str], list[str]]]:
    """Of each observed value of a run: ids of the nodes that stand for it before and after."""
    names = list(book.pages)
    at = names.index(page.name)
    if not at or len(book.runs) > 1:
        return
    for where in of_observed_values(book.runs[0]):
        yield where.by_stage.get(names[at - 1], []), where.by_stage.get(page.name, [])


def _lead(
    found: Links,
    here: Iterable[str],
    there: list[str],
    partners: Mapping[str, object],
    theirs: Mapping[str, object],
) -> None:
    """From what has no partner to what has none either; where there is no such thing, to all."""
    alone = [each for each in there if each not in theirs] or there
    for each in here:
        if each not in partners and alone:
            found[each] = list(dict.fromkeys([*found.get(each, []), *alone]))
