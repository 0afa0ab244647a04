"""What `jq.compare` costs on a deep net: time in forward passes of the prepared model, and memory.

python tests/benchmarks/compare.py [DEPTH]
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from generated import images, scripted_resnet
from torch.ao.quantization import get_default_qconfig

import jitq_explore as jq

sys.path.append(str(Path(__file__).parent.parent))
from runs import calibrate


def fastest(run: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of several runs: the noise of a shared machine only adds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def main(depth: int) -> None:
    warnings.simplefilter("ignore")
    batch = images(1)[0]
    qconfig = {"": get_default_qconfig("fbgemm")}
    model = scripted_resnet(depth)
    session = jq.Session.static(model, qconfig, calibrate, [[(batch,), (batch,)]])
    session.run("calibrate")
    # Clones of what the session made; stock torch, its profiling runs left out.
    other = jq.Session.static(model, qconfig, calibrate, [[(batch,)]])
    other.run("insert_observers")
    prepared = other.module
    with torch.no_grad():
        passes = [fastest(lambda: prepared(batch), 1) for _ in range(8)]
    one = min(passes)
    session.run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = fastest(lambda: jq.compare(session, batch), 1)
    later = fastest(lambda: jq.compare(session, batch), 3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    eight = fastest(lambda: jq.compare(session, [batch] * 8), 1)
    print(f"{depth} layers, batches of {len(batch)}, {torch.get_num_threads()} thread(s)")
    print(f"forward passes of the prepared model: {', '.join(f'{p:.2f}' for p in passes)} s")
    print(f"the first six of them: {sum(passes[:6]):.2f} s")
    print(f"compare, the first time: {first:.2f} s, {first / one:.1f} forward passes")
    print(f"compare again: {later:.2f} s, {later / one:.1f} forward passes")
    print(f"each further batch: {(eight - later) / 7:.2f} s")
    print(f"peak memory grew by {grown:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 152)
