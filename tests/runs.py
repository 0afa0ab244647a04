"""Recorded runs of the small nets, for tests of what is made of a recording."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from nets import NETS, torchscript
from torch.ao.quantization import QConfig, default_dynamic_qconfig, get_default_qconfig

import jitq_explore as jq

MODES = ("static", "dynamic", "on_device")
FBGEMM = get_default_qconfig("fbgemm")


def calibrate(model: torch.nn.Module, batches: Sequence[tuple[Any, ...]]) -> None:
    for batch in batches:
        model(*batch)


def session(
    net: str,
    how: str = "scripted",
    mode: str = "static",
    qconfig: QConfig | None = None,
    **more: Any,
) -> jq.Session:
    """A session that has not begun, on a net of `nets.NETS`."""
    spec = NETS[net]
    model = torchscript(spec, how)
    if mode == "static":
        return jq.Session.static(model, {"": qconfig or FBGEMM}, calibrate, [spec.inputs()], **more)
    qconfig_dict = {"": qconfig or default_dynamic_qconfig}
    if mode == "dynamic":
        return jq.Session.dynamic(model, qconfig_dict, **more)
    return jq.Session.on_device(model, qconfig_dict, inputs=spec.inputs()[0], **more)


@functools.cache
def recorded(net: str, how: str = "scripted", mode: str = "static") -> jq.Recording:
    """The whole run, made once."""
    return session(net, how, mode).run()
