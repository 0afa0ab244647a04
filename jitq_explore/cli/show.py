"""`jitq-explore show`: a recording, or one of its stages, as text."""

from __future__ import annotations

import argparse
from pathlib import Path

from jitq_explore.cli.errors import BadInputError
from jitq_explore.cli.files import load_recording
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say


def show(options: argparse.Namespace) -> None:
    """Print a recording, or one of its stages, as text."""
    from jitq_explore.views.text import recording_text, stage_text

    recording = load_recording(options.recording)
    if options.stage is None:
        say(recording_text(recording))
    elif options.stage in recording:
        say(stage_text(recording, options.stage))
    else:
        names = ", ".join(recording.names) or "none has run"
        raise BadInputError(f"unknown stage {options.stage!r} (must be one of {names})")


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        show,
        "print a recording, or one of its stages, as text",
        """\
Prints the stages of a recording; with the name of a stage, what that stage
changed. Needs no torch.""",
    )
    parser.add_argument("recording", metavar="RUN.jitq", type=Path, help="a recording")
    parser.add_argument("stage", metavar="STAGE", nargs="?", help="for example insert_observers")
