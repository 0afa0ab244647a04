"""The text twins, compared with the text they should be."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

import pytest
from snapshots.build import recording, snapshot
from views.build import HOSTILE, Builder, layers, observed, pair, quantized, unchanged

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError
from jitq_explore.views.text import diff_text, recording_text, stage_text


def test_a_listing_of_both_graphs_with_signs():
    assert diff_text(observed()) == dedent("""\
        fold → observe
        +2 added, -0 removed, ~0 changed, 5 the same
          %w/conv = prim::GetAttr[name='conv'](%self)
          %w = prim::GetAttr[name='weight'](%w/conv)
        + %x.obs = jitq::observe[observer='_observer_1'](%x)
        + %w.obs = jitq::observe[observer='_observer_0'](%w)  # conv
          %two = prim::Constant[value=[2, 2]]()
          %y = aten::conv2d(%x.obs, %w.obs, %two, %two)  # conv
          %z = aten::relu(%y)""")


def test_what_is_gone_stands_where_it_was_and_what_changed_tells_from_what():
    assert diff_text(quantized()) == dedent("""\
        before → after
        +1 added, -2 removed, ~1 changed, 1 the same
        - %d = aten::dequantize(%x)
        + %scale = prim::Constant[value=0.5]()
        ~ %q = quantized::conv2d_relu(%x, %packed, %scale)
            was %c = aten::conv2d(%d)  # block.conv
            was %r = aten::relu(%c)  # block
        - %q = aten::quantize_per_tensor(%r)
          %y = aten::dequantize(%q)""")


def test_unchanged_stretches_are_counted():
    assert diff_text(unchanged(layers(100, with_modules=False), changed=("n50",)), context=1) == (
        dedent("""\
        before → after
        +0 added, -0 removed, ~1 changed, 99 the same
          … 49 unchanged nodes
          %v49 = aten::relu(%v48)
        ~ %v50 = aten::relu(%v49)
            attributes: old → new
          %v51 = aten::relu(%v50)
          … 48 unchanged nodes""")
    )


def test_context_can_be_everything():
    assert len(diff_text(unchanged(layers(100)), context=None).splitlines()) == 102


def test_nothing_changed():
    assert diff_text(unchanged(layers(3))) == dedent("""\
        before → after
        nothing changed (3 nodes)
          … 3 unchanged nodes""")


def test_blocks_are_indented():
    built = Builder("x")
    built.node("prim::If", "x", out="y", blocks=("b0", "b1"))
    built.node("aten::relu", "x", out="r", block="b0")
    built.close("b0", ("r",))
    assert diff_text(unchanged(built.graph("y"), changed=("n1",))).splitlines()[2:4] == [
        "  %y = prim::If(%x)",
        "~   %r = aten::relu(%x)",
    ]


def test_colours_only_when_asked_for():
    assert "\x1b" not in diff_text(observed())
    lines = diff_text(observed(), colour=True).splitlines()
    assert "\x1b[38;5;33m+ %x.obs = jitq::observe[observer='_observer_1'](%x)\x1b[0m" in lines


def test_names_cannot_control_the_terminal():
    built = Builder("x")
    built.node(f"my::{HOSTILE}", "x", out=HOSTILE, path=HOSTILE)
    graph = built.graph(HOSTILE)
    text = diff_text(pair(graph, graph, {}, names=(HOSTILE, "after")))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text.splitlines()) == 4
    assert r"\x1b[31m\x0a\u202e" in text


# Recordings. Which nodes are the same is found by `diff`, so these are simple ones.


def of(graph: Graph) -> Snapshot:
    return snapshot(graph)


@pytest.fixture
def run() -> Recording:
    def chain(*kinds: str) -> Graph:
        built = Builder("x")
        value = "x"
        for number, kind in enumerate(kinds):
            value = built.node(kind, value, out=f"v{number}")
        return built.graph(value)

    given = of(chain("aten::conv2d", "aten::batch_norm", "aten::relu"))
    folded = of(chain("aten::conv2d", "aten::relu"))
    made = recording(given, folded, folded, folded, names=("fold", "calibrate", "finalize"))
    fold, calibrate, finalize = made.stages
    error = StageError("RuntimeError", f"no {HOSTILE}")
    stages = (fold, replace(calibrate, batches=4), replace(finalize, error=error))
    return replace(made, stages=stages, planned=(*made.names, "dce"), debug=True)


def test_a_run_as_a_table(run):
    *lines, waiting = recording_text(run).splitlines()
    assert "\n".join(lines[:-1]) == dedent("""\
        static quantization (torch 2.13.0, engine x86, debug)

        stage      nodes  added  removed  changed  seconds  batches
        input          3
        fold       3 → 2     +0       -1       ~0    0.250
        calibrate  2 → 2     +0       -0       ~0    0.250        4  nothing changed""")
    assert lines[-1].startswith("finalize   2 → 2     +0       -0       ~0    0.250")
    assert "error: RuntimeError: no </script>" in lines[-1]
    assert waiting == "not run: dce"


def test_one_stage(run):
    assert stage_text(run, "fold") == dedent("""\
        fold: 0.250 s

        input → fold
        +0 added, -1 removed, ~0 changed, 2 the same
          %v0 = aten::conv2d(%x)
        - %v1 = aten::batch_norm(%v0)
          %v1 = aten::relu(%v0)""")
    assert stage_text(run, "calibrate").startswith("calibrate: 0.250 s, 4 batches\n")
    assert "\nerror: RuntimeError: no " in stage_text(run, "finalize")


def test_an_unknown_stage_is_named(run):
    with pytest.raises(KeyError, match="unknown stage 'dce'"):
        stage_text(run, "dce")
