"""Tensors -> numbers small enough to keep."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray

from jitq_explore.snapshots.graph import TensorSummary
from jitq_explore.snapshots.modules import TensorStats

MAX_VALUES = 64
"""Constants of at most this many elements are kept whole: scales and zero points of one layer
fit."""


def dtype_name(dtype: torch.dtype) -> str:
    """`torch.quint8` -> "quint8"."""
    return str(dtype).removeprefix("torch.")


def contents(tensor: torch.Tensor) -> NDArray[np.generic]:
    """A copy of the elements as a NumPy array; the stored integers of a quantized tensor.

    A copy, since `Tensor.numpy()` leaves the tensor's storage unable to be resized for good.
    """
    own = plain = tensor.detach()
    if plain.is_quantized:
        plain = plain.int_repr()
    elif plain.layout != torch.strided:
        plain = plain.to_dense()
    if plain.dtype.is_floating_point and plain.dtype not in (torch.float32, torch.float64):
        plain = plain.float()
    on_cpu = plain.cpu().contiguous()
    return (on_cpu.clone() if on_cpu is own else on_cpu).numpy()


def digest(tensor: torch.Tensor, elements: NDArray[np.generic]) -> str:
    """A hash of dtype, shape and elements: equal for equal tensors, whatever their address."""
    # Half of SHA-256: processors have instructions for it, so it is the fastest one at hand.
    found = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode(), usedforsecurity=False)
    found.update(elements.reshape(-1).view(np.uint8).data)
    if tensor.is_quantized:
        found.update(repr(qparams_of(tensor)).encode())
    return found.hexdigest()[:32]


def qparams_of(tensor: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...], int | None]:
    """Scale, zero point (one number, or one a channel) and axis of a quantized tensor."""
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return (tensor.q_scale(),), (tensor.q_zero_point(),), None
    scales = tuple(tensor.q_per_channel_scales().double().tolist())
    zero_points = tuple(tensor.q_per_channel_zero_points().tolist())
    return scales, zero_points, tensor.q_per_channel_axis()


def summarize(tensor: torch.Tensor) -> TensorSummary:
    """A constant of a graph."""
    elements = contents(tensor)
    few = elements.size <= MAX_VALUES and elements.dtype.kind in "fiub"
    return TensorSummary(
        dtype=dtype_name(tensor.dtype),
        shape=tuple(tensor.shape),
        digest=digest(tensor, elements),
        values=tuple(float(v) for v in elements.reshape(-1)) if few else (),
    )


class TensorReader:
    """Reads tensors into `TensorStats`; equal tensors are measured once and share one object."""

    def __init__(self) -> None:
        self._known: dict[str, TensorStats] = {}

    def read(self, tensor: torch.Tensor) -> TensorStats:
        """The statistics of one tensor, in real (dequantized) values.

        Of a tensor whose elements cannot be had (on the meta device, say) dtype and shape alone.
        """
        try:
            elements = contents(tensor)
        except (RuntimeError, TypeError, NotImplementedError):
            return TensorStats(dtype_name(tensor.dtype), tuple(tensor.shape), 0, math.nan, 0, 0, "")
        key = digest(tensor, elements)
        if key not in self._known:
            self._known[key] = _measure(tensor, elements, key)
        return self._known[key]


def _measure(tensor: torch.Tensor, elements: NDArray[np.generic], key: str) -> TensorStats:
    real = contents(tensor.dequantize()) if tensor.is_quantized else elements
    # A complex or boolean tensor has magnitudes too; integers would overflow at their minimum.
    magnitudes = np.abs(real if real.dtype.kind in "fc" else real.astype(np.float64))
    if not magnitudes.size:
        rows = magnitudes.reshape(-1)
    else:
        rows = magnitudes.reshape(len(magnitudes) if magnitudes.ndim > 1 else 1, -1).max(axis=1)
    non_finite = 0
    if not np.isfinite(rows).all():
        finite = np.isfinite(magnitudes)
        non_finite = int(magnitudes.size - np.count_nonzero(finite))
        magnitudes = np.where(finite, magnitudes, 0)
        rows = magnitudes.reshape(len(rows), -1).max(axis=1)
    by_row = magnitudes.ndim > 1
    return TensorStats(
        dtype=dtype_name(tensor.dtype),
        shape=tuple(tensor.shape),
        nbytes=tensor.nelement() * tensor.element_size(),
        abs_max=float(rows.max()) if rows.size else 0.0,
        non_finite=non_finite,
        zero_rows=int(np.count_nonzero(rows == 0)) if by_row and non_finite == 0 else 0,
        digest=key,
        channel_abs_max=tuple(rows.astype(np.float64).tolist()) if by_row else (),
        channel_rms=tuple(_root_mean_squares(magnitudes).tolist()) if by_row else (),
    )


def _root_mean_squares(magnitudes: NDArray[np.generic]) -> NDArray[np.float64]:
    """One number a row; 0 for rows without elements."""
    if not magnitudes.size:
        return np.zeros(len(magnitudes))
    rows = magnitudes.reshape(len(magnitudes), -1).astype(np.float64)
    # Divided by the largest before squaring, which could overflow.
    most = rows.max(axis=1)
    scaled = rows / np.where(most > 0, most, 1)[:, None]
    spread: NDArray[np.float64] = most * np.sqrt((scaled**2).mean(axis=1))
    return spread
