"""`jitq-explore report`: a recording as a page for any browser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jitq_explore.cli.files import check_output, load_recording, writing
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say


def report(options: argparse.Namespace) -> None:
    """Write a recording, or two compared, as one HTML file."""
    read = [options.recording] if options.other is None else [options.recording, options.other]
    check_output(options.output, read)
    recordings = [load_recording(path) for path in read]
    from jitq_explore.views.html import to_html

    with writing(options.output):
        if options.other is None:
            to_html(recordings[0], options.output)
        else:
            to_html(recordings[0], options.output, recordings[1], _names(read))
    size = options.output.stat().st_size / 2**20
    say(f"Saved to {options.output} ({size:.1f} MB): open it in a browser")


def _names(paths: Sequence[Path]) -> tuple[str, str]:
    """What the two runs are called: as their files, where these differ."""
    one, other = (path.stem for path in paths)
    return (one, other) if one != other else ("A", "B")


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        report,
        "write a recording as a page for any browser",
        """\
Writes the explorer of a recording as one HTML file: every stage with its graph,
its differences, tables and texts. It opens in any browser, needs neither a
server nor the network, and can be sent to others. Needs no torch.""",
    )
    parser.add_argument("recording", metavar="RUN.jitq", type=Path, help="a recording")
    parser.add_argument(
        "--other", metavar="OTHER.jitq", type=Path, help="a second recording to compare it with"
    )
    parser.add_argument(
        "-o", "--output", metavar="PAGE.html", type=Path, required=True, help="the page to write"
    )
