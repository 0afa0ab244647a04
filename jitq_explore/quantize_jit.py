"""A drop-in for torch's module of this name: the same functions, over the stages of this package.

Replace `torch.ao.quantization.quantize_jit` by `jitq_explore.quantize_jit` in an import, and the
same quantized models come out, bit for bit. Names, parameters, errors and what happens to the
model that is passed in are torch's. Errors may carry notes, and a key of a qconfig dict that names
no submodule is warned of. Where torch's pass would end the process, WouldCrashError is raised.

Where a qconfig dict is asked for, it maps names of submodules to a `QConfig`, or to None for what
is to stay float; a submodule without an entry takes that of its parent, the model itself is "".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from jitq_explore.capture.torch_version import require_supported_torch

# Before the imports that another torch might already fail on, with a less helpful error.
require_supported_torch()

from torch.ao.quantization.qconfig import QConfig  # noqa: E402
from torch.ao.quantization.quant_type import QuantType  # noqa: E402
from torch.jit._script import ScriptModule  # noqa: E402

from jitq_explore.capture.qconfigs import (  # noqa: E402
    about_model,
    check_forward_method,
    check_is_script_module,
    check_keys,
    checked_calibration,
    noted,
    script_qconfig,
    script_qconfig_dict,
    warn_of_unknown_keys,
)
from jitq_explore.capture.stages import (  # noqa: E402
    Options,
    constant_propagation,
    dce,
    fold_conv_bn,
    inline,
    insert_observer_method,
    insert_observers,
    insert_quant_dequant,
    insert_quant_dequant_method,
    move_to_cpu,
    noted_clashes,
    quant_finalize,
    quant_finalize_method,
    settle,
)

__all__ = [
    "convert_dynamic_jit",
    "convert_jit",
    "fuse_conv_bn_jit",
    "prepare_dynamic_jit",
    "prepare_jit",
    "quantize_dynamic_jit",
    "quantize_jit",
    "script_qconfig",
    "script_qconfig_dict",
]

QConfigDict = Mapping[str, QConfig | None]


def _check_is_script_module(model: object) -> None:
    """ValueError unless the model is a ScriptModule."""
    check_is_script_module(model)


def _check_forward_method(model: ScriptModule) -> None:
    """ValueError unless the model has a compiled `forward`."""
    check_forward_method(model)


def fuse_conv_bn_jit(model: ScriptModule, inplace: bool = False) -> ScriptModule:
    """Fold every BatchNorm that follows a convolution into it. For models in eval mode."""
    _log_use("fuse_conv_bn_jit")
    with noted(AttributeError, about_model(model)):
        folded = fold_conv_bn(model, Options())
    return settle(model, folded, inplace)


def _prepare_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    inplace: bool = False,
    quant_type: QuantType = QuantType.STATIC,
) -> ScriptModule:
    """Fold, then insert observers; the errors are those of `prepare_jit`."""
    _check_is_script_module(model)
    _check_forward_method(model)
    qconfigs = _checked_and_scripted(model, qconfig_dict)
    options = Options(qconfigs=qconfigs, inplace=inplace, quant_type=quant_type)
    folded = fuse_conv_bn_jit(model, inplace)
    with noted_clashes(folded, qconfigs):
        observed = insert_observers(folded, options)
    return settle(folded, observed, inplace)


def _prepare_ondevice_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    method_name: str = "forward",
    inplace: bool = False,
    quant_type: QuantType = QuantType.STATIC,
) -> ScriptModule:
    """Add the observing method for one of the model's methods; inlines it in the given model.

    The errors are those of `prepare_jit`, and RuntimeError for a method that does not exist.
    """
    _check_is_script_module(model)
    qconfigs = _checked_and_scripted(model, qconfig_dict)
    options = Options(
        qconfigs=qconfigs, inplace=inplace, quant_type=quant_type, method_name=method_name
    )
    folded = fuse_conv_bn_jit(inline(model, options), inplace)
    return settle(folded, insert_observer_method(folded, options), inplace)


def prepare_jit(
    model: ScriptModule, qconfig_dict: QConfigDict, inplace: bool = False
) -> ScriptModule:
    """The model with observers, to be run on calibration data and then given to `convert_jit`.

    ValueError for a model that is not scripted or traced or has no `forward`, and for keys that are
    not strings; TypeError or AttributeError for what is no dict of QConfigs; WouldCrashError, which
    is a RuntimeError, where torch's pass would end the process.
    """
    _log_use("prepare_jit")
    return _prepare_jit(model, qconfig_dict, inplace, quant_type=QuantType.STATIC)


def prepare_dynamic_jit(
    model: ScriptModule, qconfig_dict: QConfigDict, inplace: bool = False
) -> ScriptModule:
    """`prepare_jit` for dynamic quantization: only weights are observed, no data is needed."""
    _log_use("prepare_dynamic_jit")
    return _prepare_jit(model, qconfig_dict, inplace, quant_type=QuantType.DYNAMIC)


def _convert_jit(
    model: ScriptModule,
    inplace: bool = False,
    debug: bool = False,
    quant_type: QuantType = QuantType.STATIC,
    preserved_attrs: Sequence[str] | None = None,
) -> ScriptModule:
    """Insert quantize and dequantize, then finalize unless `debug`; then tidy up the graph.

    ValueError for a model that is no ScriptModule; the passes raise RuntimeError.
    """
    _check_is_script_module(model)
    options = Options(
        quant_type=quant_type, inplace=inplace, debug=debug, preserved_attrs=preserved_attrs
    )
    # As torch does, also with inplace=False: the eval mode and the move are the given model's own,
    # and an inplace model is rebuilt once, after the last pass that can fail.
    model.eval()
    converted = insert_quant_dequant(model, options)
    if not debug:
        move_to_cpu(model)
        converted = quant_finalize(converted, options)
    return _tidied(settle(model, converted, inplace))


def _convert_ondevice_jit(
    model: ScriptModule,
    method_name: str,
    inplace: bool = False,
    debug: bool = False,
    quant_type: QuantType = QuantType.STATIC,
) -> ScriptModule:
    """Add the methods `quantize_<method_name>` and `quantized_<method_name>`.

    ValueError for a model that is no ScriptModule; AssertionError for another quant type than
    DYNAMIC (although that is not the default) and for the name of the observing method.
    """
    _check_is_script_module(model)
    if quant_type != QuantType.DYNAMIC:
        raise AssertionError(
            "This API, while should work for static quant, is only tested for dynamic quant."
        )
    if method_name.startswith("observe_"):
        raise AssertionError("Pass in valid method to be quantized, e.g. forward")
    options = Options(inplace=inplace, debug=debug, method_name=method_name)
    quantized = insert_quant_dequant_method(model, options)
    return settle(model, quant_finalize_method(quantized, options), inplace)


def convert_jit(
    model: ScriptModule,
    inplace: bool = False,
    debug: bool = False,
    preserved_attrs: Sequence[str] | None = None,
) -> ScriptModule:
    """The quantized model of one that `prepare_jit` made and that has seen calibration data.

    With `debug` it stops at quantize and dequantize nodes around float ops, and weights stay
    attributes. `preserved_attrs` names methods and attributes to keep besides `forward`; methods
    stay float. The given model is set to eval mode. ValueError for a model that is no ScriptModule;
    the passes raise RuntimeError.
    """
    _log_use("convert_jit")
    return _convert_jit(
        model, inplace, debug, quant_type=QuantType.STATIC, preserved_attrs=preserved_attrs
    )


def convert_dynamic_jit(
    model: ScriptModule,
    inplace: bool = False,
    debug: bool = False,
    preserved_attrs: Sequence[str] | None = None,
) -> ScriptModule:
    """`convert_jit` for a model that `prepare_dynamic_jit` made."""
    _log_use("convert_dynamic_jit")
    return _convert_jit(
        model, inplace, debug, quant_type=QuantType.DYNAMIC, preserved_attrs=preserved_attrs
    )


def _convert_ondevice_dynamic_jit(
    model: ScriptModule, method_name: str, inplace: bool = False, debug: bool = False
) -> ScriptModule:
    """`_convert_ondevice_jit` with the one quant type that it takes."""
    return _convert_ondevice_jit(model, method_name, inplace, debug, quant_type=QuantType.DYNAMIC)


def _prepare_ondevice_dynamic_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    method_name: str = "forward",
    inplace: bool = False,
) -> ScriptModule:
    """`_prepare_ondevice_jit` for dynamic quantization."""
    return _prepare_ondevice_jit(
        model, qconfig_dict, method_name, inplace, quant_type=QuantType.DYNAMIC
    )


def _quantize_ondevice_dynamic_jit_impl(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    method_name: str,
    inplace: bool = False,
) -> ScriptModule:
    """Prepare on-device, convert on-device."""
    prepared = _prepare_ondevice_dynamic_jit(model, qconfig_dict, method_name, inplace)
    return _convert_ondevice_dynamic_jit(prepared, method_name, inplace)


def _quantize_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    run_fn: Callable[..., object] | None = None,
    run_args: Sequence[Any] | None = None,
    inplace: bool = False,
    debug: bool = False,
    quant_type: QuantType = QuantType.STATIC,
) -> ScriptModule:
    """Prepare, calibrate unless dynamic, convert.

    The conversion is always in place: `inplace` is about the model that is passed in, and the
    prepared one is a copy already. The errors are those of `quantize_jit`.
    """
    if quant_type == QuantType.DYNAMIC:
        prepared = prepare_dynamic_jit(model, qconfig_dict, inplace)
        return _tidied(convert_dynamic_jit(prepared, True, debug))
    run_fn, run_args = checked_calibration(run_fn, run_args)
    prepared = prepare_jit(model, qconfig_dict, inplace)
    run_fn(prepared, *run_args)
    return _tidied(convert_jit(prepared, True, debug))


def quantize_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    run_fn: Callable[..., object],
    run_args: Sequence[Any],
    inplace: bool = False,
    debug: bool = False,
) -> ScriptModule:
    """Quantize weights and activations: prepare, `run_fn(prepared, *run_args)`, convert.

    `run_fn` feeds calibration data to the prepared model. The errors are those of `prepare_jit` and
    `convert_jit`, and AssertionError without calibration function or data.
    """
    _log_use("quantize_jit")
    return _quantize_jit(
        model, qconfig_dict, run_fn, run_args, inplace, debug, quant_type=QuantType.STATIC
    )


def quantize_dynamic_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    inplace: bool = False,
    debug: bool = False,
) -> ScriptModule:
    """Quantize the weights of linear layers; activations are quantized at run time.

    The errors are those of `prepare_jit` and `convert_jit`.
    """
    _log_use("quantize_dynamic_jit")
    return _quantize_jit(
        model, qconfig_dict, inplace=inplace, debug=debug, quant_type=QuantType.DYNAMIC
    )


def _quantize_ondevice_dynamic_jit(
    model: ScriptModule,
    qconfig_dict: QConfigDict,
    method_name: str = "forward",
    inplace: bool = False,
) -> ScriptModule:
    """A float model that can quantize itself where it is run.

    It gets, for `method_name="forward"`, the methods `reset_observers_forward()`,
    `observe_forward(...)`, `quantize_forward(...)`, which packs quantized weights and empties the
    float ones, and `quantized_forward(...)`, to be called in this order. In the model that is
    passed in that method is inlined, whatever `inplace` says.
    """
    return _quantize_ondevice_dynamic_jit_impl(model, qconfig_dict, method_name, inplace=inplace)


def _checked_and_scripted(
    model: ScriptModule, qconfig_dict: QConfigDict
) -> dict[str, QConfig | None]:
    """The qconfig dict as the passes take it, or one of the errors of `prepare_jit`."""
    check_keys(qconfig_dict)
    scripted = script_qconfig_dict(qconfig_dict)
    warn_of_unknown_keys(model, qconfig_dict)
    return scripted


def _tidied(model: ScriptModule) -> ScriptModule:
    """The same model, its graph without what is constant or unused."""
    return dce(constant_propagation(model, Options()), Options())


def _log_use(name: str) -> None:
    """Count the use as torch's function of that name does."""
    torch._C._log_api_usage_once(f"quantization_api.quantize_jit.{name}")
