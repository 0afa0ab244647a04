"""`jitq-explore record`: quantize a TorchScript file and record every stage."""

from __future__ import annotations

import argparse
from pathlib import Path

from jitq_explore.cli.errors import RunFailedError, what
from jitq_explore.cli.files import check_output, writing
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say
from jitq_explore.cli.runs import ABOUT_RUNS, add_run_options, session_for


def record(options: argparse.Namespace) -> None:
    """Quantize a TorchScript file and save what was seen, after a failure too."""
    check_output(options.output, [path for path in (options.model, options.inputs) if path])
    session = session_for(options)
    from jitq_explore.snapshots.archive import save
    from jitq_explore.views.text import recording_text

    failure: Exception | None = None
    try:
        session.run()
    except Exception as error:
        failure = error
    recording = session.recording
    with writing(options.output):
        save(recording, options.output)
    say(recording_text(recording))
    say(f"\nSaved to {options.output}: jitq-explore show {options.output}")
    if failure is not None:
        where = f"stage {recording.names[-1]} failed" if recording.names else "the run failed"
        done = f"everything up to there is in {options.output}"
        look = f"jitq-explore diagnose {options.output} says more"
        raise RunFailedError(f"{where}: {what(failure)}; {done}; {look}") from failure


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

{ABOUT_RUNS}""",
    )
    parser.add_argument("model", metavar="MODEL.pt", type=Path, help="a TorchScript file")
    add_run_options(parser)
    parser.add_argument(
        "-o", "--output", metavar="RUN.jitq", type=Path, required=True,
        help="the recording to write; after a failing stage too, with all that was seen before it",
    )  # fmt: skip
