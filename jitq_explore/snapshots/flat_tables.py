"""The tables that plain objects are flattened into, one class for each shape of value.

A table holds the distinct values of one type. Its rows refer to rows of other tables by number, and
equal rows are written once: what was one object comes back as one object.
"""

# ruff: noqa: D102 (what the methods of a table do is said once, in `Table`)

from __future__ import annotations

import dataclasses
import struct
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, islice
from typing import Any

from jitq_explore.snapshots.flat import CodecError, Sink, Source, count_of, entry_of


class Table(ABC):
    """The distinct values of one type: `rows` numbers them when writing, `values` when read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: defaultdict[Any, int] = defaultdict()
        self.rows.default_factory = self.rows.__len__  # a row asked for first gets the next number
        self.values: list[Any] = []

    def numbers(self, values: Sequence[Any]) -> list[int]:
        """The numbers of the rows that stand for the values; CodecError where one fits none.

        Many values at once, as a call for each would cost more than all the rest.
        """
        if not values:
            return []
        if not all(map(self.fits, values)):
            misfit = next(value for value in values if not self.fits(value))
            raise CodecError(f"a {type(misfit).__name__} where {self.name} is expected")
        return list(map(self.rows.__getitem__, self.keys(values)))

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Whether the value's type, not yet what is in it, is the table's."""

    @abstractmethod
    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        """A row for each value: equal rows only for values that are alike in every bit."""

    @abstractmethod
    def dump(self, out: Sink) -> dict[str, Any]:
        """Write the contents; returns what `restore` needs to know to find them."""

    @abstractmethod
    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        """Take the contents from the streams."""

    def dump_columns(self, out: Sink) -> None:
        """Write rows that are all of one length, column by column: like beside like."""
        for column in zip(*self.rows, strict=True):
            out.cells.extend(column)

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
        self.ids = set(map(id, values))
        self.rows.update({value: number for number, value in enumerate(values)})

    def fits(self, value: Any) -> bool:
        return id(value) in self.ids  # not `==`: 1 is not True

    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        return values

    def dump(self, out: Sink) -> dict[str, Any]:
        raise NotImplementedError("constants are not written")

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        raise CodecError(f"{self.name!r} is never a table of its own")


class Texts(Table):
    """Texts."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, str)

    def keys(self, values: Sequence[str]) -> Iterable[Hashable]:
        return values

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

    def keys(self, values: Sequence[int]) -> Iterable[Hashable]:
        return map(int, values)

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

    def keys(self, values: Sequence[float]) -> Iterable[Hashable]:
        return (struct.pack("<d", value) for value in values)

    def dump(self, out: Sink) -> dict[str, Any]:
        out.floats.extend(self.rows)
        return {}

    def restore(self, entry: Mapping[str, Any], source: Source) -> None:
        self.values = source.take("floats", count_of(entry, "rows"))


class Shared(Table):
    """Objects of some size, often the same ones: an object seen before is not looked into again."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.known: dict[int, int] = {}
        self.alive: list[object] = []

    def numbers(self, values: Sequence[Any]) -> list[int]:
        new = {id(value): value for value in values if id(value) not in self.known}
        self.alive.extend(new.values())  # while they live no other object can have their ids
        self.known.update(zip(new, super().numbers(list(new.values())), strict=True))
        return [self.known[id(value)] for value in values]


class DoubleTuples(Shared):
    """Tuples of nothing but floats, whole: histograms and channels would be slow one by one."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, tuple) and set(map(type, value)) == {float}

    def keys(self, values: Sequence[tuple[float, ...]]) -> Iterable[Hashable]:
        return (struct.pack(f"<{len(value)}d", *value) for value in values)

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

    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        numbers = self.item.numbers(list(chain.from_iterable(values)))
        return map(tuple, runs(numbers, list(map(len, values)), self.name))

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

    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        return super().keys([value.items() for value in values])

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

    def keys(self, values: Sequence[tuple[Any, ...]]) -> Iterable[Hashable]:
        columns = zip(self.places, zip(*values, strict=True), strict=True)
        return zip(*[table.numbers(column) for table, column in columns], strict=True)

    def dump(self, out: Sink) -> dict[str, Any]:
        self.dump_columns(out)
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

    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        columns = []
        for field, table in self.fields.items():
            try:
                columns.append(table.numbers([getattr(value, field) for value in values]))
            except CodecError as error:
                raise CodecError(f"{self.name}.{field}: {error}") from None
        return zip(*columns, strict=True)

    def dump(self, out: Sink) -> dict[str, Any]:
        self.dump_columns(out)
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
        rows = (dict(zip(self.columns, row, strict=True)) for row in zip(*parts, strict=True))
        try:
            self.values = [self.cls(**row) for row in rows]
        except (TypeError, ValueError) as error:
            raise CodecError(f"{self.name} refuses its values: {error}") from error


class Either(Shared):
    """Values of one of several types, each in the table of its own."""

    def __init__(self, name: str, members: Iterable[Table]) -> None:
        super().__init__(name)
        self.members = {member.name: member for member in members}
        self.stored: list[str] = []
        self.which: list[int] = []
        self.cells: list[int] = []

    def fits(self, value: Any) -> bool:
        return any(member.fits(value) for member in self.members.values())

    def keys(self, values: Sequence[Any]) -> Iterable[Hashable]:
        members = list(self.members.values())
        which = [next(i for i, m in enumerate(members) if m.fits(value)) for value in values]
        numbers = [
            iter(member.numbers(list(compress(values, [i == place for i in which]))))
            for place, member in enumerate(members)
        ]
        return ((i, next(numbers[i])) for i in which)

    def dump(self, out: Sink) -> dict[str, Any]:
        self.dump_columns(out)
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
