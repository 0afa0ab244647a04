"""The state of every submodule at one moment, as plain numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from jitq_explore.snapshots.graph import Attribute

QPARAM = re.compile(r"(?P<value>.+)_(?P<what>scale|zero_point|axis|scalar_type)_\d+$")
"""Name of an attribute in which torch keeps a quantization parameter of the value of that name."""


@dataclass(frozen=True, slots=True)
class TensorStats:
    """One tensor, summed up. All numbers are real (dequantized) values.

    `channel_abs_max` and `channel_rms` (root mean square) have one number a row (dimension 0; for a
    packed weight its output channel) and are empty for tensors of fewer than two dimensions.
    `zero_rows` counts rows that are zero throughout (of the integers, where the tensor is
    quantized). `nbytes` is the size of the elements.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    abs_max: float
    non_finite: int
    zero_rows: int
    digest: str
    channel_abs_max: tuple[float, ...] = ()
    channel_rms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeState:
    """One attribute of a module.

    `kind` is "parameter", "buffer", "packed" (quantized weight and bias packed for an engine) or
    "attribute". `value` is kept for scalars, strings, short lists and per-channel qparams. `scale`,
    `zero_point` (one number, or one a channel) and `axis` are those of a quantized tensor or a
    packed weight.
    """

    kind: str
    type: str
    value: Attribute = None
    tensor: TensorStats | None = None
    scale: tuple[float, ...] = ()
    zero_point: tuple[float, ...] = ()
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class ModuleState:
    """One submodule.

    `path` is "" for the model itself. `class_name` is the TorchScript class without mangling
    counters; modules with the same `class_group` share one TorchScript class, and so one graph per
    method. `training` is None where the module has no such flag. `methods` are its compiled
    methods.
    """

    path: str
    class_name: str
    class_group: str
    training: bool | None
    is_observer: bool
    methods: tuple[str, ...]
    attributes: Mapping[str, AttributeState] = field(default_factory=dict)

    @property
    def short_class(self) -> str:
        """The class name without its module."""
        return self.class_name.rpartition(".")[2]
