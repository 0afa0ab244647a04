"""Submodules that share a TorchScript class where torch's passes would need them to differ.

`insert_observers` works on a clone in which modules share a class that did so before and have the
same QConfig. It adds the observers to the class, and puts one into each module that it comes to;
any other module of that class has attributes without a value, and whoever reads them reads memory
that is no value at all. And where the QConfigs of their submodules differ, two modules of one class
cannot be cloned.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.ao.quantization.quant_type import QuantType

from jitq_explore.capture.jit_log import unheard
from jitq_explore.capture.reached import Reached, reached_from
from jitq_explore.capture.read_modules import is_observer, type_name, walk
from jitq_explore.capture.scripting import compiled
from jitq_explore.capture.torch_types import CppModule, wrap

# Bound here, since `jq.record()` would take a trial of ours for the pass of a run.
_insert_observers = torch._C._jit_pass_insert_observers
_insert_quant_dequant = torch._C._jit_pass_insert_quant_dequant

QConfigs = Mapping[str, Any]
"""A scripted qconfig dict."""


@dataclass(frozen=True)
class Unfinished:
    """Modules that the pass, begun at that method, would leave without observers of their class.

    `lacking` are their paths, `having` those of modules of the same classes that get observers;
    `uncalled` those of `lacking` that are called nowhere. `keys` are the keys of a qconfig dict
    that, with None, give them classes of their own without any other effect; `keys_suffice` says
    whether they do for all of them.
    """

    method: str
    lacking: tuple[str, ...]
    having: tuple[str, ...]
    uncalled: tuple[str, ...]
    keys: tuple[str, ...]
    keys_suffice: bool


def unfinished(
    root: CppModule, method: str, qconfigs: QConfigs, quant_type: QuantType
) -> Unfinished | None:
    """The modules that the pass would leave unfinished; None where there are none."""
    own = qconfigs_by_path(root, qconfigs)
    reached = reached_from(root, method)
    groups = [group for group in _groups(root, own) if _may_differ(group, reached)]
    if not groups:
        return None
    counts = _observers_by_path(root, method, qconfigs, quant_type)
    having = [path for group in groups for path in _finished(group, counts, reached)]
    lacking = [
        path
        for group in groups
        if any(counts[path] for path in group)
        for path in group
        if path not in having
    ]
    if not lacking:
        return None
    keys = _keys(lacking, qconfigs, reached)
    without = {**qconfigs, **dict.fromkeys(keys)}
    return Unfinished(
        method=method,
        lacking=tuple(lacking),
        having=tuple(having) or tuple(path for path in lacking if counts[path]),
        uncalled=tuple(path for path in lacking if path not in reached.called),
        keys=keys,
        keys_suffice=all(_is_under(path, keys) for path in lacking)
        and not any(clashes(root, without)),
    )


def clashes(root: CppModule, qconfigs: QConfigs) -> Iterator[tuple[str, ...]]:
    """Paths of modules that share class and QConfig while those of their submodules differ.

    torch refuses to clone them: "is not compatible with the type".
    """
    own = qconfigs_by_path(root, qconfigs)
    children: dict[str, list[object]] = defaultdict(list)
    for path, module in walk(root):
        if path:
            children[path.rpartition(".")[0]].append((type_name(module), own[path]))
    for group in _groups(root, own, also_float=True):
        if any(children[path] != children[group[0]] for path in group):
            yield group


def qconfigs_by_path(root: CppModule, qconfigs: QConfigs) -> dict[str, Any]:
    """The QConfig in force for each submodule, as torch finds it; None where it stays float."""
    found: dict[str, Any] = {}
    for path, _ in walk(root):
        above = found[path.rpartition(".")[0]] if path else None
        found[path] = qconfigs.get(path, above)
    return found


def unshared(root: CppModule) -> CppModule:
    """A clone in which every submodule has a class of its own; its tensors are the same.

    Made by the pass itself, which gives modules of different QConfigs different classes, told to
    observe a method that does nothing.
    """
    holder = compiled(_Holder(wrap(root)))
    tag = compiled(_Tag())
    tags = {path: (copy.copy(tag), copy.copy(tag)) for path, _ in walk(holder)}
    return _observed(holder, "forward", tags, QuantType.STATIC).getattr("held")


def try_passes(root: CppModule, method: str, qconfigs: QConfigs, quant_type: QuantType) -> None:
    """Raise what preparing and converting the model would, without calibration; changes nothing."""
    with unheard():
        # Not in place: the conversion may change the tensors.
        observed = _insert_observers(unshared(root), method, dict(qconfigs), False, quant_type)
        converted = _insert_quant_dequant(observed, method, False, False, quant_type)
    # As finalizing does, which fails where values were left out of scope.
    converted._get_method(method).graph.copy()


def _observed(root: CppModule, method: str, qconfigs: QConfigs, quant_type: QuantType) -> CppModule:
    with unheard():
        return _insert_observers(root, method, dict(qconfigs), True, quant_type)


class _Holder(nn.Module):
    def __init__(self, held: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class _Tag(nn.Module):
    """Stands for a QConfig: only its identity counts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _groups(
    root: CppModule, own: Mapping[str, Any], also_float: bool = False
) -> list[tuple[str, ...]]:
    """The paths of modules that will share a class after cloning, two or more at a time."""
    found: dict[object, list[str]] = defaultdict(list)
    for path, module in walk(root):
        if also_float or own[path] is not None:
            found[type_name(module), own[path]].append(path)
    return [tuple(paths) for paths in found.values() if len(paths) > 1]


def _may_differ(group: Sequence[str], reached: Reached) -> bool:
    """Whether the pass comes to them by different methods."""
    ways = {frozenset(reached.methods.get(path, ())) for path in group}
    return len(ways) > 1 or reached.unknown


def _observers_by_path(
    root: CppModule, method: str, qconfigs: QConfigs, quant_type: QuantType
) -> Counter[str]:
    """How many observers each module would get if it had a class of its own."""
    observed = _observed(unshared(root), method, qconfigs, quant_type)
    return Counter(
        path.rpartition(".")[0] for path, module in walk(observed) if is_observer(path, module)
    )


def _finished(group: Sequence[str], counts: Counter[str], reached: Reached) -> list[str]:
    """Those that get all the observers that any of them brings into the class."""
    most = max(counts[path] for path in group)
    ways = {path: reached.methods.get(path, set()) for path in group if counts[path]}
    return [
        path
        for path, way in ways.items()
        if counts[path] == most and all(way <= other or other <= way for other in ways.values())
    ]


def _keys(lacking: Sequence[str], qconfigs: QConfigs, reached: Reached) -> tuple[str, ...]:
    """The topmost modules that hold some of them and nothing that the pass comes to.

    With the keys there are already for modules below these.
    """
    tops = dict.fromkeys(
        top for path in lacking if (top := _topmost_unreached(path, reached)) is not None
    )
    below = (key for key, qconfig in qconfigs.items() if qconfig and _is_under(key, tops))
    return tuple(dict.fromkeys([*tops, *below]))


def _topmost_unreached(path: str, reached: Reached) -> str | None:
    found = None
    while path and not any(_is_under(other, [path]) for other in reached.methods):
        found = path
        path = path.rpartition(".")[0]
    return found


def _is_under(path: str, tops: Iterable[str]) -> bool:
    return any(path == top or path.startswith(f"{top}.") for top in tops)
