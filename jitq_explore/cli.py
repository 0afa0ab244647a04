"""The command line: `jitq-explore demo | lab | record | show`.

Nothing here imports torch until a command needs it, so that `--help` and `show` answer at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from jitq_explore import __version__
from jitq_explore.capture.named_qconfigs import DYNAMIC, STATIC, make_qconfig
from jitq_explore.views.printable import printable

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session

FAILED, BAD_INPUT = 1, 2
"""Exit codes: a run failed; the command line or a file it names was not usable."""


class BadInputError(Exception):
    """The command line, or a file it names, is not usable."""


class RunFailedError(Exception):
    """The work itself ended with an error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command -> its exit code. Errors are printed as one line, never raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows "?" instead of ending the program.
            stream.reconfigure(errors="replace")
    show_traceback = False
    try:
        options = _parser().parse_args(arguments)
        show_traceback = options.traceback
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has gone: say nothing more, not even when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        print(f"jitq-explore: error: {printable(_what(error))}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, BadInputError) else FAILED
    return 0


# Commands ---------------------------------------------------------------------------------------


def demo(options: argparse.Namespace) -> None:
    """Train, quantize and write the files, each step said."""
    if options.output.exists() and not options.output.is_dir():
        raise BadInputError(f"cannot write to {options.output}: it is no folder")
    from jitq_explore.demo import MissingScikitLearnError, run

    try:
        run(options.output, _say)
    except MissingScikitLearnError as error:
        raise BadInputError(str(error)) from error


def lab(options: argparse.Namespace) -> None:
    """Be JupyterLab, open on the tour, until it is stopped."""
    from jupyterlab.labapp import LabApp

    notebook = find_tour(Path.cwd())
    _say(f"Opening {notebook} in JupyterLab; stop it with Ctrl-C.")
    LabApp.launch_instance([*jupyter_arguments(notebook, options), *options.jupyter])


def jupyter_arguments(notebook: Path, options: argparse.Namespace) -> list[str]:
    """What JupyterLab is told, so that the addresses it prints lead to the notebook too."""
    arguments = [
        f"--ServerApp.root_dir={notebook.parent}",
        f"--LabApp.default_url=/lab/tree/{notebook.name}",
    ]
    if options.port is not None:
        arguments.append(f"--port={options.port}")
    if options.no_browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # JupyterLab refuses root unless told; in a container one often is nothing else. It listens
        # on this machine alone and asks for its token, as it does for everybody.
        arguments.append("--allow-root")
    return arguments


def record(options: argparse.Namespace) -> None:
    """Quantize a TorchScript file and save what was seen, after a failure too."""
    _check_output(options)
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
    _say(recording_text(recording))
    _say(f"\nSaved to {options.output}: jitq-explore show {options.output}")
    if failure is not None:
        where = f"stage {recording.names[-1]} failed" if recording.names else "the run failed"
        done = f"everything up to there is in {options.output}"
        raise RunFailedError(f"{where}: {_what(failure)}; {done}") from failure


def show(options: argparse.Namespace) -> None:
    """Print a recording, or one of its stages, as text."""
    from jitq_explore.snapshots.archive import ArchiveError, load
    from jitq_explore.views.text import recording_text, stage_text

    try:
        recording = load(options.recording)
    except (ArchiveError, OSError) as error:
        raise BadInputError(_what(error)) from error
    if options.stage is None:
        _say(recording_text(recording))
    elif options.stage in recording:
        _say(stage_text(recording, options.stage))
    else:
        names = ", ".join(recording.names) or "none has run"
        raise BadInputError(f"unknown stage {options.stage!r} (must be one of {names})")


def find_tour(folder: Path) -> Path:
    """The tour: a checkout's own notebook, else a copy in `folder`, made if there is none."""
    checkout = Path(__file__).parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "notebooks" / "tour.ipynb"
    own = folder / "notebooks" / "tour.ipynb"
    if own.is_file() and (folder / "jitq_explore").is_dir():
        return own
    copy = folder / "tour.ipynb"
    if not copy.exists():
        packaged = resources.files("jitq_explore") / "notebooks" / "tour.ipynb"
        copy.write_bytes(packaged.read_bytes())
    return copy


def _check_output(options: argparse.Namespace) -> None:
    """Before the work, not after it: the recording can be written, and overwrites no input."""
    output = options.output
    if not output.resolve().parent.is_dir():
        raise BadInputError(f"cannot write {output}: there is no folder {output.parent}")
    if output.is_dir():
        raise BadInputError(f"cannot write {output}: it is a folder")
    if output.resolve() in {path.resolve() for path in (options.model, options.inputs) if path}:
        raise BadInputError(f"-o {output} would overwrite what is read; name another file")


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
        raise BadInputError(_what(error)) from error


# The command line -------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error here is said."""

    def error(self, message: str) -> NoReturn:
        text = printable(message)
        self.exit(BAD_INPUT, f"jitq-explore: error: {text} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="jitq-explore",
        description="Step through TorchScript graph-mode quantization, pass by pass.",
        epilog="Begin with `jitq-explore demo`, then `jitq-explore lab`.",
    )
    parser.add_argument("--version", action="version", version=f"jitq-explore {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for describe in (_describe_demo, _describe_lab, _describe_record, _describe_show):
        describe(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser],
    run: Callable[[argparse.Namespace], None],
    short: str,
    long: str,
) -> _Parser:
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


def _describe_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
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


def _describe_lab(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        lab,
        "open JupyterLab on the tour, a notebook that steps through the demo",
        """\
Opens JupyterLab on notebooks/tour.ipynb of a checkout. Where the package was
installed without one, a copy is written to the current folder first; a
tour.ipynb that is there already is opened as it is, never overwritten.

What follows -- goes to JupyterLab: jitq-explore lab -- --ip=0.0.0.0""",
    )
    parser.add_argument("--port", type=int, metavar="N", help="the port JupyterLab listens on")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address instead of opening a browser"
    )
    parser.add_argument("jupyter", nargs="*", metavar="-- ARGUMENT", help=argparse.SUPPRESS)


def _describe_record(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
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


def _describe_show(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _command(
        commands,
        show,
        "print a recording, or one of its stages, as text",
        """\
Prints the stages of a recording; with the name of a stage, what that stage
changed. Needs no torch.""",
    )
    parser.add_argument("recording", metavar="RUN.jitq", type=Path, help="a recording")
    parser.add_argument("stage", metavar="STAGE", nargs="?", help="for example insert_observers")


def _listed(choices: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<20} {what}" for name, what in choices.items())


# Printing ---------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(_safe(text))


def _safe(text: str) -> str:
    """The text without characters that steer a terminal: names come from whoever made the file."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _what(error: Exception) -> str:
    """An error as one sentence: its message, and its type where the message alone says little."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # str of a KeyError is its message in quotes.
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # torch.jit.Error begins with a stack of source lines; what went wrong stands at its end.
    is_from_torchscript = bool(lines) and "TorchScript" in lines[0]
    text = lines[-1 if is_from_torchscript else 0] if lines else "no message"
    expected = isinstance(error, (BadInputError, RunFailedError, ValueError, OSError))
    return text if expected else f"{type(error).__name__}: {text}"
