"""`jitq-explore record`: quantize a TorchScript file and record every stage."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jitq_explore.capture.named_qconfigs import DYNAMIC, STATIC, make_qconfig
from jitq_explore.cli.errors import BadInputError, RunFailedError, what
from jitq_explore.cli.files import check_output
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session


def record(options: argparse.Namespace) -> None:
    """Quantize a TorchScript file and save what was seen, after a failure too."""
    check_output(options.output, [path for path in (options.model, options.inputs) if path])
    session = _session(options)
    from jitq_explore.snapshots.archive import save
    from jitq_explore.views.text import recording_text

    failure: Exception | None = None
    try:
        session.run()
    except Exception as error:
        failure = error
    recording = session.recording
    save(recording, options.output)
    say(recording_text(recording))
    say(f"\nSaved to {options.output}: jitq-explore show {options.output}")
    if failure is not None:
        where = f"stage {recording.names[-1]} failed" if recording.names else "the run failed"
        done = f"everything up to there is in {options.output}"
        raise RunFailedError(f"{where}: {what(failure)}; {done}") from failure


def _session(options: argparse.Namespace) -> Session:
    """The session that the command line asks for, not run yet; BadInputError where it cannot be."""
    mode = options.mode
    if mode == "static" and options.inputs is None:
        raise BadInputError("static quantization needs data to calibrate with: --inputs X.pt")
    if options.method != "forward" and mode != "on_device":
        raise BadInputError("--method is for --on-device alone")
    from jitq_explore.capture.files import arguments_of, load_batches, load_model, run_batches
    from jitq_explore.capture.session import Session

    try:
        qconfigs = {"": make_qconfig(options.qconfig, mode, options.engine)}
        model = load_model(options.model)
        batches = None if options.inputs is None else load_batches(options.inputs)
        debug, engine = options.debug, options.engine
        if mode == "static":
            return Session.static(
                model, qconfigs, run_batches, [batches], debug=debug, engine=engine
            )
        if mode == "dynamic":
            return Session.dynamic(model, qconfigs, debug=debug, engine=engine)
        inputs = None if batches is None else arguments_of(batches[0])
        return Session.on_device(
            model, qconfigs, options.method, inputs=inputs, debug=debug, engine=engine
        )
    except (ValueError, AssertionError) as error:
        raise BadInputError(what(error)) from error


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        record,
        "quantize a TorchScript file and record every stage",
        f"""\
Quantizes the model of a TorchScript file, static unless told otherwise, and
saves what every stage did as a recording. The model file is not changed.

  static     weights and activations in 8 bits; needs data to calibrate with
  dynamic    weights in 8 bits, activations quantized as they come (linear layers)
  on-device  the model gets methods that quantize it where it runs

Each batch of --inputs is one call of the model: a tensor is its one argument, a
tuple or list its arguments, a dict its keyword arguments. Save them with
  torch.save([batch, batch, …], "X.pt")

The names for --qconfig, when static (default: that of the engine):
{_listed(STATIC)}
and when dynamic or on-device (default: default):
{_listed(DYNAMIC)}""",
    )
    parser.add_argument("model", metavar="MODEL.pt", type=Path, help="a TorchScript file")
    parser.add_argument(
        "--inputs", metavar="X.pt", type=Path,
        help="the data (static: to calibrate; on-device: the first batch is run; dynamic: unused)",
    )  # fmt: skip
    modes = parser.add_mutually_exclusive_group()
    for flag, mode in (("--dynamic", "dynamic"), ("--on-device", "on_device")):
        modes.add_argument(
            flag, dest="mode", action="store_const", const=mode, help="instead of static"
        )
    parser.set_defaults(mode="static")
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
        "--method", metavar="NAME", default="forward",
        help="the method to quantize, on-device alone (default: forward)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="RUN.jitq", type=Path, required=True,
        help="the recording to write; after a failing stage too, with all that was seen before it",
    )  # fmt: skip


def _listed(choices: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<20} {what}" for name, what in choices.items())
