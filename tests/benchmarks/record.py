"""What recording costs, against the same calls of stock torch.

    python tests/benchmarks/record.py [--depth 18] [--batches 4]

Each figure is measured in a fresh process; the measurements are interleaved, and the best of three
counts. CPU seconds of one thread, since the machine may be busy. Two ratios are printed:

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


def measure_torch(depth: int, batches: int) -> dict[str, float]:
    from generated import images, scripted_resnet
    from torch.ao.quantization import get_default_qconfig

    stock = importlib.import_module("torch.ao.quantization.quantize_jit")
    qconfig = {"": get_default_qconfig("fbgemm")}
    model, data = scripted_resnet(depth), images(batches)
    prepared: list = []
    prepare = cpu_of(lambda: prepared.append(stock.prepare_jit(model, qconfig)))
    feed = cpu_of(lambda: calibrate(prepared[0], data))
    convert = cpu_of(lambda: stock.convert_jit(prepared[0], inplace=True))
    whole = prepare + feed + convert
    return {"passes": prepare + convert, "whole": whole, "peak": peak_megabytes()}


def measure_jitq_explore(depth: int, batches: int) -> dict[str, float]:
    from generated import images, scripted_resnet
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq
    from jitq_explore.capture import run_log, session

    # torch's own work within a session: the stages themselves, and scripting the observers.
    spent: list[float] = []
    run_log._run = timed(run_log._run, spent)
    session.script_qconfig_dict = timed(session.script_qconfig_dict, spent)
    qconfig = {"": get_default_qconfig("fbgemm")}
    model, data = scripted_resnet(depth), images(batches)
    # pandas is loaded by the first table; its import is no part of a recording.
    importlib.import_module("jitq_explore.views.tables")
    recorded: list = []
    whole = cpu_of(
        lambda: recorded.append(
            jq.Session.static(model, qconfig, calibrate, [data], progress=False).run()
        )
    )
    recording = recorded[0]

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
    return {
        "added": whole - sum(spent) + looking,
        "compared": comparing,
        "whole": whole,
        "nodes": len(prepared),
        "peak": peak,
        "file": size / 2**20,
    }


def in_fresh_process(side: str, depth: int, batches: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", side]
    command += ["--depth", str(depth), "--batches", str(batches)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, choices=(18, 50, 152), default=18)
    parser.add_argument("--batches", type=int, default=4, help="calibration batches of 8 images")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        import torch

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        measure = measure_torch if options.measure == "torch" else measure_jitq_explore
        print(json.dumps(measure(options.depth, options.batches)))
        return
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            runs[side].append(in_fresh_process(side, options.depth, options.batches))
    stock, ours = best(runs["torch"]), best(runs["jitq_explore"])
    print(
        f"ResNet of {options.depth} layers, width 16, {options.batches} batches of 8 images 32×32"
    )
    print(f"prepared graph, flattened, observers included: {ours['nodes']:.0f} nodes")
    print(
        f"torch prepare + convert {stock['passes']:.2f} s, quantize_jit {stock['whole']:.2f} s CPU"
    )
    print(f"jitq_explore added {ours['added']:.2f} s, whole {ours['whole']:.2f} s CPU")
    print(f"added ÷ (prepare + convert) = {ours['added'] / stock['passes']:.2f}   (at most 1.0)")
    compared = (ours["added"] + ours["compared"]) / stock["passes"]
    print(f"the same with the differences of all stages (stage_table) = {compared:.2f}")
    print(f"whole ÷ quantize_jit        = {ours['whole'] / stock['whole']:.2f}   (at most 1.0)")
    print(f"file {ours['file']:.2f} MB, process grown by {ours['peak'] - stock['peak']:.0f} MB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
