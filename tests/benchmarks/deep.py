"""What a deep recording costs, against the same calls of stock torch.

    python tests/benchmarks/deep.py [18 | 152] ...

Each figure is measured in a fresh process; the best of three counts. CPU seconds of one thread,
calibration left out, and what the fusion rules of this torch cost to find, once in a process. The
largest resident size of the process that records deeply is printed as well.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

ROUNDS = 3
SIDES = ("torch", "recorded", "deep")


def measure(side: str, depth: int) -> dict[str, float]:
    import torch
    from generated import images, scripted_resnet
    from record import calibrate, cpu_of, peak_megabytes
    from torch.ao.quantization import get_default_qconfig

    torch.set_num_threads(1)
    qconfig, model, data = {"": get_default_qconfig("fbgemm")}, scripted_resnet(depth), images(1)
    if side == "torch":
        stock = importlib.import_module("torch.ao.quantization.quantize_jit")
        prepared: list = []
        seconds = cpu_of(lambda: prepared.append(stock.prepare_jit(model, qconfig)))
        calibrate(prepared[0], data)
        seconds += cpu_of(lambda: stock.convert_jit(prepared[0], inplace=True))
        return {"seconds": seconds, "peak": peak_megabytes()}

    import jitq_explore as jq
    from jitq_explore.capture.fusion_rules import fusion_rules_of_torch

    rules = cpu_of(fusion_rules_of_torch) if side == "deep" else 0.0
    runs: list[jq.Session] = []

    def prepare() -> None:
        runs.append(
            jq.Session.static(
                model, qconfig, calibrate, [data], progress=False, deep=side == "deep"
            )
        )
        runs[0].run(until="insert_observers")

    seconds = cpu_of(prepare)
    runs[0].run(until="calibrate")
    seconds += cpu_of(lambda: runs[0].run())
    steps = sum(len(stage.steps) for stage in runs[0].recording)
    return {"seconds": seconds, "rules": rules, "peak": peak_megabytes(), "steps": steps}


def in_fresh_process(side: str, depth: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", side, str(depth)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(depth: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            runs[side].append(in_fresh_process(side, depth))
    best = {
        side: {name: min(run[name] for run in found) for name in found[0]}
        for side, found in runs.items()
    }
    stock, recorded, deep = (best[side] for side in SIDES)
    over = (deep["seconds"] + deep["rules"] - stock["seconds"]) / stock["seconds"]
    print(f"{depth} layers: torch {stock['seconds']:.2f} s, recorded {recorded['seconds']:.2f} s,")
    print(
        f"  deep {deep['seconds']:.2f} s with {deep['steps']:.0f} steps, its rules {deep['rules']:.2f} s"
    )
    print(f"  added ÷ (prepare + convert) = {over:.2f}   (at most 5.0)")
    print(f"  peak {deep['peak']:.0f} MB   (below 1536 at 152 layers)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("depths", nargs="*", type=int, default=[18, 152])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        warnings.simplefilter("ignore")
        side, depth = options.measure
        print(json.dumps(measure(side, int(depth))))
        return
    for depth in options.depths:
        compare(depth)


if __name__ == "__main__":
    sys.path[:0] = map(str, (Path(__file__).parent, Path(__file__).parents[1]))
    main()
