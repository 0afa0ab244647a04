"""What a stage is there for, in words for somebody who has not met it."""

from __future__ import annotations

_TEXTS = (
    ("inline", "Calls of submodules are replaced by what they do: one graph remains."),
    (
        "fold_conv_bn",
        "A batch norm in eval mode only scales and shifts what a convolution gives. Where it "
        "stands directly behind one, its numbers can be put into that one's weight and bias.",
    ),
    (
        "insert_observer",
        "Observers are put on the values that will be quantized. An observer hands a value on as "
        "it is and remembers how small and how large it was.",
    ),
    (
        "calibrate",
        "Typical inputs are run through the model, so that the observers see the range of every "
        "value.",
    ),
    ("reset_observers", "What the observers remember is forgotten."),
    ("observe", "The model is run, so that the observers see the range of every value."),
    (
        "insert_quant_dequant",
        "Each observer is replaced by a quantize node, which rounds the value to integers, and a "
        "dequantize node, which makes numbers of them again. Scale and zero point come from the "
        "range that was observed.{dynamic}",
    ),
    (
        "quant_finalize",
        "Every dequantize → op → quantize that a rule knows is replaced by one kernel that "
        "computes with integers; weights are packed for it.",
    ),
    ("constant_propagation", "What does not depend on the inputs is computed once, now."),
    ("dce", "What nobody takes the result of is removed (dead code elimination)."),
    ("quantized_run", "The quantized method is run."),
    ("quantize", "The weights' scales and zero points are computed from the observers."),
)
"""The first whose name a stage's begins with."""


_DYNAMIC = " Those of activations are computed in every call, by a node of their own."


def stage_text(stage: str, mode: str = "static") -> str:
    """A sentence or two; "" for a stage that is not known."""
    text = next((text for name, text in _TEXTS if stage.startswith(name)), "")
    return text.format(dynamic="" if mode == "static" else _DYNAMIC)
