"""`FusionRule`: one rewrite rule of torch's `quant_finalize`, as plain text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FusionRule:
    """A pattern of the graph and what torch puts in its place.

    `pattern` and `replacement` are IR as torch prints it; `replacement` is "" where torch does not
    tell. `mode` is "static" or "dynamic"; `name` is derived from both graphs and unique in a mode
    ("dequantize + aten::conv2d + aten::relu + quantize_per_tensor -> quantized::conv2d_relu").
    `log_name` is how torch's log calls the rule: a digest of the pattern, whatever its values are
    called, since the log has no other name.
    """

    name: str
    pattern: str
    replacement: str
    mode: str
    log_name: str
