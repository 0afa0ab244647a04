"""Building thousands of small objects at a stretch, without the garbage collector looking at each
batch."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No automatic garbage collection while open.

    With torch and pandas loaded one full collection walks a million objects, and building a graph
    of a few thousand nodes, none of them garbage, would set off several.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
