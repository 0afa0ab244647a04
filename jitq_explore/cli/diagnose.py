"""`jitq-explore diagnose`: what is wrong with a run, for people and for CI."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jitq_explore.cli.errors import BadInputError
from jitq_explore.cli.files import is_recording, load_recording
from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say
from jitq_explore.cli.runs import ABOUT_RUNS, add_run_options, run_options_given, session_for
from jitq_explore.snapshots.printable import printable

if TYPE_CHECKING:
    from jitq_explore.diagnostics.findings import Finding, Findings
    from jitq_explore.snapshots.recording import Recording

NOTHING, FOUND = 0, 1
"""Exit codes: no finding as bad as `--fail-on`; at least one."""

NEVER = "never"
SEVERITIES = ("error", "warning", "info")


def diagnose(options: argparse.Namespace) -> int:
    """Print the findings of a recording, or of a model that is quantized for it."""
    from jitq_explore.diagnostics.diagnose import diagnose as findings_of

    findings = findings_of(_recording(options))
    say(_FORMATS[options.format](findings, options.model))
    if options.fail_on == NEVER:
        return NOTHING
    return FOUND if findings.at_least(options.fail_on) else NOTHING


def _recording(options: argparse.Namespace) -> Recording:
    """The recording that is named, or that of a run of the model that is."""
    if options.model.suffix != ".jitq" and not is_recording(options.model):
        session = session_for(options)
        # A run that fails is a finding.
        with contextlib.suppress(Exception):
            session.run()
        return session.recording
    given = run_options_given(options)
    if given:
        raise BadInputError(f"{options.model} is a recording: it takes no {', '.join(given)}")
    return load_recording(options.model)


def _as_text(findings: Findings, name: Path) -> str:
    return f"{name}: {findings.text()}"


def _as_json(findings: Findings, name: Path) -> str:
    counts: Counter[str] = Counter(each.severity for each in findings)
    told = {
        "file": str(name),
        "counts": {severity: counts[severity] for severity in SEVERITIES},
        "findings": [asdict(each) for each in findings],
    }
    # Plain ASCII, in which no name can steer a terminal.
    return json.dumps(told, indent=2, default=str)


def _as_github(findings: Findings, name: Path) -> str:
    lines = [_annotation(each) for each in findings]
    return "\n".join([*lines, f"{name}: {findings.summary()}"])


def _annotation(finding: Finding) -> str:
    """A line that GitHub Actions shows at the user's own line of source."""
    told = [finding.why, finding.evidence, finding.remedy]
    message = "\n".join(printable(line) for line in (finding.where, *told) if line)
    properties = {**_place(finding.source), "title": printable(finding.title)}
    listed = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{_LEVELS[finding.severity]} {listed}::{_escaped(message)}"


def _place(source: str) -> dict[str, str]:
    """File and line, where the file is in the current folder: others GitHub cannot show."""
    file, _, place = source.rpartition(":")
    file, _, line = file.rpartition(":")
    try:
        path = Path(file).resolve().relative_to(Path.cwd())
        number, column = int(line), int(place) + 1
    except (ValueError, OSError):
        return {}
    return {"file": path.as_posix(), "line": str(number), "col": str(column)} if file else {}


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}
"""Severity -> what GitHub calls it."""

_FORMATS: Mapping[str, Callable[[Findings, Path], str]] = {
    "text": _as_text,
    "json": _as_json,
    "github": _as_github,
}


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        diagnose,
        "say what is wrong with a run, for people and for CI",
        f"""\
Says what is wrong with a recorded run and what to do: errors (the result is
wrong, cannot be run or is not quantized), warnings (it could be better) and
infos. Needs no torch for a recording. A TorchScript file is quantized first,
with the options of `jitq-explore record`; the file is not changed.

Exit codes:
  0  no finding as bad as --fail-on
  1  at least one finding as bad as --fail-on
  2  the command line, or a file that it names, is not usable

Formats:
  text    for people
  json    {{"file", "counts": {{severity: number}}, "findings": [{{"rule",
          "severity", "title", "why", "evidence", "remedy", "stage", "node",
          "module", "source", "change"}}]}}, the worst first
  github  annotations, which GitHub Actions shows at the lines of source

{ABOUT_RUNS}""",
    )
    parser.add_argument(
        "model", metavar="MODEL.pt|RUN.jitq", type=Path, help="a TorchScript file, or a recording"
    )
    parser.add_argument(
        "--fail-on", choices=(*SEVERITIES, NEVER), default="error",
        help="the least severity that makes the exit code 1 (default: error)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=tuple(_FORMATS), default="text", help="how to print (default: text)"
    )
    add_run_options(parser)
