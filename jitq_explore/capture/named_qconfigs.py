"""torch's ready-made qconfigs under short names, for the command line.

Importing this loads no torch, so that `--help` can list the names at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATIC: Mapping[str, str] = {
    "x86": "histogram observers, activations 0..127, weights per channel",
    "fbgemm": "the same as x86",
    "onednn": "the same with activations 0..255 (for CPUs with VNNI)",
    "qnnpack": "histogram observers, activations 0..255, weights per tensor",
    "default": "min-max observers, activations 0..127, weights per tensor",
    "per_channel": "min-max observers, activations 0..127, weights per channel",
}
"""Name -> what it does, for static quantization."""

DYNAMIC: Mapping[str, str] = {
    "default": "8-bit weights per tensor, activations as they come",
    "per_channel_dynamic": "8-bit weights per channel, activations as they come",
    "float16_dynamic": "weights as 16-bit floats, activations stay float",
}
"""Name -> what it does, for dynamic and on-device quantization."""

_TORCH_NAMES = {
    ("static", "default"): "default_qconfig",
    ("static", "per_channel"): "default_per_channel_qconfig",
    ("dynamic", "default"): "default_dynamic_qconfig",
    ("dynamic", "per_channel_dynamic"): "per_channel_dynamic_qconfig",
    ("dynamic", "float16_dynamic"): "float16_dynamic_qconfig",
}


def qconfig_names(mode: str) -> Mapping[str, str]:
    """The names valid in a recording's mode ("static", "dynamic", "on_device")."""
    return STATIC if mode == "static" else DYNAMIC


def make_qconfig(name: str | None, mode: str, engine: str | None = None) -> Any:
    """torch's QConfig of that name; without one, torch's default for the mode and the engine.

    ValueError for an unknown name or engine lists the valid ones.
    """
    if name is not None and name not in qconfig_names(mode):
        raise ValueError(_unknown(name, mode))
    import torch
    from torch.ao import quantization

    engines = torch.backends.quantized.supported_engines
    if engine is not None and engine not in engines:
        raise ValueError(f"unknown engine {engine!r} (must be one of {', '.join(engines)})")
    if mode != "static":
        return getattr(quantization, _TORCH_NAMES["dynamic", name or "default"])
    name = name or engine or torch.backends.quantized.engine
    if ("static", name) in _TORCH_NAMES:
        return getattr(quantization, _TORCH_NAMES["static", name])
    return quantization.get_default_qconfig(name)


def _unknown(name: str, mode: str) -> str:
    valid = ", ".join(qconfig_names(mode))
    message = f"unknown qconfig {name!r} for {mode} quantization (must be one of {valid})"
    other = "dynamic" if mode == "static" else "static"
    return f"{message}; {name} is for {other}" if name in qconfig_names(other) else message
