"""The quantization stages, one C++ pass each, and the pipelines made of them.

The functions take a ScriptModule and return a new one around what the pass made of it;
`Stage.apply` does all that torch's own functions do around the pass as well. The passes are looked
up in `torch._C` at the time of the call, so that `jq.record()` can watch them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule

from jitq_explore.capture.guard import (
    FINALIZE_METHOD,
    OBSERVE,
    OBSERVE_METHOD,
    Hazard,
    guarded,
    hazards,
)
from jitq_explore.capture.shared_classes import clashes, unshared
from jitq_explore.capture.torch_types import CppModule, wrap

CALIBRATE = "calibrate"
"""Name of the stage that no pass makes: the user's data run through the observed model."""


@dataclass(frozen=True)
class Options:
    """What the stages of one run are given.

    `qconfigs` is the scripted qconfig dict. With `inplace` the passes share the tensors of the
    module they are given instead of copying them, and `Stage.apply` rebuilds that module. With
    `separate` modules that share a TorchScript class may have submodules of different QConfigs,
    which torch refuses.
    """

    qconfigs: dict[str, Any] = field(default_factory=dict)
    quant_type: QuantType = QuantType.STATIC
    inplace: bool = False
    debug: bool = False
    preserved_attrs: Sequence[str] | None = None
    method_name: str = "forward"
    separate: bool = False


def leave_as_it_is(module: ScriptModule) -> object:
    """Most passes need nothing done beforehand."""


def set_eval(module: ScriptModule) -> object:
    """Clear the training flags of the module itself, not of a copy."""
    return module.eval()


def move_to_cpu(module: ScriptModule) -> object:
    """Move the module itself: quantized kernels exist for CPU and XPU alone.

    A model without parameters counts as one on the XPU.
    """
    if all(parameter.device.type == "xpu" for parameter in module.parameters()):
        return module
    return module.cpu()


@dataclass(frozen=True)
class Stage:
    """One pass: `rewrite`, and what has to be done to the module before it: `ready`.

    `graph_only` says that it leaves the modules' attributes alone.
    """

    name: str
    rewrite: Callable[[ScriptModule, Options], ScriptModule]
    ready: Callable[[ScriptModule], object] = leave_as_it_is
    graph_only: bool = False

    def apply(self, module: ScriptModule, options: Options) -> ScriptModule:
        """The module to go on with; what the pass raises goes through."""
        self.ready(module)
        return settle(module, self.rewrite(module, options), options.inplace)


def settle(given: ScriptModule, made: ScriptModule, inplace: bool) -> ScriptModule:
    """What a function with that parameter returns: the given module rebuilt, or the one made."""
    if not inplace or made is given:
        return made
    given._reconstruct(made._c)
    return given


def fold_conv_bn(module: ScriptModule, options: Options) -> ScriptModule:
    """Multiply each BatchNorm that follows a convolution into that one's weight and bias."""
    return wrap(torch._C._jit_pass_fold_convbn(module._c))


def insert_observers(module: ScriptModule, options: Options) -> ScriptModule:
    """Attach an observer to every value that is to be quantized.

    WouldCrashError where that would end the process.
    """
    given = module._c
    if options.separate and any(clashes(given, options.qconfigs)):
        given = unshared(given)
    return wrap(guarded(OBSERVE)(*_observe_arguments(given, options)))


def _observe_arguments(module: CppModule, options: Options) -> tuple[Any, ...]:
    return (
        module, options.method_name, options.qconfigs, options.inplace, options.quant_type
    )  # fmt: skip


def insert_quant_dequant(module: ScriptModule, options: Options) -> ScriptModule:
    """Replace the observers by quantize and dequantize nodes; inlines the method's graph."""
    quantized = torch._C._jit_pass_insert_quant_dequant(
        module._c, "forward", options.inplace, options.debug, options.quant_type
    )
    return wrap(quantized)


def quant_finalize(module: ScriptModule, options: Options) -> ScriptModule:
    """Fuse dequantize, float op, quantize into quantized kernels; pack the weights; freeze."""
    preserved = [] if options.preserved_attrs is None else options.preserved_attrs
    finalized = torch._C._jit_pass_quant_finalize(module._c, options.quant_type, preserved)
    return wrap(finalized)


def constant_propagation(module: ScriptModule, options: Options) -> ScriptModule:
    """Compute at once what depends on constants alone; changes the module that is given."""
    torch._C._jit_pass_constant_propagation(module.graph)
    return module


def dce(module: ScriptModule, options: Options) -> ScriptModule:
    """Remove nodes whose results nobody uses (dead code elimination), in the module given."""
    torch._C._jit_pass_dce(module.graph)
    return module


def inline(module: ScriptModule, options: Options) -> ScriptModule:
    """Inline every call in the method; changes the module that is given."""
    torch._C._jit_pass_inline(module._c._get_method(options.method_name).graph)
    return module


def insert_observer_method(module: ScriptModule, options: Options) -> ScriptModule:
    """Add `observe_<method>` and `reset_observers_<method>`; the method itself stays float.

    WouldCrashError where that would end the process.
    """
    return wrap(guarded(OBSERVE_METHOD)(*_observe_arguments(module._c, options)))


def insert_quant_dequant_method(module: ScriptModule, options: Options) -> ScriptModule:
    """Add `quantize_<method>`: the observed method with quantize and dequantize nodes."""
    method = f"observe_{options.method_name}"
    quantized = torch._C._jit_pass_insert_quant_dequant_for_ondevice_ptq(
        module._c, method, options.inplace, options.debug, QuantType.DYNAMIC
    )
    return wrap(quantized)


def quant_finalize_method(module: ScriptModule, options: Options) -> ScriptModule:
    """Split `quantize_<method>`: it packs the weights, `quantized_<method>` runs on them.

    WouldCrashError where that would end the process.
    """
    return wrap(guarded(FINALIZE_METHOD)(*_finalize_arguments(module._c, options)))


def _finalize_arguments(module: CppModule, options: Options) -> tuple[Any, ...]:
    return module, QuantType.DYNAMIC, f"quantize_{options.method_name}"


# What `prepare` does before any data is seen.
PREPARE = (
    # Fewer ops to quantize, and their rounding error once instead of twice.
    Stage("fold_conv_bn", fold_conv_bn),
    # Decides which values will be quantized: those that get an observer.
    Stage("insert_observers", insert_observers),
)

# What `convert` does once the observers have seen data.
CONVERT = (
    # Observed ranges become scales and zero points; the numerics are int8 from here on.
    Stage("insert_quant_dequant", insert_quant_dequant, ready=set_eval),
    # The same numerics in fewer kernels: fusion, packed weights, a frozen module.
    Stage("quant_finalize", quant_finalize, ready=move_to_cpu),
    # Tidies the graph that is left; often finds nothing to do.
    Stage("constant_propagation", constant_propagation, graph_only=True),
    # The same for nodes nobody uses.
    Stage("dce", dce, graph_only=True),
)

PREPARE_ON_DEVICE = (
    # The on-device passes do not look into submodules.
    Stage("inline", inline, graph_only=True),
    # As above. It works on the submodules' own methods, not on what was inlined.
    Stage("fold_conv_bn", fold_conv_bn),
    # A second method that observes the weights, so that the float one can still be run.
    Stage("insert_observer_method", insert_observer_method),
)

CONVERT_ON_DEVICE = (
    # A third method that quantizes the weights when it is run on the device.
    Stage("insert_quant_dequant_method", insert_quant_dequant_method),
    # Splits it: one method packs the weights, one computes with them.
    Stage("quant_finalize_method", quant_finalize_method),
)

BY_NAME = {
    stage.name: stage
    for pipeline in (PREPARE, CONVERT, PREPARE_ON_DEVICE, CONVERT_ON_DEVICE)
    for stage in pipeline
}
"""The stages that are passes. `fold_conv_bn` is the same in all pipelines."""


def foreseen(stage: str, module: CppModule, options: Options) -> tuple[Hazard, ...]:
    """Why that stage would end the process, as far as the guard knows."""
    guarded_passes = {
        "insert_observers": (OBSERVE, _observe_arguments),
        "insert_observer_method": (OBSERVE_METHOD, _observe_arguments),
        "quant_finalize_method": (FINALIZE_METHOD, _finalize_arguments),
    }
    if stage not in guarded_passes:
        return ()
    name, arguments = guarded_passes[stage]
    return hazards(name, *arguments(module, options))


def _without_finalize(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    return tuple(stage for stage in stages if stage.name != "quant_finalize")


# A debug run stops at quantize and dequantize nodes around float ops.
CONVERT_DEBUG = _without_finalize(CONVERT)

ON_DEVICE_RUN = ("reset_observers", "observe", "quantize", "quantized_run")
"""Names of the stages that happen on the device, in order: calls of the methods that were made."""


def planned_stages(
    mode: str, *, debug: bool = False, on_device_run: bool = False
) -> tuple[str, ...]:
    """The names of a pipeline's stages, in order."""
    if mode == "on_device":
        names = [stage.name for stage in (*PREPARE_ON_DEVICE, *CONVERT_ON_DEVICE)]
        return (*names, *(ON_DEVICE_RUN if on_device_run else ()))
    convert = CONVERT_DEBUG if debug else CONVERT
    return (
        *(stage.name for stage in PREPARE),
        *((CALIBRATE,) if mode == "static" else ()),
        *(stage.name for stage in convert),
    )
