"""Frozen dataclasses <-> flat tables of numbers, by the annotations of the classes alone.

Every type that an annotation names ("str", "tuple[str, ...]", "Node", "int | None") has one table
(see `flat_tables`), and a value is a row of its type's table. As a field of type `str` can only
refer to the table of texts, a wrong type cannot even be written down; and as a type that contains
itself has a table for each level of nesting, neither can a circle.

A new dataclass, or a new field with a default, needs no line here. A change of a field's type makes
older files unreadable and so needs a new version of the file (see `archive`).
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from jitq_explore.snapshots import flat_tables as shapes
from jitq_explore.snapshots import graph
from jitq_explore.snapshots.flat import CodecError, Flat, Sink, Source
from jitq_explore.snapshots.flat_tables import Table

MAX_DEPTH = 32
"""How deep a type may contain itself. Lists in a TorchScript graph nest a few levels."""

T = TypeVar("T")


def encode(root: object) -> Flat:
    """The flat form of a dataclass object; CodecError says which field holds what it should not."""
    schema = Schema()
    schema.table(type(root)).numbers([root])
    out = Sink()
    written = [table for table in schema if table.rows and not isinstance(table, shapes.Constants)]
    tables = [{"name": t.name, "rows": len(t.rows), **t.dump(out)} for t in written]
    floats = np.frombuffer(b"".join(out.floats), dtype="<f8")
    return Flat(tables, out.texts, np.array(out.cells, dtype="<u4"), floats)


def decode(flat: Flat, cls: type[T]) -> T:
    """The object that `encode` made flat; CodecError where the tables do not describe one."""
    schema = Schema()
    roots = schema.table(cls)
    source = Source(flat)
    for name, entry in _by_name(flat.tables).items():
        schema.find(name).restore(entry, source)
    source.close()
    for table in schema:
        table.build()
    if len(roots.values) != 1:
        raise CodecError(f"it holds {len(roots.values)} objects of type {cls.__name__}, not one")
    root: T = roots.values[0]
    return root


def _by_name(tables: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in tables):
        raise CodecError("one of its tables has no name")
    found = {entry["name"]: entry for entry in tables}
    if len(found) < len(tables):
        raise CodecError("it has a table twice")
    return found


class Schema:
    """The tables of a class and of all it refers to, those referred to first."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.open: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def find(self, name: str) -> Table:
        """The table of that name; CodecError where the classes of today have none."""
        if name not in self.tables:
            raise CodecError(f"unknown class or type {name!r}")
        return self.tables[name]

    def table(self, annotation: Any) -> Table:
        """The table of a type as an annotation gives it; TypeError for one that has none."""
        if annotation in _SIMPLE:
            return self._keep(_SIMPLE[annotation]())
        if annotation is float:
            # An int passes for a float with type checkers, and is to come back as what it was.
            double = self._keep(shapes.Doubles("double"))
            return self._keep(shapes.Either("float", [double, self.table(int)]))
        if annotation is _Alias:
            return self._levelled("Attribute", lambda name: self._either(name, _ATTRIBUTE))
        if dataclasses.is_dataclass(annotation):
            cls = typing.cast(type, annotation)
            return self._levelled(cls.__name__, lambda name: self._records(name, cls))
        return self._generic(annotation, typing.get_origin(annotation), typing.get_args(annotation))

    def _generic(self, annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Table:
        inner = [self.table(argument) for argument in arguments if argument is not ...]
        names = [table.name for table in inner]
        if origin in (typing.Union, types.UnionType):
            names.sort(key=lambda name: (name == "None", name))
            return self._keep(shapes.Either(" | ".join(names), inner))
        if origin is Mapping:
            pair = self._keep(shapes.FixedTuples(f"tuple[{', '.join(names)}]", inner))
            return self._keep(shapes.Mappings(f"Mapping[{', '.join(names)}]", pair))
        if origin is tuple and arguments == (float, ...):
            packed = self._keep(shapes.DoubleTuples("doubles"))
            mixed = self._keep(shapes.Tuples("tuple[double | int, ...]", inner[0]))
            return self._keep(shapes.Either("tuple[float, ...]", [packed, mixed]))
        if origin is tuple and arguments[-1:] == (...,):
            return self._keep(shapes.Tuples(f"tuple[{names[0]}, ...]", inner[0]))
        if origin is tuple and arguments:
            return self._keep(shapes.FixedTuples(f"tuple[{', '.join(names)}]", inner))
        raise TypeError(f"no table for {annotation!r} (numbers, texts, tuples, Mapping, dataclass)")

    def _either(self, name: str, union: Any) -> Table:
        members = [self.table(member) for member in typing.get_args(union)]
        return self._keep(shapes.Either(name, members))

    def _records(self, name: str, cls: type) -> Table:
        fields = {field: self.table(hint) for field, hint in _hints(cls).items()}
        return self._keep(shapes.Records(name, cls, fields))

    def _levelled(self, name: str, make: Callable[[str], Table]) -> Table:
        """A table of its own for every level at which a type contains itself."""
        level = self.open[name]
        if level >= MAX_DEPTH:
            return self._keep(shapes.Constants(f"nothing ({name} nests {MAX_DEPTH} levels deep)"))
        label = f"{name}^{level}" if level else name
        if label not in self.tables:
            self.open[name] += 1
            self._keep(make(label))
            self.open[name] -= 1
        return self.tables[label]

    def _keep(self, table: Table) -> Table:
        """The table, or the one of that name that is there already."""
        return self.tables.setdefault(table.name, table)


class _Alias:
    """Stands for the type alias `Attribute`, which contains itself and so is known as a text."""


_ALIASES = {"Attribute": _Alias}
_ATTRIBUTE = typing.get_type_hints(
    types.SimpleNamespace(__annotations__={"alias": graph.Attribute}), vars(graph), _ALIASES
)["alias"]


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    """The types of the fields that make an object; what it computes by itself is left out."""
    hints = typing.get_type_hints(cls, localns=_ALIASES)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


_SIMPLE: dict[Any, Callable[[], Table]] = {
    type(None): lambda: shapes.Constants("None", None),
    bool: lambda: shapes.Constants("bool", False, True),
    int: lambda: shapes.Integers("int"),
    str: lambda: shapes.Texts("str"),
}
