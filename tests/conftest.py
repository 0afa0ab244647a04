"""What more than one test file needs."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

# One thread for each of torch's loops, in the kernels and the processes that tests start as well:
# the tests run on all cores already, and threads that wait for one another there take three times
# the CPU time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells start what runs in the background with Ctrl-C ignored, which tests of it would wait for.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Demo:
    """A finished run of the demo in a folder: what it made, what it said, where its files are."""

    def __init__(self, folder: Path) -> None:
        # Tests that need no torch shall not wait for it.
        from jitq_explore.demo import run

        self.folder = folder / "jitq-demo"
        self.said: list[str] = []
        with contextlib.chdir(folder):
            self.result = run(Path("jitq-demo"), self.said.append)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))
