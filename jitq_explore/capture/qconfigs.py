"""What a user passes in, looked at before any pass runs: the model and its qconfig dict.

The errors are those of torch's own functions, type and first line; what more there is to say is
added as a note. Written to serve `quantize_jit` and `Session` alike.
"""

from __future__ import annotations

import difflib
import functools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch.ao.quantization.qconfig import QConfig
from torch.ao.quantization.qconfig_mapping import QConfigMapping

from jitq_explore.capture.scripting import script
from jitq_explore.capture.torch_types import CppModule

PACKAGE = __name__.partition(".")[0]

EAGER_NOTE = (
    "This is an eager module: compile it first, with torch.jit.script(model.eval()) or "
    "torch.jit.trace(model.eval(), example_inputs)."
)

DICT_NOTE = (
    "The qconfig_dict maps names of submodules to QConfigs: "
    '{"": qconfig} is for the whole model, {"": qconfig, "fc": None} leaves fc in float.'
)

MAX_CLOSEST = 3
"""How many names are offered in place of one that does not exist."""


@contextmanager
def noted(kind: type[Exception], note: str) -> Iterator[None]:
    """Adds the note, where it is not empty, to an error of that kind that passes through."""
    try:
        yield
    except kind as error:
        if note:
            error.add_note(note)
        raise


def about_model(model: object) -> str:
    """What to do with an eager module; "" for anything else."""
    is_eager = isinstance(model, torch.nn.Module) and not isinstance(model, torch.jit.ScriptModule)
    return EAGER_NOTE if is_eager else ""


def check_is_script_module(model: object) -> None:
    """ValueError unless the model is a ScriptModule."""
    if isinstance(model, torch.jit.ScriptModule):
        return
    with noted(ValueError, about_model(model)):
        raise ValueError(f"input must be a script module, got: {type(model)}")


def check_forward_method(model: torch.jit.ScriptModule) -> None:
    """ValueError unless the model has a compiled `forward`."""
    if not model._c._has_method("forward"):
        raise ValueError("input script module does not have forward method")


def check_keys(qconfig_dict: Iterable[object]) -> None:
    """ValueError unless every key is a string; TypeError for what has no keys at all."""
    with noted(TypeError, _about_dict(qconfig_dict)):
        foreign = [key for key in qconfig_dict if not isinstance(key, str)]
    if not foreign:
        return
    with noted(ValueError, _about_dict(qconfig_dict) or f"Found {foreign[0]!r}. {DICT_NOTE}"):
        raise ValueError("qconfig_dict should only contain names(str) as keys.")


def checked_calibration(
    run_fn: Callable[..., object] | None, run_args: Sequence[Any] | None
) -> tuple[Callable[..., object], Sequence[Any]]:
    """Both as they are; AssertionError unless there is a function and something to call it with."""
    if not run_fn:
        raise AssertionError(
            "Must provide calibration function for post training static quantization"
        )
    if not run_args:
        raise AssertionError(
            "Must provide calibration dataset for post training static quantization"
        )
    return run_fn, run_args


def script_qconfig(qconfig: QConfig) -> QConfig:
    """A QConfig of the C++ modules of two new, scripted observers: what the passes take.

    AttributeError for an object without `activation` and `weight`; else what making or scripting
    the observers raises.
    """
    activation = script(qconfig.activation())
    weight = script(qconfig.weight())
    return QConfig(activation, weight)


def script_qconfig_dict(
    qconfig_dict: Mapping[str, QConfig | None],
) -> dict[str, QConfig | None]:
    """The dict with every QConfig scripted; None (or another falsy value) becomes None.

    AttributeError for what is not a dict, or holds other values.
    """
    with noted(AttributeError, _about_dict(qconfig_dict)):
        items = qconfig_dict.items()
    return {key: _scripted_entry(key, qconfig) if qconfig else None for key, qconfig in items}


def shared_script_qconfig_dict(
    qconfig_dict: Mapping[str, QConfig | None],
) -> dict[str, QConfig | None]:
    """The same, with one scripted observer for each factory, however many entries have it.

    Where ops share an input, torch wants the very same observer from the qconfigs of all of them:
    with one scripted for each entry, an entry that repeats a parent's QConfig would be refused.
    """
    scripted: dict[int, CppModule] = {}

    def shared(factory: Callable[[], torch.nn.Module]) -> CppModule:
        if id(factory) not in scripted:
            scripted[id(factory)] = script(factory())
        return scripted[id(factory)]

    def entry(key: str, qconfig: QConfig) -> QConfig:
        with noted(AttributeError, "" if _is_qconfig(qconfig) else _about_value(key, qconfig)):
            return QConfig(shared(qconfig.activation), shared(qconfig.weight))

    with noted(AttributeError, _about_dict(qconfig_dict)):
        items = qconfig_dict.items()
    return {key: entry(key, qconfig) if qconfig else None for key, qconfig in items}


def unknown_keys(
    model: torch.jit.ScriptModule, qconfig_dict: Iterable[str]
) -> dict[str, list[str]]:
    """The keys that name no submodule, each with the closest names that do.

    Such a key has no effect, and the passes say nothing of it.
    """
    # A submodule under two names can be configured by either.
    names = [name for name, _ in model.named_modules(remove_duplicate=False)]
    return {key: _closest(key, names) for key in qconfig_dict if key not in names}


def warn_of_unknown_keys(model: torch.jit.ScriptModule, qconfig_dict: Iterable[str]) -> list[str]:
    """One UserWarning, at the caller's own line, that lists every key that names no submodule.

    Returns the messages that were warned of: at most that one.
    """
    unknown = unknown_keys(model, qconfig_dict)
    if not unknown:
        return []
    listed = "; ".join(f"{key!r}{_suggestion(closest)}" for key, closest in unknown.items())
    message = f"qconfig_dict has keys that name no submodule and are ignored: {listed}"
    warnings.warn(message, UserWarning, stacklevel=levels_to_caller())
    return [message]


def describe_qconfig(qconfig: object) -> str:
    """A QConfig as one line that is the same in every run; "None" for None.

    For example `activation=HistogramObserver(reduce_range=True), weight=MinMaxObserver()`.
    """
    if not qconfig:
        return "None"
    if not _is_qconfig(qconfig):
        return _describe(qconfig)
    return f"activation={_call(qconfig.activation)}, weight={_call(qconfig.weight)}"


def _scripted_entry(key: str, qconfig: QConfig) -> QConfig:
    note = "" if _is_qconfig(qconfig) else _about_value(key, qconfig)
    with noted(AttributeError, note):
        return script_qconfig(qconfig)


def _is_qconfig(value: object) -> TypeGuard[QConfig]:
    """By its two parts, as the passes take it: torch has more than one class of them."""
    return hasattr(value, "activation") and hasattr(value, "weight")


def _about_dict(given: object) -> str:
    """What is wrong with something that should have been a qconfig dict; "" for a mapping."""
    if isinstance(given, QConfigMapping):
        return (
            "A QConfigMapping is for FX graph mode. For TorchScript pass a dict, such as "
            '{"": mapping.global_qconfig, **mapping.module_name_qconfigs}.'
        )
    if isinstance(given, Mapping):
        return ""
    return f"Got a {type(given).__name__} for the qconfig_dict. {DICT_NOTE}"


def _about_value(key: str, value: object) -> str:
    return f"The value of key {key!r} is a {type(value).__name__}: it must be a QConfig or None."


def _closest(key: str, names: Iterable[str]) -> list[str]:
    """Names with the same last part come first: a forgotten prefix is the usual mistake."""
    named = [name for name in names if name]
    last = key.rpartition(".")[2]
    same_end = [name for name in named if name.rpartition(".")[2] == last]
    similar = difflib.get_close_matches(key, named, MAX_CLOSEST)
    return list(dict.fromkeys([*same_end, *similar]))[:MAX_CLOSEST]


def _suggestion(closest: list[str]) -> str:
    return f" (closest: {', '.join(map(repr, closest))})" if closest else ""


def levels_to_caller() -> int:
    """The stacklevel, for the function that asks, of the first frame outside the package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
        level += 1
    return level


def _call(factory: object) -> str:
    """A callable that makes observers, as the call it stands for."""
    keywords: dict[str, object] = {}
    while isinstance(partial := _partial(factory), functools.partial):
        # What was bound last is in force.
        keywords = {**partial.keywords, **keywords}
        factory = partial.func
    if not callable(factory):
        return _describe(factory)
    arguments = ", ".join(f"{name}={_describe(value)}" for name, value in keywords.items())
    return f"{_describe(factory)}({arguments})"


def _partial(factory: object) -> object:
    """The partial within what `Observer.with_args(...)` gives; anything else as it is."""
    return getattr(factory, "p", factory)


def _describe(value: object) -> str:
    """Like repr, but without the addresses that make it differ from run to run."""
    if isinstance(_partial(value), functools.partial):
        return _call(value)
    name = getattr(value, "__name__", None)
    if isinstance(name, str):
        return name
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text
