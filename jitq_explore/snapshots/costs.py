"""What a model costs to run: time and bytes, of the float model and of quantized ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpCost:
    """One kind of op in one call of the model: times called, milliseconds of its own."""

    kind: str
    calls: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One model on one engine ("" for the float model: it needs none).

    `milliseconds` is the median over calls with the given inputs, `fastest` the least. `nbytes` is
    the size of its TorchScript file, None where torch cannot save it. `ops` are as the profiler
    saw them, most expensive first. Where the model could not be made or run, `error` says why.
    """

    name: str
    engine: str
    milliseconds: float
    fastest: float
    nbytes: int | None
    ops: tuple[OpCost, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Costs:
    """The float model first, then the quantized one on each engine; all with so many threads."""

    models: tuple[ModelCost, ...]
    threads: int
    batches: int
