"""DOT becomes SVG whichever Graphviz there is, in bounded time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from views.build import observed

from jitq_explore.views import layout_process, render, show
from jitq_explore.views.dot import diff_dot
from jitq_explore.views.layout_process import LayoutProcess
from jitq_explore.views.render import RenderError, RenderTimeout, render_svg, warm_up

SMALL = "digraph { a [tooltip=first] b a -> b }"


@pytest.fixture
def without_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, without_dot: None) -> LayoutProcess:
    """A layout process of the test's own."""
    own = LayoutProcess()
    monkeypatch.setattr(render, "_worker", own)
    yield own
    own.stop()


@pytest.fixture
def slow_worker(
    worker: LayoutProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> LayoutProcess:
    script = tmp_path / "slow.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(layout_process, "_SCRIPT", script)
    return worker


def install_dot(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program called `dot` on the PATH."""
    program = folder / "dot"
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(body)}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_the_svg_stands_alone(worker):
    svg = render_svg(SMALL)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "<!--" not in svg
    assert "href" not in svg
    titles = [title.text for title in ElementTree.fromstring(svg).iter() if "title" in title.tag]
    assert titles == ["first"]


def test_links_and_scripts_do_not_come_through(worker):
    svg = render_svg('digraph { a [URL="javascript:alert(1)" label="<script>" target=_top] }')
    assert "javascript" not in svg
    assert "<script" not in svg


def test_one_process_serves_many_drawings(worker):
    warm_up()
    first = worker._process
    assert first is not None
    render_svg(SMALL)
    render_svg("digraph { é }")
    assert worker._process is first


def test_what_graphviz_says_goes_nowhere(worker, capfd):
    render_svg("digraph { a [shape=nonesuch] }")
    with pytest.raises(RenderError, match="could not draw this: DotError"):
        render_svg("digraph { a [")
    assert capfd.readouterr() == ("", "")


def test_after_an_error_it_goes_on(worker):
    with pytest.raises(RenderError):
        render_svg("nonsense")
    assert render_svg(SMALL).startswith("<svg")


def test_after_a_crash_it_starts_again(worker):
    render_svg(SMALL)
    worker._process.kill()
    worker._process.wait()
    assert render_svg(SMALL).startswith("<svg")


def test_too_slow_is_an_error_that_helps(slow_worker):
    started = time.monotonic()
    with pytest.raises(RenderTimeout, match=re.escape("6 boxes took longer than 0.3 s")) as raised:
        render_svg(diff_dot(observed()).dot.source, timeout=0.3)
    assert time.monotonic() - started < 5
    assert "hops=0" in str(raised.value)
    assert slow_worker._process is None


def test_a_notebook_then_shows_the_text(slow_worker):
    shown = show.svg_of(observed(), timeout=0.3)
    assert shown.startswith("<pre>laying out 6 boxes took longer")
    assert "+ %x.obs = jitq::observe" in shown


def test_a_notebook_shows_the_drawing(worker):
    assert show.svg_of(observed()).startswith("<svg")


def test_without_any_graphviz_it_says_what_to_install(without_dot, monkeypatch):
    monkeypatch.setattr(render, "find_spec", lambda name: None)
    with pytest.raises(RenderError, match="pip install pygraphviz"):
        render_svg(SMALL)


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
class TestNativeDot:
    def test_it_is_preferred(self, tmp_path, monkeypatch):
        install_dot(
            tmp_path,
            monkeypatch,
            """
            import sys
            assert sys.argv[1:] == ["-Tsvg"]
            print("<?xml?><!-- dot --><svg><text>" + sys.stdin.read() + "</text></svg>")
            """,
        )
        assert render_svg("digraph {}") == "<svg><text>digraph {}</text></svg>"

    def test_its_errors_are_passed_on(self, tmp_path, monkeypatch):
        install_dot(tmp_path, monkeypatch, "raise SystemExit('syntax error in line 1')")
        with pytest.raises(RenderError, match="could not draw this: syntax error in line 1"):
            render_svg("digraph {")

    def test_it_is_ended_when_too_slow(self, tmp_path, monkeypatch):
        install_dot(tmp_path, monkeypatch, "import time; time.sleep(60)")
        with pytest.raises(RenderTimeout):
            render_svg(SMALL, timeout=0.3)


@pytest.mark.skipif(os.name == "nt", reason="asks /proc and signals")
def test_the_process_ends_with_its_parent():
    """Even when the parent is killed: its end of the pipe closes."""
    code = (
        "import os; from jitq_explore.views.layout_process import LayoutProcess;"
        "own = LayoutProcess(); own.draw('digraph {}', 10);"
        "print(own._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert has_ended(int(done.stdout))


def has_ended(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True  # dead, and nobody has asked after it yet
        except OSError:
            return True
        time.sleep(0.05)
    return False
