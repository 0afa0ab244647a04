"""The TorchScript code that recordings keep."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
import torch
from nets import NETS, torchscript
from runs import MODES, session

import jitq_explore as jq
from jitq_explore.capture.read_code import CodeReader
from jitq_explore.capture.read_modules import is_observer, walk
from jitq_explore.snapshots.recording import Snapshot


def torchs_own(module: torch.jit.ScriptModule, snapshot: Snapshot) -> dict[tuple[str, str], str]:
    """(module path, method) -> code, as torch prints it now."""
    return {
        (path, name): submodule._get_method(name).code
        for path, submodule in walk(module._c)
        if not is_observer(path, submodule)
        for name in snapshot.module(path).methods
    }


@pytest.mark.parametrize(
    ("net", "how", "mode"),
    [("residual", "scripted", mode) for mode in MODES]
    + [("shared_submodule", "scripted", "static"), ("lstm", "traced", "dynamic")],
)
def test_at_every_stage_the_code_is_torchs_own(net, how, mode):
    run = session(net, how, mode)
    while True:
        snapshot = run.recording.last
        for (path, name), code in torchs_own(run.module, snapshot).items():
            assert snapshot.code(name, path) == code
        if not run.stages:
            return
        run.step()


def test_code_that_there_is_none_of_is_said():
    snapshot = session("mlp").run(until="insert_observers").last
    (observer, *_) = snapshot.readings
    assert snapshot.code() == snapshot.code("forward", "")
    with pytest.raises(KeyError, match=rf"no code is kept of the observer '{observer}'"):
        snapshot.code("forward", observer)
    with pytest.raises(KeyError, match=r"unknown method 'backward' \(must be one of \['forward'"):
        snapshot.code("backward")
    with pytest.raises(KeyError, match="unknown module 'nowhere'"):
        snapshot.code(module="nowhere")


@dataclass
class Method:
    """A method that counts how often its code is printed."""

    body: str
    printed: int = 0

    @property
    def code(self) -> str:
        self.printed += 1
        warnings.warn("printed", UserWarning, stacklevel=2)
        if self.body == "odd":
            raise RuntimeError("cannot print this")
        return self.body


@pytest.mark.parametrize(
    ("body", "other_text", "known_as", "printed"),
    [
        ("return x", "%self : B", ("forward",), 1),
        ("return x", "%self : A", ("scores",), 2),
        ("return x", "%self : A", None, 2),
        # It may name another class, or function, the next time.
        ("return __torch__.___torch_mangle_1.f(x)", "%self : B", ("forward",), 2),
        ("return __torch__.___torch_mangle_1.f(x)", "%self : A", ("forward",), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:printed")
def test_the_code_of_equal_methods_is_printed_once(body, other_text, known_as, printed):
    reader, method = CodeReader(), Method(body)
    first = reader.read(method, "%self : A", ("forward",))
    assert reader.read(method, other_text, known_as) is first
    assert method.printed == printed


@pytest.mark.filterwarnings("ignore:printed")
def test_code_that_torch_cannot_print_is_empty():
    assert CodeReader().read(Method("odd"), "", ("forward",)) == ""


def test_a_stage_that_leaves_a_graph_alone_prints_nothing(monkeypatch):
    run = session("residual")
    run.run(until="quant_finalize")
    monkeypatch.setattr(CodeReader, "_print", lambda *_: pytest.fail("printed"))
    run.step()
    assert run.recording.names[-1] == "constant_propagation"


def test_what_torch_says_while_it_prints_is_kept_from_the_screen(monkeypatch):
    def talkative(self: CodeReader, method: Method) -> str:
        warnings.warn("printed", UserWarning, stacklevel=2)
        return ""

    monkeypatch.setattr(CodeReader, "_print", talkative)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = jq.Session.dynamic(torchscript(NETS["mlp"], "scripted"), {"": None}).run()
    assert recording.last.code() == ""
