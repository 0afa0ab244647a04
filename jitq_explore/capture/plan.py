"""What a run is asked to do, checked and made ready: `Plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule

from jitq_explore.capture import stages as passes
from jitq_explore.capture.hush import kept_warnings
from jitq_explore.capture.jit_log import LOG_BYTES
from jitq_explore.capture.qconfigs import (
    check_forward_method,
    check_is_script_module,
    check_keys,
    shared_script_qconfig_dict,
    warn_of_unknown_keys,
)
from jitq_explore.capture.stages import Options
from jitq_explore.capture.torch_types import unwrapped


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do; enough to start it again."""

    mode: str
    qconfig_dict: Mapping[str, Any]
    run_fn: Callable[..., object] | None = None
    run_args: Sequence[Any] = ()
    debug: bool = False
    preserved_attrs: Sequence[str] | None = None
    method_name: str = "forward"
    inputs: tuple[Any, ...] | None = None
    engine: str | None = None
    progress: bool = True
    histograms: bool = False
    deep: bool = False
    log_bytes: int = LOG_BYTES
    remedy: bool = False
    isolate: bool | float = False

    @property
    def quant_type(self) -> QuantType:
        """What torch's passes call the mode."""
        return QuantType.STATIC if self.mode == "static" else QuantType.DYNAMIC

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of all stages of the run, in order."""
        return passes.planned_stages(
            self.mode, debug=self.debug, on_device_run=self.inputs is not None
        )


def scripted_options(model: ScriptModule, plan: Plan, messages: list[str]) -> Options:
    """Check what was given, in torch's order and with torch's errors, and script the qconfigs."""
    check_is_script_module(model)
    if plan.mode != "on_device":
        check_forward_method(model)
    check_keys(plan.qconfig_dict)
    with kept_warnings(messages):
        scripted = shared_script_qconfig_dict(plan.qconfig_dict)
    messages += warn_of_unknown_keys(model, plan.qconfig_dict)
    return Options(
        qconfigs=scripted,
        quant_type=plan.quant_type,
        debug=plan.debug,
        preserved_attrs=plan.preserved_attrs,
        method_name=plan.method_name,
        separate=True,
    )


def independent_copy(model: ScriptModule) -> ScriptModule:
    """A copy with classes, graphs and tensors of its own (a deepcopy shares class and graphs).

    Not wrapped: the passes and the snapshots need no more.
    """
    clone = torch._C._hack_do_not_use_clone_module_with_class  # type: ignore[attr-defined]
    return unwrapped(clone(model._c, [], []))
