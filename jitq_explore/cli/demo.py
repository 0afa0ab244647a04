"""`jitq-explore demo`: train, quantize and write the files, each step said."""

from __future__ import annotations

import argparse
from pathlib import Path

from jitq_explore.cli.errors import BadInputError
from jitq_explore.cli.files import writing
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say


def demo(options: argparse.Namespace) -> None:
    """Train, quantize and write the files, each step said."""
    if options.output.exists() and not options.output.is_dir():
        raise BadInputError(
            f"cannot write to {options.output}: it is no folder; name another one with -o"
        )
    from jitq_explore.demo import MissingScikitLearnError, run

    with writing(options.output):
        options.output.mkdir(parents=True, exist_ok=True)
    try:
        run(options.output, say)
    except MissingScikitLearnError as error:
        raise BadInputError(str(error)) from error


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        demo,
        "train a small CNN on digits and quantize it, stage by stage",
        """\
Trains a small CNN with BatchNorm and a residual connection on scikit-learn's
handwritten digits (some seconds), quantizes it statically, one stage at a time,
and prints what each stage did and what it cost in accuracy.

Written to the output folder:
  digits.jitq           the recording, for `jitq-explore show` and jq.load
  1-fold_conv_bn.svg …  what each stage changed, drawn
  digits.pt, calibration.pt
                        the model and data, to try `jitq-explore record` with""",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path("jitq-demo"),
        help="the folder to write to (default: jitq-demo)",
    )  # fmt: skip
