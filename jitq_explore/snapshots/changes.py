"""Changes of a qconfig dict as plain data, and the Python that makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from jitq_explore.snapshots.graph import Attribute
from jitq_explore.snapshots.observers import ObserverReading

_TORCH_NAMES = frozenset({"dtype", "qscheme"})
"""Settings whose value is one of torch's own constants."""


@dataclass(frozen=True, slots=True)
class ObserverChoice:
    """One of torch's observer classes (`torch.ao.quantization`) and what to make it with.

    dtype and qscheme are given by name, without "torch.".
    """

    class_name: str
    settings: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The Python that makes it."""
        arguments = ", ".join(f"{name}={_code(name, v)}" for name, v in self.settings.items())
        return f"{self.class_name}.with_args({arguments})" if arguments else self.class_name


@dataclass(frozen=True, slots=True)
class Change:
    """Another observer of the activations or the weight of some modules' own ops, or these in
    float.

    `modules` are keys of the qconfig dict. None leaves an observer as it is.
    """

    modules: tuple[str, ...]
    activation: ObserverChoice | None = None
    weight: ObserverChoice | None = None
    keep_float: bool = False

    def code(self, qconfig_dict: Mapping[str, object], name: str = "qconfig_dict") -> str:
        """What to write: the given qconfig dict, called `name`, with the changed entries.

        A module whose own submodules are configured through it hands the change on to them:
        `Session.with_change` pins these to what they had.
        """
        entries = "".join(
            f", {key!r}: {self._entry(key, qconfig_dict, name)}" for key in self.modules
        )
        return f"{{**{name}{entries}}}"

    def _entry(self, key: str, qconfig_dict: Mapping[str, object], name: str) -> str:
        if self.keep_float:
            return "None"
        before = f"{name}[{key_in_force(qconfig_dict, key)!r}]"
        activation = self.activation.code if self.activation else f"{before}.activation"
        weight = self.weight.code if self.weight else f"{before}.weight"
        return f"QConfig(activation={activation}, weight={weight})"


def key_in_force(qconfig_dict: Mapping[str, object], path: str) -> str:
    """The key whose entry a module without one of its own takes: that of the nearest parent."""
    while path and path not in qconfig_dict:
        path = path.rpartition(".")[0]
    return path


def choice_like(reading: ObserverReading, class_name: str) -> ObserverChoice:
    """An observer of another class with the dtype, scheme and integers of the one that was read.

    The scheme is per channel for a class that is, and per tensor for all others.
    """
    settings: dict[str, Attribute] = {"dtype": reading.dtype}
    if reading.qscheme:
        scope = "per_channel" if "PerChannel" in class_name else "per_tensor"
        settings["qscheme"] = re.sub("^per_(channel|tensor)", scope, reading.qscheme)
    if reading.quant_min is not None and reading.quant_max is not None:
        settings |= {"quant_min": reading.quant_min, "quant_max": reading.quant_max}
    return ObserverChoice(class_name, settings)


def _code(name: str, value: Attribute) -> str:
    return f"torch.{value}" if name in _TORCH_NAMES else repr(value)
