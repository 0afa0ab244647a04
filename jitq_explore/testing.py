"""Assertions about a recording, for pytest.

    from jitq_explore.testing import assert_no_findings, assert_quantized, assert_sqnr, assert_stage

    def test_quantization():
        session = jq.Session.static(model, {"": qconfig}, calibrate, [batches])
        session.run()
        jq.compare(session, batches)
        assert_stage(session, "insert_observers", adds={"jitq::observe": 9})
        assert_quantized(session, "aten::conv2d", "aten::linear")
        assert_no_findings(session, above="info")
        assert_sqnr(session, at_least=30.0)

A recording, or a session for its recording so far. Each raises AssertionError, with the difference
between what was wanted and what there is, and where in the model that is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jitq_explore.diagnostics.causes import float_ops
from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.diagnostics.explain import explain
from jitq_explore.diagnostics.findings import SEVERITIES, Findings, Severity
from jitq_explore.diagnostics.op_kinds import is_compute
from jitq_explore.snapshots.diff import diff
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.numerics import Comparison
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.snapshots.source import short_source
from jitq_explore.snapshots.tracking import Spot, Tracker

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session

MAX_NAMED = 10
"""How many nodes a message names; it counts the others."""

PLUMBING = frozenset({"prim::Constant", "prim::GetAttr", "prim::ListConstruct"})
"""Kinds that come and go with the ops that need them."""

MAX_CULPRITS = 5
"""How many values a message about SQNR lists."""


def assert_stage(
    recording: Recording | Session,
    stage: str,
    *,
    adds: Mapping[str, int] | None = None,
    removes: Mapping[str, int] | None = None,
) -> None:
    """A stage adds, and takes away, so many nodes of each kind that is named.

    `{}` is for none of any kind, but constants, lists and fetched attributes; None asks nothing. Of
    nodes that became others (a convolution and its BatchNorm one convolution) those kinds count of
    which there are more or fewer than before.
    """
    __tracebackhide__ = True
    found = _recording(recording)
    _check_stage(found, stage)
    names = [INPUT, *found.names]
    changes = diff(found, names[names.index(stage) - 1], stage)
    added, removed = list(changes.added), list(changes.removed)
    for match in changes.matched:
        added += _surplus(match.after, match.before)
        removed += _surplus(match.before, match.after)
    wrong = [*_differences("+", adds, added), *_differences("−", removes, removed)]
    if wrong:
        _fail(f"stage {stage!r} changed the graph in another way than expected", wrong)


def assert_quantized(recording: Recording | Session, *kinds: str) -> None:
    """No op of these kinds is left float at the end; without kinds: no op that computes.

    Such as "aten::conv2d". The message says of each op that is left why it is. ValueError for a
    kind that the model as given does not have: nothing would be asserted of it.
    """
    __tracebackhide__ = True
    found = _recording(recording)
    _check_kinds(found, kinds)
    left = [node for node in float_ops(found) if not kinds or node.kind in kinds]
    if left:
        after = found.names[-1] if found.names else INPUT
        what = "1 op is" if len(left) == 1 else f"{len(left)} ops are"
        lines = [f"{_place(_at_home(found, node))}: {_reason(found, node)}" for node in left]
        lines = lines[:MAX_NAMED]
        _fail(f"{what} left float after {after!r}", [*lines, *_more(len(left) - MAX_NAMED)])


def _check_kinds(recording: Recording, kinds: Collection[str]) -> None:
    there = {node.kind for node in recording.input.graph(recording.method_name).nodes}
    for kind in kinds:
        if kind not in there:
            computing = sorted({node.kind for node in _computing(recording)})
            raise ValueError(f"the model has no {kind!r} (it computes with {computing})")


def _computing(recording: Recording) -> list[Node]:
    graph = recording.input.graph(recording.method_name)
    return [node for node in graph.nodes if is_compute(graph, node)]


def _at_home(recording: Recording, node: Node) -> Node:
    """A node of the newest graph, with the module and the line that it was given in."""
    tracker = Tracker.of(recording)
    method = tracker.snapshots[tracker.last].main_method
    spot = Spot(tracker.last, method, node.id)
    return replace(node, module_path=tracker.module(spot), source=tracker.source(spot))


def assert_no_findings(
    recording: Recording | Session,
    *,
    above: Severity | None = None,
    ignore: Collection[str] = (),
) -> None:
    """`jq.diagnose` finds nothing above that severity ("info", "warning"; None: nothing at all).

    `ignore` names rules whose findings do not count. ValueError for any other severity.
    """
    __tracebackhide__ = True
    if above is not None and above not in SEVERITIES:
        raise ValueError(f"unknown severity {above!r} (must be one of {SEVERITIES}, or None)")
    worse = SEVERITIES if above is None else SEVERITIES[: SEVERITIES.index(above)]
    found = Findings(
        each
        for each in diagnose(_recording(recording))
        if each.severity in worse and each.rule not in ignore
    )
    if found:
        limit = "" if above is None else f" above {above!r}"
        _fail(
            f"expected no findings{limit}, got {found.summary()}", [each.text() for each in found]
        )


def assert_sqnr(
    recording: Recording | Session,
    *,
    at_least: float,
    stage: str | None = None,
    module: str | None = None,
) -> None:
    """Every output of the model, after a stage (default: the last compared), has that SQNR in dB.

    With `module` it is every value that this submodule's own code makes. Needs what
    `jq.compare(session, inputs)` has measured: ValueError without, and for a stage that was not
    compared.
    """
    __tracebackhide__ = True
    found = _recording(recording).numerics
    if found is None:
        raise ValueError("nothing was measured: call jq.compare(session, inputs) first")
    stage = stage or found.stages[-1]
    if stage not in found.stages:
        raise ValueError(f"stage {stage!r} was not compared (must be one of {found.stages})")
    measured = dict(_measured(found, stage, module))
    if not measured:
        raise ValueError(
            f"nothing was measured in module {module!r} after {stage!r}"
            if module is not None
            else f"no output was measured after {stage!r}"
        )
    # NaN, where nothing could be compared, is not enough either.
    low = {name: sqnr for name, sqnr in measured.items() if not sqnr >= at_least}
    if low:
        lines = [f"{name}: {_shortfall(sqnr, at_least)}" for name, sqnr in low.items()]
        _fail(
            f"expected at least {at_least:g} dB after {stage!r}",
            [*lines[:MAX_NAMED], *_more(len(lines) - MAX_NAMED), *_culprits(found, stage)],
        )


def _recording(given: Recording | Session) -> Recording:
    found = getattr(given, "recording", given)
    if isinstance(found, Recording):
        return found
    raise TypeError(f"expected a Recording or a Session, got a {type(given).__name__}")


def _check_stage(recording: Recording, stage: str) -> None:
    if stage not in recording:
        raise ValueError(f"stage {stage!r} has not run (must be one of {list(recording.names)})")


def _surplus(nodes: Iterable[Node], others: Iterable[Node]) -> Iterator[Node]:
    """Of each kind as many nodes as there are more of it than among the others, the last ones."""
    left = Counter(node.kind for node in others)
    for node in nodes:
        if left[node.kind]:
            left[node.kind] -= 1
        else:
            yield node


def _differences(
    sign: str, wanted: Mapping[str, int] | None, nodes: Sequence[Node]
) -> Iterator[str]:
    """A line for each kind of which there are more or fewer than wanted, then the nodes."""
    if wanted is None:
        return
    found = Counter(node.kind for node in nodes)
    for kind in sorted(wanted or found.keys() - PLUMBING):
        expected, got = wanted.get(kind, 0), found[kind]
        if expected != got:
            yield f"{sign} {kind}: expected {expected}, got {got} ({got - expected:+d})"
            places = [f"    {_place(node)}" for node in nodes if node.kind == kind]
            yield from places[:MAX_NAMED]
            yield from (f"    {line}" for line in _more(len(places) - MAX_NAMED))


def _place(node: Node) -> str:
    where = filter(None, (f"in {node.module_path!r}" if node.module_path else "", _line(node)))
    return " ".join([f"{node.kind} ({node.id})", *where])


def _line(node: Node) -> str:
    return f"at {short_source(node.source)}" if node.source else ""


def _reason(recording: Recording, node: Node) -> str:
    told = explain(recording, node)
    return "; ".join(reason.text for reason in told.reasons) or told.title


def _measured(found: Comparison, stage: str, module: str | None) -> Iterator[tuple[str, float]]:
    if module is None:
        yield from ((out.name, out.sqnr) for out in found.outputs if out.stage == stage)
    else:
        for row in found.at(stage):
            if row.module == module:
                yield f"{row.kind} ({row.node}) in {module!r}", row.sqnr


def _shortfall(sqnr: float, at_least: float) -> str:
    if math.isnan(sqnr):
        return "could not be compared"
    return f"{sqnr:.1f} dB, {at_least - sqnr:.1f} too few"


def _culprits(found: Comparison, stage: str) -> Iterator[str]:
    """The values whose own error costs most."""
    worst = found.rank(stage)[:MAX_CULPRITS]
    if worst:
        yield "the largest errors are made by"
    for row in worst:
        own = min(row.own_sqnr, row.own_channel_sqnr)
        shown = "all of it is lost" if math.isinf(own) and own < 0 else f"{own:.1f} dB"
        place = f" at {short_source(row.source)}" if row.source else ""
        yield f"    {row.kind} ({row.node}) in {row.module!r}{place}: {shown}"


def _more(count: int) -> list[str]:
    return [f"… and {count} more"] if count > 0 else []


def _fail(what: str, lines: Iterable[str]) -> None:
    __tracebackhide__ = True
    told = "\n".join(f"  {printable(part)}" for line in lines for part in line.splitlines())
    raise AssertionError(f"{what}:\n{told}")
