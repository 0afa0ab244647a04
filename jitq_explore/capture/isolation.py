"""Passes tried in another process first, which may die of them.

That process is a new interpreter (nothing is forked) and is given files alone: the model and the
scripted observers as TorchScript, the rest as JSON. No Python object is pickled, so that observers
defined in a notebook go as well as torch's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jitq_explore.capture.guard import Hazard
from jitq_explore.capture.stages import Options, foreseen
from jitq_explore.capture.torch_types import CppModule

SECONDS = 600.0
"""How long a pass may take in the other process, where nothing else is said."""

MODEL, JOB = "model.pt", "job.json"
_POLL = 0.1


class IsolatedPassError(RuntimeError):
    """A pass, tried in another process, ended that process, failed there or took too long.

    `stage` is its name; `hazards` say why, as far as that is known. This process is unharmed.
    """

    def __init__(self, stage: str, message: str, hazards: Sequence[Hazard] = ()) -> None:
        self.stage = stage
        self.message = message
        self.hazards = tuple(hazards)
        super().__init__(" ".join([message, *(f"{one.why} {one.remedy}" for one in hazards)]))

    def __reduce__(self) -> tuple[type[IsolatedPassError], tuple[str, str, tuple[Hazard, ...]]]:
        return type(self), (self.stage, self.message, self.hazards)


class Isolation:
    """The other process: begun when first needed, and again after a death.

    `stopped` is asked while a pass runs there, and raises to give it up.
    """

    def __init__(self, seconds: float, stopped: Callable[[], None]) -> None:
        self.seconds = seconds
        self._stopped = stopped
        self._worker: _Worker | None = None

    def try_out(self, stage: str, module: CppModule, options: Options, engine: str | None) -> None:
        """Run the stage there, on a copy; IsolatedPassError unless it ends well."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                _write(folder, stage, module, options, engine)
            except Exception as error:
                raise IsolatedPassError(
                    stage,
                    f"{stage} cannot be tried in another process, since what it needs cannot be "
                    f"saved as TorchScript ({error}); isolate=False runs it in this one.",
                ) from error
            problem = self._asked(folder)
        if problem:
            hazards = foreseen(stage, module, options)
            raise IsolatedPassError(stage, f"{stage} {problem}", hazards)

    def _asked(self, folder: Path) -> str:
        """What went wrong with the job in the other process; "" where nothing did."""
        if self._worker is None:
            self._worker = _Worker()
            weakref.finalize(self, self._worker.end)
        worker = self._worker
        until = time.monotonic() + self.seconds
        try:
            worker.ask(folder)
            while (answer := worker.answer()) is None:
                self._stopped()
                if time.monotonic() > until:
                    self.end()
                    return (
                        f"took more than {self.seconds:g} s in the process that it was tried in, "
                        "which was ended; isolate=<seconds> gives it longer."
                    )
        except BaseException:
            self.end()
            raise
        if not answer:
            manner = _manner(self.end())
            return (
                f"ended the process that it was tried in ({manner}); this one is unharmed, and "
                "everything before it is kept."
            )
        error = json.loads(answer)
        if not error:
            return ""
        return f"failed in the process that it was tried in: {str(error).rstrip('. ')}."

    def end(self) -> int:
        """End the other process -> its exit code."""
        worker, self._worker = self._worker, None
        return 0 if worker is None else worker.end()


class _Worker:
    def __init__(self) -> None:
        if not sys.executable:
            raise RuntimeError(
                "isolate needs a Python interpreter to start: sys.executable is empty"
            )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jitq_explore.capture.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, name="jitq-isolation", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, folder: Path) -> None:
        """Give it a job; a process that has died meanwhile says so by its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(str(folder)) + "\n")
            self._process.stdin.flush()
        except OSError:
            self._lines.put("")

    def answer(self) -> str | None:
        """A line; None where there is none yet, "" where there will never be one."""
        try:
            return self._lines.get(timeout=_POLL)
        except queue.Empty:
            return None

    def end(self) -> int:
        """End it, if it has not ended by itself -> its exit code."""
        try:
            # It ends at once when it has died already; one that waits or works is killed.
            code = self._process.wait(0.5 if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code


def _write(
    folder: Path, stage: str, module: CppModule, options: Options, engine: str | None
) -> None:
    (folder / MODEL).write_bytes(module.save_to_buffer())
    observers: dict[Any, str] = {}
    for qconfig in filter(None, options.qconfigs.values()):
        for observer in qconfig:
            if observer not in observers:
                observers[observer] = f"observer{len(observers)}.pt"
                (folder / observers[observer]).write_bytes(observer.save_to_buffer())
    job = {
        "stage": stage,
        "engine": engine,
        "quant_type": int(options.quant_type),
        "debug": options.debug,
        "preserved_attrs": None
        if options.preserved_attrs is None
        else list(options.preserved_attrs),
        "method_name": options.method_name,
        "separate": options.separate,
        "qconfigs": {
            key: qconfig and [observers[observer] for observer in qconfig]
            for key, qconfig in options.qconfigs.items()
        },
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


def _manner(code: int) -> str:
    if code >= 0:
        return f"exit code {code:#x}" if code > 255 else f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
