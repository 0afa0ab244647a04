"""The difference of the TorchScript code of two models, method by method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeAlias

from jitq_explore.snapshots.calls import reached_methods
from jitq_explore.snapshots.graph import plain_type
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.views.answers.line_pairs import Pair, paired_lines
from jitq_explore.views.answers.pages import Page
from jitq_explore.views.answers.text_lines import compared, text_line
from jitq_explore.views.printable import printable

_NO_CODE = "This recording keeps no TorchScript code: only the graphs, which are shown under “IR”."
_NOTE = (
    "What torch prints as the code of the method and of all that it calls, each once with the "
    "modules that use it. Observers' own code and counters in class names are left out."
)
_UNPRINTED = "# torch cannot print the code of this method"

_MOST_PATHS = 4
"""Module paths that a heading lists."""

_Key: TypeAlias = tuple[str, str | None]
"""Module path and method; None for the model's main method, whatever it is called."""


@dataclass(frozen=True, slots=True)
class _Method:
    title: str
    code: str

    def lines(self, paths: Sequence[str]) -> list[str]:
        """An empty line, its heading and its code."""
        return ["", f"# {self.title} of {_listed(paths)}", *self.code.splitlines()]


def code_text(page: Page) -> dict[str, object]:
    """The answer to "text" about code."""
    old = page.after if page.before is None else page.before
    names = page.names if page.before is not None else (f"Code of {page.name}",)
    title = " → ".join(map(printable, names))
    if not (old.codes and page.after.codes):
        return {"title": title, "note": _NO_CODE, "lines": []}
    return {"title": title, "note": _NOTE, "lines": list(_lines(old, page.after))}


def _lines(old: Snapshot, new: Snapshot) -> Iterator[dict[str, object]]:
    olds, news = _methods(old), _methods(new)
    users: dict[tuple[_Method | None, _Method | None], list[str]] = {}
    for key in _merged(olds, news):
        users.setdefault((olds.get(key), news.get(key)), []).append(key[0])
    sections = (_section(before, after, paths) for (before, after), paths in users.items())
    yield from islice(chain.from_iterable(sections), 1, None)  # nothing to part the first from


def _methods(snapshot: Snapshot) -> dict[_Key, _Method]:
    """The methods that run, without what only tells classes apart."""
    found: dict[_Key, _Method] = {}
    main = snapshot.main_method
    for path, name in reached_methods(snapshot, main):
        state = snapshot.by_path[path]
        code = plain_type.__wrapped__(snapshot.codes[state.class_group, name])
        is_main = not path and name == main
        title = f"{state.short_class}.{name}"
        found[path, None if is_main else name] = _Method(title, code.strip() or _UNPRINTED)
    return found


def _merged(old: Iterable[_Key], new: dict[_Key, _Method]) -> Iterator[_Key]:
    """In the order after; what is gone stands behind what it followed."""
    gone: dict[_Key | None, list[_Key]] = {}
    anchor = None
    for key in old:
        if key in new:
            anchor = key
        else:
            gone.setdefault(anchor, []).append(key)
    yield from gone.get(None, ())
    for key in new:
        yield key
        yield from gone.get(key, ())


def _section(
    before: _Method | None, after: _Method | None, paths: Sequence[str]
) -> Iterator[dict[str, object]]:
    """One method; `paths` has the modules that use it."""
    olds = before.lines(paths) if before is not None else []
    news = after.lines(paths) if after is not None else []
    pairs = list(paired_lines(olds, news))
    renamed = _renamed(pairs)
    for old, new in pairs:
        if old is None or old == new:
            yield text_line("added" if old is None else "same", after=new)
        elif new is None:
            yield text_line("removed", before=old)
        else:
            yield compared(old, new, renamed)


def _renamed(pairs: Iterable[Pair]) -> dict[str, str]:
    """Old name -> new one, of what lines that are paired assign to."""
    found: dict[str, str] = {}
    for old, new in pairs:
        if old is not None and new is not None:
            for name, other in zip(_assigned(old), _assigned(new), strict=False):
                found.setdefault(name, other)
    return found


def _assigned(line: str) -> list[str]:
    """The names that a line of code assigns to: `_0, _1, = (observer).calculate_qparams()`."""
    targets, sign, _ = line.strip().partition(" = ")
    names = targets.rstrip(",").split(", ") if sign else []
    return names if all(name.isidentifier() for name in names) else []


def _listed(paths: Sequence[str]) -> str:
    some = ", ".join(path or "the model itself" for path in islice(paths, _MOST_PATHS))
    more = len(paths) - _MOST_PATHS
    return f"{some} and {more} more" if more > 0 else some
