"""qconfig dicts that differ from another one in one module, and nowhere else.

In a qconfig dict a module without an entry takes that of its parent, so that a changed entry
reaches further than the module: its children are pinned to what they had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.ao.quantization.qconfig import QConfig

from jitq_explore.snapshots.changes import Change, ObserverChoice, key_in_force

QConfigDict = Mapping[str, Any]

Factory = Callable[..., object]
"""What makes an observer."""


def qconfig_of(qconfig_dict: QConfigDict, path: str) -> Any:
    """The QConfig in force for the module at that path; None where it stays float."""
    return qconfig_dict.get(key_in_force(qconfig_dict, path))


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


def changed(qconfig_dict: QConfigDict, change: Change, paths: Iterable[str]) -> dict[str, Any]:
    """The dict with that change, and no other.

    `paths` are those of all modules of the model. ValueError for a module that stays float, where
    there is no qconfig to change, and for an observer that torch does not have.
    """
    paths = list(paths)
    found = dict(qconfig_dict)
    if change.keep_float:
        for path in change.modules:
            found = with_qconfig_at(found, path, None, paths)
        return found
    activation = make_observer(change.activation) if change.activation else None
    weight = make_observer(change.weight) if change.weight else None
    return with_observers(found, change.modules, activation, weight, paths)


def with_observers(
    qconfig_dict: QConfigDict,
    modules: Iterable[str],
    activation: Factory | None,
    weight: Factory | None,
    paths: Sequence[str],
) -> dict[str, Any]:
    """The dict with other observers for the ops of those modules alone; None leaves one as it is.

    ValueError for a module that stays float.
    """
    found = dict(qconfig_dict)
    for path in modules:
        before = qconfig_of(found, path)
        if not before:
            raise ValueError(f"module {path!r} stays float: it has no observers to change")
        qconfig = QConfig(activation or before.activation, weight or before.weight)
        found = with_qconfig_at(found, path, qconfig, paths)
    return found


def make_observer(choice: ObserverChoice) -> Factory:
    """The factory of such observers that a QConfig takes."""
    observer = getattr(torch.ao.quantization, choice.class_name, None)
    if observer is None or not hasattr(observer, "with_args"):
        raise ValueError(f"torch.ao.quantization has no observer {choice.class_name!r}")
    settings = {
        name: getattr(torch, str(value)) if name in ("dtype", "qscheme") else value
        for name, value in choice.settings.items()
    }
    factory: Factory = observer.with_args(**settings)
    return factory
