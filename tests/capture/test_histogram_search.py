"""The faster search settles on the very range that torch's own settles on."""

from __future__ import annotations

import pytest
import torch
from torch.ao.quantization import HistogramObserver

from jitq_explore.capture.histogram_search import histogram_qparams
from jitq_explore.snapshots.histogram_search import bins_kept

DATA = {
    "normal": lambda: torch.randn(5000),
    "after relu": lambda: torch.randn(5000).relu(),
    "after softmax": lambda: torch.softmax(3 * torch.randn(100, 50), -1),
    "heavy tails": lambda: torch.randn(5000) ** 3,
    "an outlier": lambda: torch.cat([torch.randn(5000), torch.tensor([500.0])]),
    "two far ones": lambda: torch.cat([1e-6 * torch.randn(5000), torch.tensor([1e4, -1e4])]),
    "three values": lambda: torch.randint(0, 3, (1000,)).float(),
    "half far off": lambda: torch.tensor([0.0, -1e4] * 500),
    "few": lambda: torch.rand(10),
    "all alike": lambda: torch.full((100,), 3.0),
    "all zero": lambda: torch.zeros(100),
    "huge": lambda: 1e30 * torch.randn(1000),
    "not finite": lambda: torch.cat([torch.randn(1000), torch.tensor([float("inf")])]),
}
SETTINGS = {
    "affine": {},
    "symmetric": {"qscheme": torch.per_tensor_symmetric, "dtype": torch.qint8},
    "reduced, few bins": {"reduce_range": True, "bins": 100},
}


@pytest.mark.filterwarnings("ignore:torch.inf")
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("data", DATA)
def test_scale_and_zero_point_are_torchs(data, settings):
    torch.manual_seed(0)
    observer = torch.jit.script(HistogramObserver(**SETTINGS[settings]))
    with torch.no_grad(), torch.jit.optimized_execution(False):
        try:
            for factor in (1.0, 2.0, 0.5):
                observer(factor * DATA[data]())
            expected = observer.calculate_qparams()
        except RuntimeError as error:
            pytest.skip(f"torch itself raises: {str(error)[-60:]}")
        found = histogram_qparams(observer._c)
    for mine, torchs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=0, atol=0, equal_nan=True)


def test_the_search_ends_where_one_bin_is_left():
    """torch's own goes on for as many steps as there are, each for nothing."""
    looked_up: list[int] = []

    class Sums(list[float]):
        def __getitem__(self, place):
            looked_up.append(place)
            return super().__getitem__(place)

    sums = Sums([500.0] * 1024 + [1000.0] * 1024)
    assert bins_kept(sums, 1000.0, lambda start, end: float(end - start)) == (0, 0)
    assert len(looked_up) < 500
