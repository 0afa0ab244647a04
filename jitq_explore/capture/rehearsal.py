"""What the weight observers of a dynamic run will see, before the pass shows it to them."""

from __future__ import annotations

import torch
from torch.jit import ScriptModule

from jitq_explore.capture.read_modules import walk
from jitq_explore.capture.read_observers import ObserverReader, rehearse
from jitq_explore.capture.torch_types import CppModule
from jitq_explore.snapshots.graph import attribute_path
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Snapshot


def rehearse_weights(module: ScriptModule, snapshot: Snapshot) -> tuple[ObserverReading, ...]:
    """The readings of all observers, those of weights as if they had seen their weight.

    Copies of the observers are shown the weights; the module stays as it is.
    """
    found = dict(walk(module._c))
    graph = snapshot.graph()
    reader = ObserverReader()
    readings = dict(snapshot.readings)
    for node in graph.nodes:
        path = str(node.attributes.get("observer"))
        if node.is_observer and path in found and not readings[path].calibrated:
            weight = _tensor_at(found, attribute_path(graph, node.inputs[0]))
            if weight is not None:
                readings[path] = reader.read(path, rehearse(found[path], weight))
    return tuple(readings.values())


def _tensor_at(found: dict[str, CppModule], path: str | None) -> torch.Tensor | None:
    if path is None:
        return None
    owner, _, name = path.rpartition(".")
    value = found[owner].getattr(name) if owner in found else None
    return value if isinstance(value, torch.Tensor) else None
