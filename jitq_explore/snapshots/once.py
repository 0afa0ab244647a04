"""What is computed of a recording, computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording

T = TypeVar("T")


def once(function: Callable[[Recording], T]) -> Callable[[Recording], T]:
    """The function, whose result is kept with the recording; recordings never change."""
    name = f"_{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def kept(recording: Recording) -> T:
        known = recording.__dict__
        if name not in known:
            with collector_paused():
                known[name] = function(recording)
        found: T = known[name]
        return found

    return kept
