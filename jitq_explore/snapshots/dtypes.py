"""torch's names for the numbers that TorchScript keeps in their place."""

from __future__ import annotations

SCALAR_TYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32",
    7: "float64", 12: "qint8", 13: "quint8", 14: "qint32", 15: "bfloat16", 16: "quint4x2",
    17: "quint2x4",
}  # fmt: skip
"""Number in c10::ScalarType -> dtype."""

QSCHEMES = {
    0: "per_tensor_affine",
    1: "per_channel_affine",
    2: "per_tensor_symmetric",
    3: "per_channel_symmetric",
    4: "per_channel_affine_float_qparams",
}
"""Number in c10::QScheme -> qscheme."""
