"""Checks made before a pass that can kill the process, and the remedies that are known to work.

Found to be deadly in torch 2.13:
- `insert_observers` where it gives observers to some of the modules that share a TorchScript class
  (see `shared_classes`), and where it comes to a function without arguments (`called_functions`);
- `quant_finalize_method` for a linear layer whose weight is no attribute but computed.

A check that fails itself lets the pass run: it must not break what would have worked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import torch
from torch.ao.quantization.quant_type import QuantType

from jitq_explore.capture.called_functions import inline_deadly_calls
from jitq_explore.capture.reached import FunctionCall, reached_from
from jitq_explore.capture.read_modules import type_name
from jitq_explore.capture.shared_classes import (
    Unfinished,
    clashes,
    try_passes,
    unfinished,
    unshared,
)
from jitq_explore.capture.source_ranges import source_of
from jitq_explore.capture.torch_types import CppModule, CppNode

MAX_NAMES = 8
"""How many submodules a message lists; the error's `modules` has them all."""

OBSERVE = "_jit_pass_insert_observers"
OBSERVE_METHOD = "_jit_pass_insert_observer_method_for_ondevice_ptq"
FINALIZE_METHOD = "_jit_pass_quant_finalize_for_ondevice_ptq"
GUARDED = (OBSERVE, OBSERVE_METHOD, FINALIZE_METHOD)
"""The names in `torch._C` of the passes that can end the process."""

QConfigs = Mapping[str, Any]
"""A scripted qconfig dict."""


@dataclass(frozen=True)
class Hazard:
    """Why a pass would end the process.

    `modules` are the paths of the submodules concerned, `why` and `remedy` say it in words. `keys`
    are keys of the qconfig dict that, set to None, avoid it; empty where another remedy is needed.
    """

    modules: tuple[str, ...]
    why: str
    remedy: str
    keys: tuple[str, ...] = ()


class WouldCrashError(RuntimeError):
    """A pass was not run, because it would have ended the process, or failed without a reason.

    `stage` is its name, `hazards` says why, `modules` lists the submodules concerned, and `remedy`
    is what to do, in words. `keys` are those to be set to None in the qconfig dict, where that is
    the remedy; `Session.static` and `.dynamic` apply it, and others, when given `remedy=True`.
    """

    def __init__(self, stage: str, hazards: Sequence[Hazard]) -> None:
        self.stage = stage
        self.hazards = tuple(hazards)
        self.modules = tuple(dict.fromkeys(path for one in hazards for path in one.modules))
        self.keys = tuple(dict.fromkeys(key for one in hazards for key in one.keys))
        self.remedy = " ".join(dict.fromkeys(one.remedy for one in hazards))
        reasons = " ".join(one.why for one in hazards)
        super().__init__(f"{stage} was not run: torch's pass would crash. {reasons} {self.remedy}")

    def __reduce__(self) -> tuple[type[WouldCrashError], tuple[str, tuple[Hazard, ...]]]:
        return type(self), (self.stage, self.hazards)


def guarded(name: str) -> Callable[..., CppModule]:
    """The pass of that name in `torch._C`, which raises WouldCrashError where it would crash.

    One that is guarded already, as `jq.record()` leaves it, is returned as it is.
    """
    found: Callable[..., CppModule] = getattr(torch._C, name)
    if hasattr(found, "guards"):
        return found

    @wraps(found)
    def checked(*args: Any, **kwargs: Any) -> CppModule:
        if not kwargs:  # torch's functions, and ours, name no argument
            found_hazards = hazards(name, *args)
            if found_hazards:
                raise WouldCrashError(_GUARDS[name][0], found_hazards)
        return found(*args, **kwargs)

    checked.guards = name  # type: ignore[attr-defined]
    return checked


def let_passes_crash() -> None:
    """Guard none of them any more: for a process that is there to die."""
    for name in GUARDED:
        unguarded = partial(getattr(torch._C, name))
        unguarded.guards = name  # type: ignore[attr-defined]
        setattr(torch._C, name, unguarded)


def hazards(name: str, *args: Any) -> tuple[Hazard, ...]:
    """Why the pass of that name would end the process, given these arguments."""
    _, hazards_of = _GUARDS[name]
    with contextlib.suppress(Exception):
        return tuple(hazards_of(*args))
    return ()


def observer_hazards(
    module: CppModule, method: str, qconfigs: QConfigs, inplace: bool, quant_type: QuantType
) -> Iterator[Hazard]:
    """Why inserting observers would end the process; nothing where torch refuses before that."""
    if any(clashes(module, qconfigs)):
        return
    calls = reached_from(module, method).deadly
    if calls:
        yield _about_calls(calls)
        # The pass cannot be tried on a model that has them.
        module = _clone(module)
        inline_deadly_calls(module)
    found = unfinished(module, method, qconfigs, quant_type)
    if found:
        yield _about_classes(module, found)


@dataclass(frozen=True)
class Remedied:
    """What a model was made into: the pass can be run on it.

    `keys` were set to None in the qconfig dict; `messages` say what was done.
    """

    module: CppModule
    keys: tuple[str, ...]
    messages: tuple[str, ...]


def remedied(module: CppModule, method: str, qconfigs: QConfigs, quant_type: QuantType) -> Remedied:
    """The model and the keys with which observers can be inserted; itself where they can anyway.

    The results are those that the pass would give if it lived, with one exception that is said:
    modules that call functions without arguments stay float where torch, having got past these, can
    quantize no model with them; it never can `nn.MultiheadAttention` in static mode. The given
    module is not changed.
    """
    keys: tuple[str, ...] = ()
    messages = []
    if any(clashes(module, qconfigs)):
        module = unshared(module)
    calls = reached_from(module, method).deadly
    if calls:
        module = _clone(module)
        inline_deadly_calls(module)
        names = _listed(dict.fromkeys(call.function for call in calls))
        messages.append(f"remedy: calls of functions without arguments were inlined: {names}")
        keys = _keys_to_live_with(module, method, qconfigs, quant_type, calls)
        if keys:
            messages.append(
                f"remedy: kept float, since torch cannot quantize them: {_listed(keys)}"
            )
    without = {**qconfigs, **dict.fromkeys(keys)}
    found = unfinished(module, method, without, quant_type)
    if found and found.keys_suffice:
        keys = (*keys, *found.keys)
        messages.append(
            f"remedy: no qconfig for modules that get no observers but share a class with some "
            f"that do: {_listed(found.keys)}"
        )
    elif found:
        module = unshared(module)
        messages.append(
            f"remedy: every submodule was given a TorchScript class of its own, since these shared "
            f"one with modules that get other observers: {_listed(found.lacking)}"
        )
    return Remedied(module, keys, tuple(messages))


def _keys_to_live_with(
    module: CppModule,
    method: str,
    qconfigs: QConfigs,
    quant_type: QuantType,
    calls: Sequence[FunctionCall],
) -> tuple[str, ...]:
    """The modules around the calls that have to stay float for torch to be able to do the rest."""
    paths = tuple(dict.fromkeys(call.path for call in calls))
    keys: tuple[str, ...] = ()
    while True:
        try:
            without = {**qconfigs, **dict.fromkeys(keys)}
            try_passes(module, method, without, quant_type)
        except RuntimeError:
            if keys == paths:
                paths = tuple(dict.fromkeys(path.rpartition(".")[0] for path in paths))
            if "" in paths:
                return ()  # nothing would be left to quantize: torch's own error is to be seen
            keys = paths
        else:
            return keys


def _about_classes(module: CppModule, found: Unfinished) -> Hazard:
    classes = dict.fromkeys(
        type_name(_at(module, path)).rpartition(".")[2] for path in found.lacking
    )
    if set(found.lacking) & set(found.having):
        reason = "not all of them are called by the same methods"
    elif set(found.lacking) == set(found.uncalled):
        reason = f"the former are never called from {found.method!r}"
    else:
        reason = (
            f"the former are never called from {found.method!r}, or only where the pass does not "
            "look: in loops, and before a raise"
        )
    why = (
        f"{_listed(found.lacking)} would be left without the observers that the pass adds to their "
        f"TorchScript class ({_listed(classes)}) for {_listed(found.having)}: {reason}."
    )
    if not found.keys_suffice:
        return Hazard(found.lacking, why, f"Remedy: let {_SESSION}, which separates the classes.")
    nones = ", ".join(f"{key!r}: None" for key in found.keys[:MAX_NAMES])
    more = ", …" if len(found.keys) > MAX_NAMES else ""
    remedy = (
        f"Remedy: pass {{**qconfig_dict, {nones}{more}}}, which gives them a class of their own "
        f"and changes nothing else; or let {_SESSION}."
    )
    return Hazard(found.lacking, why, remedy, found.keys)


_SESSION = "jq.Session.static or .dynamic do it, with remedy=True"


def _about_calls(calls: Sequence[FunctionCall]) -> Hazard:
    paths = tuple(dict.fromkeys(call.path for call in calls))
    where = dict.fromkeys(
        f"{call.function} in {call.path or 'the model itself'!r} ({call.source or 'line unknown'})"
        for call in calls
    )
    return Hazard(
        paths,
        "It cannot follow a call of a scripted function without arguments, such as "
        f"nn.MultiheadAttention makes: {_listed(where)}.",
        "Remedy: trace the model (torch.jit.trace(model.eval(), example)) instead of scripting "
        f"it; or let {_SESSION}, which inlines those functions.",
    )


def _computed_weights(module: CppModule, quant_type: QuantType, method: str) -> Iterator[Hazard]:
    """Quantized linear layers whose weight is no attribute of the model."""
    graph = module._get_method(method).graph
    for linear in graph.findAllNodes("aten::linear", True):
        weight = linear.inputsAt(1).node()
        if weight.kind() != "aten::dequantize":
            continue
        quantize = weight.inputsAt(0).node()
        if quantize.inputsSize() and not _is_attribute(quantize.inputsAt(0)):
            yield Hazard(
                ("",),
                "It packs the weights of linear layers, and can do so only where they are "
                f"attributes of the model: one at {source_of(linear) or 'an unknown line'} is "
                "computed.",
                "Remedy: keep the weight as a parameter that is used as it is, or quantize with "
                "jq.Session.dynamic instead.",
            )


_GUARDS: dict[str, tuple[str, Callable[..., Iterator[Hazard]]]] = {
    OBSERVE: ("insert_observers", observer_hazards),
    OBSERVE_METHOD: ("insert_observer_method", observer_hazards),
    FINALIZE_METHOD: ("quant_finalize_method", _computed_weights),
}
"""Pass -> its stage, and what finds out why it would end the process, given the same arguments."""


def _is_attribute(value: CppNode) -> bool:
    return bool(value.node().kind() == "prim::GetAttr")


def _at(module: CppModule, path: str) -> CppModule:
    for name in filter(None, path.split(".")):
        module = module.getattr(name)
    return module


def _clone(module: CppModule) -> CppModule:
    return torch._C._hack_do_not_use_clone_module_with_class(module, [], [])  # type: ignore[attr-defined]


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    few = ", ".join(list(names)[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    return f"{few} and {more} more" if more > 0 else few
