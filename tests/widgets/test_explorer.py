"""The explorer as a page meets it: messages in, messages out. No browser, no kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from nets import NETS, torchscript
from runs import FBGEMM, recorded, session
from torch.ao.quantization import default_dynamic_qconfig, default_qconfig

import jitq_explore as jq
from jitq_explore.snapshots.recording import StageError

STATIC = (
    "fold_conv_bn", "insert_observers", "calibrate", "insert_quant_dequant", "quant_finalize",
    "constant_propagation", "dce",
)  # fmt: skip


class Page:
    """What the browser's side of an explorer would send and hear."""

    def __init__(self, explorer) -> None:
        self.explorer, self.heard = explorer, []
        explorer.send = lambda content: self.heard.append(json.loads(json.dumps(content)))

    def say(self, **content) -> None:
        self._comes({"method": "custom", "content": content})

    def set_state(self, **changes) -> None:
        state = {**self.explorer.state, **changes}
        self._comes({"method": "update", "state": {"state": state}, "buffer_paths": []})

    def _comes(self, data) -> None:
        self.explorer._handle_msg({"content": {"data": data}, "buffers": []})

    def ask(self, kind, **arguments):
        self.say(ask=kind, id=7, **arguments)
        (answer,) = [message for message in self.heard if message.get("id") == 7]
        self.heard.remove(answer)
        return answer["answer"]

    def do(self, name, **more) -> dict:
        """Carry out an action -> the event that says that nothing runs any more."""
        self.heard.clear()
        self.say(do=name, **more)
        self.wait()
        return self.heard[-1]

    def wait(self) -> None:
        self.explorer._live.runner.wait(60)

    def events(self, name) -> list[dict]:
        return [message for message in self.heard if message.get("event") == name]

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(stage["name"] for stage in self.ask("run")["stages"])


@pytest.fixture
def page() -> Page:
    """Of a recording."""
    return Page(jq.explore(recorded("mlp")))


@pytest.fixture
def live() -> Page:
    """Of a session that has not begun."""
    return Page(jq.explore(session("mlp")))


def calibrated_by(calibrate, batches=4) -> jq.Session:
    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    return jq.Session.static(model, {"": FBGEMM}, calibrate, [spec.inputs(batches)])


IDLE = {"event": "idle", "problem": "", "said": []}


# Asks ---------------------------------------------------------------------------------------------


def test_a_recording_is_asked_about(page):
    run = page.ask("run")
    assert (run["live"], run["qconfigChoices"]) == (False, [])
    assert page.stages == ("input", *STATIC)
    assert "<svg" in page.ask("drawing", stage="dce", folds=None, side="union")["svg"]
    node = page.ask("nodes", stage="dce")[0]
    assert page.ask("details", stage="dce", node=node["id"], gone=False)["title"]


@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        ("run", {}, "not today"),
        ("nodes", {"stage": "nope"}, "unknown stage 'nope'"),
        ("nodes", {}, "needs the arguments"),
        ("weather", {}, "unknown kind 'weather'"),
        ([], {}, "TypeError"),
        ("text", {"stage": "dce", "what": {}}, "unknown text"),
    ],
)
def test_an_ask_that_fails_is_answered_with_why(page, monkeypatch, kind, arguments, error):
    if kind == "run":
        monkeypatch.setattr(page.explorer, "_run", lambda: exec("raise OSError('not today')"))
    assert error in page.ask(kind, **arguments)["error"]


@pytest.mark.parametrize("content", [None, [], "step", {}, {"id": 3}, {"do": "step"}])
def test_other_messages_to_a_recording_are_passed_over(page, content):
    page._comes({"method": "custom", "content": content})
    assert page.heard == []


def test_two_runs_are_shown_against_each_other():
    other = session("mlp")
    page = Page(jq.explore(recorded("mlp"), other, names=("whole", "begun")))
    run = page.ask("run")
    assert (run["runs"], run["live"]) == (["whole", "begun"], False)
    assert page.explorer.session is None


# State --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "stage", "expected"),
    [
        (lambda: recorded("mlp"), None, "fold_conv_bn"),
        (lambda: recorded("mlp"), "calibrate", "calibrate"),
        (lambda: session("mlp"), None, "input"),
        (lambda: failed(recorded("mlp")), None, "insert_observers"),
    ],
)
def test_what_is_shown_at_first(run, stage, expected):
    explorer = jq.explore(run(), stage=stage)
    assert explorer.state["stage"] == explorer.selection.stage == expected


def failed(recording):
    last = replace(recording["insert_observers"], error=StageError("ValueError", "no"))
    return replace(recording, stages=(recording.stages[0], last))


def test_python_and_page_share_the_state(page):
    page.set_state(stage="dce", query="conv")
    assert (page.explorer.selection.stage, page.explorer.selection.query) == ("dce", "conv")
    page.explorer.selection = page.explorer.selection.previous()
    assert page.explorer.state["stage"] == "constant_propagation"
    assert repr(page.explorer).startswith("<Explorer at constant_propagation of input, fold_conv")


@pytest.mark.parametrize("state", [{"stage": "nope"}, {"reach": 9}, {"node": 1}])
def test_a_state_that_cannot_be_is_refused_to_python_and_put_right_in_the_page(
    page, monkeypatch, state
):
    before, sent = page.explorer.state, []
    with pytest.raises(ValueError, match=r"must be|unknown"):
        page.explorer.state = {**before, **state}
    monkeypatch.setattr(page.explorer, "send_state", sent.append)
    page.set_state(**state)
    assert page.explorer.state == before
    assert sent == [("state", "_turn")]


def test_what_a_page_chose_before_it_knew_of_a_cells_choice_comes_too_late(page, monkeypatch):
    explorer, sent = page.explorer, []
    known = explorer._turn
    page.set_state(stage="calibrate", turn=known)
    assert explorer.selection.stage == "calibrate"
    explorer.selection = explorer.selection.choose("dce")
    monkeypatch.setattr(explorer, "send_state", sent.append)
    page.set_state(stage="insert_observers", turn=known)
    assert explorer.selection.stage == "dce"
    assert sent == [("state", "_turn")]
    page.set_state(stage="insert_observers", turn=explorer._turn)
    assert explorer.selection.stage == "insert_observers"


def test_where_page_and_cell_choose_at_once_the_page_hears_last_what_is(page, monkeypatch):
    explorer, told = page.explorer, []
    chosen = explorer.selection.choose("dce").to_dict()
    cell = threading.Thread(target=lambda: setattr(explorer, "state", chosen))

    def send(message, buffers=None):
        told.append(message["state"].get("state"))
        if cell.ident is None:  # while the page is told what it said, a cell is run
            cell.start()
            cell.join(0.2)

    monkeypatch.setattr(explorer, "_send", send)
    page.set_state(stage="calibrate")
    cell.join()
    assert told[-1] == explorer.state == chosen


# Running ------------------------------------------------------------------------------------------


def test_one_stage_is_run(live):
    assert live.do("step") == IDLE
    (run,) = [event for event in live.events("run") if event["go"]]
    assert (run["go"], run["run"]["toCome"][0]) == ("fold_conv_bn", "insert_observers")
    assert not run["run"]["busy"]
    assert live.events("progress")[0]["stage"] == "fold_conv_bn"
    assert live.explorer.selection.stage == "fold_conv_bn"
    assert live.explorer.recording is live.explorer.session.recording


def test_all_stages_are_run(live):
    assert live.do("run") == IDLE
    assert live.stages == ("input", *STATIC)
    fed = [(event["done"], event["total"]) for event in live.events("progress")]
    assert (2, 2) in fed
    stale = {stage for event in live.events("run") for stage in event["stale"]}
    assert stale == set(STATIC)
    assert [event["go"] for event in live.events("run")][-1] == "dce"
    assert live.explorer.state["stage"] == "dce"


def test_the_last_stage_is_taken_back(live):
    live.explorer.session.run(until="calibrate")
    live.explorer.selection = live.explorer.selection.select("n1")
    assert live.do("back") == IDLE
    assert live.explorer.selection.stage == "insert_observers"
    assert live.explorer.selection.node is None
    assert live.stages == ("input", *STATIC[:2])


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"do": "fly"}, r"unknown action 'fly' (must be one of ['step', 'run', 'back', 'accept'"),
        ({"do": "requantize", "key": "fc1"}, "needs a key and the name of a qconfig"),
        ({"do": "requantize", "key": "fc1", "qconfig": "x"}, "must be one of x86, fbgemm"),
    ],
)
def test_a_message_that_cannot_be_carried_out(live, message, problem):
    live.say(**message)
    live.wait()
    (idle,) = live.events("idle")
    assert problem in idle["problem"]
    assert live.explorer.session.recording.names == ()


def test_a_run_that_is_over_says_so(live):
    live.do("run")
    assert "every stage has run" in live.do("step")["problem"]


def test_a_failing_stage_is_shown_and_what_was_said_with_it(capfd):
    def calibrate(model, batches):
        print("a word")
        warnings.warn("an odd batch", stacklevel=1)
        raise ValueError("broken:\n\tthis")

    page = Page(jq.explore(calibrated_by(calibrate)))
    problem = "ValueError: broken:\n    this"
    said = ["a word", "UserWarning: an odd batch"]
    assert page.do("run") == {"event": "idle", "problem": problem, "said": said}
    stage = page.ask("run")["stages"][-1]
    assert (stage["name"], stage["outcome"]) == ("calibrate", "failed")
    assert stage["error"]["message"] == problem
    assert page.explorer.selection.stage == "calibrate"
    assert capfd.readouterr() == ("", "")
    assert page.do("back") == IDLE
    assert page.ask("run")["toCome"][0] == "calibrate"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_users_code_ends_the_run_alone(error):
    def calibrate(model, batches):
        raise error

    page = Page(jq.explore(calibrated_by(calibrate)))
    assert error.__name__ in page.do("run")["problem"]
    assert page.ask("run")["stages"][-1]["outcome"] == "failed"


class Slow:
    """A calibration that waits, after its first batch, until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, model, batches):
        for batch in batches:
            model(*batch)
            self.begun.set()
            assert self.go.wait(60)


@pytest.fixture
def slow():
    """A page whose session is calibrating, and the calibration."""
    calibrate = Slow()
    page = Page(jq.explore(calibrated_by(calibrate)))
    page.say(do="run")
    assert calibrate.begun.wait(60)
    yield page, calibrate
    calibrate.go.set()
    page.wait()


def test_a_calibration_is_stopped_between_batches(slow):
    page, calibrate = slow
    assert page.ask("run")["busy"]
    page.say(do="stop")
    calibrate.go.set()
    page.wait()
    assert "calibration was stopped" in page.heard[-1]["problem"]
    assert page.ask("run")["stages"][-1]["label"] == "stopped"
    last = page.explorer.recording.stages[-1]
    assert (last.name, last.batches, last.error.type) == ("calibrate", 1, "Stopped")
    assert page.do("back") == IDLE
    assert page.do("run") == IDLE
    assert page.stages == ("input", *STATIC)


def test_what_a_session_says_of_its_methods_is_said_of_the_buttons(slow):
    page, calibrate = slow
    page.say(do="stop")
    calibrate.go.set()
    page.wait()
    error = page.explorer.recording.stages[-1].error
    assert "session.accept_calibration() takes" in str(error)  # at the prompt, and in the recording
    shown = page.ask("run")["stages"][-1]["error"]
    assert "“Accept what was seen” takes what was seen, “Run next” goes on" in shown["message"]
    assert page.heard[-1]["problem"] == shown["message"]  # or the page would tell it twice
    assert "session." in shown["traceback"]  # torch's and the user's lines are left alone
    told = page.do("step")["said"]
    assert "goes on after 1 batch" in told[0]
    assert told[0].endswith("“Accept what was seen” would have gone on without more data")
    page.say(do="back")
    page.wait()
    assert page.do("run") == IDLE
    over = page.do("step")["problem"]
    assert over == (
        "RuntimeError: every stage has run; “Step back” takes one back, the tab “qconfig” starts "
        "another run"
    )
    everything = [page.ask("run")["stages"], page.ask("table", name="stages")["rows"]]
    assert "session." not in json.dumps(everything)


def test_what_has_run_is_shown_while_the_calibration_goes_on(slow):
    page, _ = slow
    shown = [stage["name"] for stage in page.events("run")[-1]["run"]["stages"]]
    assert shown == ["input", *STATIC[:2]]
    assert page.ask("nodes", stage="insert_observers")
    assert page.explorer.selection.stage == "input"


@pytest.mark.parametrize("action", ["step", "run", "back"])
def test_a_second_action_is_refused_in_words(slow, action):
    page, _ = slow
    page.say(do=action)
    idle, run = page.heard[-2:]
    assert "a stage is running" in idle["problem"]
    assert run["run"]["busy"]


def test_a_cell_meets_a_busy_session(slow):
    page, _ = slow
    with pytest.raises(RuntimeError, match="the session is busy: stage 'calibrate' is running"):
        page.explorer.session.step()


def test_a_stop_that_comes_before_the_session_has_begun_is_heard(live, monkeypatch):
    run = live.explorer._live.run.run
    monkeypatch.setattr(live.explorer._live.run, "run", lambda: (live.say(do="stop"), run()))
    assert "stopped before stage 'insert_observers'" in live.do("run")["problem"]
    assert live.do("step") == IDLE


def test_closing_stops_the_run(slow):
    page, calibrate = slow
    page.explorer.close()
    calibrate.go.set()
    page.wait()
    assert page.explorer.session.recording.error.type == "Stopped"


# Others at the same session -----------------------------------------------------------------------


def test_what_a_cell_runs_is_shown(live):
    live.explorer.session.step()
    assert live.explorer.selection.stage == "fold_conv_bn"
    assert live.events("run")[-1]["go"] == "fold_conv_bn"
    assert live.heard[-1] == IDLE


def test_two_explorers_of_one_session_show_the_same(live):
    other = Page(jq.explore(live.explorer.session))
    live.do("step")
    assert other.explorer.selection.stage == "fold_conv_bn"
    assert other.stages == live.stages
    assert other.heard[-1] == IDLE
    other.do("back")
    assert live.stages == ("input",)


def test_a_session_forgets_an_explorer_that_nobody_has(live):
    run = live.explorer._live.run
    with ThreadPoolExecutor(1) as cell:
        live.explorer._live._watch(run)  # in place of the reporter before
        cell.submit(run.step).result()
    assert len(live.events("idle")) == 1


# Requantizing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("static", ["x86", "fbgemm", "onednn", "qnnpack", "default", "per_channel", "none"]),
        ("dynamic", ["default", "per_channel_dynamic", "float16_dynamic", "none"]),
        ("on_device", []),
    ],
)
def test_the_qconfigs_to_choose_from(mode, names):
    page = Page(jq.explore(session("mlp", mode=mode)))
    assert [name for name, _ in page.ask("run")["qconfigChoices"]] == names


def test_a_module_is_requantized_up_to_the_stage_shown(live):
    live.do("run")
    live.set_state(stage="insert_observers")
    first = live.explorer.session
    assert live.do("requantize", key="fc1", qconfig="none") == IDLE
    second = live.explorer.session
    assert second is not first
    assert first.recording.names == STATIC
    assert live.stages == ("input", *STATIC[:2])
    assert dict(live.ask("run")["qconfig"])["'fc1'"] == "None"
    assert set(live.events("run")[-1]["run"]["toCome"]) == set(STATIC[2:])
    assert live.explorer.selection.stage == "insert_observers"
    first.back()
    assert live.stages == ("input", *STATIC[:2])
    live.do("requantize", key="", qconfig="per_channel")
    assert set(second.qconfig_dict) == set(live.explorer.session.qconfig_dict) == {"", "fc1"}


def test_the_stage_shown_is_the_one_that_the_page_says(live):
    live.do("run")
    assert live.explorer.state["stage"] == STATIC[-1]
    live.do("requantize", key="fc1", qconfig="none", stage="fold_conv_bn")
    assert live.stages == ("input", "fold_conv_bn")


def test_a_key_that_names_no_module_is_warned_of(live):
    live.set_state(stage="input")
    (said,) = live.do("requantize", key="fc9", qconfig="none")["said"]
    assert "'fc9' (closest: 'fc" in said


# Measuring, trying ---------------------------------------------------------------------------------


def with_histograms() -> Page:
    page = Page(jq.explore(session("mlp", histograms=True)))
    page.do("run")
    return page


def a_value(page, role="activation") -> str:
    table = jq.observer_table(page.explorer.recording)
    return table[table["role"] == role]["observer"].iloc[0]


def test_a_whole_run_is_measured_on_its_calibration_data(live):
    assert not live.ask("run")["canCompare"]
    live.do("run")
    assert live.ask("run")["canCompare"]
    live.set_state(stage="calibrate")
    assert live.do("compare") == IDLE
    assert ("compare", 2, 2) in [
        (event["stage"], event["done"], event["total"]) for event in live.events("progress")
    ]
    assert live.ask("run")["measured"]
    assert live.explorer.recording.numerics.batches == 2
    assert live.ask("table", name="numerics")["rows"]
    assert live.explorer.selection.stage == "calibrate"


def test_an_interrupted_calibration_is_accepted(slow):
    page, calibrate = slow
    page.say(do="stop")
    calibrate.go.set()
    page.wait()
    assert page.ask("run")["stages"][-1]["canAccept"]
    assert page.do("accept") == IDLE
    assert not page.ask("run")["stages"][-1]["canAccept"]
    assert page.do("run") == IDLE
    assert page.stages == ("input", *STATIC)


def test_a_change_is_applied_and_shown_against_the_run_before():
    page = with_histograms()
    first = page.explorer.session
    assert page.do("apply", value=a_value(page), observer="MinMax") == IDLE
    run = page.ask("run")
    assert (run["runs"], run["live"], run["earlier"]) == (["before", "changed"], True, 1)
    assert page.explorer.session is not first
    assert page.explorer.recording is first.recording
    assert page.explorer.session.recording.names == STATIC
    assert page.do("compare") == IDLE
    assert "before" in json.dumps(page.ask("table", name="numerics")["columns"])

    assert page.do("alone") == IDLE
    assert page.ask("run")["runs"] is None
    assert page.explorer.recording is page.explorer.session.recording
    assert page.do("earlier") == IDLE
    assert page.explorer.session is first
    assert "no earlier run" in page.do("earlier")["problem"]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"value": "nope"}, "unknown value 'nope'"),
        ({"value": 3}, "must be the path of an observer"),
        ({"observer": "Best"}, "unknown observer 'Best'"),
        ({"low": "a"}, "low must be a number"),
        ({"per_channel": 1}, "per_channel must be true or false"),
        ({"nope": 1}, "unknown wish 'nope'"),
        ({"recommended": 99}, "unknown recommendation 99"),
    ],
)
def test_a_change_that_cannot_be_leaves_the_run_as_it_is(wish, problem):
    page = with_histograms()
    first = page.explorer.session
    assert problem in page.do("apply", **{"value": a_value(page), **wish})["problem"]
    assert page.explorer.session is first
    assert page.ask("run")["earlier"] == 0


def test_what_is_recommended_is_tried():
    def spoiling(model, batches):
        for number, (x,) in enumerate(batches):
            model(x * 50 if number == 1 else x)

    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    run = jq.Session.static(
        model, {"": default_qconfig}, spoiling, [spec.inputs(6)], histograms=True
    )
    page = Page(jq.explore(run))
    page.do("run")
    (first, *_) = page.ask("table", name="recommendations")["rows"]
    assert "batch 2 of 6" in json.dumps(first["cells"])
    assert page.do("apply", recommended=0) == IDLE
    assert page.ask("run")["runs"] == ["before", "changed"]


def test_after_requantizing_there_is_a_way_back(live):
    live.do("run")
    first = live.explorer.session
    live.do("requantize", key="fc1", qconfig="none")
    assert live.ask("run")["earlier"] == 1
    live.do("earlier")
    assert live.explorer.session is first


# Other runs, other homes --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["dynamic", "on_device"])
def test_every_mode_is_run(mode):
    page = Page(jq.explore(session("mlp", mode=mode)))
    assert page.do("run")["problem"] == ""
    assert len(page.stages) == len(page.explorer.session.recording) + 1
    assert page.ask("drawing", stage=page.stages[-1], folds=None, side="union")["svg"]


def test_where_no_widget_can_be_there_is_a_picture_and_text(page):
    data, _ = page.explorer._repr_mimebundle_()
    assert data["image/svg+xml"].startswith("<svg")
    assert "fold_conv_bn" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_without_a_drawing_there_is_the_text(page, monkeypatch):
    monkeypatch.setattr(page.explorer, "_answer", lambda *_: {"error": "no Graphviz"})
    data, _ = page.explorer._repr_mimebundle_()
    assert "image/svg+xml" not in data
    assert "fold_conv_bn" in data["text/plain"]


def test_a_saved_recording_needs_no_torch(tmp_path):
    path = tmp_path / "run.jitq"
    jq.save(recorded("mlp"), path)
    code = (
        "import sys, jitq_explore as jq\n"
        f"explorer = jq.explore(jq.load({str(path)!r}))\n"
        "assert '<svg' in explorer._repr_mimebundle_()[0]['image/svg+xml']\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("given", [[], None, "run.jitq", torch.nn.Linear(1, 1), jq.Session])
def test_anything_else_is_refused_with_what_is_valid(given):
    with pytest.raises(TypeError, match=r"must be a Session .* or a Recording"):
        jq.explore(given)


def test_a_stage_is_named_by_keyword_and_must_be_there():
    with pytest.raises(TypeError, match=r"cannot explore a str: .* is stage=…"):
        jq.explore(recorded("mlp"), "calibrate")
    with pytest.raises(ValueError, match=r"unknown stage 'nope' \(must be one of \['input', 'fold"):
        jq.explore(recorded("mlp"), stage="nope")


def test_a_dynamic_session_is_requantized():
    page = Page(jq.explore(session("mlp", mode="dynamic", qconfig=default_dynamic_qconfig)))
    page.do("run")
    assert page.do("requantize", key="fc2", qconfig="float16_dynamic") == IDLE
    assert page.explorer.selection.is_last
