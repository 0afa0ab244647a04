"""The parser of the command line, to which each command adds its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeAlias

from jitq_explore import __version__
from jitq_explore.cli.errors import BAD_INPUT
from jitq_explore.views.printable import printable


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error here is said."""

    def error(self, message: str) -> NoReturn:
        """End the program with exit code 2."""
        text = printable(message)
        self.exit(BAD_INPUT, f"jitq-explore: error: {text} (see {self.prog} --help)\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def main_parser(describe: Iterable[Callable[[Commands], None]]) -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="jitq-explore",
        description="Step through TorchScript graph-mode quantization, pass by pass.",
        epilog="Begin with `jitq-explore demo`, then `jitq-explore lab`.",
    )
    parser.add_argument("--version", action="version", version=f"jitq-explore {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in describe:
        add(commands)
    return parser


def command(
    commands: Commands,
    run: Callable[[argparse.Namespace], int | None],
    short: str,
    long: str,
) -> Parser:
    """The parser of one command, which is called as the function that runs it.

    What that returns is the exit code; None is 0.
    """
    parser = commands.add_parser(
        run.__name__,
        help=short,
        description=long,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "--traceback", action="store_true", help="after an error, show where it came from"
    )
    return parser
