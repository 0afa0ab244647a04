"""The files that a command line names: read, and checked before the work, not after it."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jitq_explore.cli.errors import BadInputError, what

if TYPE_CHECKING:
    from jitq_explore.snapshots.recording import Recording


def check_output(output: Path, inputs: list[Path]) -> None:
    """The output can be written, and overwrites no input."""
    if not output.resolve().parent.is_dir():
        why = f"there is no folder {output.parent}"
        raise BadInputError(f"cannot write {output}: {why}; {_ELSEWHERE}")
    if output.is_dir():
        raise BadInputError(f"cannot write {output}: it is a folder; {_ELSEWHERE}")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise BadInputError(f"-o {output} would overwrite what is read; name another file")
    if not os.access(output.resolve().parent, os.W_OK):
        why = f"{output.resolve().parent} is not writable"
        raise BadInputError(f"cannot write {output}: {why}; {_ELSEWHERE}")


@contextlib.contextmanager
def writing(output: Path) -> Iterator[None]:
    """What goes wrong while the output is written is told of the output, not of some other file."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInputError(f"cannot write {output}: {why}; {_ELSEWHERE}") from error


_ELSEWHERE = "name another place with -o"


def load_recording(path: Path) -> Recording:
    """The recording in the file."""
    from jitq_explore.snapshots.archive import ArchiveError, load

    if not path.exists():
        raise BadInputError(f"there is no file {path}; {_MAKE_ONE}")
    if not is_recording(path) and zipfile.is_zipfile(path):
        raise BadInputError(f"{path} is no recording; {_MAKE_ONE}")
    try:
        return load(path)
    except (ArchiveError, OSError) as error:
        raise BadInputError(what(error)) from error


_MAKE_ONE = "jitq-explore record MODEL.pt -o RUN.jitq makes one"


def is_recording(path: Path) -> bool:
    """By what is in it: a TorchScript file is a zip file, too."""
    return "recording.json" in _entries(path)


def is_torchscript(path: Path) -> bool:
    """By what is in it: what torch.save writes is a zip file, too, but has no code."""
    return any("/code/" in name for name in _entries(path))


def _entries(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []
