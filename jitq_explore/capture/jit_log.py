"""Listening to the JIT's own log: what the C++ passes say of themselves while they run.

The log goes to standard error. A pass holds the interpreter lock, so that nobody could empty a pipe
meanwhile: standard error is sent to a temporary file and read when the pass has ended.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import torch
from torch.jit import ScriptModule

from jitq_explore.capture.log_entries import LogEntry, LogReader
from jitq_explore.capture.log_volume import Verbosity, expected_bytes
from jitq_explore.capture.printed import has_unprintable_weight
from jitq_explore.snapshots.recording import Snapshot

LOG_BYTES = 256 * 2**20
"""Bytes of log kept of one pass: nine times that of the fusion of a 152-layer network."""

_VERBOSITY: dict[str, tuple[Verbosity, ...]] = {
    "fold_conv_bn": (Verbosity(">>fold_conv_bn", times=4),),
    "insert_observers": (Verbosity(">>insert_observers", times=14, times_called=4),),
    "insert_quant_dequant": (Verbosity(">>insert_quant_dequant", times=8, times_called=2),),
    # The matcher dumps the whole graph before each of its rules.
    "quant_finalize": (
        Verbosity(
            "subgraph_matcher:finalize:>>freeze_module:inliner:dead_code_elimination",
            times=2,
            times_main=200,
        ),
        Verbosity("finalize:>>freeze_module:inliner:dead_code_elimination", 2, times_main=10),
    ),
}
_VERBOSITY |= {
    "insert_observer_method": _VERBOSITY["insert_observers"],
    "insert_quant_dequant_method": _VERBOSITY["insert_quant_dequant"],
    "quant_finalize_method": _VERBOSITY["quant_finalize"],
}
"""Stage -> which C++ files are to say how much, the most first."""

_lock = threading.RLock()
"""Held while somebody listens: the log's level and standard error are the whole process's."""


@dataclass
class Listener:
    """Listens to the passes of one run; what is equal among their graphs is held once."""

    max_bytes: int = LOG_BYTES
    reader: LogReader = field(default_factory=LogReader)

    def options_for(self, stage: str, before: Snapshot) -> tuple[str, str]:
        """The log options for a stage, and what has to be left out so as to stay in bounds."""
        offered = _VERBOSITY.get(stage.partition("#")[0], ())
        if stage.startswith("quant_finalize") and has_unprintable_weight(before):
            # The log would raise an error in the middle of the pass.
            return "", "inner steps are left out: torch cannot print a weight of one element"
        left_out = ""
        for verbosity in offered:
            size = expected_bytes(verbosity, before)
            if size <= self.max_bytes:
                return verbosity.options, left_out
            left_out = (
                f"inner steps are left out: the log of this pass would have some {_size(size)}, of "
                f"which {_size(self.max_bytes)} are allowed; a larger log_bytes= lets it be read"
            )
        return "", left_out


@dataclass
class Said:
    """What a pass said: filled in when `listening` closes, also by an error.

    `problem` says in words what could not be heard or was cut. `left` is the graph of the model
    that the pass was given, as the pass left it: whoever calls the pass puts it there.
    """

    entries: list[LogEntry] = field(default_factory=list)
    problem: str = ""
    left: str = ""


@contextlib.contextmanager
def listening(listener: Listener, options: str, said: Said) -> Iterator[None]:
    """While open, the C++ files named in the options log; what they say is put into `said`.

    Everything else that goes to standard error is written there when this closes, in its order.
    Log options of somebody else (such as PYTORCH_JIT_LOG_LEVEL) go on being served. One at a time
    in a process; another thread waits.
    """
    with _lock, contextlib.ExitStack() as stack:
        try:
            original = os.dup(2)
            stack.callback(os.close, original)
            file = stack.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            said.problem = f"the log of this pass cannot be heard: {error}"
            yield
            return
        foreign = torch._C._jit_get_logging_option()
        _set_options(f"{options}:{foreign}" if foreign else options)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            _set_options(foreign)
            _sort(file, listener, _files(foreign), said)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """While open, passes log nothing: for trials, which are no part of any run."""
    with _lock:
        options = torch._C._jit_get_logging_option()
        _set_options("")
        try:
            yield
        finally:
            _set_options(options)


def left_by(stage: str, given: ScriptModule) -> str:
    """The graph in which `quant_finalize` has fused: that of the model that it was given."""
    return str(given._c._get_method("forward").graph) if stage == "quant_finalize" else ""


def _sort(file: IO[bytes], listener: Listener, foreign: frozenset[str], said: Said) -> None:
    """Keep the log, up to the bound, and pass on the rest."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    kept = file.read(listener.max_bytes)
    if size > len(kept):
        kept = kept[: kept.rfind(b"\n") + 1]
        file.seek(len(kept))
        said.problem = (
            f"the log of this pass has {_size(size)}, of which the first {_size(len(kept))} were "
            "read; a larger log_bytes= lets all of it be read"
        )
    for part in listener.reader.read(kept):
        if isinstance(part, bytes):
            _pass_on(part)
        else:
            said.entries.append(part)
            if part.file in foreign:
                _pass_on(_as_printed(part))
    for line in file:
        if not listener.reader.is_log(line):
            _pass_on(line)


def _as_printed(entry: LogEntry) -> bytes:
    lines = [entry.text, *(entry.graph.lines if entry.graph is not None else ())]
    prefix = f"[{entry.level} {entry.file}.cpp] "
    return "".join(f"{prefix}{line}\n" for line in lines).encode("utf-8", "replace")


def _pass_on(said: bytes) -> None:
    with contextlib.suppress(OSError):
        while said:
            said = said[os.write(2, said) :]


def _files(options: str) -> frozenset[str]:
    """The names of the files in log options: ">>a:b.cpp" names a and b."""
    names = (option.lstrip(">").partition(".")[0] for option in options.split(":"))
    return frozenset(filter(None, names))


def _set_options(options: str) -> None:
    torch._C._jit_set_logging_option(options)


def _size(count: int) -> str:
    """Bytes in words, rounded up: what is allowed is not shown as nothing."""
    for unit, name in ((2**20, "MB"), (2**10, "KB")):
        if count >= unit:
            return f"{-(-count // unit):,} {name}"
    return f"{count} bytes"
