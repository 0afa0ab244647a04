"""What the passes say is heard; all else that goes to standard error still gets there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

from jitq_explore.capture.jit_log import Listener, Said, listening
from jitq_explore.capture.log_entries import LogEntry

OPTIONS = "constant_propagation:inliner"


def graph() -> torch._C.Graph:
    return torch._C.parse_ir(
        "graph(%x : Tensor):\n  %y : Tensor = aten::relu(%x)\n"
        "  %z : Tensor = aten::tanh(%x)\n  return (%y)\n"
    )


def propagate() -> None:
    torch._C._jit_pass_constant_propagation(graph())


def hear(*, max_bytes: int = 10_000, options: str = OPTIONS) -> Said:
    said = Said()
    with listening(Listener(max_bytes), options, said):
        propagate()
    return said


def test_a_dump_is_an_entry_with_its_graph():
    (dump,) = hear().entries
    assert (dump.file, dump.level) == ("constant_propagation", "DUMP")
    assert dump.text == "After ConstantPropagation:"
    assert [node.kind for node in dump.graph.graph.nodes] == ["aten::relu", "aten::tanh"]


def test_messages_come_one_by_one():
    said = Said()
    with listening(Listener(), ">dead_code_elimination", said):
        torch._C._jit_pass_dce(graph())
    (removed,) = said.entries
    assert removed.level == "UPDATE"
    assert "aten::tanh" in removed.text


def test_graphs_that_are_equal_are_one_object():
    listener, said = Listener(), Said()
    with listening(listener, OPTIONS, said):
        for _ in range(3):
            propagate()
    first, second, third = (entry.graph for entry in said.entries)
    assert first is second is third
    assert listener.reader.graph_of(first.text) is first


def test_other_output_is_passed_on_in_its_order(capfd):
    said = Said()
    with listening(Listener(), OPTIONS, said):
        os.write(2, b"first\n")
        propagate()
        os.write(2, b"second\nthird without an end")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "first\nsecond\nthird without an end"
    assert len(said.entries) == 1


def test_what_was_cut_is_said_and_nothing_else_is_lost(capfd):
    said = Said()
    with listening(Listener(max_bytes=100), OPTIONS, said):
        propagate()
        propagate()
        os.write(2, b"the end\n")
    assert "were read; a larger log_bytes=" in said.problem
    assert " 0 " not in said.problem
    assert capfd.readouterr().err == "the end\n"


def test_it_is_put_back_after_an_error(capfd):
    said = Said()

    def fail() -> None:
        with listening(Listener(), OPTIONS, said):
            propagate()
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    propagate()
    os.write(2, b"after\n")
    assert len(said.entries) == 1
    assert torch._C._jit_get_logging_option() == ""
    assert capfd.readouterr().err == "after\n"


def test_somebody_elses_log_goes_on(capfd):
    torch._C._jit_set_logging_option("constant_propagation")
    try:
        said = hear(options="inliner")
        assert torch._C._jit_get_logging_option() == "constant_propagation"
    finally:
        torch._C._jit_set_logging_option("")
    assert len(said.entries) == 1
    shown = capfd.readouterr().err
    assert shown.startswith("[DUMP constant_propagation.cpp")
    assert "aten::relu" in shown


def test_threads_hear_one_after_the_other():
    heard: list[Said] = []
    threads = [threading.Thread(target=lambda: heard.append(hear())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(said.entries) for said in heard] == [1] * 8
    assert torch._C._jit_get_logging_option() == ""


def test_a_process_without_standard_error_goes_without(tmp_path):
    script = (
        "import os; os.close(2)\n"
        "import torch\n"
        "from jitq_explore.capture.jit_log import Listener, Said, listening\n"
        "said = Said()\n"
        "with listening(Listener(), 'constant_propagation', said):\n"
        "    torch._C._jit_pass_constant_propagation(torch._C.parse_ir('graph(%x):\\n  return (%x)\\n'))\n"
        "print(len(said.entries), said.problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert done.stdout.startswith("0 the log of this pass cannot be heard")


def test_entries_are_read_where_lines_of_others_stand_between():
    log = (
        b"[DUMP a.cpp:001] Head\n[DUMP a.cpp:001] graph(%x : Tensor):\n"
        b"[DUMP a.cpp:001]   return (%x)\nnoise\n[DEBUG b.cpp:12] said\n"
        b"[DUMP a.cpp:001] Head\n[DUMP a.cpp:001] graph(%x : Tensor):\n"
        b"[DUMP a.cpp:001]   %y : Tensor = aten::relu(%x)\n[DUMP a.cpp:001]   return (%y)\n"
    )
    first, noise, said, second = Listener().reader.read(log)
    assert noise == b"noise\n"
    assert said == LogEntry("b", "DEBUG", "said")
    assert [len(entry.graph.lines) for entry in (first, second)] == [2, 3]
