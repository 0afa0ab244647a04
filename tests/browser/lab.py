"""A private JupyterLab and a headless Chromium to look at it, both ended with the `with` block.

Nothing of the machine's own Jupyter configuration takes part, and nothing goes to the network.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect, sync_playwright

# Milliseconds: a kernel on a busy machine takes its time.
expect.set_options(timeout=20_000)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# A machine without a GPU or a sandbox, and a browser that asks nobody for news.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

SETTINGS = {
    # Every cell is in the page, also the ones that are scrolled away.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}

# What JupyterLab itself writes to the console of a healthy page, and why it does no harm.
HARMLESS = (
    "Failed to load resource: the server responded with a status of 404",  # optional settings
    "Loading failed for the <script>",  # the same, as Firefox puts it
)


@dataclass
class OpenNotebook:
    """A notebook open in the browser."""

    page: Page
    console_errors: list[str] = field(default_factory=list)

    def run_all(self, seconds: float = 120) -> None:
        """Run every cell and wait until the kernel has nothing more to do."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(_ALL_CELLS_RAN, timeout=seconds * 1000, polling=250)

    def run_cell(self, source: str) -> str:
        """Run this in the last cell -> what it printed."""
        self.page.evaluate(_RUN_IN_LAST_CELL, source)
        outputs = self.page.evaluate(_OUTPUTS_OF_LAST_CELL)
        return "".join(output.get("text", "") for output in outputs)

    def wait_for(self, expression: str, seconds: float = 20) -> None:
        """Wait until this is true in the kernel, which hears of what is chosen a little later."""
        deadline = time.monotonic() + seconds
        while self.run_cell(f"print(bool({expression}))") != "True\n":
            assert time.monotonic() < deadline, f"still not so: {expression}"

    @property
    def errors(self) -> list[str]:
        """The errors that cells ended with."""
        return [f"{output['ename']}: {output['evalue']}" for output in self._outputs("error")]

    @property
    def red(self) -> list[str]:
        """What was written to standard error, which JupyterLab shows in red."""
        return [o["text"] for o in self._outputs("stream") if o["name"] == "stderr"]

    def _outputs(self, kind: str) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = self.page.evaluate(_OUTPUTS)
        return [output for output in outputs if output["output_type"] == kind]

    def screenshot(self, path: Path) -> None:
        """The whole notebook as one picture: the window is made as tall as its cells."""
        height = self.page.evaluate(_HEIGHT)
        self.page.set_viewport_size({"width": 1400, "height": min(height + 100, 16_000)})
        self.page.wait_for_timeout(500)  # milliseconds, for the page to settle
        self.page.evaluate(_HEIGHT)
        self.page.screenshot(path=path)


def drawn(explorer: Locator) -> None:
    """Wait until the explorer shows the drawings of what is chosen, and they have come to rest."""
    expect(explorer.locator(".jitq-main[aria-busy]")).to_have_count(0)
    explorer.locator(".jitq-graph g.node").first.evaluate(_AT_REST)


# For ten frames nothing moved: the view glides to where it goes.
_AT_REST = """async (element) => {
    let [place, frames] = ["", 0];
    while (frames < 10) {
        await new Promise(requestAnimationFrame);
        const now = JSON.stringify(element.getBoundingClientRect());
        frames = now === place ? frames + 1 : 0;
        place = now;
    }
}"""

# Scrolls to the top; how far down the last cell then reaches, in pixels.
_HEIGHT = """() => {
    document.querySelector('.jp-Notebook .jp-WindowedPanel-outer').scrollTop = 0;
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
    return Math.ceil(Math.max(...cells.map(cell => cell.getBoundingClientRect().bottom)));
}"""

_OPEN = """async (name) => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute('docmanager:open', {path: name});
    await panel.context.ready;
    await panel.sessionContext.ready;
    app.shell.collapseLeft();
}"""

_OUTPUTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .flatMap(cell => cell.model.outputs.toJSON())"""

_RUN_IN_LAST_CELL = """async (source) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    notebook.deselectAll();
    notebook.activeCell.model.sharedModel.setSource(source);
    await window.jupyterapp.commands.execute('notebook:run-cell');
}"""

_OUTPUTS_OF_LAST_CELL = """() =>
    window.jupyterapp.shell.currentWidget.content.widgets.at(-1).model.outputs.toJSON()"""

# A code cell that has run has a number; one that waits or runs has none, or a star.
_ALL_CELLS_RAN = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    const code = cells.filter(c => c.model.type === 'code' && c.model.sharedModel.source.trim());
    const failed = code.some(c =>
        c.model.sharedModel.outputs.some(output => output.output_type === 'error'));
    return failed || code.every(c => c.model.executionCount !== null
        && c.model.executionState === 'idle');
}"""


@contextlib.contextmanager
def open_in_lab(notebook: Path, work: Path) -> Iterator[OpenNotebook]:
    """A copy of the notebook, open in JupyterLab; everything is written below `work`."""
    served = work / "served"
    served.mkdir(parents=True)
    shutil.copy(notebook, served)
    with _lab(served, work) as address, _page() as opened:
        base, _, token = address.partition("?")
        opened.page.goto(f"{base}lab/tree/{notebook.name}?{token}&reset")
        opened.page.wait_for_function("window.jupyterapp")
        opened.page.evaluate(_OPEN, notebook.name)
        yield opened


@contextlib.contextmanager
def _lab(served: Path, work: Path) -> Iterator[str]:
    """A JupyterLab server -> its address, with the token."""
    for attempt in range(3):
        try:
            with _server(served, work) as address:
                yield address
                return
        except _NotStartedError:
            # Somebody else took the port before the server did.
            if attempt == 2:
                raise


class _NotStartedError(RuntimeError):
    """JupyterLab ended before it could be reached."""


@contextlib.contextmanager
def _server(served: Path, work: Path) -> Iterator[str]:
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        "--expose-app-in-browser", f"--ServerApp.root_dir={served}",
    ]  # fmt: skip
    with (work / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=_private(work), stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/"
            # With the token, which no other server on that port would take.
            _wait_until_up(server, f"{address}api/status?token={token}", work / "lab.log")
            yield f"{address}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


@contextlib.contextmanager
def _page() -> Iterator[OpenNotebook]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS), headless=True
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(30_000)
        opened = OpenNotebook(page)

        def note(text: str) -> None:
            if not any(harmless in text for harmless in HARMLESS):
                opened.console_errors.append(text)

        page.on("console", lambda said: note(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: note(str(error)))
        try:
            yield opened
        finally:
            browser.close()


def _private(work: Path) -> dict[str, str]:
    """An environment in which Jupyter finds no configuration but ours."""
    folders = {
        name: work / name.lower()
        for name in (
            "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR",
        )
    }  # fmt: skip
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in SETTINGS.items():
        file = folders["JUPYTERLAB_SETTINGS_DIR"] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return {**os.environ, **{name: str(folder) for name, folder in folders.items()}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.2)
    raise _NotStartedError(f"JupyterLab did not start:\n{log.read_text()}")
