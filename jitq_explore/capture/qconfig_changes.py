"""qconfig dicts that differ from another one in one module, and nowhere else.

In a qconfig dict a module without an entry takes that of its parent, so that a changed entry
reaches further than the module: its children are pinned to what they had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

QConfigDict = Mapping[str, Any]


def qconfig_of(qconfig_dict: QConfigDict, path: str) -> Any:
    """The QConfig in force for the module at that path; None where it stays float."""
    while path and path not in qconfig_dict:
        path = path.rpartition(".")[0]
    return qconfig_dict.get(path)


def with_qconfig_at(
    qconfig_dict: QConfigDict, path: str, qconfig: Any, paths: Iterable[str]
) -> dict[str, Any]:
    """The dict with another QConfig for the ops of that module alone.

    `paths` are those of all modules of the model.
    """
    pinned = {child: qconfig_of(qconfig_dict, child) for child in _children(path, paths)}
    return {**qconfig_dict, **pinned, path: qconfig}


def only_at(qconfig_dict: QConfigDict, path: str, paths: Iterable[str]) -> dict[str, Any]:
    """A dict that quantizes the ops of that module alone, as the given dict would."""
    return with_qconfig_at({"": None}, path, qconfig_of(qconfig_dict, path), paths)


def _children(path: str, paths: Iterable[str]) -> list[str]:
    return [other for other in paths if other and other.rpartition(".")[0] == path]
