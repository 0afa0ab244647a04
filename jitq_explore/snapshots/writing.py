"""Files written at once or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def check_target(path: Path) -> None:
    """FileNotFoundError where the folder does not exist, IsADirectoryError where it is one."""
    if path.is_dir():
        raise IsADirectoryError(f"cannot save {path}: it is a folder, name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save {path}: create the folder {path.parent} first")


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the file and rename: a reader, or a crash, never meets half a file."""
    target = Path(os.path.realpath(path))  # through a link to what it points to
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
