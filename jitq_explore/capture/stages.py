"""The quantization stages, one C++ pass each, and the pipelines made of them.

A `Stage` takes a ScriptModule and gives back the one to go on with. The passes are looked up in
`torch._C` at the time of the call, so that `jq.record()` can watch them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import RecursiveScriptModule
from torch.jit._recursive import wrap_cpp_module

CALIBRATE = "calibrate"
"""Name of the stage that no pass makes: the user's data run through the observed model."""


@dataclass(frozen=True)
class Options:
    """What the stages of one run are given.

    `qconfigs` is the scripted qconfig dict. `inplace` rebuilds the module that is passed in
    instead of making a new one, as in torch's functions of that parameter.
    """

    qconfigs: Mapping[str, object] = field(default_factory=dict)
    quant_type: QuantType = QuantType.STATIC
    inplace: bool = False
    debug: bool = False
    preserved_attrs: Sequence[str] | None = None
    method_name: str = "forward"


@dataclass(frozen=True)
class Stage:
    """One pass. `graph_only` says that it leaves the modules' attributes alone."""

    name: str
    apply: Callable[[RecursiveScriptModule, Options], RecursiveScriptModule]
    graph_only: bool = False


def _adopt(module: RecursiveScriptModule, cpp_module: object, inplace: bool) -> RecursiveScriptModule:
    """The C++ module a pass returned, as a ScriptModule: the given one rebuilt, or a new one."""
    if inplace:
        module._reconstruct(cpp_module)
        return module
    return wrap_cpp_module(cpp_module)


def fold_conv_bn(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Multiply each BatchNorm that follows a convolution into that convolution's weight and bias."""
    folded = torch._C._jit_pass_fold_convbn(module._c)
    return _adopt(module, folded, options.inplace)


def insert_observers(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Attach an observer to every value that is to be quantized."""
    observed = torch._C._jit_pass_insert_observers(
        module._c, "forward", options.qconfigs, options.inplace, options.quant_type
    )
    return _adopt(module, observed, options.inplace)


def insert_quant_dequant(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Replace the observers by quantize and dequantize nodes; inlines the method's graph."""
    # torch's convert does the same, to the module it was given as well.
    module.eval()
    quantized = torch._C._jit_pass_insert_quant_dequant(
        module._c, "forward", options.inplace, options.debug, options.quant_type
    )
    return _adopt(module, quantized, options.inplace)


def quant_finalize(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Fuse dequantize, float op, quantize into quantized kernels; pack the weights; freeze."""
    _move_to_cpu(module)
    preserved = [] if options.preserved_attrs is None else options.preserved_attrs
    finalized = torch._C._jit_pass_quant_finalize(module._c, options.quant_type, preserved)
    return _adopt(module, finalized, options.inplace)


def _move_to_cpu(module: RecursiveScriptModule) -> None:
    """Quantized kernels exist for CPU and XPU alone (a model without parameters counts as XPU)."""
    if not all(parameter.device.type == "xpu" for parameter in module.parameters()):
        module.cpu()


def constant_propagation(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Compute at once what depends on constants alone."""
    torch._C._jit_pass_constant_propagation(module.graph)
    return module


def dce(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Remove nodes whose results nobody uses (dead code elimination)."""
    torch._C._jit_pass_dce(module.graph)
    return module


def inline(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Inline every call in the method; changes the module that is given."""
    torch._C._jit_pass_inline(module._c._get_method(options.method_name).graph)
    return module


def insert_observer_method(
    module: RecursiveScriptModule, options: Options
) -> RecursiveScriptModule:
    """Add `observe_<method>` and `reset_observers_<method>`; the method itself stays float."""
    observed = torch._C._jit_pass_insert_observer_method_for_ondevice_ptq(
        module._c, options.method_name, options.qconfigs, options.inplace, options.quant_type
    )
    return _adopt(module, observed, options.inplace)


def insert_quant_dequant_method(
    module: RecursiveScriptModule, options: Options
) -> RecursiveScriptModule:
    """Add `quantize_<method>`: the observed method with quantize and dequantize nodes."""
    quantized = torch._C._jit_pass_insert_quant_dequant_for_ondevice_ptq(
        module._c, f"observe_{options.method_name}", options.inplace, options.debug, QuantType.DYNAMIC
    )
    return _adopt(module, quantized, options.inplace)


def quant_finalize_method(module: RecursiveScriptModule, options: Options) -> RecursiveScriptModule:
    """Split `quantize_<method>`: it packs the weights, `quantized_<method>` runs on them."""
    finalized = torch._C._jit_pass_quant_finalize_for_ondevice_ptq(
        module._c, QuantType.DYNAMIC, f"quantize_{options.method_name}"
    )
    return _adopt(module, finalized, options.inplace)


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
    Stage("insert_quant_dequant", insert_quant_dequant),
    # The same numerics in fewer kernels: fusion, packed weights, a frozen module.
    Stage("quant_finalize", quant_finalize),
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


def _without_finalize(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    return tuple(stage for stage in stages if stage.name != "quant_finalize")


# A debug run stops at quantize and dequantize nodes around float ops.
CONVERT_DEBUG = _without_finalize(CONVERT)
