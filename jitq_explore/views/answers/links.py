"""Which node of a stage is which node of the stage before."""

from __future__ import annotations

from jitq_explore.views.answers.pages import Book, Page


def links(book: Book, stage: Page) -> dict[str, dict[str, list[str]]]:
    """The answer to "links"; where two runs are compared, from the first to the second."""
    if "links" not in stage.kept:
        stage.kept["links"] = _links(stage)
    found: dict[str, dict[str, list[str]]] = stage.kept["links"]
    return found


def _links(page: Page) -> dict[str, dict[str, list[str]]]:
    matched = page.diff.matched if page.diff is not None else ()
    forward, back = {}, {}
    for match in matched:
        old, new = [node.id for node in match.before], [node.id for node in match.after]
        forward.update(dict.fromkeys(old, new))
        back.update(dict.fromkeys(new, old))
    return {"forward": forward, "back": back}
