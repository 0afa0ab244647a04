"""How long the drawings of a recording take: the first one, and the slowest of those that follow.

    python tests/benchmarks/drawing.py [resnet152 | inverted50 | transformer12 | …] ...

Seconds of wall-clock time, since the layout is made in a process of its own; graphs flattened and
nothing else prepared. Each in a fresh process, the best of three. At most 1.5 s and 0.3 s are
wanted. That of everything, nothing folded, is given too: it should be far from its timeout of 10 s,
behind which more is folded. As a measure of the machine both are also given against one drawing by `jq.diff` of the
first and the last stage, which has a layout of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROUNDS = 3


def measure(net: str, how: str) -> dict[str, float]:
    import torch
    from record import calibrate, net_and_data
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq
    from jitq_explore.views.film import film

    torch.set_num_threads(1)
    model, data = net_and_data(net, how, 1)
    qconfig = {"": get_default_qconfig("fbgemm")}
    recording = jq.Session.static(model, qconfig, calibrate, [data], progress=False).run()
    for stage in recording:
        stage.after.graph()
    start = time.perf_counter()
    found = film(recording)
    found.svg("insert_observers")
    first, slowest = time.perf_counter() - start, 0.0
    for name in found.stages:
        if name != "insert_observers":
            start = time.perf_counter()
            found.svg(name)
            slowest = max(slowest, time.perf_counter() - start)
    whole = time.perf_counter()
    film(recording, frozenset(), timeout=60.0)
    whole = time.perf_counter() - whole
    one = time.perf_counter()
    jq.diff(recording, "input", "dce")._repr_mimebundle_()
    one = time.perf_counter() - one
    boxes = float(len(found.stands))
    return {"first": first, "later": slowest, "whole": whole, "one": one, "boxes": boxes}


def in_fresh_process(net: str, how: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", net, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    from record import NETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=NETS, help=f"of {', '.join(NETS)}")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(*options.measure)))
        return
    for net in options.nets:
        for how in ("scripted", "traced"):
            runs = [in_fresh_process(net, how) for _ in range(ROUNDS)]
            best = {name: min(run[name] for run in runs) for name in runs[0]}
            print(f"{net}, {how}: {best['boxes']:.0f} boxes, first {best['first']:.2f} s", end=", ")
            print(
                f"later at most {best['later']:.3f} s, whole {best['whole']:.2f} s; ÷ one diff of two stages",
                end=" ",
            )
            print(f"{best['first'] / best['one']:.2f} and {best['later'] / best['one']:.3f}")


if __name__ == "__main__":
    sys.path[:0] = map(str, (Path(__file__).parent, Path(__file__).parents[1]))
    main()
