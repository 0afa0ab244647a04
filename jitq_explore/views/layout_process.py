"""The layout worker as its parent sees it: started once, killed when it takes too long."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path

_SCRIPT = Path(__file__).with_name("layout_worker.py")


class LayoutProcess:
    """pygraphviz in a process of its own, which is kept from one drawing to the next.

    Laying out holds the GIL and cannot be interrupted, so it must not happen in this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        atexit.register(self.stop)

    def start(self) -> None:
        """Start the process ahead of the first drawing, without waiting for it."""
        with self._lock:
            self._running()

    def draw(self, source: str, timeout: float) -> str:
        """The SVG of a graph in DOT.

        Raises TimeoutError after `timeout` seconds, ValueError with the worker's words where it
        could not draw, ChildProcessError where it died. The next call then starts a new one.
        """
        with self._lock:
            answer = self._exchange(f"{timeout}\n{source}", timeout)
        if answer.startswith("-"):
            raise ValueError(answer[1:])
        return answer[1:]

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is None or os.getpid() != self._owner:
            return
        process.kill()
        process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, a new one where there is none, and after a fork, which shares its pipes."""
        is_inherited = os.getpid() != self._owner
        if self._process is None or is_inherited or self._process.poll() is not None:
            self._owner = os.getpid()
            self._process = _spawn()
        return self._process

    def _exchange(self, request: str, timeout: float) -> str:
        process = self._running()
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            answer = _ask(process, request)
        except BaseException as error:
            self.stop()  # half an answer may be under way: never ask this process again
            if is_late.is_set():
                raise TimeoutError from None
            if isinstance(error, OSError | EOFError):
                raise ChildProcessError("the layout process ended unexpectedly") from error
            raise
        finally:
            timer.cancel()
        if is_late.is_set():
            self.stop()  # killed just after it had answered
        return answer


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: modules of this folder must not stand in for modules of the same name elsewhere.
        [sys.executable, "-P", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _ask(process: subprocess.Popen[bytes], request: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    data = request.encode()
    process.stdin.write(len(data).to_bytes(4, "big") + data)
    process.stdin.flush()
    header = process.stdout.read(4)
    answer = process.stdout.read(int.from_bytes(header, "big"))
    if len(header) < 4 or len(answer) < int.from_bytes(header, "big"):
        raise EOFError
    return answer.decode()
