"""Which stages prepare, convert and fuse, by their names."""

from __future__ import annotations

PREPARES = ("insert_observers", "insert_observer_method")
"""Stages that decide what will be quantized."""

CONVERTS = ("insert_quant_dequant", "insert_quant_dequant_method")

FUSES = ("quant_finalize", "quant_finalize_method")
"""Stages that put the kernels in."""


def base_name(name: str) -> str:
    """A stage's name without the number of a repetition."""
    return name.partition("#")[0]
