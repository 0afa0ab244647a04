"""Observer modules -> `ObserverReading`s."""

from __future__ import annotations

import copy
import math
from collections.abc import Sized

import torch

from jitq_explore.capture.histogram_search import histogram_qparams
from jitq_explore.capture.read_graph import plain
from jitq_explore.capture.read_modules import attribute_types, type_name
from jitq_explore.capture.read_tensors import dtype_name
from jitq_explore.capture.torch_types import CppModule, unoptimized, wrap
from jitq_explore.snapshots.dtypes import QSCHEMES, SCALAR_TYPES
from jitq_explore.snapshots.graph import Attribute, plain_type
from jitq_explore.snapshots.observers import Histogram, ObserverReading

_TORCHS_OWN = "__torch__.torch.ao.quantization."
_HISTOGRAM_OBSERVER = f"{_TORCHS_OWN}observer.HistogramObserver"

_OWN_FIELDS = frozenset(
    {"dtype", "qscheme", "quant_min", "quant_max", "ch_axis", "min_val", "max_val", "histogram",
     "training", "_is_full_backward_hook"}
)  # fmt: skip


class ObserverReader:
    """Reads observers; the attribute names of a class are looked up once."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def read(self, path: str, observer: CppModule) -> ObserverReading:
        """What one observer has seen, and the scale and zero point torch computes from it.

        Where nothing was seen there is no range and no scale: torch would warn and make one up.
        """
        state = self._state(observer)
        minimum, maximum = _numbers(state.get("min_val")), _numbers(state.get("max_val"))
        if not _has_seen(minimum, maximum):
            minimum = maximum = ()
        calibrated = bool(minimum) if "min_val" in state else _seen_without_range(state)
        scale, zero_point = _qparams(observer) if calibrated else ((), ())
        module, _, name = path.rpartition(".")
        return ObserverReading(
            module=module,
            name=name,
            class_name=plain_type(type_name(observer)).removeprefix("__torch__."),
            dtype=_named(state.get("dtype"), SCALAR_TYPES),
            qscheme=_named(state.get("qscheme"), QSCHEMES),
            quant_min=_integer(state.get("quant_min")),
            quant_max=_integer(state.get("quant_max")),
            axis=_integer(state.get("ch_axis")),
            minimum=minimum,
            maximum=maximum,
            scale=scale,
            zero_point=zero_point,
            calibrated=calibrated,
            histogram=_histogram(state, minimum, maximum),
            settings=_settings(state),
        )

    def _state(self, observer: CppModule) -> dict[str, object]:
        """The attributes; a FakeQuantize keeps what it has seen in an observer of its own."""
        group = type_name(observer)
        if group not in self._names:
            self._names[group] = frozenset(attribute_types(observer))
        own = {name: observer.getattr(name) for name in self._names[group]}
        inner = dict(torch._C.ModuleDict(observer).items()).get("activation_post_process")
        return own if inner is None else {**own, **self._state(inner)}


def rehearse(observer: CppModule, tensor: torch.Tensor) -> CppModule:
    """A copy of the observer that has seen the tensor; the observer itself stays as it was."""
    twin = copy.deepcopy(wrap(observer))
    with torch.no_grad(), unoptimized():
        twin(tensor)
    copied: CppModule = twin._c
    return copied


def _numbers(value: object) -> tuple[float, ...]:
    if isinstance(value, torch.Tensor):
        return tuple(value.double().reshape(-1).tolist())
    return (float(value),) if isinstance(value, int | float) else ()


def _has_seen(minimum: tuple[float, ...], maximum: tuple[float, ...]) -> bool:
    """A fresh observer holds no number at all, or +inf as minimum and -inf as maximum."""
    pairs = zip(minimum, maximum, strict=False)
    return bool(minimum) and not all(low == math.inf and high == -math.inf for low, high in pairs)


def _seen_without_range(state: dict[str, object]) -> bool:
    """Observers that keep tensors have seen something or not; the others need nothing to see."""
    kept = state.get("tensor_val")
    return len(kept) > 0 if isinstance(kept, Sized) else True


def _qparams(observer: CppModule) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and zero point as the observer itself computes them: what the next pass will use."""
    name = plain_type(type_name(observer))
    if not name.startswith(_TORCHS_OWN):
        # Somebody else's code may do anything when it is called.
        observer = copy.deepcopy(wrap(observer))._c
    try:
        # The optimising executor would spend more on compiling this than on running it.
        with torch.no_grad(), unoptimized():
            if name == _HISTOGRAM_OBSERVER:
                found = histogram_qparams(observer)
            else:
                found = observer._get_method("calculate_qparams")()
    except (RuntimeError, torch.jit.Error):  # a placeholder raises: it has no qparams
        return (), ()
    if not (isinstance(found, tuple) and len(found) >= 2):
        return (), ()
    scale, zero_point = found[:2]
    if not (isinstance(scale, torch.Tensor) and isinstance(zero_point, torch.Tensor)):
        return (), ()
    return _numbers(scale), tuple(zero_point.reshape(-1).tolist())


def _histogram(
    state: dict[str, object], minimum: tuple[float, ...], maximum: tuple[float, ...]
) -> Histogram | None:
    counts = _numbers(state.get("histogram"))
    if not (counts and len(minimum) == len(maximum) == 1):
        return None
    return Histogram(counts, minimum[0], maximum[0])


def _settings(state: dict[str, object]) -> dict[str, Attribute]:
    found = {}
    for name in sorted(state.keys() - _OWN_FIELDS):
        value = state[name]
        if isinstance(value, torch.Tensor):
            value = value.item() if value.numel() == 1 else tuple(value.shape)
        if value is None or isinstance(value, bool | int | float | str):
            found[name] = plain(value)
    return found


def _named(value: object, names: dict[int, str]) -> str:
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, int):
        return names.get(value, str(value))
    return "" if value is None else str(value).removeprefix("torch.")


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
