"""Scale and zero point of a HistogramObserver, found faster than by its own search.

What the search decides is repeated on plain numbers (`snapshots.histogram_search`); what it
computes (the error of a range, scale and zero point) is computed by the observer's own methods. The
result is equal to the bit.
"""

from __future__ import annotations

import torch

from jitq_explore.capture.torch_types import CppModule
from jitq_explore.snapshots.histogram_search import bins_kept


def histogram_qparams(observer: CppModule) -> object:
    """What `calculate_qparams` of a scripted HistogramObserver that has seen data returns.

    A scale and a zero point, each a tensor of one element.
    """
    histogram = observer.getattr("histogram")
    start, end = bins_kept(
        torch.cumsum(histogram, dim=0).tolist(),
        torch.sum(histogram).item(),
        observer._get_method("_compute_quantization_error"),
    )
    minimum, bins = observer.getattr("min_val"), observer.getattr("bins")
    width = (observer.getattr("max_val") - minimum) / bins
    low, high = minimum + width * start, minimum + width * (end + 1)
    return observer._get_method("_calculate_qparams")(low, high)
