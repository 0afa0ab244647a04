"""The scoreboard: which tools show a TorchScript model at the four stages of its quantization.

    python tests/benchmarks/peers.py [--to FOLDER] [--readme README.md] [--rounds 3]
        [--nets resnet18 resnet152 transformer12] [--tools jitq_explore Netron …]

Needs the extra `bench` (`pip install -e ".[bench]"`) and a Chromium. Every tool gets the same TorchScript files, made by stock
torch; jitq_explore gets the float one alone and makes the others itself, in the time measured.
Each picture is made in a fresh process, in every way that the tool offers; the quickest of the
rounds counts. Written are `peers.md`, `peers.json` and a picture for light and dark pages; with
`--readme` the summary is also put between the README's two `peers` comments.

shown     nine tenths of what makes the stage that stage are on the picture: the convolutions and
          linear layers, the observers, the quantize nodes, the quantized kernels
time      from the file on disk to the picture painted in Chromium (for print to the text file, for
          TensorBoard to the event file); process start, imports and the browser's start apart
nodes     boxes, or rows of boxes where each names an op, with everything unfolded
"""

from __future__ import annotations

import argparse
import difflib
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers_report import ENOUGH, write_report
from peers_ways import (
    DISTRIBUTIONS,
    NETS,
    STAGES,
    TOOLS,
    Task,
    calibrate,
    eager_net,
    quiet,
    ways_of,
)

TIMEOUT = 240
"""Seconds after which a process that draws is given up."""

PATTERNS = {
    "float": re.compile(r"^(aten::)?(_convolution|conv2d|linear)\b", re.IGNORECASE),
    "prepared": re.compile(r"Observer"),
    "debug": re.compile(r"(?<!de)quan(tize(?!d)|…)"),
}
"""Stage -> what names a mark of it; those of the final stage are named as its file says."""


def make_files(net: str, folder: Path) -> dict[str, dict[str, Any]]:
    """The files of a net at all stages, made by stock torch -> stage -> its marks."""
    import torch
    from distinct_nets import SHAPES
    from generated import images
    from torch.ao.quantization import get_default_qconfig
    from torch.ao.quantization.quantize_jit import convert_jit, prepare_jit

    model = eager_net(net)
    torch.manual_seed(1)
    inputs = images(1)[0] if net.startswith("resnet") else torch.randn(SHAPES["transformer"])
    scripted = torch.jit.script(model)
    prepared = prepare_jit(scripted, {"": get_default_qconfig("fbgemm")})
    calibrate(prepared, [inputs])
    made = {
        "float": scripted,
        "prepared": prepared,
        "debug": convert_jit(prepared, debug=True),
        "final": convert_jit(prepared),
    }
    torch.save(inputs, folder / f"{net}-inputs.pt")
    for stage, module in made.items():
        module.save(str(folder / f"{net}-{stage}.pt"))
    return {stage: marks_of(module, stage) for stage, module in made.items()}


def marks_of(module: Any, stage: str) -> dict[str, Any]:
    """How many marks of the stage there are in a module, and their kinds."""
    if stage == "prepared":
        names = (getattr(part, "original_name", "") for part in module.modules())
        kinds = Counter(name for name in names if name.endswith("Observer"))
    else:
        wanted = {
            "float": r"aten::(conv2d|linear)",
            "debug": r"aten::quantize_per_\w+",
            "final": r"quantized::\w+",
        }[stage]
        found = (node.kind() for node in module.inlined_graph.nodes())
        kinds = Counter(kind for kind in found if re.fullmatch(wanted, kind))
    return {"count": kinds.total(), "kinds": dict(kinds)}


def pattern_of(stage: str, kinds: dict[str, int]) -> re.Pattern[str]:
    """What names a mark of the stage on a picture."""
    if stage != "final":
        return PATTERNS[stage]
    names = "|".join(re.escape(kind.partition("::")[2]) for kind in kinds)
    return re.compile(rf"^(quantized:|({names})(?!\w))")


def measure(tool: str, way: str, net: str, stage: str, files: Path, born: float) -> dict[str, Any]:
    """One picture, in this process."""
    marks = json.loads((files / f"{net}.json").read_text())[stage]
    found: dict[str, Any] = {"error": "", "marks": 0, "of": marks["count"]}
    with tempfile.TemporaryDirectory() as work:
        task = Task(files, net, stage, Path(work))
        try:
            with task.closing, quiet():
                picture = TOOLS[tool][way](task)
                pattern = pattern_of(stage, marks["kinds"])
                count = sum(bool(pattern.search(label)) for label in picture.labels)
                found |= {"marks": min(count, marks["count"])}
                found |= {"nodes": picture.nodes, "bytes": picture.bytes}
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
        found |= {"seconds": task.seconds, "browser": task.browser_seconds}
        found["start"] = task.ready - born
    return found


def differences(net: str, files: Path) -> dict[str, dict[str, list[int]]]:
    """Pair of stages -> what difflib says of the printed graphs, and what jitq_explore says.

    Of each: how many lines or nodes were added, removed, changed, and how many there were.
    """
    import torch
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq

    qconfig = {"": get_default_qconfig("fbgemm")}
    scripted = torch.jit.load(files / f"{net}-float.pt")
    batch = torch.load(files / f"{net}-inputs.pt")
    run = jq.Session.static(scripted, qconfig, calibrate, [[batch]], progress=False).run()
    names = ("input", "calibrate", "insert_quant_dequant", run.stages[-1].name)
    found = {}
    for k in range(3):
        texts = [
            torch.jit.load(files / f"{net}-{stage}.pt").inlined_graph.str(False).splitlines()
            for stage in STAGES[k : k + 2]
        ]
        lines = list(difflib.unified_diff(*texts, n=0, lineterm=""))[2:]
        signs = Counter(line[0] for line in lines)
        diff = jq.diff(run, names[k], names[k + 1])
        found[f"{STAGES[k]} → {STAGES[k + 1]}"] = {
            "print + difflib": [signs["+"], signs["-"], 0, len(texts[0])],
            "jitq_explore": [
                len(diff.added),
                len(diff.removed),
                len(diff.changed),
                len(diff.removed) + sum(len(match.before) for match in diff.matched),
            ],
        }
    return found


def in_fresh_process(*arguments: object, timeout: float | None = None) -> Any:
    """What this script says when it is given these; the last line of its complaint if it fails."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"]
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout)


def attempt(tool: str, way: str, net: str, stage: str, files: Path) -> dict[str, Any]:
    try:
        return in_fresh_process(
            "--measure", tool, way, net, stage, files, time.time(), timeout=TIMEOUT
        )
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return {"error": str(error), "marks": 0, "of": 0, "seconds": 0, "browser": 0, "start": 0}


def score(rounds: int, nets: list[str], tools: list[str], files: Path) -> list[dict[str, Any]]:
    """Every tool, net, stage and way -> what was measured; what failed is tried once."""
    cells = [
        {"tool": tool, "way": way, "net": net, "stage": stage, "runs": []}
        for net in nets
        for stage in STAGES
        for tool in tools
        for way in ways_of(tool, stage)
    ]
    for number in range(rounds):
        for cell in cells:
            if any(run["error"] or run["marks"] < run["of"] * ENOUGH for run in cell["runs"]):
                continue
            where = cell["tool"], cell["way"], cell["net"], cell["stage"]
            run = attempt(*where, files)
            cell["runs"].append(run)
            said = run["error"] or f"{run['marks']} of {run['of']} marks, {run['seconds']:.2f} s"
            print(f"{number + 1}/{rounds}", *where, said.splitlines()[0][:90], file=sys.stderr)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=Path("peers"), help="folder for the results")
    parser.add_argument("--readme", type=Path, help="file that the summary is put into")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--again", action="store_true", help="only write FOLDER/peers.json anew")
    parser.add_argument("--measure", nargs=6, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--differences", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.measure:
        *where, files, born = options.measure
        print(json.dumps(measure(*where, Path(files), float(born))))
    elif options.make:
        print(json.dumps(make_files(options.make[0], Path(options.make[1]))))
    elif options.differences:
        print(json.dumps(differences(options.differences[0], Path(options.differences[1]))))
    else:
        options.to.mkdir(parents=True, exist_ok=True)
        kept = options.to / "peers.json"
        if not options.again:
            found = run_all(options.rounds, options.nets, options.tools)
            kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        write_report(json.loads(kept.read_text("utf-8")), options.to, options.readme)


def run_all(rounds: int, nets: list[str], tools: list[str]) -> dict[str, Any]:
    """All that the report is made of."""
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        for net in nets:
            (files / f"{net}.json").write_text(json.dumps(in_fresh_process("--make", net, files)))
        cells = score(rounds, nets, tools, files)
        pairs = {net: in_fresh_process("--differences", net, files) for net in nets}
    versions = {tool: version(name) for tool, name in DISTRIBUTIONS.items() if tool in tools}
    versions |= {"torch": version("torch"), "Python": platform.python_version()}
    return {"rounds": rounds, "versions": versions, "cells": cells, "differences": pairs}


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    main()
