"""STUB until merged: torch's scale and zero point of a range."""

from __future__ import annotations

import numpy as np

from jitq_explore.snapshots.observers import Histogram

_EPS = float(np.finfo(np.float32).eps)
f = np.float32


def affine_qparams(
    low: float, high: float, quant_min: int, quant_max: int, *, symmetric: bool, dtype: str
) -> tuple[float, int]:
    lo, hi = min(f(low), f(0)), max(f(high), f(0))
    if symmetric:
        scale = max(max(-lo, hi) / f((quant_max - quant_min) / 2), f(_EPS))
        zero = (
            0
            if dtype != "quint8"
            else (
                128
                if (quant_min, quant_max) in ((0, 255), (0, 127))
                else (quant_min + quant_max) // 2
            )
        )
        return float(scale), zero
    scale = max((hi - lo) / f(quant_max - quant_min), f(_EPS))
    zero = quant_min - int(np.rint(lo / scale))
    return float(scale), max(quant_min, min(quant_max, zero))


def histogram_range(h: Histogram, dst: int = 256) -> tuple[float, float]:
    c = np.asarray(h.counts)
    n = len(c)
    w = (h.high - h.low) / n
    total = c.sum()
    cs = np.cumsum(c)

    def norm(b, e, d):
        return d * (e**3 - b**3) / 3

    src = np.arange(n)

    def err(s, e):
        dw = w * (e - s + 1) / dst
        if dw == 0:
            return 0.0
        b = (src - s) * w
        en = b + w
        db = np.clip(np.floor(b / dw), 0, dst - 1)
        de = np.clip(np.floor(en / dw), 0, dst - 1)
        dens = c / w
        r = (
            norm(b - (db + 0.5) * dw, dw / 2, dens)
            + (de - db - 1) * norm(-dw / 2, dw / 2, dens)
            + norm(-dw / 2, en - (de * dw + dw / 2), dens)
        )
        return float(r.sum())

    a, b = 0.0, 1.0
    s, e = 0, n - 1
    best = float("inf")
    st = 1e-5
    while a < b:
        na, nb = a + st, b - st
        l = s
        r = e
        l = max(s, min(e, int(np.searchsorted(cs, na * total))))
        r = max(s, min(e, int(np.searchsorted(cs, nb * total, side="right")) - 1))
        if l - s > e - r:
            ns, ne = l, e
            a = na
        else:
            ns, ne = s, r
            b = nb
        if (ns, ne) == (s, e):
            continue
        x = err(ns, ne)
        if x > best:
            break
        best = x
        s, e = ns, ne
    return h.low + w * s, h.low + w * (e + 1)
