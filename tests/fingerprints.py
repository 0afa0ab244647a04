"""What can be seen of a ScriptModule, as plain values that are equal for equal modules.

Two runs of the same pass on the same module differ in names: torch counts classes, observers and
values in an order that is not the same every time. Here they are counted anew, in the order in
which a graph mentions them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

# Attributes that a pass made, with a number in the name that means nothing.
_COUNTED = re.compile(r"_observer_\d+|.+_(?:scale|zero_point|axis|scalar_type)_\d+")
_MANGLE = re.compile(r"___torch_mangle_\d+\.")
_SOURCE = re.compile(r" # .*")


def fingerprint(module: torch.jit.ScriptModule) -> dict[str, object]:
    """Every submodule's class, graphs and attributes, tensors bit for bit."""
    return dict(_rows(module._c, ""))


def plain_text(text: str) -> str:
    """Without the counters of classes and without source ranges."""
    return _SOURCE.sub("", _MANGLE.sub("", text))


def plain_value(value: object) -> object:
    """A value of any kind that modules hold, as one that compares by content, NaN included."""
    if isinstance(value, torch.Tensor):
        return _plain_tensor(value)
    if isinstance(value, torch.ScriptObject):
        return plain_value(value.__getstate__())
    if isinstance(value, list | tuple):
        return tuple(plain_value(item) for item in value)
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    return repr(value)


def _rows(module: torch._C.ScriptModule, path: str) -> Iterator[tuple[str, object]]:
    yield path, plain_text(str(module._type()))
    counted: dict[str, str] = {}
    for name in sorted(module._method_names()):
        yield f"{path}.{name}()", _plain_graph(name, str(module._get_method(name).graph), counted)
    concrete = torch._C.ConcreteModuleType.from_jit_type(module._type())
    for name in concrete.get_attributes():
        yield f"{path}.{_attribute(name, counted)}", plain_value(module.getattr(name))
    for name, value in concrete.get_constants().items():
        yield f"{path}.{name}", repr(value)
    for name, child in torch._C.ModuleDict(module).items():
        yield from _rows(child, f"{path}/{_attribute(name, counted)}")


def _plain_graph(method: str, text: str, counted: dict[str, str]) -> str:
    """A graph with its values counted within the method, its attributes within the module."""
    values: dict[str, str] = {}
    text = re.sub(r'(?<=name=")[^"]+', lambda found: _attribute(found[0], counted), text)
    if method.startswith("reset_observers_"):
        # Torch resets the observers in an order of its own; which ones is all that matters.
        return "\n".join(sorted(re.sub(r"%[\w.]+", "%", plain_text(text)).splitlines()))
    return re.sub(r"%[\w.]+", lambda found: _count(found[0], values), plain_text(text))


def _attribute(name: str, counted: dict[str, str]) -> str:
    return _count(name, counted) if _COUNTED.fullmatch(name) else name


def _count(name: str, counted: dict[str, str]) -> str:
    """The name with one number in place of its own: how many of the kind came before it."""
    if name not in counted:
        kind = re.sub(r"\d+", "", name) + "#"
        counted[name] = kind + str(sum(other.startswith(kind) for other in counted.values()))
    return counted[name]


def _plain_tensor(tensor: torch.Tensor) -> tuple[object, ...]:
    about = (str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad)
    if not tensor.is_quantized:
        # A copy: a tensor that numpy has seen cannot be resized any more, as observers do.
        return (*about, tensor.detach().clone().numpy().tobytes())
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        qparams: tuple[object, ...] = (tensor.q_scale(), tensor.q_zero_point())
    else:
        qparams = (
            tensor.q_per_channel_axis(),
            tensor.q_per_channel_scales().tolist(),
            tensor.q_per_channel_zero_points().tolist(),
        )
    return (*about, *qparams, tensor.int_repr().numpy().tobytes())
