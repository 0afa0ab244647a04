"""What `jq.compare` costs, against forward passes of the prepared model.

    python tests/benchmarks/compare.py [18 | 50 | 152 | 304] ...

Each figure is measured in a fresh process; the measurements are interleaved, and the best of three
counts. CPU seconds of one thread, since the machine may be busy; one batch of 8. A forward pass of
the prepared model is taken in three ways:

first   as a user runs it the first time: TorchScript profiles and compiles in the first two calls
plain   the same without that (`torch.jit.optimized_execution(False)`), as calibration runs it
warm    after eight calls, everything compiled

and `compare` the first time (the graphs are matched then) and again. Printed are the ratios, and by
how much the process grows with one batch and with eight (peak resident size).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from pathlib import Path

from record import best, cpu_of, peak_megabytes

ROUNDS = 3
DEPTHS = (18, 50, 152, 304)
SIDES = ("forward", "plain", "compare", "compare eight")


def session_and_batch(depth: int):
    from generated import images, scripted_resnet
    from runs import calibrate
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq

    (batch,) = images(1)
    qconfig = {"": get_default_qconfig("fbgemm")}
    calls = [[(batch,)]]
    return jq.Session.static(
        scripted_resnet(depth), qconfig, calibrate, calls, progress=False
    ), batch


def measure_forward(depth: int) -> dict[str, float]:
    import torch

    session, batch = session_and_batch(depth)
    session.run(until="insert_observers")
    prepared = session.module
    with torch.no_grad():
        passes = [cpu_of(lambda: prepared(batch)) for _ in range(12)]
    return {"first": sum(passes[:2]) / 2, "warm": min(passes[8:])}


def measure_plain(depth: int) -> dict[str, float]:
    import torch

    session, batch = session_and_batch(depth)
    session.run(until="insert_observers")
    prepared = session.module
    with torch.no_grad(), torch.jit.optimized_execution(False):
        return {"plain": min(cpu_of(lambda: prepared(batch)) for _ in range(3))}


def measure_compare(depth: int) -> dict[str, float]:
    import jitq_explore as jq

    session, batch = session_and_batch(depth)
    session.run()
    compare = jq.compare  # which imports it: torch is not imported within the measurement, either
    before = peak_megabytes()
    first = cpu_of(lambda: compare(session, batch))
    grown = peak_megabytes() - before
    return {
        "first": first,
        "again": min(cpu_of(lambda: compare(session, batch)) for _ in range(3)),
        "grown": grown,
    }


def measure_compare_eight(depth: int) -> dict[str, float]:
    import jitq_explore as jq

    session, batch = session_and_batch(depth)
    session.run()
    before = peak_megabytes()
    jq.compare(session, (batch for _ in range(8)))
    return {"grown": peak_megabytes() - before}


def in_fresh_process(side: str, depth: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", side, str(depth)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def report(depth: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            runs[side].append(in_fresh_process(side, depth))
    forward, compared = best(runs["forward"]), best(runs["compare"])
    passes = {**forward, **best(runs["plain"])}
    eight = best(runs["compare eight"])
    print(f"{depth} layers, one batch of 8")
    print("  forward pass " + ", ".join(f"{how} {t:.2f} s" for how, t in passes.items()))
    for when in ("first", "again"):
        ratios = ", ".join(f"{compared[when] / t:.1f} {how}" for how, t in passes.items())
        print(f"  compare {when}  {compared[when]:.2f} s: {ratios} passes   (at most 6)")
    print(f"  grown by {compared['grown']:.0f} MB, with eight batches by {eight['grown']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("depths", nargs="*", type=int, default=[152], help=f"of {DEPTHS}")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        import torch

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        side, depth = options.measure
        print(json.dumps(globals()[f"measure_{side.replace(' ', '_')}"](int(depth))))
        return
    for depth in options.depths:
        if depth not in DEPTHS:
            parser.error(f"unknown depth {depth} (must be one of {DEPTHS})")
        report(depth)


if __name__ == "__main__":
    sys.path[:0] = map(str, (Path(__file__).parent, Path(__file__).parents[1]))
    main()
