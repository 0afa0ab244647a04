"""The command line: `jitq-explore demo`, `lab`, `record` and so on, a module each.

Nothing here imports torch until a command needs it, so that `--help` and `show` answer at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from jitq_explore.cli import demo, diagnose, help, lab, record, report, show
from jitq_explore.cli.errors import BAD_INPUT, FAILED, BadInputError, what
from jitq_explore.cli.parser import main_parser
from jitq_explore.views.printable import printable

_COMMANDS = (demo, lab, record, diagnose, show, report, help)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command -> its exit code. Errors are printed as one line, never raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows "?" instead of ending the program.
            stream.reconfigure(errors="replace")
    show_traceback = False
    try:
        parser = main_parser([command.describe for command in _COMMANDS])
        options = parser.parse_args(arguments)
        show_traceback = options.traceback
        code: int = options.command(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has gone: say nothing more, not even when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        print(f"jitq-explore: error: {printable(what(error))}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, BadInputError) else FAILED
    else:
        return code
    return 0
