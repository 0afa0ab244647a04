"""Running in the background: one at a time, quietly, whatever happens."""

from __future__ import annotations

import logging
import sys
import threading
import warnings

import pytest

from jitq_explore.widgets.live import Runner
from jitq_explore.widgets.overhear import MAX_LINES, overheard


def ran(action):
    """The problem and the lines of an action that was run to its end."""
    ends = []
    runner = Runner(lambda *end: ends.append((*end, runner.is_busy)))
    runner.start(action)
    runner.wait(10)
    ((problem, said, is_busy),) = ends
    assert not is_busy
    return problem, said


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ValueError("no data"), "ValueError: no data"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_is_raised_becomes_words(error, problem):
    assert ran(raising(error)) == (problem, [])


def speak():
    print("printed")
    print("50%\r100%\r", file=sys.stderr)
    warnings.warn("odd", stacklevel=1)
    logging.getLogger("calibration").warning("logged")
    print("printed")


def test_what_is_said_is_kept_from_the_screen(capfd, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    assert ran(speak) == ("", ["printed", "100%", "UserWarning: odd", "logged"])
    assert capfd.readouterr() == ("", "")


def test_other_threads_speak_as_ever(capsys):
    heard = threading.Event()
    stdout, show = sys.stdout, warnings.showwarning
    runner = Runner(lambda *_: None)
    runner.start(lambda: heard.wait(10))
    print("a cell")
    with pytest.warns(UserWarning, match="of a cell"):
        warnings.warn("of a cell", stacklevel=1)
    heard.set()
    runner.wait(10)
    assert capsys.readouterr().out == "a cell\n"
    assert (sys.stdout, warnings.showwarning) == (stdout, show)


def test_of_much_the_newest_is_kept():
    with overheard() as said:
        for number in range(10_000):
            print(number)
    assert said.lines == [str(number) for number in range(10_000 - MAX_LINES, 10_000)]


def test_a_second_action_is_refused():
    go = threading.Event()
    runner = Runner(lambda *_: None)
    runner.start(lambda: go.wait(10))
    with pytest.raises(RuntimeError, match="something is running already"):
        runner.start(print)
    go.set()
    runner.wait(10)
    runner.start(print)
    runner.wait(10)
