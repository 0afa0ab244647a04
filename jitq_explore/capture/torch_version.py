"""The range of torch the package works with: it calls private passes, so none other will do."""

from __future__ import annotations

import re

import torch

SUPPORTED = ((2, 13), (2, 14))
"""Lowest (major, minor) that is supported, and the first above it that is not."""


def require_supported_torch() -> None:
    """ImportError unless the torch at hand is of the supported range.

    The error says the version found, the range, and the pip command that puts it right.
    """
    low, high = SUPPORTED
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found and low <= (int(found[1]), int(found[2])) < high:
        return
    wanted = f"torch>={_dotted(low)},<{_dotted(high)}"
    raise ImportError(
        f"jitq_explore needs {wanted}, found torch {torch.__version__}: it calls private passes "
        f"that change from release to release. Install one with: python -m pip install '{wanted}'"
    )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
