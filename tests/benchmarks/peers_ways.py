"""How each tool is asked for a picture of one stage: its documented call, and what helps it.

A way takes a `Task` and gives a `Picture`. The first thing a way does is its imports; then
`task.begin()` starts the browser, where it needs one, and the clock.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("float", "prepared", "debug", "final")
NETS = {
    "resnet18": "ResNet-18-like",
    "resnet152": "ResNet-152-like",
    "transformer12": "12-layer transformer",
}

# The nodes outside others; a node of several rows, each of which names an op, counts as many.
_DRAWN = """(selector) => [...document.querySelectorAll(selector)]
    .filter(node => !node.parentElement.closest(selector))
    .map(node => ({
        rows: Math.max(1, node.querySelectorAll('g.row').length),
        labels: [...node.querySelectorAll('text')].map(text => text.textContent.trim()),
    }))"""
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

# Netron takes `eval` away, which playwright needs.
_KEEP_EVAL = """{
    const own = window.eval;
    Object.defineProperty(window, 'eval', {get: () => own, set: () => {}});
}"""


class NoPictureError(RuntimeError):
    """The tool said why it does not draw."""


@dataclass
class Picture:
    """What a tool showed: how many nodes, all that is written on them, and what it wrote to disk."""

    nodes: int
    labels: list[str]
    bytes: int


@dataclass
class Task:
    """A stage of a net to be drawn, and the clock."""

    files: Path
    net: str
    stage: str
    work: Path
    begun: float = 0.0
    browser_seconds: float = 0.0
    ready: float = 0.0
    seconds: float = 0.0
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    tab: Any = None

    def file(self, stage: str) -> Path:
        return self.files / f"{self.net}-{stage}.pt"

    @property
    def inputs(self) -> Any:
        import torch

        return torch.load(self.file("inputs"))

    def module(self) -> Any:
        import torch

        return torch.jit.load(self.file(self.stage))

    def eager(self) -> Any:
        """The model before it was scripted, which is no stage but the first."""
        return eager_net(self.net)

    def begin(self, browser: bool = False) -> None:
        self.ready = time.time()
        if browser:
            start = time.perf_counter()
            self._open_browser()
            self.browser_seconds = time.perf_counter() - start
        self.begun = time.perf_counter()

    def end(self) -> None:
        self.seconds = time.perf_counter() - self.begun

    def _open_browser(self) -> None:
        from browser.lab import CHROMIUM, CHROMIUM_FLAGS
        from playwright.sync_api import sync_playwright

        playwright = self.closing.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        self.closing.callback(browser.close)
        # Netron asks where in the world it is, and reports; nothing is to leave this machine.
        context.route(re.compile(r"^https?://(?!localhost)"), lambda route: route.abort())
        context.add_cookies([{"name": "consent", "value": "1", "url": "http://localhost"}])
        context.add_init_script(_KEEP_EVAL)
        self.tab = context.new_page()

    def painted(self, address: str, selector: str, wait: str = "", said: str = "") -> Picture:
        """Open this in the browser, wait until it is painted (`wait`), and read it."""
        self.tab.goto(address)
        self.tab.wait_for_selector(wait or selector, state="attached", timeout=60_000)
        if said and self.tab.locator(said).is_visible():
            raise NoPictureError(self.tab.locator(said).inner_text())
        self.tab.evaluate(_PAINTED)
        self.end()
        drawn = self.tab.evaluate(_DRAWN, selector)
        labels = [label for node in drawn for label in node["labels"]]
        return Picture(sum(node["rows"] for node in drawn), labels, 0)

    def painted_file(self, text: str, suffix: str, selector: str) -> Picture:
        """The same of a file with this text."""
        path = self.work / f"picture{suffix}"
        path.write_text(text, encoding="utf-8")
        picture = self.painted(path.as_uri(), selector)
        picture.bytes = path.stat().st_size
        return picture


def eager_net(net: str) -> Any:
    """The Python model that the files of a net were made of."""
    import torch
    from distinct_nets import Transformer
    from generated import ResNet

    torch.manual_seed(0)
    depth = int(re.sub(r"\D", "", net))
    return (ResNet(depth) if net.startswith("resnet") else Transformer(depth)).eval()


def calibrate(module: Any, batches: list[Any]) -> None:
    """What both torch and the session run."""
    import torch

    with torch.no_grad():
        for batch in batches:
            module(batch)


def jitq_explore(task: Task) -> Picture:
    """The float file, quantized to the stage, drawn as the explorer draws it, nothing folded."""
    import torch
    from torch.ao.quantization import get_default_qconfig

    import jitq_explore as jq
    from jitq_explore.views.answers import Answers

    begin_session = jq.Session.static
    task.begin(browser=True)
    session = begin_session(
        torch.jit.load(task.file("float")),
        {"": get_default_qconfig("fbgemm")},
        calibrate,
        [[task.inputs]],
        debug=task.stage == "debug",
        progress=False,
    )
    if task.stage != "float":
        session.run("calibrate" if task.stage == "prepared" else None)
    recording = session.recording
    stage = recording.stages[-1].name if recording.stages else "input"
    asked = {"stage": stage, "folds": [], "side": "after"}
    answer: Any = Answers.of(recording).answer("drawing", asked)
    return task.painted_file(answer["svg"], ".svg", "g.node")


def netron_file(task: Task) -> Picture:
    """The file, as `netron FILE` serves it."""
    import netron

    task.begin(browser=True)
    host, port = netron.start(str(task.file(task.stage)), ("localhost", 0), browse=False)
    return _netron(task, f"http://{host}:{port}/")


def netron_object(task: Task) -> Picture:
    """The loaded ScriptModule, handed to `netron.serve`."""
    import netron
    import torch  # noqa: F401

    task.begin(browser=True)
    host, port = netron.serve(task.net, task.module(), ("localhost", 0), browse=False)
    return _netron(task, f"http://{host}:{port}/")


def _netron(task: Task, address: str) -> Picture:
    wait = "body.default, body.alert, body.notification"
    return task.painted(address, "svg g.node", wait, "body.alert #message-text")


def tensorboard(task: Task) -> Picture:
    """The event file of `SummaryWriter.add_graph`; the viewer's own time is not counted."""
    return _tensorboard(task, task.module)


def tensorboard_training_set(task: Task) -> Picture:
    """The same, `training` given to a frozen module by hand."""
    return _tensorboard(task, lambda: _with_training(task.module()))


def _tensorboard(task: Task, make: Callable[[], Any]) -> Picture:
    import torch  # noqa: F401
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from torch.utils.tensorboard import SummaryWriter

    task.begin()
    with SummaryWriter(str(task.work)) as writer:
        writer.add_graph(make(), (task.inputs,), use_strict_trace=False)
    task.end()
    (file,) = task.work.glob("events.*")
    events = EventFileLoader(str(file)).Load()
    graph = next(GraphDef.FromString(e.graph_def) for e in events if e.HasField("graph_def"))
    labels = [f"{node.op} {node.name}" for node in graph.node]
    return Picture(len(labels), labels, file.stat().st_size)


def _with_training(module: Any) -> Any:
    """A frozen module has lost the flag that `eval()` sets."""
    vars(module)["training"] = False
    return module


def torchview(task: Task) -> Picture:
    return _torchview(task, task.module)


def torchview_training_set(task: Task) -> Picture:
    return _torchview(task, lambda: _with_training(task.module()))


def torchview_eager(task: Task) -> Picture:
    return _torchview(task, task.eager)


def _torchview(task: Task, make: Callable[[], Any]) -> Picture:
    """All levels, laid out by the Graphviz that pygraphviz brings."""
    import pygraphviz
    import torch  # noqa: F401
    from torchview import draw_graph

    task.begin(browser=True)
    graph = draw_graph(make(), input_data=task.inputs, depth=float("inf"), expand_nested=True)
    source = pygraphviz.AGraph(string=graph.visual_graph.source)
    return task.painted_file(source.draw(format="svg", prog="dot").decode(), ".svg", "g.node")


def torchvista(task: Task) -> Picture:
    return _torchvista(task, task.module)


def torchvista_training_set(task: Task) -> Picture:
    return _torchvista(task, lambda: _with_training(task.module()))


def torchvista_eager(task: Task) -> Picture:
    return _torchvista(task, task.eager)


def _torchvista(task: Task, make: Callable[[], Any]) -> Picture:
    """The HTML file, nothing collapsed."""
    import torch
    from torchvista import trace_model

    task.begin(browser=True)
    path = task.work / "picture.html"
    with torch.no_grad():
        trace_model(make(), task.inputs, collapse_modules_after_depth=99, export_path=str(path))
    picture = task.painted(path.as_uri(), 'svg g[class*="node_"]')
    picture.bytes = path.stat().st_size
    return picture


def printed(task: Task) -> Picture:
    """`print(module.inlined_graph)`, source lines left out."""
    import torch  # noqa: F401

    task.begin()
    text = task.module().inlined_graph.str(False)
    path = task.work / "graph.txt"
    path.write_text(text, encoding="utf-8")
    task.end()
    nodes = [line for line in text.splitlines() if re.search(r"\b(prim|aten|quantized)::", line)]
    # The op first, then the types of what it makes.
    labels = [" ".join(reversed(line.strip().split(" = ", 1))) for line in nodes]
    return Picture(len(nodes), labels, path.stat().st_size)


Way = Callable[[Task], Picture]

TOOLS: dict[str, dict[str, Way]] = {
    "jitq_explore": {"float file": jitq_explore},
    "Netron": {"file": netron_file, "object": netron_object},
    "TensorBoard": {"add_graph": tensorboard, "`training` set": tensorboard_training_set},
    "torchview": {
        "ScriptModule": torchview,
        "`training` set": torchview_training_set,
        "eager model": torchview_eager,
    },
    "torchvista": {
        "ScriptModule": torchvista,
        "`training` set": torchvista_training_set,
        "eager model": torchvista_eager,
    },
    "print + difflib": {"print": printed},
}
"""Tool -> the ways to ask it, what its documentation says first."""

DISTRIBUTIONS = {
    name: name.lower() for name in ("Netron", "TensorBoard", "torchview", "torchvista")
}


def ways_of(tool: str, stage: str) -> tuple[str, ...]:
    """The ways that make sense at a stage."""
    only = {"eager model": "float", "`training` set": "final"}
    return tuple(way for way in TOOLS[tool] if only.get(way, stage) == stage)


def quiet() -> contextlib.AbstractContextManager[object]:
    """What tools print is no part of what is measured."""
    return contextlib.redirect_stdout(tempfile.TemporaryFile("w+"))
