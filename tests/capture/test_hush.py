"""What C++ prints is kept from the screen; everything else still gets there."""

from __future__ import annotations

import os
import subprocess
import sys

from jitq_explore.capture.hush import Heard, hushed, split_warnings

WARNING = (
    "[W1123 20:37:58.586520915 Quantizer.cpp:111] Warning: qint8 is deprecated "
    "(function operator())\n"
)


def test_warnings_are_told_from_the_rest():
    assert split_warnings(f"{WARNING}hello\n{WARNING}") == (["qint8 is deprecated"], "hello\n")


def test_warnings_become_messages_and_the_rest_is_passed_on(capfd):
    heard = Heard()
    with hushed(heard):
        os.write(2, f"{WARNING}from C\n".encode())
        assert capfd.readouterr().err == ""
    assert heard.messages == ["qint8 is deprecated"]
    assert capfd.readouterr().err == "from C\n"


def test_it_is_put_back_after_an_error(capfd):
    heard = Heard()
    try:
        with hushed(heard):
            os.write(2, WARNING.encode())
            raise KeyError("x")
    except KeyError:
        pass
    os.write(2, b"after\n")
    assert heard.messages == ["qint8 is deprecated"]
    assert capfd.readouterr().err == "after\n"


def test_python_prints_at_once_also_where_its_stream_is_that_of_c():
    script = (
        "import os, sys\n"
        "from jitq_explore.capture.hush import Heard, hushed\n"
        "stream = sys.stderr\n"
        "with hushed(Heard()):\n"
        "    os.write(2, b'second\\n')\n"
        "    print('first', file=sys.stderr)\n"
        "assert sys.stderr is stream\n"
        "print('third', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["first", "second", "third"]
