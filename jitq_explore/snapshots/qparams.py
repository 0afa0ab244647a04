"""Scale and zero point of a range, and the range of a histogram, as torch's observers compute them.

The formulas are those of torch/ao/quantization/observer.py
(`UniformQuantizationObserverBase._calculate_qparams`) and of `calculate_qmin_qmax` in
torch/ao/quantization/utils.py, in single precision as there: the results are equal to the bit. With
l = min(low, 0), h = max(high, 0), and q the number of steps, quant_max − quant_min:

affine         scale = max((h − l) / q, eps)
               zero point = quant_min − round(l / scale), clamped to quant_min … quant_max
symmetric      scale = max(max(−l, h) / (q / 2), eps)
               zero point = 0; 128 for unsigned 8 bits, or ⌊(quant_min + quant_max) / 2⌋ where the
               user has given both; 2¹⁵ for uint16
float qparams  scale = (high − low) / q, or 1 where that is not above eps
               zero point = −low / scale, a real number

Rounding is to the nearest integer, halves to the even one. Per channel, each has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jitq_explore.snapshots.histogram_search import searched_range
from jitq_explore.snapshots.observers import Histogram, ObserverReading

EPS = float(np.finfo(np.float32).eps)
"""The smallest scale that torch's observers allow, unless told otherwise."""

AVERAGING_CONSTANT = 0.01
"""How much of each batch a MovingAverageMinMaxObserver takes, unless told otherwise."""

_FLOAT_QPARAMS = "per_channel_affine_float_qparams"
_LIMITS = {
    "qint8": (-128, 127),
    "int8": (-128, 127),
    "quint8": (0, 255),
    "uint8": (0, 255),
    "qint32": (-(2**31), 2**31 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
}
_REDUCED = {"qint8": (-64, 63), "int8": (-64, 63), "quint8": (0, 127), "uint8": (0, 127)}
_FOUR_BITS = (0, 15)

Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QParams:
    """A scale and a zero point for each channel; one of each for a whole tensor.

    Zero points are integers, but for the scheme with float qparams.
    """

    scale: tuple[float, ...]
    zero_point: tuple[float, ...]


def quant_range(
    dtype: str,
    *,
    reduce_range: bool = False,
    quant_min: int | None = None,
    quant_max: int | None = None,
) -> tuple[int, int]:
    """The smallest and the largest quantized value: `calculate_qmin_qmax` of torch.

    `reduce_range` leaves out one bit, of 8-bit dtypes and of what the user has given.
    """
    if quant_min is not None and quant_max is not None:
        return (quant_min // 2, quant_max // 2) if reduce_range else (quant_min, quant_max)
    limits = _LIMITS.get(dtype, _FOUR_BITS)
    return _REDUCED.get(dtype, limits) if reduce_range else limits


def qparams(
    low: float | Sequence[float],
    high: float | Sequence[float],
    *,
    quant_min: int,
    quant_max: int,
    dtype: str = "quint8",
    qscheme: str = "per_tensor_affine",
    customized: bool = False,
    eps: float = EPS,
) -> QParams:
    """Scale and zero point of a range, or of one a channel: torch's, to the bit.

    `customized` says that the user has given quant_min and quant_max; it matters for symmetric
    unsigned ones alone. Without a range (no channels, or low +inf and high -inf) 1 and 0, as torch
    makes up. ValueError where low lies above high.
    """
    lows, highs = (np.array(end, np.float32).reshape(-1) for end in (low, high))
    if not len(lows) or (len(lows) == 1 and lows[0] == np.inf and highs[0] == -np.inf):
        return QParams((1.0,), (0,))
    if np.any(lows > highs):
        raise ValueError(f"a range from {low} to {high}: the low end lies above the high one")
    steps = np.float32(quant_max - quant_min)
    with np.errstate(all="ignore"):  # ranges may be infinite or not numbers; torch has no qualms
        if qscheme == _FLOAT_QPARAMS:
            scale = (highs - lows) / steps
            scale = np.where(scale > np.float32(eps), scale, np.float32(1))
            return QParams(_plain(scale), _plain(np.float32(-1) * lows / scale))
        lows, highs = np.minimum(lows, np.float32(0)), np.maximum(highs, np.float32(0))
        if qscheme.endswith("symmetric"):
            half = np.float32((quant_max - quant_min) / 2)
            scale = np.maximum(np.maximum(-lows, highs) / half, np.float32(eps))
            middle = _middle(dtype, quant_min, quant_max, customized)
            return QParams(_plain(scale), (middle,) * len(lows))
        scale = np.maximum((highs - lows) / steps, np.float32(eps))
        # Arrays of int32 wrap around silently, like torch's tensors.
        points = np.int32(quant_min) - _to_int32(np.rint(lows / scale))
    return QParams(_plain(scale), tuple(np.clip(points, quant_min, quant_max).tolist()))


def affine_qparams(
    low: float,
    high: float,
    quant_min: int,
    quant_max: int,
    *,
    symmetric: bool = False,
    dtype: str = "quint8",
    customized: bool = False,
) -> tuple[float, int]:
    """`qparams` of a whole tensor as two numbers."""
    found = qparams(
        low,
        high,
        quant_min=quant_min,
        quant_max=quant_max,
        dtype=dtype,
        qscheme="per_tensor_symmetric" if symmetric else "per_tensor_affine",
        customized=customized,
    )
    return found.scale[0], int(found.zero_point[0])


def qparams_of(
    reading: ObserverReading, low: float | Sequence[float], high: float | Sequence[float]
) -> QParams:
    """What an observer with the settings of that one makes of a range.

    ValueError for one that quantizes to no integers (a placeholder, say).
    """
    if reading.quant_min is None or reading.quant_max is None:
        raise ValueError(f"{reading.path} ({reading.short_class}) has no quantized values")
    eps = reading.settings.get("eps", EPS)
    return qparams(
        low,
        high,
        quant_min=reading.quant_min,
        quant_max=reading.quant_max,
        dtype=reading.dtype,
        qscheme=reading.qscheme,
        customized=bool(reading.settings.get("has_customized_qrange")),
        eps=eps if isinstance(eps, float) else EPS,
    )


def ranges_of(
    histogram: Histogram,
    observer_class: str,
    *,
    levels: int = 256,
    batch_minimum: Sequence[float] = (),
    batch_maximum: Sequence[float] = (),
    averaging_constant: float = AVERAGING_CONSTANT,
) -> tuple[float, float]:
    """The range that an observer of that class would settle on, having seen those values.

    `observer_class` is the class's name without its module. MinMaxObserver takes all of the
    histogram, HistogramObserver what its search leaves, for `levels` quantized values (two to the
    bits of the dtype). MovingAverageMinMaxObserver goes by the batches' own ends, which no
    histogram tells: ValueError without them, and for a class that is not among these three.
    """
    if observer_class == "MinMaxObserver":
        return histogram.low, histogram.high
    if observer_class == "HistogramObserver":
        return searched_range(histogram, levels)
    if observer_class != "MovingAverageMinMaxObserver":
        known = ["MinMaxObserver", "MovingAverageMinMaxObserver", "HistogramObserver"]
        raise ValueError(f"unknown observer class {observer_class!r} (must be one of {known})")
    if not batch_minimum:
        raise ValueError("a moving average needs the ends of every batch (histograms=True)")
    low = moving_average(batch_minimum, averaging_constant)
    return low, moving_average(batch_maximum, averaging_constant)


def moving_average(ends: Sequence[float], constant: float = AVERAGING_CONSTANT) -> float:
    """What a MovingAverageMinMaxObserver makes of the batches' ends, in their order.

    It begins with the first; each later one draws it a `constant` part of the way to itself
    (`MovingAverageMinMaxObserver.forward` in torch/ao/quantization/observer.py).
    """
    average, part = np.float32(ends[0]), np.float32(constant)
    for end in ends[1:]:
        average = average + part * (np.float32(end) - average)
    return float(average)


def _middle(dtype: str, quant_min: int, quant_max: int, customized: bool) -> int:
    if dtype in ("quint8", "uint8"):
        return (quant_min + quant_max) // 2 if customized else 128
    return 2**15 if dtype == "uint16" else 0


def _to_int32(numbers: Singles) -> NDArray[np.int32]:
    """As processors convert: what does not fit, and what is no number, becomes the smallest."""
    fits = (numbers >= np.float32(-(2**31))) & (numbers < np.float32(2**31))
    return np.where(fits, numbers, np.float32(-(2**31))).astype(np.int64).astype(np.int32)


def _plain(numbers: Singles) -> tuple[float, ...]:
    return tuple(numbers.astype(np.float64).tolist())
