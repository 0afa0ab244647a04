"""What recording costs, against the same calls of stock torch.

    python tests/benchmarks/record.py [resnet18 | resnet50 | resnet152 | inverted50 | transformer12] ...
        [--how scripted | traced] [--batches 4]

Each figure is measured in a fresh process; the measurements are interleaved, and the best of three
counts. CPU seconds of one thread, since the machine may be busy. Printed are each step's time
against torch's, and two ratios:

added   snapshots, module states, flattened graphs, observer and quantize-node tables of all stages,
        over torch's own prepare + convert (calibration not counted); on a line of its own the same
        with what stage_table adds to them: the differences of the earlier stages
whole   a recorded static quantization from model to recording, calibration included,
        over torch's quantize_jit

The size of the saved file is printed as well, and how much larger the process grew than that of
stock torch (peak resident size; not on Windows, which does not tell).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROUNDS = 3
SIDES = ("torch", "jitq_explore")
NETS = ("resnet18", "resnet50", "resnet152", "inverted50", "transformer12")


def peak_megabytes() -> float:
    """The process's largest resident size so far; 0 where the platform does not tell."""
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    return 0.0


def cpu_of(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def timed(function: Callable[..., object], spent: list[float]) -> Callable[..., object]:
    """The function, which notes the CPU seconds of each call."""

    def timed_function(*arguments: object) -> object:
        start = time.process_time()
        try:
            return function(*arguments)
        finally:
            spent.append(time.process_time() - start)

    return timed_function


def calibrate(model, batches) -> None:
    import torch

    with torch.no_grad():
        for batch in batches:
            model(batch)


def net_and_data(net: str, how: str, batches: int):
    """A TorchScript net in eval mode, and batches of 8 for it."""
    import torch
    from distinct_nets import distinct_net
    from generated import ResNet, images, scripted_resnet

    if net.startswith("resnet"):
        depth, data = int(net.removeprefix("resnet")), images(batches)
        if how == "scripted":
            return scripted_resnet(depth), data
        torch.manual_seed(0)
        return torch.jit.trace(ResNet(depth).eval(), data[0]), data
    name = net.rstrip("0123456789")
    model, x = distinct_net(name, int(net.removeprefix(name)), how)
    return model, [x.repeat(4, *(1 for _ in x.shape[1:])) + k for k in range(batches)]


def measure_torch(net: str, how: str, batches: int) -> dict[str, float]:
    from torch.ao.quantization import get_default_qconfig

    stock = importlib.import_module("torch.ao.quantization.quantize_jit")
    qconfig = {"": get_default_qconfig("fbgemm")}
    model, data = net_and_data(net, how, batches)
    prepared: list = []
    steps = {
        "prepare": cpu_of(lambda: prepared.append(stock.prepare_jit(model, qconfig))),
        "calibrate": cpu_of(lambda: calibrate(prepared[0], data)),
        "convert": cpu_of(lambda: stock.convert_jit(prepared[0], inplace=True)),
    }
    passes = steps["prepare"] + steps["convert"]
    return {**steps, "passes": passes, "whole": sum(steps.values()), "peak": peak_megabytes()}


def measure_jitq_explore(net: str, how: str, batches: int) -> dict[str, float]:
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq
    from jitq_explore.capture import plan, run_log

    # torch's own work within a session: the stages themselves, and scripting the observers.
    spent: list[float] = []
    run_log._run = timed(run_log._run, spent)
    plan.shared_script_qconfig_dict = timed(plan.shared_script_qconfig_dict, spent)
    qconfig = {"": get_default_qconfig("fbgemm")}
    model, data = net_and_data(net, how, batches)
    # pandas is loaded by the first table; its import is no part of a recording.
    importlib.import_module("jitq_explore.views.tables")
    runs: list[jq.Session] = []

    def prepare() -> None:
        runs.append(jq.Session.static(model, qconfig, calibrate, [data], progress=False))
        runs[0].run(until="insert_observers")

    steps = {
        "prepare": cpu_of(prepare),
        "calibrate": cpu_of(lambda: runs[0].run(until="calibrate")),
        "convert": cpu_of(lambda: runs[0].run()),
    }
    recording = runs[0].recording

    def look() -> None:
        for stage in recording:
            stage.after.graph()
        jq.observer_table(recording)
        jq.quant_node_table(recording)

    looking = cpu_of(look)
    comparing = cpu_of(lambda: jq.stage_table(recording))
    prepared = recording["insert_observers"].after.graph()
    peak = peak_megabytes()
    with tempfile.TemporaryDirectory() as folder:
        size = jq.save(recording, Path(folder) / "run.jitq").stat().st_size
    whole = sum(steps.values())
    return {
        **steps,
        "added": whole - sum(spent) + looking,
        "compared": comparing,
        "whole": whole,
        "nodes": len(prepared),
        "peak": peak,
        "file": size / 2**20,
    }


def in_fresh_process(side: str, *what: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", side, *map(str, what)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(run[name] for run in runs) for name in runs[0]}


def compare(net: str, how: str, batches: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            runs[side].append(in_fresh_process(side, net, how, batches))
    stock, ours = best(runs["torch"]), best(runs["jitq_explore"])
    print(f"{net}, {how}, {batches} batches of 8: {ours['nodes']:.0f} nodes when prepared")
    for step in ("prepare", "calibrate", "convert"):
        ratio = ours[step] / stock[step]
        print(f"  {step:<10} torch {stock[step]:6.2f} s, ours {ours[step]:6.2f} s CPU: {ratio:.2f}")
    added = ours["added"] / stock["passes"]
    compared = (ours["added"] + ours["compared"]) / stock["passes"]
    print(f"  added ÷ (prepare + convert) = {added:.2f}   (at most 1.0)", end="; ")
    print(f"with the differences of all stages {compared:.2f}")
    print(f"  whole ÷ quantize_jit        = {ours['whole'] / stock['whole']:.2f}", end="; ")
    print(f"file {ours['file']:.2f} MB, process grown by {ours['peak'] - stock['peak']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=["resnet18"], help=f"of {', '.join(NETS)}")
    parser.add_argument("--how", choices=("scripted", "traced"), default="scripted")
    parser.add_argument("--batches", type=int, default=4, help="calibration batches of 8")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        import torch

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        side, net, how, batches = options.measure
        measure = measure_torch if side == "torch" else measure_jitq_explore
        print(json.dumps(measure(net, how, int(batches))))
        return
    for net in options.nets:
        if net not in NETS:
            parser.error(f"unknown net {net!r} (must be one of {', '.join(NETS)})")
        compare(net, options.how, options.batches)


if __name__ == "__main__":
    sys.path[:0] = map(str, (Path(__file__).parent, Path(__file__).parents[1]))
    main()
