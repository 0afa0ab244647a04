"""The explorer driven from Python as a browser drives it: `button.click()`, `box.value = …`."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from dataclasses import replace

import ipywidgets
import pytest
import torch
from nets import NETS, torchscript
from torch.ao.quantization import default_dynamic_qconfig, get_default_qconfig

import jitq_explore as jq
from jitq_explore.snapshots.recording import Recording, StageError
from jitq_explore.views import plan
from jitq_explore.views.render import RenderError, RenderTimeout
from jitq_explore.widgets.explorer import Explorer

STATIC = (
    "fold_conv_bn", "insert_observers", "calibrate", "insert_quant_dequant", "quant_finalize",
    "constant_propagation", "dce",
)  # fmt: skip
HOSTILE = "</script><img src=x onerror=alert(1)>"

OBSERVERS, QUANT_NODES, TEXT, MESSAGES = range(4)


def run_batches(model, batches):
    for batch in batches:
        model(*batch)


def static_session(calibrate=run_batches) -> jq.Session:
    spec = NETS["residual"]
    return jq.Session.static(
        torchscript(spec, "scripted"),
        {"": get_default_qconfig("fbgemm")},
        calibrate,
        [spec.inputs(3)],
        engine="fbgemm",
        progress=False,
    )


@pytest.fixture(scope="module")
def recording() -> Recording:
    return static_session().run()


@pytest.fixture
def explorer(recording) -> Explorer:
    return jq.explore(recording)


@pytest.fixture
def live() -> Explorer:
    return jq.explore(static_session())


def open_tab(explorer: Explorer, tab: int) -> str:
    explorer.tabs.selected_index = tab
    return explorer.tabs.children[tab].value


def strip(explorer: Explorer) -> dict[str, str]:
    """Stage -> what stands beneath its name."""
    return dict(label.split("\n") for label, _ in explorer.strip.options)


def rows(table: str) -> int:
    return table.count("<tr") - 1


# Stepping -----------------------------------------------------------------------------------------


def test_the_strip_has_every_stage_with_what_it_did(explorer, recording):
    diff = jq.diff(recording, "fold_conv_bn", "insert_observers")
    assert tuple(strip(explorer)) == ("input", *STATIC)
    assert f"+{len(diff.added)}" in strip(explorer)["insert_observers"]
    assert strip(explorer)["calibrate"] == "3 batches"
    assert strip(explorer)["constant_propagation"] == "no change"
    assert "nodes" in strip(explorer)["input"]


def test_a_finished_run_begins_with_its_first_stage(explorer):
    assert explorer.selection.stage == "fold_conv_bn"
    assert explorer.strip.value == "fold_conv_bn"


def test_the_stage_to_begin_with_can_be_named(recording):
    assert jq.explore(recording, "calibrate").strip.value == "calibrate"
    with pytest.raises(ValueError, match=r"unknown stage 'nope' \(must be one of \['input', 'fold"):
        jq.explore(recording, stage="nope")


def test_next_and_previous_step_to_the_ends(explorer):
    explorer.previous_button.click()
    assert explorer.selection.stage == "input"
    assert explorer.previous_button.disabled
    for stage in STATIC:
        explorer.next_button.click()
        assert explorer.strip.value == stage
        assert "<svg" in explorer.drawing.value
    assert explorer.next_button.disabled


def test_choosing_a_stage_shows_it(explorer):
    explorer.strip.value = "insert_quant_dequant"
    assert explorer.selection.stage == "insert_quant_dequant"
    assert "+ quantize → dequantize" in explorer.drawing.value
    assert re.search(r"jitq-added[^>]*>\+ \d+ added", explorer.summary.value)


def test_the_input_is_drawn_alone(explorer):
    explorer.strip.value = "input"
    assert "The model as it was given" in explorer.summary.value
    assert "<svg" in explorer.drawing.value
    assert "graph(" in open_tab(explorer, TEXT)


def test_a_stage_that_leaves_the_graph_alone_says_so(explorer):
    explorer.strip.value = "calibrate"
    assert "the graph stays as it is; 3 batches fed to" in explorer.summary.value
    explorer.strip.value = "constant_propagation"
    assert "changed nothing" in explorer.summary.value


def test_all_stages_share_one_layout(recording, monkeypatch):
    made = []
    render = plan.render_svg
    monkeypatch.setattr(plan, "render_svg", lambda *a: made.append(a) or render(*a))
    explorer = jq.explore(replace(recording))
    for stage in STATIC:
        explorer.strip.value = stage
    assert len(made) == 1


def test_modules_fold_and_unfold(explorer):
    explorer.strip.value = "insert_quant_dequant"
    whole = explorer.drawing.value.count('class="node')
    explorer.fold_box.value = "fold:block1"
    assert explorer.drawing.value.count('class="node') < whole
    assert "1 module is folded" in explorer.caption.value
    assert explorer.fold_box.label == "1 of 2 folded"
    explorer.next_button.click()
    assert 'id="m-block1" class="node' in explorer.drawing.value
    explorer.fold_box.value = "unfold:block1"
    assert explorer.fold_box.label == "0 of 2 folded"


def test_what_is_far_from_changes_is_faint(explorer):
    explorer.strip.value = "quant_finalize"
    explorer.reach_box.value = 0
    few = explorer.drawing.value.count('opacity="0.2"')
    explorer.reach_box.value = 2
    assert 0 <= explorer.drawing.value.count('opacity="0.2"') < few


def test_zooming_sends_no_drawing_again(explorer):
    drawing = explorer.drawing.value
    explorer.zoom_box.index = 4
    assert explorer.zoom_box.label == "150 %"
    assert "* 1.5px" in explorer.highlight.value
    assert explorer.drawing.value is drawing


def test_the_legend_has_the_colours_of_the_drawings(explorer):
    drawings = ""
    for stage in STATIC:
        explorer.strip.value = stage
        drawings += explorer.drawing.value
    look = explorer.children[0].value
    for status in ("added", "removed", "changed"):
        drawn = re.search(rf'<path class="{status}" .*?fill="(#\w+)"', drawings)
        assert drawn is not None
        assert f".jitq-{status} {{ background: {drawn[1]}" in look


# Tabs ---------------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_recording(explorer, recording):
    assert rows(open_tab(explorer, OBSERVERS)) == len(jq.observer_table(recording))
    assert rows(open_tab(explorer, QUANT_NODES)) == len(jq.quant_node_table(recording))


def test_nodes_that_the_stage_inserted_are_marked(explorer, recording):
    table = jq.quant_node_table(recording)
    explorer.strip.value = "insert_quant_dequant"
    marked = open_tab(explorer, QUANT_NODES).count("jitq-here")
    assert marked == (table["inserted_by"] == "insert_quant_dequant").sum() > 0


def test_observers_that_saw_nothing_stand_out(live):
    live.step_button.click()
    live.step_button.click()
    assert "15 observers not calibrated" in open_tab(live, OBSERVERS)
    live.step_button.click()
    assert "not calibrated" not in open_tab(live, OBSERVERS)


def test_the_text_is_that_of_the_difference(explorer):
    explorer.strip.value = "insert_observers"
    assert re.search(r"jitq-line-added\">\+ .*jitq::observe", open_tab(explorer, TEXT))


def test_messages_are_counted(recording):
    stage = replace(recording["dce"], messages=("one", "two", "two"))
    explorer = jq.explore(replace(recording, stages=(stage,)))
    assert explorer.tabs.titles[MESSAGES] == "Messages (3)"
    assert "two</div>" not in open_tab(explorer, MESSAGES)
    assert "two (×2)</div>" in explorer.messages.value


# Filter -------------------------------------------------------------------------------------------


def test_the_filter_keeps_the_rows_that_match(explorer, recording):
    table = jq.observer_table(recording)
    explorer.filter_box.value = "WEIGHT block1"
    expected = ((table["role"] == "weight") & table["module"].str.startswith("block1")).sum()
    assert 0 < rows(open_tab(explorer, OBSERVERS)) == expected
    explorer.filter_box.value = ""
    assert rows(explorer.observers.value) == len(table)


def test_the_filter_counts_and_highlights_nodes(explorer, recording):
    explorer.strip.value = "insert_observers"
    explorer.filter_box.value = "jitq::observe"
    graph = recording["insert_observers"].after.graph()
    observers = [node for node in graph.nodes if node.is_observer]
    assert f"<b>{len(observers)} of " in explorer.count.value
    for node in observers:
        box = explorer.drawn.film.box_of("insert_observers", node.id)
        assert f'[id="{box}"]' in explorer.highlight.value


def test_a_node_in_a_folded_module_is_found_there(explorer):
    explorer.strip.value = "insert_observers"
    explorer.fold_box.value = "fold all"
    explorer.filter_box.value = "observe block1.conv1"
    assert "folded away" in explorer.count.value
    assert '[id="m-block1' in explorer.highlight.value


def test_a_changed_node_is_found_by_what_it_was(explorer):
    explorer.strip.value = "quant_finalize"
    explorer.filter_box.value = "aten::linear"
    assert explorer.page.find("aten::linear", explorer.drawn).nodes
    assert "jitq-drawing" in explorer.highlight.value


def test_a_filter_without_a_match_hides_nothing(explorer):
    explorer.filter_box.value = "no such node"
    assert "<b>0 of " in explorer.count.value
    assert "opacity" not in explorer.highlight.value
    assert rows(open_tab(explorer, OBSERVERS)) == 0


# A live session -----------------------------------------------------------------------------------


def test_a_session_is_run_from_the_explorer(live):
    assert tuple(strip(live)) == ("input",)
    assert live.step_button.description == "Run next: fold_conv_bn"
    live.step_button.click()
    assert live.selection.stage == "fold_conv_bn"
    live.run_button.click()
    assert tuple(strip(live)) == ("input", *STATIC)
    assert live.selection.stage == "dce"
    assert live.step_button.disabled
    assert live.run_button.disabled


def test_a_recording_cannot_be_run(explorer):
    assert explorer.step_button not in walk(explorer)


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def test_a_failing_stage_is_shown_and_nothing_is_raised(capfd):
    def calibrate(model, batches):
        warnings.warn("an odd batch", stacklevel=1)
        for number, batch in enumerate(batches):
            if number == 2:
                raise ValueError(f"broken {HOSTILE}")
            model(*batch)

    explorer = jq.explore(static_session(calibrate))
    explorer.run_button.click()
    assert strip(explorer)["calibrate"] == "✖ failed"
    assert explorer.selection.stage == "calibrate"
    assert "calibrate failed" in explorer.summary.value
    assert "2 batches" in explorer.summary.value
    assert "an odd batch" in explorer.status.value
    assert explorer.tabs.titles[MESSAGES] == "✖ Error"
    assert "Traceback" in open_tab(explorer, MESSAGES)
    assert explorer.step_button.disabled
    assert HOSTILE not in explorer.summary.value + explorer.messages.value
    assert not capfd.readouterr().err


def test_an_interrupt_ends_the_run_not_the_explorer():
    def calibrate(model, batches):
        raise KeyboardInterrupt

    explorer = jq.explore(static_session(calibrate))
    explorer.run_button.click()
    assert strip(explorer)["calibrate"] == "✖ failed"


def test_stages_run_elsewhere_are_taken_in(live):
    session = live._run
    session.step()
    live.step_button.click()
    assert tuple(strip(live)) == ("input", *STATIC[:2])


def test_a_failed_run_begins_with_its_failure(recording):
    failed = replace(recording["calibrate"], error=StageError("ValueError", "no"))
    stages = (*recording.stages[:2], failed)
    assert jq.explore(replace(recording, stages=stages)).selection.stage == "calibrate"


# Other runs, other input --------------------------------------------------------------------------


def test_every_mode_can_be_explored():
    spec = NETS["mlp"]
    qconfig = {"": default_dynamic_qconfig}
    dynamic = jq.Session.dynamic(torchscript(spec, "scripted"), qconfig).run()
    (inputs,) = spec.inputs(1)
    on_device = jq.Session.on_device(torchscript(spec, "scripted"), qconfig, inputs=inputs).run()
    for run in (dynamic, on_device):
        explorer = jq.explore(run)
        while not explorer.next_button.disabled:
            explorer.next_button.click()
            assert "<svg" in explorer.drawing.value
        assert rows(open_tab(explorer, QUANT_NODES)) > 0


def test_a_saved_recording_needs_no_torch(recording, tmp_path):
    path = tmp_path / "run.jitq"
    jq.save(recording, path)
    code = (
        "import sys, jitq_explore as jq\n"
        f"explorer = jq.explore(jq.load({str(path)!r}))\n"
        "assert '<svg' in explorer.drawing.value\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("given", [[], None, "run.jitq", torch.nn.Linear(1, 1), jq.Session])
def test_anything_else_is_refused_with_what_is_valid(given):
    with pytest.raises(TypeError, match=r"must be a Session .* or a Recording"):
        jq.explore(given)


@pytest.mark.parametrize("error", [RenderError("no Graphviz"), RenderTimeout("took too long")])
def test_without_a_drawing_there_is_the_reason_and_the_text(recording, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(plan, "render_svg", fail)
    explorer = jq.explore(replace(recording), "insert_observers")
    assert str(error) in explorer.drawing.value
    assert "jitq::observe" in explorer.drawing.value
    explorer.filter_box.value = "observe"
    assert "folded away" in explorer.count.value


def test_hostile_names_stay_text(recording):
    renamed = replace(recording["dce"], name=HOSTILE, messages=(HOSTILE,))
    hostile = replace(
        recording,
        engine=HOSTILE,
        torch_version=HOSTILE,
        mode=HOSTILE,
        qconfig={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
        stages=(*recording.stages[:-1], renamed),
    )
    explorer = jq.explore(hostile, HOSTILE)
    explorer.book.observers["module"] = HOSTILE
    explorer.book.quant_nodes["fate"] = HOSTILE
    for tab in (QUANT_NODES, TEXT, MESSAGES, OBSERVERS):
        assert "onerror" in open_tab(explorer, tab)
    shown = "".join(
        widget.value for widget in walk(explorer) if isinstance(widget, ipywidgets.HTML)
    )
    assert "<img" not in shown
    assert "<script" not in shown
    assert "</script" not in shown
