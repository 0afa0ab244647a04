"""Collects histograms beside observers that keep none, while a model is calibrated.

The calibration data is fed to a twin of the observed model: a clone with classes of its own, whose
tensors are those of the model itself. In the twin each class of observers has one node more, which
hands what the observer is shown to us and changes nothing. This works wherever an observer is
called from (submodules, branches, loops, scripted or traced), needs no second run of the model, and
leaves the model's own graphs alone, as well as the classes of its observers, which torch shares
between all models of the process. What the twin's modules did not change in place is handed back
afterwards.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import torch
from torch.ao.quantization import HistogramObserver
from torch.jit import ScriptModule

from jitq_explore.capture.read_modules import attribute_types, is_observer, type_name, walk
from jitq_explore.capture.torch_types import CppModule, wrap
from jitq_explore.snapshots.graph import attribute_path
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.recording import Snapshot

_SHOW = "jitq_explore::show"

_LISTENERS: dict[int, Callable[[torch.Tensor], None]] = {}
"""Identity of an observer of a twin -> who wants to know what it is shown."""


class Collector:
    """What was collected during one calibration, which may be interrupted and go on."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._weights = _weight_observers(snapshot)
        self._seen: dict[str, _Seen] = {}
        self._interruption: KeyboardInterrupt | None = None
        self.failures: list[str] = []
        """What could not be collected, and why."""

    @contextlib.contextmanager
    def beside(self, module: ScriptModule) -> Iterator[ScriptModule]:
        """A twin of the model, to be fed in its place; after that the model has seen the same."""
        twin = _clone(module._c)
        _share_tensors(module._c, twin)
        listened: list[int] = []
        changed: set[str] = set()
        try:
            for path, observer in walk(twin):
                if not is_observer(path, observer):
                    continue
                if type_name(observer) not in changed:
                    changed.add(type_name(observer))
                    _add_show(observer)
                self._seen.setdefault(path, _Seen(keeps_none=not _keeps_histogram(observer)))
                listened.append(hash(observer))
                _LISTENERS[listened[-1]] = functools.partial(self._show, path)
            yield wrap(twin)
        finally:
            for key in listened:
                del _LISTENERS[key]
            _hand_back(twin, module._c)

    def raise_interruption(self) -> None:
        """Raise the Ctrl-C that came while something was collected.

        Raised at once it would become a RuntimeError of the TorchScript interpreter.
        """
        if self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            raise interruption

    def added_to(self, readings: tuple[ObserverReading, ...]) -> tuple[ObserverReading, ...]:
        """The readings with what was collected beside their observers."""
        return tuple(
            self._seen[reading.path].added_to(reading) if reading.path in self._seen else reading
            for reading in readings
        )

    def _show(self, path: str, tensor: torch.Tensor) -> None:
        seen = self._seen[path]
        if path in self._weights and seen.minimum:
            return  # it is shown again with every batch, and does not change
        try:
            with torch.no_grad():
                seen.add(tensor)
        except KeyboardInterrupt as interruption:
            self._interruption = interruption
        except Exception as error:  # the calibration is worth more than what is collected
            failure = f"no histogram beside {path}: {type(error).__name__}: {error}"
            if failure not in self.failures:
                self.failures.append(failure)


class _Seen:
    """What one observer was shown: the ends of each tensor, and a histogram as torch makes it."""

    def __init__(self, *, keeps_none: bool) -> None:
        self.minimum: list[float] = []
        self.maximum: list[float] = []
        # 2048 bins whatever comes, spread anew when the range grows.
        self.histogram = HistogramObserver() if keeps_none else None

    def add(self, tensor: torch.Tensor) -> None:
        values = tensor.detach().to("cpu", torch.float32)
        values = values[values.isfinite()]
        if not values.numel():
            return
        low, high = torch.aminmax(values)
        self.minimum.append(low.item())
        self.maximum.append(high.item())
        if self.histogram is not None:
            self.histogram(values)

    def added_to(self, reading: ObserverReading) -> ObserverReading:
        if not self.minimum:
            return reading
        return replace(
            reading,
            collected=self._collected(),
            batch_minimum=tuple(self.minimum),
            batch_maximum=tuple(self.maximum),
        )

    def _collected(self) -> Histogram | None:
        kept = self.histogram
        if kept is None:
            return None
        return Histogram(tuple(kept.histogram.tolist()), kept.min_val.item(), kept.max_val.item())


def _weight_observers(snapshot: Snapshot) -> Collection[str]:
    """The paths of observers that are shown an attribute of the model."""
    graph = snapshot.graph()
    return {
        str(node.attributes["observer"])
        for node in graph.nodes
        if node.is_observer and attribute_path(graph, node.inputs[0]) is not None
    }


def _keeps_histogram(observer: CppModule) -> bool:
    return any("histogram" in attribute_types(part) for _, part in walk(observer))


def _clone(module: CppModule) -> CppModule:
    return torch._C._hack_do_not_use_clone_module_with_class(module, [], [])  # type: ignore[attr-defined]


def _share_tensors(module: CppModule, twin: CppModule) -> None:
    """Let the twin have the model's own tensors: what it writes into them the model has as well."""
    for own, copied, name in _attributes(module, twin):
        value = own.getattr(name)
        if isinstance(value, torch.Tensor):
            copied.setattr(name, value)


def _hand_back(twin: CppModule, module: CppModule) -> None:
    """Let the model have what the twin's modules have set anew."""
    for copied, own, name in _attributes(twin, module):
        value = copied.getattr(name)
        if not isinstance(value, torch.ScriptObject) and value is not own.getattr(name):
            own.setattr(name, value)


def _attributes(first: CppModule, second: CppModule) -> Iterator[tuple[CppModule, CppModule, str]]:
    """The attributes of all modules, in both."""
    names: dict[str, list[str]] = {}
    for (_, one), (_, other) in zip(walk(first), walk(second), strict=True):
        group = type_name(one)
        if group not in names:
            names[group] = list(attribute_types(one))
        for name in names[group]:
            yield one, other, name


def _add_show(observer: CppModule) -> None:
    """Begin the observer's `forward` with handing over what it is shown, and itself."""
    _register_show()
    graph = observer._get_method("forward").graph
    itself, shown = list(graph.inputs())[:2]
    graph.prependNode(graph.create(_SHOW, [shown, itself], 0))


@functools.cache
def _register_show() -> torch.library.Library:
    """The op of the node that a twin has more; registered for as long as the process lives."""
    library = torch.library.Library("jitq_explore", "FRAGMENT")
    # Conservative: for all torch knows it does something, so that it is never removed as unused.
    library.define("show(Tensor shown, Any observer) -> ()", "CONSERVATIVE")
    library.impl("show", _shown, "CompositeExplicitAutograd")
    return library


def _shown(tensor: torch.Tensor, observer: object) -> None:
    listener = _LISTENERS.get(hash(observer))
    if listener is not None:
        listener(tensor)
