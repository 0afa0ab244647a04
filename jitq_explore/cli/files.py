"""The files that a command line names: read, and checked before the work, not after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jitq_explore.cli.errors import BadInputError, what

if TYPE_CHECKING:
    from jitq_explore.snapshots.recording import Recording


def check_output(output: Path, inputs: list[Path]) -> None:
    """The output can be written, and overwrites no input."""
    if not output.resolve().parent.is_dir():
        raise BadInputError(f"cannot write {output}: there is no folder {output.parent}")
    if output.is_dir():
        raise BadInputError(f"cannot write {output}: it is a folder")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise BadInputError(f"-o {output} would overwrite what is read; name another file")


def load_recording(path: Path) -> Recording:
    """The recording in the file."""
    from jitq_explore.snapshots.archive import ArchiveError, load

    try:
        return load(path)
    except (ArchiveError, OSError) as error:
        raise BadInputError(what(error)) from error
