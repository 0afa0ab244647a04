"""What a page costs, against what it shows and against the least that can be done with a recording.

    python tests/benchmarks/page.py [--depth 18] [--batches 4]

size   the file of `jq.to_html`, against the graphs of all stages printed (what a reader would have
       without it), and a node
time   against saving the recording and drawing one film of it; wall seconds, since the layouts are
       made by another process. Each is measured on a recording that was just loaded; the best of
       three counts

Where the bytes are is printed as well: each kind of answer packed on its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROUNDS = 3


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def record_resnet(depth: int, batches: int, path: Path) -> None:
    from generated import images, scripted_resnet
    from record import calibrate
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq

    qconfig = {"": get_default_qconfig("fbgemm")}
    model, data = scripted_resnet(depth), images(batches)
    jq.save(jq.Session.static(model, qconfig, calibrate, [data], progress=False).run(), path)


def save_and_draw(recording, folder: Path) -> None:
    """What can be done without a page: the file, and every stage drawn once."""
    import jitq_explore as jq
    from jitq_explore.views.film import film

    jq.save(recording, folder / "again.jitq")
    shown = film(recording)
    for stage in shown.stages:
        shown.svg(stage)


def sizes_by_kind(recording) -> dict[str, int]:
    """Kind of answer -> characters that all of that kind take, packed."""
    from jitq_explore.views.answers import Answers
    from jitq_explore.views.html.contents import contents_of
    from jitq_explore.views.html.packing import packed

    answers = contents_of(Answers.of(recording)).answers
    kinds = dict.fromkeys(key.split(" ")[0] for key in answers)
    return {
        kind: len(packed({key: answers[key] for key in answers if key.startswith(f"{kind} ")}))
        for kind in kinds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, choices=(18, 50, 152), default=18)
    parser.add_argument("--batches", type=int, default=4, help="calibration batches of 8 images")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    import jitq_explore as jq
    from jitq_explore.snapshots.graph import graph_lines

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, page = folder / "run.jitq", folder / "page.html"
        record_resnet(options.depth, options.batches, run)
        paging, drawing = [], []
        for _ in range(ROUNDS):
            recording = jq.load(run)
            drawing.append(seconds_of(lambda seen=recording: save_and_draw(seen, folder)))
            recording = jq.load(run)
            paging.append(seconds_of(lambda seen=recording: jq.to_html(seen, page)))
        size, saved = page.stat().st_size, run.stat().st_size
    graphs = [recording.input.graph(), *(stage.after.graph() for stage in recording)]
    printed = sum(len(line) + 1 for graph in graphs for line in graph_lines(graph))
    nodes = sum(map(len, graphs))
    print(f"ResNet of {options.depth} layers: {len(graphs)} graphs of {nodes} nodes in all")
    print(f"page {size / 2**20:.2f} MB, recording {saved / 2**20:.2f} MB")
    print(f"page ÷ print of all graphs = {size / printed:.1f}, {size / nodes:.0f} bytes a node")
    print(f"to_html {min(paging):.1f} s, saving and drawing {min(drawing):.1f} s")
    print(f"to_html ÷ (saving + drawing) = {min(paging) / min(drawing):.1f}")
    for kind, characters in sizes_by_kind(recording).items():
        print(f"  {kind:<8} {characters / 2**10:7.0f} KB")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
