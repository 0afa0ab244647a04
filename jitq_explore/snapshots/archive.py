"""Recording <-> one file, conventionally `.jitq`: a zip of JSON and plain arrays, never a pickle.

    recording.json   what the file is, its version, which tables there are (see `codec`)
    texts.json       every text once
    cells.bin        uint32: the tables' rows
    floats.bin       float64: the tables' real values

The arrays are little-endian, first the lowest byte of every item, then the next byte of every item,
and so on: small numbers and float32 values in float64 then deflate to half the size.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from jitq_explore.snapshots.codec import decode, encode
from jitq_explore.snapshots.consistency import problems
from jitq_explore.snapshots.flat import CodecError, Flat
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.writing import check_target, replace_file

FORMAT = "jitq_explore recording"
VERSION = 1
"""Of the file's layout. New fields with defaults need no new version; anything else does."""

MAX_BYTES = 128 * 2**20
"""Bytes a file may inflate to: twenty times a 152-layer network with every histogram (6 MB)."""

_HEADER, _TEXTS, _CELLS, _FLOATS = "recording.json", "texts.json", "cells.bin", "floats.bin"
_DAMAGED = "is it truncated or damaged? Copy it again, or save the recording anew"
_OTHER = "was it made by a newer version, or damaged? Update jitq_explore or copy the file again"


class ArchiveError(ValueError):
    """A file that is no recording, or a recording that cannot become a file; says what to do."""


def save(recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the recording to a file, at once or not at all; returns the path.

    An existing file is replaced. FileNotFoundError where the folder does not exist,
    IsADirectoryError where the path is a folder, ArchiveError where the recording is inconsistent
    or holds what its annotations do not allow, TypeError for anything but a Recording.
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"save takes a Recording, not {type(recording).__name__}")
    path = Path(path)
    check_target(path)
    problem = next(problems(recording), None)
    if problem is not None:
        raise ArchiveError(f"cannot save {path}: {problem}")
    try:
        with collector_paused():
            content = _zipped(_members(encode(recording)))
    except ValueError as error:  # a CodecError, or an integer of thousands of digits
        raise ArchiveError(f"cannot save {path}: {error}") from error
    replace_file(path, content)
    return path


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Recording:
    """Read a recording that `save` wrote. Nothing in the file is executed, nothing is written.

    `max_bytes` bounds both the file and what it inflates to; the objects made of it can take some
    thirty times that. FileNotFoundError where there is no file, ArchiveError for a file that is no
    recording, is damaged, inconsistent or made by a newer version.
    """
    path = Path(path)
    try:
        with collector_paused():
            return _read(_content(path, max_bytes), max_bytes)
    except CodecError as error:
        raise ArchiveError(f"cannot load {path}: {error}; {_OTHER}") from error
    except ArchiveError as error:
        raise ArchiveError(f"cannot load {path}: {error}") from error


def _members(flat: Flat) -> dict[str, bytes]:
    header = {"format": FORMAT, "version": VERSION, "tables": flat.tables}
    return {
        _HEADER: _dump_json(header),
        _TEXTS: _dump_json(flat.texts),
        _CELLS: _by_place(flat.cells),
        _FLOATS: _by_place(flat.floats),
    }


def _zipped(members: Mapping[str, bytes]) -> bytes:
    """The same bytes for the same members: entries carry no time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def _content(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except FileNotFoundError as error:
        others = sorted(other.name for other in path.parent.glob("*.jitq"))[:6]
        error.add_note(f"Recordings in {path.parent}: {', '.join(others) or 'none'}")
        raise
    if len(content) > max_bytes:
        raise _too_big(max_bytes)
    return content


def _read(content: bytes, max_bytes: int) -> Recording:
    members = _unzipped(content, max_bytes)
    tables = _checked_header(members)
    texts = _load_json(members[_TEXTS], _TEXTS, list)
    cells = _from_places(members[_CELLS], _CELLS, np.dtype("<u4"))
    floats = _from_places(members[_FLOATS], _FLOATS, np.dtype("<f8"))
    recording = decode(Flat(tables, texts, cells, floats), Recording)
    problem = next(problems(recording), None)
    if problem is not None:
        raise ArchiveError(f"it contradicts itself: {problem}; save the recording anew")
    return recording


def _unzipped(content: bytes, max_bytes: int) -> dict[str, bytes]:
    """The members by name, never more than `max_bytes` in all."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries, max_bytes)
            return {entry.filename: _inflated(archive, entry) for entry in entries}
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,  # a compression or a zip version that Python does not know
        RuntimeError,  # an encrypted entry
        ValueError,  # a seek to before the beginning, a name that cannot be decoded
    ) as error:
        raise ArchiveError(f"it is not a sound zip file ({error}); {_DAMAGED}") from error


def _check_entries(entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    names = [entry.filename for entry in entries]
    if _HEADER not in names:
        raise ArchiveError(f"it is a zip file, but no recording: {_HEADER} is missing")
    if len(set(names)) < len(names):
        raise ArchiveError(f"it has a member twice; {_DAMAGED}")
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise _too_big(max_bytes)
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"its member {entry.filename!r} is not deflated; {_DAMAGED}")


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One member; never more than its declared size, which has been counted."""
    with archive.open(entry) as stream:
        data = stream.read(entry.file_size)
        if len(data) != entry.file_size or stream.read(1):
            raise ArchiveError(
                f"its member {entry.filename!r} has not the declared size; {_DAMAGED}"
            )
    return data


def _checked_header(members: Mapping[str, bytes]) -> list[dict[str, Any]]:
    header = _load_json(members[_HEADER], _HEADER, dict)
    if header.get("format") != FORMAT:
        raise ArchiveError(f"{_HEADER} does not name the format {FORMAT!r}: it is no recording")
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise ArchiveError(f"its version is {version!r}; {_DAMAGED}")
    if version > VERSION:
        raise ArchiveError(
            f"it has version {version}, this jitq_explore reads up to {VERSION}: update it"
        )
    if set(members) != {_HEADER, _TEXTS, _CELLS, _FLOATS}:
        raise ArchiveError(f"its members are {sorted(members)}; {_DAMAGED}")
    tables = header.get("tables")
    if not isinstance(tables, list):
        raise ArchiveError(f"{_HEADER} lists no tables; {_DAMAGED}")
    return tables


def _dump_json(value: object) -> bytes:
    # "surrogatepass" and unescaped: half a surrogate pair in a text comes back as it was.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _load_json(data: bytes, name: str, kind: type) -> Any:
    try:
        value = json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{name} is not sound JSON ({error}); {_DAMAGED}") from error
    if not isinstance(value, kind):
        raise ArchiveError(
            f"{name} holds a {type(value).__name__}, not a {kind.__name__}; {_DAMAGED}"
        )
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _by_place(array: NDArray[Any]) -> bytes:
    return array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()


def _from_places(data: bytes, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    if len(data) % dtype.itemsize:
        raise ArchiveError(
            f"{name} is not a whole number of items of {dtype.itemsize} bytes; {_DAMAGED}"
        )
    places = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(places.T).reshape(-1).view(dtype)


def _too_big(max_bytes: int) -> ArchiveError:
    return ArchiveError(
        f"it inflates to more than {max_bytes} bytes; "
        "if you trust where it comes from, pass a larger max_bytes"
    )
