"""Which inner steps which stage has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from jitq_explore.capture.inner_steps.context import Context
from jitq_explore.capture.inner_steps.folding import folding_steps
from jitq_explore.capture.inner_steps.fusing import fusing_steps
from jitq_explore.capture.inner_steps.observing import observing_steps
from jitq_explore.capture.inner_steps.quantizing import quantizing_steps
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.snapshots.steps import Step

_Teller: TypeAlias = Callable[[Sequence[LogEntry], Context], Iterator[Step]]

_TELLERS: dict[str, _Teller] = {
    "fold_conv_bn": folding_steps,
    "insert_observers": observing_steps,
    "insert_observer_method": observing_steps,
    "insert_quant_dequant": quantizing_steps,
    "insert_quant_dequant_method": quantizing_steps,
    "quant_finalize": fusing_steps,
    "quant_finalize_method": fusing_steps,
}


def inner_steps(stage: str, entries: Sequence[LogEntry], context: Context) -> tuple[Step, ...]:
    """The steps of that stage ("quant_finalize#2" is one of `quant_finalize`)."""
    teller = _TELLERS.get(stage.partition("#")[0])
    return tuple(teller(entries, context)) if teller is not None and entries else ()
