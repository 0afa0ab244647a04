"""How far a quantized model's values are from the float model's: `Comparison`.

SQNR in dB is 20·log10(‖x‖ / ‖x − y‖), over all elements of all batches, with x the float model's
value and y the quantized model's, in real numbers; infinite where both are equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.source import short_source

EXACT = 100.0
"""dB that a channel without any error counts as in a mean; more is as good as no error at all."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The error of one value after one stage.

    `node` is the id of the op that makes it in that stage's graph (for an input of the model that
    is quantized: of the quantize node), `value` its name there as those see it that take it, so
    quantized where it is; `kind` that op's kind. `float_node` and `float_value` are its counterpart
    in the model as given (no node for an input) and `float_kinds` the ops there that it stands for.

    `sqnr` is the whole error, made up of two. Let r be what the float ops make of the inputs that
    the op has *after the stage*: `own_sqnr` is about y − r (the error made here), `inherited_sqnr`
    about r − x (what came with the inputs), both set against x; NaN where r cannot be computed.
    `own_channel_sqnr` is `own_sqnr` of each channel, averaged (each from 0 to `EXACT`): one loud
    channel cannot hide that all others are lost. `saturated` is the share of elements of r beyond
    what the quantized type can hold by more than half a step, NaN where the value is not quantized.
    `max_abs` and `mean_abs` are absolute errors in real numbers.

    `channel_sqnr` and `inherited_channel_sqnr` are means over channels as well.
    `rounded_channel_sqnr` is what would be left if the op were computed in float and its result
    rounded as it is now: the inherited error and that of rounding r. An own error not far above
    that of rounding is counted as nothing else.
    """

    stage: str
    node: str
    kind: str
    value: str
    float_node: str
    float_value: str
    float_kinds: tuple[str, ...]
    module: str
    source: str
    sqnr: float
    own_sqnr: float
    inherited_sqnr: float
    own_channel_sqnr: float
    max_abs: float
    mean_abs: float
    cosine: float
    saturated: float
    elements: int
    batches: int
    channel_sqnr: float = math.nan
    inherited_channel_sqnr: float = math.nan
    rounded_channel_sqnr: float = math.nan


@dataclass(frozen=True, slots=True)
class OutputError:
    """The error of one output of the model after one stage ("output", "output[0]", …).

    `batches` are those that count; one that took another branch does not.
    """

    stage: str
    name: str
    sqnr: float
    max_abs: float
    mean_abs: float
    cosine: float
    batches: int


@dataclass(frozen=True, slots=True)
class BranchTaken:
    """An If that took another branch, or a Loop that made another number of rounds, than in the
    float model.

    `taken` and `float_taken` are for an If the number of the branch (0: the condition held), for a
    Loop the rounds. `batch` counts from 0; `rounds` are those of the enclosing loops.
    """

    stage: str
    node: str
    float_node: str
    kind: str
    module: str
    source: str
    batch: int
    rounds: tuple[int, ...]
    float_taken: int
    taken: int

    def __str__(self) -> str:
        what = (
            f"made {self.taken} rounds instead of {self.float_taken}"
            if self.kind == "prim::Loop"
            else f"took its {'else' if self.taken else 'if'} branch, the float model the other one"
        )
        where = f" of module {self.module!r}" if self.module else ""
        line = f" ({short_source(self.source)})" if self.source else ""
        return f"batch {self.batch}, after {self.stage!r}: {self.kind}{where}{line} {what}"


@dataclass(frozen=True, slots=True)
class StageFailure:
    """A batch that the model could not be run on after a stage, though the float model could."""

    stage: str
    batch: int
    message: str

    def __str__(self) -> str:
        return f"batch {self.batch} cannot be run after {self.stage!r}: {self.message}"


@dataclass(frozen=True)
class Comparison:
    """The same inputs through the float model and through the model after later stages.

    `rows` come by stage, within it in the order of the float model. What depends on a branch that
    went another way is not counted for that batch: `branches` names it.
    """

    stages: tuple[str, ...]
    batches: int
    rows: tuple[ErrorRow, ...]
    outputs: tuple[OutputError, ...]
    branches: tuple[BranchTaken, ...] = ()
    failures: tuple[StageFailure, ...] = ()

    def rank(self, stage: str | None = None) -> tuple[ErrorRow, ...]:
        """The rows of a stage (default: the last), those first whose own error costs most.

        By the lower one of `own_sqnr` and `own_channel_sqnr`. Rows whose own error is unknown are
        left out.
        """
        rows = self.at(stage or self.stages[-1])
        known = [row for row in rows if not math.isnan(row.own_sqnr)]
        return tuple(sorted(known, key=lambda row: min(row.own_sqnr, row.own_channel_sqnr)))

    def at(self, stage: str) -> tuple[ErrorRow, ...]:
        """The rows of a stage; KeyError names the stages that were compared."""
        if stage not in self.stages:
            raise KeyError(f"stage {stage!r} was not compared (must be one of {self.stages})")
        return tuple(row for row in self.rows if row.stage == stage)

    def of(self, stage: str, node: Node | str) -> ErrorRow | None:
        """The row of a node of that stage's graph; None where it has none."""
        node_id = node.id if isinstance(node, Node) else node
        return self.by_node.get((stage, node_id))

    @cached_property
    def by_node(self) -> Mapping[tuple[str, str], ErrorRow]:
        """(stage, id of a node there) -> its first row."""
        return {(row.stage, row.node): row for row in reversed(self.rows)}

    def output_sqnr(self, stage: str | None = None) -> float:
        """The SQNR of the model's first output after a stage (default: the last); NaN without."""
        wanted = stage or self.stages[-1]
        return next((out.sqnr for out in self.outputs if out.stage == wanted), math.nan)


def decibels(signal: float, noise: float) -> float:
    """SQNR of sums of squares: ‖x‖² and ‖x − y‖²."""
    if math.isnan(signal) or math.isnan(noise):
        return math.nan
    if noise == 0:
        return math.inf
    if signal == 0:
        return -math.inf
    return 10 * (math.log10(signal) - math.log10(noise)) if math.isfinite(noise) else -math.inf
