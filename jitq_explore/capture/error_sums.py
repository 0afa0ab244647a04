"""Errors between tensors, summed over batches; the tensors themselves are not kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from jitq_explore.snapshots.numerics import decibels


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

    def add(self, x: Tensor, y: Tensor) -> None:
        """Both as real numbers, of one shape."""
        x, y = x.reshape(-1), y.reshape(-1).to(x.dtype)
        error = y - x
        self.signal += _dot(x, x)
        self.noise += _dot(error, error)
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

    signal: float = 0.0
    noise: float = 0.0
    inherited_noise: float = 0.0
    channel_signal: Tensor | None = None
    channel_noise: Tensor | None = None
    beyond: int = 0
    quantized: int = 0
    known: bool = field(default=False)

    def add(self, x: Tensor, y: Tensor, r: Tensor, quantized: Tensor, axis: int) -> None:
        """`quantized` is the tensor that y was taken from, `axis` the dimension of channels."""
        self.known = True
        flat = r.reshape(-1)
        inherited = flat - x.reshape(-1)
        self.inherited_noise += _dot(inherited, inherited)
        self._add_channels(r, (y - r).to(r.dtype), axis)
        if quantized.is_quantized and quantized.qscheme() in _PER_TENSOR:
            self.quantized += r.numel()
            self.beyond += _beyond(r, quantized)

    def _add_channels(self, r: Tensor, error: Tensor, axis: int) -> None:
        signal, noise = _square_sums(r, axis), _square_sums(error, axis)
        if self.channel_signal is None or len(self.channel_signal) != len(signal):
            self.channel_signal, self.channel_noise = signal, noise
        else:
            self.channel_signal, self.channel_noise = (
                self.channel_signal + signal,
                self.channel_noise + noise,
            )
        self.signal += float(signal.sum())
        self.noise += float(noise.sum())

    @property
    def sqnr(self) -> float:
        """The own error, in dB."""
        return decibels(self.signal, self.noise) if self.known else math.nan

    def inherited_sqnr(self, signal: float) -> float:
        """The error that came with the inputs, given ‖x‖² of the float model's value."""
        return decibels(signal, self.inherited_noise) if self.known else math.nan

    @property
    def cost(self) -> float:
        """The share of the signal that the own error takes, averaged over channels."""
        if self.channel_signal is None or self.channel_noise is None:
            return math.nan
        loud = self.channel_signal > 0
        if not bool(loud.any()):
            return 0.0 if self.noise == 0 else 1.0
        shares = self.channel_noise[loud] / self.channel_signal[loud]
        return float(shares.nan_to_num(1.0).clamp(max=1.0).mean())

    @property
    def saturated(self) -> float:
        """The share of elements beyond what the quantized type holds."""
        return self.beyond / self.quantized if self.quantized else math.nan


_STORED = {torch.quint8: torch.uint8, torch.qint8: torch.int8, torch.qint32: torch.int32}
_PER_TENSOR = (torch.per_tensor_affine, torch.per_tensor_symmetric)


def _square_sums(tensor: Tensor, axis: int) -> Tensor:
    if tensor.dim() < 2:
        return (tensor.double() ** 2).sum().reshape(1)
    others = [k for k in range(tensor.dim()) if k != axis % tensor.dim()]
    return torch.linalg.vector_norm(tensor, dim=others).double() ** 2


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
