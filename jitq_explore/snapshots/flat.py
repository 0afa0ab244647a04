"""The flat form of plain objects: descriptions of tables, and three streams with their contents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class CodecError(ValueError):
    """A value that fits no table, or tables that make no sense."""


@dataclasses.dataclass
class Flat:
    """The flat form of an object.

    `tables` (JSON) describes the tables that are not empty; their contents follow one another, in
    that order, in the three streams. `cells` are lengths and numbers of rows (uint32), `floats`
    real values (float64).
    """

    tables: list[dict[str, Any]]
    texts: list[str]
    cells: NDArray[np.uint32]
    floats: NDArray[np.float64]


class Sink:
    """The three streams while they are written."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.cells: list[int] = []
        self.floats: list[bytes] = []


class Source:
    """The three streams while they are read, each from its beginning to its end."""

    def __init__(self, flat: Flat) -> None:
        self.streams: dict[str, Any] = {
            "texts": flat.texts,
            "cells": flat.cells,
            "floats": flat.floats,
        }
        self.used = dict.fromkeys(self.streams, 0)

    def take(self, stream: str, count: int) -> list[Any]:
        """The next `count` items; CodecError where fewer are left."""
        start = self.used[stream]
        if count > len(self.streams[stream]) - start:
            raise CodecError(f"its {stream} end too early")
        self.used[stream] = start + count
        taken = self.streams[stream][start : start + count]
        return taken if isinstance(taken, list) else list(taken.tolist())

    def close(self) -> None:
        """CodecError unless everything was taken."""
        for stream, data in self.streams.items():
            if self.used[stream] != len(data):
                raise CodecError(f"its {stream} go on after the last table")


def entry_of(entry: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """What a table's description says under that key; CodecError unless it is of that type."""
    value = entry.get(key)
    if type(value) is not kind:
        raise CodecError(
            f"a table's {key!r} is of type {type(value).__name__}, not {kind.__name__}"
        )
    return value


def count_of(entry: Mapping[str, Any], key: str) -> int:
    """As `entry_of`, for a count."""
    count = entry_of(entry, key, int)
    if count < 0:
        raise CodecError(f"a table's {key!r} is {count}, below zero")
    return count
