"""The quantized backend that torch computes with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def engine_in_force(name: str | None) -> Iterator[None]:
    """The quantized backend of that name while open; None leaves the present one."""
    backend = torch.backends.quantized
    if name is None:
        yield
        return
    if name not in backend.supported_engines:
        raise ValueError(f"unknown engine {name!r} (must be one of {backend.supported_engines})")
    before = backend.engine
    backend.engine = name
    try:
        yield
    finally:
        backend.engine = before
