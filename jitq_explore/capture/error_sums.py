"""Errors between tensors, summed over batches; the tensors themselves are not kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jitq_explore.snapshots.numerics import decibels

Squares: TypeAlias = NDArray[np.float64]
"""A sum of squares for each channel."""

EXACT = 100.0
"""Decibels that a channel without any error counts as in a mean."""


def _dot(x: Tensor, y: Tensor) -> float:
    """The sum of products; in double precision where single overflows."""
    found = float(torch.dot(x, y))
    return found if math.isfinite(found) else float(torch.dot(x.double(), y.double()))


def real(tensor: Tensor) -> Tensor:
    """The real numbers that a tensor stands for, as float32 or float64."""
    plain = tensor.dequantize() if tensor.is_quantized else tensor
    return plain if plain.dtype in (torch.float32, torch.float64) else plain.float()


@dataclass
class ErrorSums:
    """Of one value: x in the float model, y in the other."""

    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    absolute: float = 0.0
    max_abs: float = 0.0
    elements: int = 0
    batches: int = 0
    last_signal: float = 0.0
    last_noise: float = 0.0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Both as real numbers, of one shape."""
        x, y = x.reshape(-1), y.reshape(-1).to(x.dtype)
        error = y - x
        self.last_signal, self.last_noise = _dot(x, x), _dot(error, error)
        self.signal += self.last_signal
        self.noise += self.last_noise
        self.other += _dot(y, y)
        error.abs_()
        self.absolute += float(error.sum())
        if len(error):
            largest = float(error.max())
            self.max_abs = largest if math.isnan(largest) else max(self.max_abs, largest)
        self.elements += len(error)

    @property
    def sqnr(self) -> float:
        """In dB; NaN before anything was added."""
        return decibels(self.signal, self.noise) if self.elements else math.nan

    @property
    def mean_abs(self) -> float:
        """The mean absolute error."""
        return self.absolute / self.elements if self.elements else math.nan

    @property
    def cosine(self) -> float:
        """Of the angle between x and y."""
        if self.noise == 0 and self.elements:
            return 1.0
        lengths = math.sqrt(self.signal) * math.sqrt(self.other)
        product = (self.signal + self.other - self.noise) / 2
        return max(-1.0, min(1.0, product / lengths)) if lengths else math.nan


@dataclass
class OwnSums:
    """Of one op: r, what the float ops make of the inputs it has, against its result y."""

    inherited_noise: float = 0.0
    channels: dict[int, list[Squares]] = field(default_factory=dict)
    """How many channels -> ‖r‖² and ‖y − r‖² of each; a batch may have other sizes."""
    beyond: int = 0
    quantized: int = 0
    known: bool = False

    def add(self, x: Tensor, y: Tensor, r: Tensor, quantized: Tensor, axis: int) -> None:
        """`quantized` is the tensor that y was taken from, `axis` the dimension of channels."""
        self.known = True
        if r is not x:
            inherited = r.reshape(-1) - x.reshape(-1)
            self.inherited_noise += _dot(inherited, inherited)
        self._add_channels(r, (y - r).to(r.dtype), axis)
        if quantized.is_quantized and quantized.qscheme() in _PER_TENSOR:
            self.quantized += r.numel()
            self.beyond += _beyond(r, quantized)

    def _add_channels(self, r: Tensor, error: Tensor, axis: int) -> None:
        signal, noise = _square_sums(r, axis), _square_sums(error, axis)
        known = self.channels.get(len(signal))
        if known is None:
            self.channels[len(signal)] = [signal, noise]
        else:
            known[0] += signal
            known[1] += noise

    @property
    def sqnr(self) -> float:
        """The own error, in dB."""
        if not self.known:
            return math.nan
        signal, noise = (sum(float(s[k].sum()) for s in self.channels.values()) for k in (0, 1))
        return decibels(signal, noise)

    def inherited_sqnr(self, signal: float) -> float:
        """The error that came with the inputs, given ‖x‖² of the float model's value."""
        return decibels(signal, self.inherited_noise) if self.known else math.nan

    @property
    def channel_sqnr(self) -> float:
        """The mean over channels of the own error in dB, each between 0 and `EXACT`.

        Channels that are always zero do not count.
        """
        pairs = [
            (float(signal), float(noise))
            for both in self.channels.values()
            for signal, noise in zip(*both, strict=True)
        ]
        if not pairs:
            return math.nan
        live = [decibels(*pair) for pair in pairs if pair[0] > 0]
        if not live:
            return 0.0 if any(noise for _, noise in pairs) else EXACT
        counted = (0.0 if math.isnan(found) else max(0.0, min(EXACT, found)) for found in live)
        return sum(counted) / len(live)

    @property
    def saturated(self) -> float:
        """The share of elements beyond what the quantized type holds."""
        return self.beyond / self.quantized if self.quantized else math.nan


_STORED = {torch.quint8: torch.uint8, torch.qint8: torch.int8, torch.qint32: torch.int32}
_PER_TENSOR = (torch.per_tensor_affine, torch.per_tensor_symmetric)


def _square_sums(tensor: Tensor, axis: int) -> Squares:
    """The sum of squares of each channel."""
    if tensor.dim() < 2:
        lengths: Tensor = torch.linalg.vector_norm(tensor).reshape(1, 1)
    elif axis == -1:
        channels = tensor.shape[-1]
        lengths = torch.linalg.vector_norm(tensor.reshape(-1, channels), dim=0, keepdim=True)
    else:
        # First over what lies side by side in memory.
        rows = tensor.reshape(len(tensor), tensor.shape[axis], -1)
        lengths = torch.linalg.vector_norm(rows, dim=2)
    # In numpy, whose small operations cost a tenth.
    squares: Squares = np.square(lengths.numpy().astype(np.float64)).sum(axis=0)
    return squares


def _beyond(r: Tensor, quantized: Tensor) -> int:
    """Elements of r beyond the quantized type's range by more than half a step."""
    if not r.numel():
        return 0
    limits = torch.iinfo(_STORED[quantized.dtype])
    scale, zero_point = quantized.q_scale(), quantized.q_zero_point()
    low = (limits.min - zero_point - 0.5) * scale
    high = (limits.max - zero_point + 0.5) * scale
    least, most = torch.aminmax(r)
    if float(least) >= low and float(most) <= high:
        return 0
    return int(torch.count_nonzero((r < low) | (r > high)))
