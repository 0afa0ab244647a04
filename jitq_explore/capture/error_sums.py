"""Errors between tensors, summed over batches; the tensors themselves are not kept.

All sums of squares are kept by channel: one pass gives a channel's number and the whole one.
Squares may overflow, errors may be no numbers: whoever sums has numpy not warn, as `compare` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jitq_explore.snapshots.numerics import EXACT, decibels


class Squares(NamedTuple):
    """Sums of squares."""

    by_channel: NDArray[np.float64]
    total: float

    @classmethod
    def of(cls, by_channel: NDArray[np.float64]) -> Squares:
        """The total is that of the channels."""
        return cls(by_channel, float(np.add.reduce(by_channel)))


_LEAST = 10 ** (-EXACT / 10)

MOSTLY_ROUNDING = 4.0
"""An own error of up to so many times that of rounding evenly spread values is taken for it."""


def real(tensor: Tensor) -> Tensor:
    """The real numbers that a tensor stands for, as float32 or float64, rows side by side."""
    # Quantized kernels put channels side by side; moving bytes is cheaper than moving floats.
    tensor = tensor.contiguous()
    plain = tensor.dequantize() if tensor.is_quantized else tensor
    return plain if plain.dtype in (torch.float32, torch.float64) else plain.float()


class Reference:
    """A value of the float model, which those of several stages are compared with."""

    def __init__(self, value: Tensor) -> None:
        self.real = real(value)
        self._squares: dict[int, Squares] = {}

    def squares(self, axis: int) -> Squares:
        """Those of its channels, which lie along that dimension; computed once."""
        if axis not in self._squares:
            self._squares[axis] = squares_of(self.real, axis)
        return self._squares[axis]


def squares_of(tensor: Tensor, axis: int) -> Squares:
    """Those of a tensor whose channels lie along that dimension.

    In double precision where single overflows.
    """
    found = Squares.of(_squares_of(tensor, axis))
    if math.isfinite(found.total):
        return found
    return Squares.of(_squares_of(tensor.double(), axis))


def _squares_of(tensor: Tensor, axis: int) -> NDArray[np.float64]:
    # In numpy, which takes a third of torch's time, and for what is small a tenth.
    shape = tensor.shape
    if len(shape) < 2 or not tensor.numel():
        flat = tensor.numpy().reshape(1, -1)
        return np.asarray(np.vecdot(flat, flat), dtype=np.float64)
    if axis == -1:
        # Down columns torch is the quicker one.
        down = torch.square(tensor).reshape(-1, shape[-1]).sum(0).numpy()
        return np.asarray(down, dtype=np.float64)
    # First over what lies side by side in memory.
    rows = tensor.numpy().reshape(shape[0], shape[axis], -1)
    squares: NDArray[np.float64] = np.add.reduce(np.vecdot(rows, rows), axis=0, dtype=np.float64)
    return squares


@dataclass
class ChannelSums:
    """Sums of squares of every channel, by the number of channels: a batch may have other sizes."""

    by_count: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    total: float = 0.0

    def add(self, squares: Squares) -> None:
        """Of one more batch."""
        count = len(squares.by_channel)
        known = self.by_count.get(count)
        self.by_count[count] = squares.by_channel if known is None else known + squares.by_channel
        self.total += squares.total

    def __add__(self, other: ChannelSums) -> ChannelSums:
        """Of two parts of an error; both of the same batches."""
        parts = {count: part + other.by_count[count] for count, part in self.by_count.items()}
        return ChannelSums(parts, self.total + other.total)


def mean_decibels(errors: Sequence[tuple[ChannelSums, ChannelSums]]) -> list[float]:
    """For each signal with its noise the mean SQNR of the channels in dB, each 0 to `EXACT`.

    Both are of the same batches. Channels that are always zero do not count; NaN where there is no
    channel at all.
    """
    rows = [
        (signal.by_count[count], noise.by_count[count], number)
        for number, (signal, noise) in enumerate(errors)
        for count in signal.by_count
    ]
    if not rows:
        return [math.nan] * len(errors)
    # Of all errors at once: each alone has too few channels for numpy to be quick.
    x, y = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
    number = np.repeat([row[2] for row in rows], [len(row[0]) for row in rows])
    live = x > 0
    # What is not finite counts as nothing left.
    bounded = np.maximum(np.fmin(y, x), _LEAST * x)
    decibel = 10 * np.log10(np.divide(x, bounded, where=live, out=np.ones_like(x)))
    sums, channels, live_channels, spoilt = (
        np.bincount(number, weights, len(errors)) for weights in (decibel, None, live, y != 0)
    )
    means = np.divide(sums, live_channels, where=live_channels > 0, out=np.full(len(errors), EXACT))
    means[(live_channels == 0) & (spoilt > 0)] = 0.0
    means[channels == 0] = math.nan
    found: list[float] = means.tolist()
    return found


@dataclass
class ErrorSums:
    """Of one value: x in the float model, y in the other."""

    signal: ChannelSums = field(default_factory=ChannelSums)
    noise: ChannelSums = field(default_factory=ChannelSums)
    other: float = 0.0
    absolute: float = 0.0
    max_abs: float = 0.0
    elements: int = 0
    batches: int = 0

    def add(self, x: Reference, y: Tensor, axis: int) -> Squares:
        """`y` as real numbers, of the same shape; returns the squared error of each channel."""
        error = y - x.real if y.dtype == x.real.dtype else y.to(x.real.dtype) - x.real
        noise = squares_of(error, axis)
        self.signal.add(x.squares(axis))
        self.noise.add(noise)
        self.other += _energy(y)
        error.abs_()
        self.absolute += error.sum().item()
        if elements := error.numel():
            largest = float(np.maximum.reduce(error.numpy().reshape(-1)))
            self.max_abs = largest if math.isnan(largest) else max(self.max_abs, largest)
            self.elements += elements
        return noise

    @property
    def sqnr(self) -> float:
        """In dB; NaN before anything was added."""
        return decibels(self.signal.total, self.noise.total) if self.elements else math.nan

    @property
    def mean_abs(self) -> float:
        """The mean absolute error."""
        return self.absolute / self.elements if self.elements else math.nan

    @property
    def cosine(self) -> float:
        """Of the angle between x and y."""
        signal, noise = self.signal.total, self.noise.total
        if noise == 0 and self.elements:
            return 1.0
        lengths = math.sqrt(signal) * math.sqrt(self.other)
        product = (signal + self.other - noise) / 2
        return max(-1.0, min(1.0, product / lengths)) if lengths else math.nan


@dataclass
class OwnSums:
    """Of one op: r, what the float ops make of the inputs it has, against its result y.

    Its noise y − r is measured by x, the float model's value, as what is inherited is. Measured by
    r, an op would be blamed whose inputs have lost what makes x large.
    """

    signal: ChannelSums = field(default_factory=ChannelSums)
    noise: ChannelSums = field(default_factory=ChannelSums)
    inherited: ChannelSums = field(default_factory=ChannelSums)
    rounding: ChannelSums = field(default_factory=ChannelSums)
    beyond: int = 0
    quantized: int = 0

    def add(self, x: Reference, y: Tensor, r: Tensor, quantized: Tensor, axis: int) -> None:
        """`quantized` is the tensor that y was taken from, `axis` the dimension of channels."""
        inherited, error = squares_of(r - x.real, axis), squares_of((y - r).to(r.dtype), axis)
        self._add(x, r, error, inherited, quantized, axis)

    def add_same(self, x: Reference, error: Squares, quantized: Tensor, axis: int) -> None:
        """Where r is x: all of y's error is its own."""
        self._add(x, x.real, error, _none_of(error), quantized, axis)

    def _add(
        self, x: Reference, r: Tensor, error: Squares, inherited: Squares, q: Tensor, axis: int
    ) -> None:
        self.signal.add(x.squares(axis))
        self.noise.add(error)
        self.inherited.add(inherited)
        per_tensor = q.is_quantized and q.qscheme() in _PER_TENSOR
        self.rounding.add(_rounding(r, q, error, axis) if per_tensor else _none_of(error))
        if per_tensor:
            self.quantized += r.numel()
            self.beyond += _beyond(r, q)

    @property
    def sqnr(self) -> float:
        """The own error, in dB; NaN before anything was added."""
        known = bool(self.signal.by_count)
        return decibels(self.signal.total, self.noise.total) if known else math.nan

    @property
    def inherited_sqnr(self) -> float:
        """The error that came with the inputs."""
        known = bool(self.signal.by_count)
        return decibels(self.signal.total, self.inherited.total) if known else math.nan

    @property
    def saturated(self) -> float:
        """The share of elements beyond what the quantized type holds."""
        return self.beyond / self.quantized if self.quantized else math.nan


_STORED = {torch.quint8: torch.uint8, torch.qint8: torch.int8, torch.qint32: torch.int32}
_PER_TENSOR = (torch.per_tensor_affine, torch.per_tensor_symmetric)


def _none_of(squares: Squares) -> Squares:
    return Squares(np.zeros_like(squares.by_channel), 0.0)


def _energy(y: Tensor) -> float:
    """The sum of squares."""
    flat = y.numpy().reshape(-1)
    found = float(np.vecdot(flat, flat))
    if math.isfinite(found):
        return found
    exact = flat.astype(np.float64)
    return float(np.vecdot(exact, exact))


def _rounding(r: Tensor, quantized: Tensor, error: Squares, axis: int) -> Squares:
    """What rounding r as y is rounded costs each channel.

    Looked at only where the error is so large that there must be more to it.
    """
    scale, zero_point = quantized.q_scale(), quantized.q_zero_point()
    evenly_spread = r.numel() * scale * scale / 12
    if error.total <= MOSTLY_ROUNDING * evenly_spread:
        return error
    limits = torch.iinfo(_STORED[quantized.dtype])
    again = torch.fake_quantize_per_tensor_affine(r, scale, zero_point, limits.min, limits.max)
    return squares_of(again - r, axis)


def _beyond(r: Tensor, quantized: Tensor) -> int:
    """Elements of r beyond the quantized type's range by more than half a step."""
    if not r.numel():
        return 0
    limits = torch.iinfo(_STORED[quantized.dtype])
    scale, zero_point = quantized.q_scale(), quantized.q_zero_point()
    low = (limits.min - zero_point - 0.5) * scale
    high = (limits.max - zero_point + 0.5) * scale
    values = r.numpy().reshape(-1)
    if np.minimum.reduce(values) >= low and np.maximum.reduce(values) <= high:
        return 0
    return int(np.count_nonzero((values < low) | (values > high)))
