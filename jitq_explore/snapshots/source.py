"""Whose line is it: the user's or the library's."""

from __future__ import annotations

import re
from functools import lru_cache

_LIBRARY = re.compile(
    r"(site|dist)-packages[/\\]torch[/\\]|[/\\]torch[/\\](nn|jit|ao|utils|_\w+)[/\\]|^<"
)


@lru_cache(maxsize=4096)
def users_own(frames: tuple[str, ...]) -> str:
    """The innermost frame ("file:line:column") outside torch, else the innermost one, else ""."""
    own = (frame for frame in frames if not is_library(frame))
    return next(own, frames[0] if frames else "")


# The same few frames stand behind all nodes of a net, at every stage.
@lru_cache(maxsize=4096)
def is_library(frame: str) -> bool:
    """Whether a frame is in torch's own code."""
    return _LIBRARY.search(frame) is not None


_NOTEBOOK_CELL = re.compile(r"[/\\]ipykernel_\d+[/\\]\d+\.py:")


def short_source(source: str) -> str:
    """A frame without the folders and the column: "net.py:9", in a notebook "cell:9"."""
    place, _, _ = source.rpartition(":")
    # Jupyter names the file that it makes of a cell after a checksum.
    place = _NOTEBOOK_CELL.sub("/cell:", place)
    return place.replace("\\", "/").rpartition("/")[2]
