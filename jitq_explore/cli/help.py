"""`jitq-explore help`: the public names of the package and what they do."""

from __future__ import annotations

import argparse
from pathlib import Path

from jitq_explore.cli.errors import BadInputError
from jitq_explore.cli.files import check_output, writing
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say


def help(options: argparse.Namespace) -> None:
    """Print the list of names, or all about one; or write a page."""
    from jitq_explore.reference import reference

    try:
        found = reference(options.name)
    except KeyError as error:
        raise BadInputError(f"{error.args[0]}; jitq-explore help lists them all") from None
    if options.output is None:
        say(found.text())
        return
    check_output(options.output, [])
    with writing(options.output):
        options.output.write_text(found.page(), encoding="utf-8")
    say(f"Saved to {options.output}: open it in a browser")


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        help,
        "what the package's functions do, from their docstrings",
        """\
Lists what `import jitq_explore as jq` offers; with a NAME (`compare`,
`Session.step`) prints all about that one. In a notebook: jq.reference().""",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a public name")
    parser.add_argument(
        "-o", "--output", metavar="PAGE.html", type=Path, help="write a page for a browser instead"
    )
