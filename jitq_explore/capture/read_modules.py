"""ScriptModules -> `ModuleState`s."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from jitq_explore.capture.read_graph import plain
from jitq_explore.capture.read_tensors import TensorReader, dtype_name, qparams_of
from jitq_explore.capture.torch_types import CppModule
from jitq_explore.snapshots.graph import plain_type
from jitq_explore.snapshots.modules import QPARAM, AttributeState, ModuleState

_OBSERVER = re.compile(r"_observer_\d+")

MAX_ITEMS = 64
"""A list attribute is kept up to this many items; longer ones are data, not settings."""

# Attributes every module has that say nothing about it.
_BOOKKEEPING = frozenset({"training", "_is_full_backward_hook"})

_UNPACK: dict[str, Callable[..., tuple[torch.Tensor, torch.Tensor | None]]] = {
    "LinearPackedParamsBase": torch.ops.quantized.linear_unpack,
    "Conv2dPackedParamsBase": torch.ops.quantized.conv2d_unpack,
    "Conv3dPackedParamsBase": torch.ops.quantized.conv3d_unpack,
}


def walk(module: CppModule, path: str = "") -> Iterator[tuple[str, CppModule]]:
    """Every submodule with its path, parents first; a module used twice comes under both paths."""
    yield path, module
    for name, child in torch._C.ModuleDict(module).items():
        yield from walk(child, f"{path}.{name}" if path else name)


def is_observer(path: str, module: CppModule) -> bool:
    """Whether torch's pass inserted the module at that path: told by its name and its methods."""
    named = _OBSERVER.fullmatch(path.rpartition(".")[2])
    return bool(named) and bool(module._has_method("calculate_qparams"))


def type_name(module: CppModule) -> str:
    """The printed TorchScript class, mangling counters included."""
    return str(module._type())


@dataclass(frozen=True)
class _Members:
    """What all modules of one class have: read once a class."""

    parameters: frozenset[str]
    buffers: frozenset[str]
    attributes: dict[str, str]
    constants: dict[str, AttributeState]
    methods: tuple[str, ...]


class ModuleReader:
    """Reads the modules of one model at one moment."""

    def __init__(self, tensors: TensorReader) -> None:
        self.tensors = tensors
        self._members: dict[str, _Members] = {}

    def read(self, path: str, module: CppModule) -> ModuleState:
        """The state of one module; an observer's attributes are left to its own reading."""
        group = type_name(module)
        if group not in self._members:
            self._members[group] = _members(module)
        members = self._members[group]
        observer = is_observer(path, module)
        training = module.getattr("training") if "training" in members.attributes else None
        return ModuleState(
            path=path,
            class_name=plain_type(group).removeprefix("__torch__."),
            class_group=group,
            training=training,
            is_observer=observer,
            methods=members.methods,
            attributes={} if observer else self._attributes(module, members),
        )

    def _attributes(self, module: CppModule, members: _Members) -> dict[str, AttributeState]:
        found = dict(members.constants)
        for name, type_text in members.attributes.items():
            if name not in _BOOKKEEPING:
                kind = (
                    "parameter"
                    if name in members.parameters
                    else "buffer"
                    if name in members.buffers
                    else "attribute"
                )
                value = module.getattr(name)
                state = self._attribute(kind, type_text, value)
                if isinstance(value, torch.Tensor) and QPARAM.match(name):
                    state = replace(state, value=tuple(value.double().reshape(-1).tolist()))
                found[name] = state
        return found

    def _attribute(self, kind: str, type_text: str, value: object) -> AttributeState:
        if isinstance(value, torch.Tensor):
            return self._tensor(kind, type_text, value)
        if isinstance(value, torch.ScriptObject):
            return self._packed(type_text, value)
        if isinstance(value, list | tuple | dict) and len(value) > MAX_ITEMS:
            return AttributeState(kind, type_text, f"<{len(value)} items>")
        return AttributeState(kind, type_text, plain(value))

    def _tensor(self, kind: str, type_text: str, tensor: torch.Tensor) -> AttributeState:
        stats = self.tensors.read(tensor)
        value = plain(tensor.item()) if tensor.dim() == 0 and stats.digest else None
        if not tensor.is_quantized:
            return AttributeState(kind, type_text, value, stats)
        scale, zero_point, axis = qparams_of(tensor)
        return AttributeState(kind, type_text, value, stats, scale, zero_point, axis)

    def _packed(self, type_text: str, packed: torch.ScriptObject) -> AttributeState:
        """A packed weight, unpacked again to be looked at; others by their class alone."""
        unpack = _UNPACK.get(type_text.rpartition(".")[2])
        if unpack is None:
            return AttributeState("attribute", type_text, plain(packed))
        weight, _ = unpack(packed)
        state = self._tensor("packed", type_text, weight)
        return AttributeState(
            "packed", type_text, dtype_name(weight.dtype), state.tensor, state.scale,
            state.zero_point, state.axis,
        )  # fmt: skip


def attribute_types(module: CppModule) -> dict[str, str]:
    """The module's attributes with their printed types; submodules and constants are none."""
    concrete: Any = torch._C.ConcreteModuleType.from_jit_type(module._type())
    return {
        name: plain_type(str(found[0] if isinstance(found, tuple) else found))
        for name, found in concrete.get_attributes().items()
    }


def _names(found: Any) -> frozenset[str]:
    return frozenset(name for name, _ in found.items())


def _members(module: CppModule) -> _Members:
    concrete: Any = torch._C.ConcreteModuleType.from_jit_type(module._type())
    constants = {
        name: AttributeState("constant", type(value).__name__, plain(value))
        for name, value in concrete.get_constants().items()
        if not (isinstance(value, list | tuple) and len(value) > MAX_ITEMS)
    }
    return _Members(
        parameters=_names(torch._C.ParameterDict(module)),
        buffers=_names(torch._C.BufferDict(module)),
        attributes=attribute_types(module),
        constants=constants,
        methods=tuple(module._method_names()),
    )
