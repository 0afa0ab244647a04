"""What more than one test file needs."""

from __future__ import annotations

from pathlib import Path

import pytest


class Demo:
    """A finished run of the demo: what it made, said, and the folder it wrote to."""

    def __init__(self, folder: Path) -> None:
        # Tests that need no torch shall not wait for it.
        from jitq_explore.demo import run

        self.folder = folder
        self.said: list[str] = []
        self.result = run(folder, self.said.append)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo") / "jitq-demo")
