"""What matching costs and what it finds, against reading and against the obvious alternatives.

    python tests/benchmarks/matching.py [speed | stages | finds] ...

speed   two inlined graphs of some 10,000 nodes (a ResNet of 304 layers), one of them edited:
        matching over reading both through `jq.read_graph` (at most 1.0); made graphs of 10,000 and
        100,000 nodes: the growth (at most 16); each in CPU seconds
stages  the residual nets of 18, 50 and 152 layers, scripted and traced: the slowest difference of
        two consecutive stages (at most 0.5 s for 152 layers)
finds   precision and recall of the pairs of ops, on deep nets whose layers tell themselves apart by
        the shapes of their weights; `diff` against `difflib.unified_diff` of the printed graphs,
        matching by name, and matching by kind and source line, on the same truth

Each figure is measured in a fresh process; the best of three counts. CPU seconds of one thread,
since the machine may be busy.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import subprocess
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

ROUNDS = 3
HERE = Path(__file__).parent
FIRST = "input"
DISTINCT = {"residual": 75, "inverted": 50, "transformer": 12}
"""Blocks of the nets that are tried."""


def cpu_of(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


# ------------------------------------------------------------------------------------- measuring


def measure_reading() -> dict[str, float]:
    """Two torch graphs, one with an op put in behind every hundredth."""
    import torch
    from generated import scripted_resnet

    import jitq_explore as jq

    graphs = [scripted_resnet(304).graph.copy() for _ in range(2)]
    for graph in graphs:
        torch._C._jit_pass_inline(graph)
    for node in list(graphs[1].nodes())[::100]:
        if node.outputsSize() == 1 and str(node.output().type()) == "Tensor":
            new = graphs[1].create("aten::sigmoid", [node.output()], 1)
            new.insertAfter(node)
            node.output().replaceAllUsesAfterNodeWith(new, new.output())
    read = []
    reading = cpu_of(lambda: read.extend(jq.read_graph(graph) for graph in graphs))
    found = []
    matching = cpu_of(lambda: found.append(jq.diff_graphs(*read)))
    return {
        "read": reading,
        "match": matching,
        "nodes": float(len(read[0])),
        "added": float(len(found[0].added)),
    }


def measure_scale(size: int) -> dict[str, float]:
    """Made graphs: repeated blocks, branches, nested blocks; one op in a hundred replaced."""
    from graphs_made import all_ops, make, write

    import jitq_explore as jq

    maker = make(3, size, is_bare=True)
    before, _ = write(maker)
    for number, op in enumerate(all_ops(maker.main)):
        if number % 100 == 50 and op.kind.startswith("aten::") and len(op.outputs) == 1:
            op.kind = "custom::other"
    after, _ = write(maker, 1)
    return {"match": cpu_of(lambda: jq.diff_graphs(before, after)), "nodes": float(len(before))}


def measure_stages(depth: int, how: str) -> dict[str, float]:
    import torch
    from generated import ResNet, images, scripted_resnet
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq

    model = scripted_resnet(depth)
    if how == "traced":
        model = torch.jit.trace(ResNet(depth).eval(), images(1)[0])
    session = jq.Session.static(
        model,
        {"": get_default_qconfig("fbgemm")},
        lambda model, batches: [model(batch) for batch in batches],
        [images(1)],
        progress=False,
    )
    recording = session.run()
    spent = {}
    before = FIRST
    for stage in recording:
        # Flattening belongs to the snapshot.
        stage.before.graph()
        stage.after.graph()
        spent[stage.name] = cpu_of(lambda b=before, a=stage.name: jq.diff(recording, b, a))
        before = stage.name
    return spent


def measure_finds(name: str, how: str, mode: str) -> dict[str, list[int]]:
    """Way of matching -> right, claimed and true pairs of ops over all stages; CPU µs."""
    from distinct_nets import distinct_net
    from op_identity import Identities, all_ops, true_pairs
    from torch.ao.quantization import default_dynamic_qconfig, get_default_qconfig

    import jitq_explore as jq

    model, x = distinct_net(name, DISTINCT[name], how)
    if mode == "dynamic":
        session = jq.Session.dynamic(model, {"": default_dynamic_qconfig})
    else:
        session = jq.Session.static(
            model,
            {"": get_default_qconfig("fbgemm")},
            lambda model, batches: [model(batch) for batch in batches],
            [[x]],
            progress=False,
        )
    recording = session.run()
    sums: dict[str, list[int]] = {way: [0, 0, 0, 0] for way in WAYS}
    old, old_graph = Identities(recording.input, recording.input.graph()), recording.input.graph()
    for stage in recording:
        new_graph = stage.after.graph()
        new = Identities(stage.after, new_graph)
        true = true_pairs(old, new)
        ops = all_ops(old), all_ops(new)
        for way, pairs_of in WAYS.items():
            start = time.process_time()
            claimed = pairs_of(old_graph, new_graph)
            micros = round((time.process_time() - start) * 1e6)
            claimed = {pair for pair in claimed if pair[0] in ops[0] and pair[1] in ops[1]}
            found = len(claimed & true), len(claimed), len(true), micros
            sums[way] = [a + b for a, b in zip(sums[way], found, strict=True)]
        old, old_graph = new, new_graph
    return sums


# ---------------------------------------------------------------------------------- alternatives


def by_diff(before, after) -> set[tuple[str, str]]:
    import jitq_explore as jq

    diff = jq.diff_graphs(before, after)
    return {(a.id, b.id) for match in diff.matched for a in match.before for b in match.after}


def by_lines(before, after) -> set[tuple[str, str]]:
    """Lines of the printed graphs that `difflib` leaves alone, values' numbers taken out."""
    from jitq_explore.snapshots.graph import node_line

    texts = [[re.sub(r"%\S+", "%", node_line(n)) for n in g.nodes] for g in (before, after)]
    lines = difflib.unified_diff(*texts, n=max(map(len, texts)), lineterm="")
    pairs, i, j = set(), 0, 0
    for line in list(lines)[3:]:
        if line[0] == " ":
            pairs.add((before.nodes[i].id, after.nodes[j].id))
        i += line[0] in " -"
        j += line[0] in " +"
    return pairs or ({(a.id, b.id) for a, b in zip(before.nodes, after.nodes, strict=True)})


def by_name(before, after) -> set[tuple[str, str]]:
    """The same name of the first output."""
    ids = {node.outputs[0]: node.id for node in before.nodes if node.outputs}
    return {
        (ids[node.outputs[0]], node.id)
        for node in after.nodes
        if node.outputs and node.outputs[0] in ids
    }


def by_source(before, after) -> set[tuple[str, str]]:
    """The same kind on the same source line, in order."""
    places: dict[object, list[str]] = defaultdict(list)
    for node in before.nodes:
        places[node.kind, node.source].append(node.id)
    count: Counter[object] = Counter()
    pairs = set()
    for node in after.nodes:
        key = node.kind, node.source
        if node.source and count[key] < len(places[key]):
            pairs.add((places[key][count[key]], node.id))
            count[key] += 1
    return pairs


WAYS = {
    "jq.diff": by_diff,
    "difflib.unified_diff": by_lines,
    "by name": by_name,
    "by kind and source line": by_source,
}


# -------------------------------------------------------------------------------------- printing


def in_fresh_process(*what: object) -> dict:
    command = [sys.executable, __file__, "--measure", *map(str, what)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def best(*what: object) -> dict[str, float]:
    runs = [in_fresh_process(*what) for _ in range(ROUNDS)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def show_speed() -> None:
    found = best("reading")
    print(f"two graphs of {found['nodes']:.0f} nodes, {found['added']:.0f} ops put into one")
    print(f"read {found['read']:.3f} s, matched {found['match']:.3f} s CPU")
    print(f"match ÷ read      = {found['match'] / found['read']:.2f}   (at most 1.0)")
    small, large = best("scale", 10_000), best("scale", 100_000)
    print(f"made graphs: {small['nodes']:.0f} nodes {small['match']:.3f} s CPU,", end=" ")
    print(f"{large['nodes']:.0f} nodes {large['match']:.3f} s CPU")
    print(f"100,000 ÷ 10,000  = {large['match'] / small['match']:.1f}   (at most 16)")


def show_stages() -> None:
    for how in ("scripted", "traced"):
        for depth in (18, 50, 152):
            spent = best("stages", depth, how)
            slowest = max(spent, key=spent.__getitem__)
            print(f"{depth:>4} layers {how:<9} slowest {slowest} {spent[slowest]:.3f} s", end=" ")
            print(f"all {sum(spent.values()):.3f} s CPU" + "   (at most 0.5)" * (depth == 152))


def show_finds() -> None:
    for name in DISTINCT:
        for how in ("scripted", "traced"):
            for mode in ("static", "dynamic"):
                print(f"{name} of {DISTINCT[name]} blocks, {how}, {mode}, all stages together")
                for way, (right, claimed, true, micros) in in_fresh_process(
                    "finds", name, how, mode
                ).items():
                    print(f"  {way:<24} precision {right / max(claimed, 1):.4f}", end="  ")
                    print(f"recall {right / true:.4f} of {true}  {micros / 1e6:.3f} s CPU")


def measure(what: str, *arguments: str) -> object:
    if what == "reading":
        return measure_reading()
    if what == "scale":
        return measure_scale(int(arguments[0]))
    if what == "stages":
        return measure_stages(int(arguments[0]), arguments[1])
    return measure_finds(*arguments)


SHOWS = {"speed": show_speed, "stages": show_stages, "finds": show_finds}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help=f"of {', '.join(SHOWS)} (default: all)")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        import torch

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        print(json.dumps(measure(*options.measure)))
        return
    for what in options.what or SHOWS:
        SHOWS[what]()


if __name__ == "__main__":
    sys.path[:0] = map(str, (HERE, HERE.parent, HERE.parent / "snapshots"))
    main()
