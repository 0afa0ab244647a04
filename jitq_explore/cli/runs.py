"""Quantization runs as a command line asks for them: their options, and the session."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jitq_explore.capture.named_qconfigs import DYNAMIC, STATIC, make_qconfig
from jitq_explore.cli.errors import BadInputError, what
from jitq_explore.cli.parser import Parser

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session


def _listed(choices: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<20} {what}" for name, what in choices.items())


ABOUT_RUNS = f"""\
Each batch of --inputs is one call of the model: a tensor is its one argument, a
tuple or list its arguments, a dict its keyword arguments. Save them with
  torch.save([batch, batch, …], "X.pt")

The names for --qconfig, when static (default: that of the engine):
{_listed(STATIC)}
and when dynamic or on-device (default: default):
{_listed(DYNAMIC)}"""
"""For the help of a command."""


_DEFAULTS = {
    "inputs": None, "mode": "static", "qconfig": None, "engine": None, "debug": False,
    "method": "forward", "remedy": False, "isolate": False,
}  # fmt: skip


def run_options_given(options: argparse.Namespace) -> list[str]:
    """The options of a run that were given, as they are typed."""
    names = [name for name, default in _DEFAULTS.items() if getattr(options, name) != default]
    return ["--" + (options.mode if name == "mode" else name).replace("_", "-") for name in names]


def session_for(options: argparse.Namespace) -> Session:
    """The session that the command line asks for, not run yet; BadInputError where it cannot be."""
    mode = options.mode
    if not options.model.exists():
        raise BadInputError(f"there is no file {options.model}")
    if mode == "static" and options.inputs is None:
        raise BadInputError("static quantization needs data to calibrate with: --inputs X.pt")
    if options.method != "forward" and mode != "on_device":
        raise BadInputError("--method is for --on-device alone")
    if options.remedy and mode == "on_device":
        raise BadInputError("--remedy is not for --on-device")
    from jitq_explore.capture.files import arguments_of, load_batches, load_model, run_batches
    from jitq_explore.capture.session import Session

    try:
        qconfigs = {"": make_qconfig(options.qconfig, mode, options.engine)}
        model = load_model(options.model)
        batches = None if options.inputs is None else load_batches(options.inputs)
        debug, engine, isolate = options.debug, options.engine, options.isolate
        if mode == "static":
            return Session.static(
                model, qconfigs, run_batches, [batches], debug=debug, engine=engine,
                remedy=options.remedy, isolate=isolate,
            )  # fmt: skip
        if mode == "dynamic":
            return Session.dynamic(
                model, qconfigs, debug=debug, engine=engine, remedy=options.remedy, isolate=isolate
            )
        inputs = None if batches is None else arguments_of(batches[0])
        return Session.on_device(
            model, qconfigs, options.method, inputs=inputs, debug=debug, engine=engine,
            isolate=isolate,
        )  # fmt: skip
    except (ValueError, AssertionError) as error:
        raise BadInputError(what(error)) from error


def add_run_options(parser: Parser) -> None:
    """Add the options that say how a model is to be quantized."""
    parser.add_argument(
        "--inputs", metavar="X.pt", type=Path,
        help="the data (static: to calibrate; on-device: the first batch is run; dynamic: unused)",
    )  # fmt: skip
    modes = parser.add_mutually_exclusive_group()
    for flag, mode in (("--dynamic", "dynamic"), ("--on-device", "on_device")):
        modes.add_argument(
            flag, dest="mode", action="store_const", const=mode, help="instead of static"
        )
    parser.set_defaults(mode=_DEFAULTS["mode"])
    parser.add_argument("--qconfig", metavar="NAME", help="how to observe and quantize, see above")
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="x86, fbgemm, onednn or qnnpack (default: torch's own choice)",
    )
    parser.add_argument(
        "--debug", action="store_true", help="stop at quantize and dequantize nodes, fuse nothing"
    )
    parser.add_argument(
        "--method", metavar="NAME", default=_DEFAULTS["method"],
        help="the method to quantize, on-device alone (default: forward)",
    )  # fmt: skip
    parser.add_argument(
        "--remedy", action="store_true",
        help="where torch's pass would crash, change what it crashes on; it is said what was done",
    )  # fmt: skip
    parser.add_argument(
        "--isolate", action="store_true",
        help="try every pass in another process first, which may die of it",
    )  # fmt: skip
