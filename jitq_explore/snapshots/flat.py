"""The tables that plain objects are flattened into, one class for each shape of value.

A table holds the distinct values of one type. Its rows refer to rows of other tables by number, and
equal rows are written once: what was one object comes back as one object.
"""

# ruff: noqa: D102 (what the methods of a table do is said once, in `Table`)

from __future__ import annotations

import dataclasses
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
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


class Table(ABC):
    """The distinct values of one type: `rows` numbers them when writing, `values` when read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[Any, int] = {}
        self.values: list[Any] = []

    def add(self, value: object) -> int:
        """The number of the row that stands for the value; CodecError where none can."""
        if not self.fits(value):
            raise CodecError(f"a {type(value).__name__} where {self.name} is expected")
        return self.rows.setdefault(self.key(value), len(self.rows))

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Whether the value's type, not yet what is in it, is the table's."""

    @abstractmethod
    def key(self, value: Any) -> Hashable:
        """The row that stands for the value: equal only for values that are alike in every bit."""

    @abstractmethod
    def dump(self, out: Sink) -> dict[str, Any]:
        """Write the contents; returns what `restore` needs to know to find them."""

    @abstractmethod
    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        """Take the contents from the streams."""

    def build(self) -> None:  # noqa: B027 (the simple tables are complete once restored)
        """Make the values; those of the tables referred to are there already."""

    def look_up(self, numbers: Iterable[int], whose: str) -> list[Any]:
        """The values of those rows; CodecError where there is no such row."""
        try:
            return list(map(self.values.__getitem__, numbers))
        except IndexError:
            raise CodecError(f"{whose} refers to a row that {self.name!r} does not have") from None


class Constants(Table):
    """`None`, or the two bools: nothing of them is written. With no values it fits nothing."""

    def __init__(self, name: str, *values: object) -> None:
        super().__init__(name)
        self.values = list(values)

    def add(self, value: object) -> int:
        if not self.fits(value):
            raise CodecError(f"a {type(value).__name__} where {self.name} is expected")
        return self.values.index(value)

    def fits(self, value: Any) -> bool:
        return any(constant is value for constant in self.values)

    def key(self, value: Any) -> Hashable:
        raise NotImplementedError

    def dump(self, out: Sink) -> dict[str, Any]:
        raise NotImplementedError

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        raise CodecError(f"{self.name!r} is never a table of its own")


class Texts(Table):
    """Texts."""

    def add(self, value: object) -> int:
        # Two of three calls of `add` end here, most of them with a text that is there already.
        number = self.rows.get(value) if type(value) is str else None
        return super().add(value) if number is None else number

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def key(self, value: str) -> Hashable:
        return value

    def dump(self, out: Sink) -> dict[str, Any]:
        out.texts.extend(self.rows)
        return {}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.values = source.take("texts", count_of(entry, "rows"))
        if not all(isinstance(text, str) for text in self.values):
            raise CodecError("one of its texts is none")


class Integers(Table):
    """Integers of any size."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def key(self, value: int) -> Hashable:
        return int(value)

    def dump(self, out: Sink) -> dict[str, Any]:
        return {"values": list(self.rows)}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.values = entry_of(entry, "values", list)
        if not all(type(number) is int for number in self.values):
            raise CodecError("one of its integers is none")


class Doubles(Table):
    """Single floats, told apart by their bits: 0.0 is not -0.0, and NaN is found again."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, float)

    def key(self, value: float) -> Hashable:
        return struct.pack("<d", value)

    def dump(self, out: Sink) -> dict[str, Any]:
        out.floats.extend(self.rows)
        return {}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.values = source.take("floats", count_of(entry, "rows"))


class Shared(Table):
    """Objects of some size, often the same ones: an object seen before is not looked into again."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.numbers: dict[int, int] = {}
        self.seen: list[object] = []

    def add(self, value: object) -> int:
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = super().add(value)
            self.seen.append(value)  # while it lives no other object can have its id
        return number


class DoubleTuples(Shared):
    """Tuples of nothing but floats, whole: histograms and channels would be slow one by one."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, tuple) and set(map(type, value)) == {float}

    def key(self, value: tuple[float, ...]) -> Hashable:
        return struct.pack(f"<{len(value)}d", *value)

    def dump(self, out: Sink) -> dict[str, Any]:
        lengths = [len(row) // 8 for row in self.rows]
        out.cells.extend(lengths)
        out.floats.extend(self.rows)
        return {"items": sum(lengths)}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        lengths = source.take("cells", count_of(entry, "rows"))
        floats = source.take("floats", count_of(entry, "items"))
        self.values = list(map(tuple, runs(floats, lengths, self.name)))


class Tuples(Shared):
    """Tuples of any length."""

    make: Callable[[Iterable[Any]], Any] = tuple

    def __init__(self, name: str, item: Table) -> None:
        super().__init__(name)
        self.item = item
        self.lengths: list[int] = []
        self.cells: list[int] = []

    def fits(self, value: Any) -> bool:
        return isinstance(value, tuple)

    def key(self, value: Any) -> Hashable:
        return tuple([self.item.add(item) for item in value])

    def dump(self, out: Sink) -> dict[str, Any]:
        out.cells.extend(map(len, self.rows))
        for row in self.rows:
            out.cells.extend(row)
        return {"items": sum(map(len, self.rows))}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.lengths = source.take("cells", count_of(entry, "rows"))
        self.cells = source.take("cells", count_of(entry, "items"))

    def build(self) -> None:
        items = self.item.look_up(self.cells, self.name)
        self.values = [self.make(run) for run in runs(items, self.lengths, self.name)]


class Mappings(Tuples):
    """Mappings, as tuples of pairs: the order is kept."""

    make = dict

    def fits(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def key(self, value: Any) -> Hashable:
        return super().key(value.items())

    def build(self) -> None:
        super().build()
        if sum(map(len, self.values)) != len(self.cells):
            raise CodecError(f"a {self.name} has a key twice")


class FixedTuples(Table):
    """Tuples with a type for each place."""

    def __init__(self, name: str, places: Sequence[Table]) -> None:
        super().__init__(name)
        self.places = places
        self.columns: list[list[int]] = []

    def fits(self, value: Any) -> bool:
        return isinstance(value, tuple) and len(value) == len(self.places)

    def key(self, value: tuple[Any, ...]) -> Hashable:
        return tuple([table.add(item) for table, item in zip(self.places, value, strict=True)])

    def dump(self, out: Sink) -> dict[str, Any]:
        for column in zip(*self.rows, strict=True):
            out.cells.extend(column)
        return {}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.columns = [source.take("cells", count_of(entry, "rows")) for _ in self.places]

    def build(self) -> None:
        if self.columns:
            tables = zip(self.places, self.columns, strict=True)
            parts = [table.look_up(column, self.name) for table, column in tables]
            self.values = list(zip(*parts, strict=True))


class Records(Shared):
    """Objects of one dataclass."""

    def __init__(self, name: str, cls: type, fields: Mapping[str, Table]) -> None:
        super().__init__(name)
        self.cls = cls
        self.fields = fields
        self.columns: dict[str, list[int]] = {}

    def fits(self, value: Any) -> bool:
        return type(value) is self.cls

    def key(self, value: Any) -> Hashable:
        row: list[int] = []
        try:
            for field, table in self.fields.items():
                row.append(table.add(getattr(value, field)))
        except CodecError as error:
            raise CodecError(f"{self.name}.{field}: {error}") from None
        return tuple(row)

    def dump(self, out: Sink) -> dict[str, Any]:
        for column in zip(*self.rows, strict=True):
            out.cells.extend(column)
        return {"fields": {field: table.name for field, table in self.fields.items()}}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        stored = entry_of(entry, "fields", dict)
        for field, kind in stored.items():
            if field not in self.fields:
                raise CodecError(f"unknown field {field!r} of {self.name}")
            if kind != self.fields[field].name:
                raise CodecError(
                    f"{self.name}.{field} holds {kind!r}, not {self.fields[field].name!r}"
                )
        for field in self.required() - stored.keys():
            raise CodecError(f"{self.name} lacks its field {field!r}")
        self.columns = {field: source.take("cells", count_of(entry, "rows")) for field in stored}

    def required(self) -> set[str]:
        """The fields without a default."""
        missing = dataclasses.MISSING
        defaults = {f.name: (f.default, f.default_factory) for f in dataclasses.fields(self.cls)}
        return {field for field in self.fields if defaults[field] == (missing, missing)}

    def build(self) -> None:
        parts = [
            self.fields[field].look_up(numbers, f"{self.name}.{field}")
            for field, numbers in self.columns.items()
        ]
        rows = zip(*parts, strict=True)
        self.values = [self.cls(**dict(zip(self.columns, row, strict=True))) for row in rows]


class Either(Table):
    """Values of one of several types, each in the table of its own."""

    def __init__(self, name: str, members: Iterable[Table]) -> None:
        super().__init__(name)
        self.members = {member.name: member for member in members}
        self.stored: list[str] = []
        self.which: list[int] = []
        self.cells: list[int] = []

    def fits(self, value: Any) -> bool:
        return any(member.fits(value) for member in self.members.values())

    def key(self, value: Any) -> Hashable:
        which, member = next(
            (i, member) for i, member in enumerate(self.members.values()) if member.fits(value)
        )
        return which, member.add(value)

    def dump(self, out: Sink) -> dict[str, Any]:
        for column in zip(*self.rows, strict=True):
            out.cells.extend(column)
        return {"members": list(self.members)}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.stored = entry_of(entry, "members", list)
        for member in self.stored:
            if not isinstance(member, str) or member not in self.members:
                raise CodecError(f"unknown member {member!r} of {self.name}")
        self.which = source.take("cells", count_of(entry, "rows"))
        self.cells = source.take("cells", len(self.which))

    def build(self) -> None:
        choices = [self.members[name].values for name in self.stored]
        rows = zip(self.which, self.cells, strict=True)
        try:
            self.values = [choices[which][row] for which, row in rows]
        except IndexError:
            raise CodecError(f"{self.name} refers to a row that does not exist") from None


def runs(items: list[Any], lengths: list[int], name: str) -> Iterator[Iterator[Any]]:
    """The items in runs of those lengths, each to be used up before the next is asked for."""
    if sum(lengths) != len(items):
        raise CodecError(f"the lengths of {name} do not add up to its {len(items)} items")
    rest = iter(items)
    return (islice(rest, length) for length in lengths)


def entry_of(entry: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """What a table's description says under that key; CodecError unless it is of that type."""
    value = entry.get(key)
    if type(value) is not kind:
        raise CodecError(f"a table's {key!r} is {value!r}, not {kind.__name__}")
    return value


def count_of(entry: Mapping[str, Any], key: str) -> int:
    """As `entry_of`, for a count."""
    count = entry_of(entry, key, int)
    if count < 0:
        raise CodecError(f"a table's {key!r} is {count}, below zero")
    return count
