"""What `jq.compare` measured, as one pandas frame."""

from __future__ import annotations

import pandas as pd

from jitq_explore.snapshots.numerics import Comparison, ErrorRow, OutputError
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.source import short_source

NUMERICS_COLUMNS = (
    "stage", "module", "kind", "value", "float_ops", "source_line", "sqnr", "own_sqnr",
    "inherited_sqnr", "own_channel_sqnr", "max_abs", "mean_abs", "cosine", "saturated", "elements",
    "batches", "node", "float_node",
)  # fmt: skip


def numerics_table(recording: Recording | Comparison, stage: str | None = None) -> pd.DataFrame:
    """A row for every compared value of every stage (or of the one named), then the outputs.

    All SQNR are in dB, `inf` where nothing differs: `sqnr` the whole error, `own_sqnr` what this op
    adds, `inherited_sqnr` what came with its inputs; NaN where it is unknown or does not apply.
    `own_channel_sqnr` is what this op adds to each channel, averaged; a channel counts from 0 to
    100 dB there, so that 100 means that none loses anything to speak of (`own_sqnr` is then often
    `inf`). Outputs have the kind "output".

    ValueError where nothing has been compared yet, KeyError for a stage that was not.
    """
    comparison = recording.numerics if isinstance(recording, Recording) else recording
    if comparison is None:
        raise ValueError("nothing has been compared yet: jq.compare(session, inputs)")
    stages = comparison.stages if stage is None else (stage,)
    rows = [
        row
        for name in stages
        for row in (
            *map(_row, comparison.at(name)),
            *(_output_row(output) for output in comparison.outputs if output.stage == name),
        )
    ]
    return pd.DataFrame(rows, columns=list(NUMERICS_COLUMNS))


def _row(row: ErrorRow) -> tuple[object, ...]:
    return (
        row.stage,
        row.module,
        row.kind,
        row.value,
        " + ".join(row.float_kinds),
        short_source(row.source),
        row.sqnr,
        row.own_sqnr,
        row.inherited_sqnr,
        row.own_channel_sqnr,
        row.max_abs,
        row.mean_abs,
        row.cosine,
        row.saturated,
        row.elements,
        row.batches,
        row.node,
        row.float_node,
    )


def _output_row(output: OutputError) -> tuple[object, ...]:
    nan = float("nan")
    return (
        output.stage, "", "output", output.name, "", "", output.sqnr, nan, nan, nan,
        output.max_abs, output.mean_abs, output.cosine, nan, 0, output.batches, "", "",
    )  # fmt: skip
