"""Which entry of the qconfig dict is in force where, and which entries are in force nowhere."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from jitq_explore.snapshots.changes import key_in_force
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording

NO_QCONFIG = "None"
"""How a recording writes an entry that is None."""

MODEL_KEY = ""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One module, or one key that names none.

    `key` is the entry that won, None where there is none for the module or any of its parents;
    `qconfig` is that entry as text ("None" where it keeps the module in float). `inherited_from` is
    the path of the parent whose entry it is, None where it is the module's own. `matched` is False
    for a key that names no module; `closest` are modules that it may have meant.
    """

    path: str
    class_name: str
    key: str | None
    qconfig: str
    inherited_from: str | None
    matched: bool = True
    closest: tuple[str, ...] = ()


def winning_key(recording: Recording, path: str) -> str | None:
    """The key whose entry the module at that path takes; None where there is none.

    On-device quantization works on one inlined method, and knows the entry of the model alone.
    """
    key = MODEL_KEY if _is_on_device(recording) else key_in_force(recording.qconfig, path)
    return key if key in recording.qconfig else None


def _is_on_device(recording: Recording) -> bool:
    return recording.mode == "on_device"


def qconfig_text(recording: Recording, path: str) -> str:
    """The entry in force for a module, "None" where it is kept in float."""
    key = winning_key(recording, path)
    return recording.qconfig[key] if key is not None else NO_QCONFIG


def about_key(recording: Recording, path: str) -> str:
    """Why a module has no qconfig, in words."""
    key = winning_key(recording, path)
    if _is_on_device(recording):
        entry = "there is none" if key is None else "its entry is None"
        return f"on-device quantization goes by the key {MODEL_KEY!r} alone, and {entry}"
    if key is None:
        return "no key of the qconfig dict names it or a parent of it, and there is no key ''"
    if key == path:
        return f"its own key {key!r} is None"
    return f"the key {key!r}, which it inherits, is None"


def key_to_give(recording: Recording, path: str) -> str:
    """The key that would give the module a QConfig."""
    return MODEL_KEY if _is_on_device(recording) else path


@once
def unmatched_keys(recording: Recording) -> tuple[KeyRow, ...]:
    """The keys that name no module of the model."""
    paths = [module.path for module in recording.input.modules]
    return tuple(
        KeyRow(key, "", key, text, None, False, _closest(key, paths))
        for key, text in recording.qconfig.items()
        if key not in paths
    )


@once
def key_rows(recording: Recording) -> tuple[KeyRow, ...]:
    """A row for each module in the model's order, then one for each key that names none."""
    rows = []
    for module in recording.input.modules:
        key = winning_key(recording, module.path)
        inherited = key if key is not None and key != module.path else None
        text = qconfig_text(recording, module.path)
        rows.append(KeyRow(module.path, module.short_class, key, text, inherited))
    return (*rows, *unmatched_keys(recording))


def _closest(key: str, paths: list[str]) -> tuple[str, ...]:
    """Names with the same last part first: a forgotten prefix is the usual mistake."""
    named = [path for path in paths if path]
    same_end = [path for path in named if path.rpartition(".")[2] == key.rpartition(".")[2]]
    return tuple(dict.fromkeys([*same_end, *difflib.get_close_matches(key, named)]))[:3]
