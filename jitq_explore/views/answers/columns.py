"""What the columns of tables are called on the page, and what they mean, in a line each."""

from __future__ import annotations

from collections.abc import Mapping

COLUMNS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("", "module"): ("module", "The submodule that the value belongs to"),
    ("", "value"): ("value", "What TorchScript calls the value"),
    ("", "role"): ("role", "Whether it is a weight or an activation (data that flows)"),
    ("", "observed_op"): ("op", "The op that makes the activation, or that uses the weight"),
    ("", "class"): ("observer", "The class of the observer that watches the value"),
    ("", "observer"): ("observer path", "Where the observer sits in the prepared model"),
    ("", "dtype"): ("dtype", "The integer type that the value is stored in when quantized"),
    ("", "min"): ("min", "The smallest number seen (per channel: the smallest of all channels)"),
    ("", "max"): ("max", "The largest number seen (per channel: the largest of all channels)"),
    ("", "scale"): (
        "scale",
        "How much one integer step is worth; real value = scale × (integer − zero point). "
        "Per channel: the largest",
    ),
    ("", "zero_point"): ("zero point", "The integer that stands for the real number 0"),
    ("", "calibrated"): ("calibrated", "Whether the observer has seen any data"),
    ("", "batches"): ("batches", "How many calls of the model the observer saw in calibration"),
    ("", "channels"): ("channels", "How many ranges are kept: one, or one for each channel"),
    ("", "qscheme"): ("scheme", "One scale for all or one a channel; symmetric: 0 in the middle"),
    ("", "quant_min"): ("int min", "The smallest integer that may be used"),
    ("", "quant_max"): ("int max", "The largest integer that may be used"),
    ("", "source_line"): ("source", "The line of your own code"),
    ("", "kind"): ("kind", "Which operation the node is"),
    ("", "axis"): ("axis", "The dimension along which each channel has a scale of its own"),
    ("", "scheme"): ("scheme", "One scale for all, or one a channel"),
    ("", "feeds"): ("feeds", "The ops that take the result"),
    ("", "fate"): ("what became of it", "Kept to the end, fused into a kernel, folded or removed"),
    ("", "inserted_by"): ("inserted by", "The stage that put the node in"),
    ("", "quantize_node"): ("quantize node", "The node that took the observer's place"),
    ("", "kernel"): ("kernel", "The op that computes with the quantized value in the end"),
    ("", "float_ops"): ("float ops", "The ops of the float model that the kernel stands for"),
    ("", "severity"): (
        "severity",
        "error: wrong, cannot be run or not quantized; warning: worse than need be; info: so it is",
    ),
    ("", "finding"): ("finding", "What was found"),
    ("", "why"): ("why", "What torch does there"),
    ("", "evidence"): ("evidence", "The numbers that it was found by"),
    ("", "remedy"): ("remedy", "What to do about it"),
    ("", "rule"): ("rule", "The name of the rule that found it"),
    ("", "stage"): ("stage", "One step of the quantization"),
    ("", "nodes"): ("nodes", "Nodes of the flattened graph after the stage"),
    ("", "added"): ("added", "Nodes that the stage put in"),
    ("", "removed"): ("removed", "Nodes that the stage took away"),
    ("", "changed"): ("changed", "Nodes that are still there but differ"),
    ("", "seconds"): ("seconds", "Wall time of the stage itself"),
    ("", "messages"): ("messages", "Warnings that were kept from the screen"),
    ("", "error"): ("error", "What the stage ended with, if it failed"),
    ("", "own_sqnr"): (
        "made here (dB)",
        "SQNR of what the op itself loses, given its inputs as they are after the stage. "
        "∞: it loses nothing, –: not known",
    ),
    ("", "sqnr"): (
        "in all (dB)",
        "SQNR of the value against the float model's. ∞: it is the same to the bit",
    ),
    ("", "inherited_sqnr"): (
        "inherited (dB)",
        "SQNR of what came with the op's inputs. ∞: nothing, –: not known",
    ),
    ("", "own_channel_sqnr"): (
        "made here, per channel (dB)",
        "SQNR of what the op itself loses in each channel, averaged: one loud channel cannot hide "
        "the others. A channel counts from 0 to 100 dB; ≥ 100: none loses anything to speak of",
    ),
    ("", "saturated"): (
        "saturated",
        "The share (0 to 1) of values beyond what the quantized type can hold",
    ),
    ("", "max_abs"): ("largest error", "The largest absolute error of any element"),
    ("", "mean_abs"): ("mean error", "The mean absolute error"),
    ("", "cosine"): ("cosine", "Of the angle to the float model's value: 1 is the same direction"),
    ("", "elements"): ("elements", "How many numbers were compared, over all batches"),
    ("numerics", "batches"): ("batches", "How many batches count"),
    ("numerics", "stage"): ("after", "The stage whose model was run"),
    ("", "first_min"): ("first min", "The smallest number of the first batch"),
    ("", "first_max"): ("first max", "The largest number of the first batch"),
    ("", "moved_by"): ("moved most by batch", "The batch that moved the range most"),
    ("", "moved_percent"): ("by (%)", "How far it did, in percent of the range's width"),
    ("", "converged_at"): (
        "settled after batch",
        "The last batch that moved the range by more than 1 %: the last of all, and more data "
        "would have moved it further",
    ),
    ("calibration", "batches"): ("batches", "How many batches the calibration had"),
    ("", "modules"): ("change for", "The keys of the qconfig dict to change"),
    ("", "predicted_gain"): (
        "gain (dB)",
        "SQNR that the value is predicted to gain for its typical values: outliers, and one odd "
        "batch, left out",
    ),
    ("", "reason"): ("why, and what helps", "What is wrong, and the change that is proposed"),
    ("", "write"): ("write", "The Python that makes the changed qconfig dict"),
    ("stages", "batches"): ("batches", "How many calls of the model the calibration made"),
    ("quant_nodes", "value"): (
        "value",
        "What TorchScript calls the value where the node is. Once modules are inlined that is "
        "often another name than its observer had: the observer path tells which it was",
    ),
    ("quant_nodes", "observer"): ("observer path", "The observer whose range decided on it"),
}
"""(table, or "" for all; column) -> label and hint."""
