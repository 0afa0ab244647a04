"""What was summed in lockstep -> the plain rows of a `Comparison`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from jitq_explore.capture.error_sums import mean_decibels
from jitq_explore.capture.lanes import Lane, PairSums
from jitq_explore.capture.lockstep import Lockstep
from jitq_explore.snapshots.counterparts import Counterpart
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lineage import source_of
from jitq_explore.snapshots.numerics import Comparison, ErrorRow, OutputError
from jitq_explore.snapshots.recording import INPUT, Recording


def comparison_of(recording: Recording, lockstep: Lockstep) -> Comparison:
    """All that was summed of the batches so far."""
    lanes, graph = lockstep.lanes, lockstep.graph
    source_at = functools.cache(lambda node: source_of(recording, INPUT, node))
    return Comparison(
        stages=tuple(lane.stage for lane in lanes),
        batches=lockstep.batches,
        rows=tuple(_rows(graph, lanes, source_at)),
        outputs=tuple(_output(lane, name) for lane in lanes for name in lane.outputs),
        branches=tuple(branch for lane in lanes for branch in lane.branches),
        failures=tuple(failure for lane in lanes for failure in lane.failures),
    )


def _rows(
    graph: Graph, lanes: Sequence[Lane], source_at: Callable[[str], str]
) -> Iterator[ErrorRow]:
    """Stage by stage in the order of the float model."""
    told = [(lane, pair) for lane in lanes for pair in _told(graph, lane)]
    means = _channel_means(lane.sums[pair.float_value] for lane, pair in told)
    for (lane, pair), channels in zip(told, means, strict=True):
        first = pair.float_nodes[0] if pair.float_nodes else _user_of(graph, pair.float_value)
        source = source_at(first.id) if first else ""
        yield _row(lane.stage, pair, lane.sums[pair.float_value], channels, source)


def _told(graph: Graph, lane: Lane) -> list[Counterpart]:
    """The pairs that make rows, in order."""
    told = [
        pair
        for pair in lane.pairs.pairs.values()
        if lane.sums[pair.float_value].error.elements and _is_told(lane, pair)
    ]
    return sorted(told, key=lambda p: graph.position[p.float_node.id] if p.float_node else -1)


class _Means(NamedTuple):
    """Means over channels, in dB."""

    whole: float
    own: float
    inherited: float
    rounded: float


def _channel_means(sums: Iterable[PairSums]) -> list[_Means]:
    """Of the whole error, of the own one, of what was inherited, and of that with what rounding the
    result costs on top."""
    errors = []
    for of_pair in sums:
        own = of_pair.own
        errors.append((of_pair.error.signal, of_pair.error.noise))
        for noise in (own.noise, own.inherited, own.inherited + own.rounding):
            errors.append((own.signal, noise))
    found = iter(mean_decibels(errors))
    return [_Means(*four) for four in zip(found, found, found, found, strict=True)]


def _user_of(graph: Graph, value: str) -> Node | None:
    """The first op that takes an input of the model."""
    return next(iter(graph.consumers.get(value, ())), None)


def _is_told(lane: Lane, pair: Counterpart) -> bool:
    """Whether a pair makes a row: an op of the model that its inputs go into."""
    unpacked = pair.node.kind.startswith("prim::") and pair.seen == pair.value
    return not unpacked and pair.float_value not in lane.pairs.independent


def _row(stage: str, pair: Counterpart, sums: PairSums, channels: _Means, source: str) -> ErrorRow:
    error, own = sums.error, sums.own
    return ErrorRow(
        stage=stage,
        node=pair.node.id,
        kind=pair.node.kind,
        value=pair.seen,
        float_node=pair.float_node.id if pair.float_node else "",
        float_value=pair.float_value,
        float_kinds=tuple(node.kind for node in pair.float_nodes),
        module=pair.float_nodes[0].module_path if pair.float_nodes else "",
        source=source,
        sqnr=error.sqnr,
        own_sqnr=own.sqnr,
        inherited_sqnr=own.inherited_sqnr,
        own_channel_sqnr=channels.own,
        max_abs=error.max_abs,
        mean_abs=error.mean_abs,
        cosine=error.cosine,
        saturated=own.saturated,
        elements=error.elements,
        batches=error.batches,
        channel_sqnr=channels.whole,
        inherited_channel_sqnr=channels.inherited,
        rounded_channel_sqnr=channels.rounded,
    )


def _output(lane: Lane, name: str) -> OutputError:
    sums = lane.outputs[name]
    known = bool(sums.batches)
    return OutputError(
        stage=lane.stage,
        name=name,
        sqnr=sums.sqnr,
        max_abs=sums.max_abs if known else math.nan,
        mean_abs=sums.mean_abs,
        cosine=sums.cosine if known else math.nan,
        batches=sums.batches,
    )
