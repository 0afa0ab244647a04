"""How much a pass is going to log: its file cannot be stopped from growing while the pass runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from jitq_explore.snapshots.recording import Snapshot


@dataclass(frozen=True)
class Verbosity:
    """Log options, and how often a pass then prints each graph, generously.

    `times` for every module's every method, observers excepted; `times_main` more for the model's
    own; with every call of a method, caller and callee are printed `times_called` times more.
    """

    options: str
    times: int
    times_main: int = 0
    times_called: int = 0


def expected_bytes(verbosity: Verbosity, model: Snapshot) -> int:
    """About how many bytes the pass will log of that model; rather too many than too few."""
    instances = Counter(module.class_group for module in model.modules if not module.is_observer)
    size = sum(
        len(text) * instances[group] * verbosity.times for (group, _), text in model.texts.items()
    )
    size += len(model.text()) * verbosity.times_main
    if verbosity.times_called:
        size += verbosity.times_called * _called_bytes(model, instances)
    return size


def _called_bytes(model: Snapshot, instances: Counter[str]) -> int:
    """Of every call the caller's text and, as a mean, that of a method."""
    mean = sum(map(len, model.texts.values())) // max(1, len(model.texts))
    return sum(
        instances[group] * text.count(" = prim::CallMethod[") * (len(text) + mean)
        for (group, _), text in model.texts.items()
    )
