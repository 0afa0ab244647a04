"""The lines of a text that is compared with another, as the page gets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import TypeAlias

from jitq_explore.snapshots.graph import Block, Node
from jitq_explore.views.printable import printable

Words: TypeAlias = list[list[object]]
"""Pieces of a line, each with whether it is marked."""

_WORD = re.compile(r"%[^\s,()\[\]]+|[\w.:]+|\s+|.")


def text_line(
    status: str,
    before: str | None = None,
    after: str | None = None,
    node: Node | Block | None = None,
    gone: Node | None = None,
) -> dict[str, object]:
    """A line; `node` is what it is about after, `gone` what it was about before."""
    return {
        "status": status,
        "before": [[printable(before), False]] if before is not None else None,
        "after": [[printable(after), False]] if after is not None else None,
        "node": node.id if isinstance(node, Node) else None,
        "gone": gone.id if gone is not None else None,
    }


def compared(old: str, new: str, renamed: Mapping[str, str]) -> dict[str, object]:
    """A line that belongs to no node, in its old form and its new one."""
    before, after = marked(old, new, renamed)
    if not any(is_marked for _, is_marked in (*before, *after)):
        return text_line("same", after=new)
    return {**text_line("changed"), "before": before, "after": after}


def marked(old: str, new: str, renamed: Mapping[str, str]) -> tuple[Words, Words]:
    """Two lines in pieces, those that differ marked; a value that was only renamed does not."""
    olds, news = words_of(old), words_of(new)
    seen = [renamed.get(word, word) for word in olds]
    matcher = SequenceMatcher(None, seen, news, autojunk=False)
    before: Words = []
    after: Words = []
    for tag, i, j, k, m in matcher.get_opcodes():
        is_marked = tag != "equal"
        _add(before, olds[i:j], is_marked)
        _add(after, news[k:m], is_marked)
    return before, after


def words_of(line: str) -> list[str]:
    """The pieces in which lines are compared; joined, they are the line."""
    return _WORD.findall(line)


def _add(words: Words, more: list[str], is_marked: bool) -> None:
    if more:
        words.append([printable("".join(more)), is_marked])
