"""The command line, as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from jitq_explore import __version__
from jitq_explore.capture.named_qconfigs import DYNAMIC, STATIC, make_qconfig
from jitq_explore.cli import main
from jitq_explore.cli.lab import copy_notebooks, find_tour
from jitq_explore.snapshots.archive import load, save


class Scaled(nn.Module):
    """A network with two inputs, the second optional; fails for batches of 13."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        if x.shape[0] == 13:
            raise ValueError("thirteen")
        return self.fc(x) * scale


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a model and batches of every form, which is the current one."""
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(Scaled().eval()), "model.pt")
    x = torch.ones(2, 4)
    torch.save([x, (x, 2.0), [x], {"x": x, "scale": 0.5}], "inputs.pt")
    torch.save([x, x, torch.ones(13, 4)], "third_fails.pt")
    torch.save({"fc": x}, "no_list.pt")
    torch.save([3], "no_batch.pt")
    torch.save(nn.Linear(1, 1).state_dict(), "state_dict.pt")
    return tmp_path


def run(command: str) -> int:
    return main(command.split())


@pytest.fixture
def fails(capsys):
    """Run a command that must fail -> its exit code and its one line on standard error."""

    def run_failing(command: str) -> tuple[int, str]:
        code = main(command.split())
        said = capsys.readouterr().err
        assert said.startswith("jitq-explore: error: ")
        assert said.count("\n") == 1
        return code, said

    return run_failing


@pytest.mark.parametrize(
    ("options", "last_stage"),
    [
        ("--inputs inputs.pt", "dce"),
        ("--inputs inputs.pt --debug --qconfig qnnpack", "dce"),
        ("--dynamic", "dce"),
        ("--dynamic --inputs inputs.pt --qconfig float16_dynamic", "dce"),
        ("--on-device", "quant_finalize_method"),
        ("--on-device --inputs inputs.pt --method forward", "quantized_run"),
    ],
)
def test_record_then_show(files, capsys, options, last_stage):
    assert run(f"record model.pt {options} -o run.jitq") == 0
    said = capsys.readouterr()
    assert "run.jitq" in said.out
    assert not said.err
    assert load("run.jitq").names[-1] == last_stage

    assert run("show run.jitq") == 0
    assert last_stage in capsys.readouterr().out
    assert run(f"show run.jitq {last_stage}") == 0
    assert last_stage in capsys.readouterr().out


def test_report_writes_a_page(files, capsys):
    run("record model.pt --dynamic -o one.jitq")
    run("record model.pt --dynamic --qconfig float16_dynamic -o two.jitq")
    capsys.readouterr()
    assert run("report one.jitq -o page.html") == 0
    assert "page.html" in capsys.readouterr().out
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run("report one.jitq --other two.jitq -o both.html") == 0
    assert "one: dynamic" in Path("both.html").read_text(encoding="utf-8")


def test_every_batch_calibrates(files):
    run("record model.pt --inputs inputs.pt -o run.jitq")
    assert load("run.jitq")["calibrate"].batches == 4


def test_recording_leaves_the_model_file_alone(files):
    before = Path("model.pt").read_bytes()
    run("record model.pt --inputs inputs.pt -o run.jitq")
    assert Path("model.pt").read_bytes() == before


def test_what_was_seen_before_a_failure_is_kept(files, fails):
    code, said = fails("record model.pt --inputs third_fails.pt -o run.jitq")
    assert code == 1
    assert "calibrate failed" in said
    assert "thirteen" in said
    assert "run.jitq" in said
    recording = load("run.jitq")
    assert recording.names == ("fold_conv_bn", "insert_observers", "calibrate")
    assert recording["calibrate"].batches == 2
    assert "thirteen" in str(recording.error)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("record nothing.pt --dynamic -o run.jitq", "no file nothing.pt; name it as seen from "),
        ("record . --dynamic -o run.jitq", "is a folder; name a file in it"),
        ("record state_dict.pt --dynamic -o run.jitq", "torch.jit.save"),
        ("record model.pt -o run.jitq", "--inputs"),
        ("record model.pt --inputs model.pt -o run.jitq", "torch.save"),
        ("record model.pt --inputs no_list.pt -o run.jitq", "list of batches"),
        ("record model.pt --inputs no_batch.pt -o run.jitq", "batch 1 is of type int"),
        ("record model.pt --dynamic --qconfig fbgm -o run.jitq", "float16_dynamic"),
        ("record model.pt --inputs inputs.pt --qconfig fbgm -o run.jitq", "fbgemm"),
        ("record model.pt --inputs inputs.pt --engine fbgm -o run.jitq", "must be one of"),
        ("record model.pt --dynamic --method f -o run.jitq", "--on-device"),
        ("record model.pt --on-device --method f -o run.jitq", "must be one of forward"),
        ("record model.pt --dynamic -o nowhere/run.jitq", "nowhere"),
        ("record model.pt --dynamic -o model.pt", "overwrite"),
        ("show nothing.jitq", "nothing.jitq"),
        ("show model.pt", "model.pt is no recording; jitq-explore record"),
        ("diagnose state_dict.pt", "torch.jit.save"),
        ("report nothing.jitq -o page.html", "nothing.jitq"),
        ("report model.pt -o nowhere/page.html", "nowhere"),
        ("report model.pt -o model.pt", "overwrite"),
        ("report model.pt --other no_list.pt -o no_list.pt", "overwrite"),
        ("demo -o model.pt", "model.pt"),
        ("help comprae", "did you mean compare"),
    ],
)
def test_bad_input_is_said_in_one_line(files, fails, command, message):
    code, said = fails(command)
    assert code == 2
    assert message in said
    assert not Path("run.jitq").exists()


@pytest.mark.parametrize(
    "command", ["", "dmeo", "record", "show", "record model.pt --dynamic", "report run.jitq"]
)
def test_so_are_mistyped_commands(capsys, command):
    with pytest.raises(SystemExit) as ended:
        run(command)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("jitq-explore: error: ")
    assert "--help" in said
    assert said.count("\n") == 1


def test_an_output_that_cannot_be_written_is_said_by_its_name(demo, fails, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/somewhere/.0123.tmp")

    monkeypatch.setattr(os, "replace", full)
    code, said = fails(f"report {demo.folder}/digits.jitq -o {demo.folder}/page.html")
    assert code == 2
    assert "page.html: No space left on device; name another place with -o" in said


def test_a_traceback_is_shown_when_asked_for(files, capsys):
    run("show nothing.jitq --traceback")
    assert "Traceback" in capsys.readouterr().err


def test_an_unknown_stage_is_answered_with_the_known_ones(demo, fails):
    code, said = fails(f"show {demo.folder}/digits.jitq insert_observer")
    assert code == 2
    assert "insert_observers" in said


def test_names_in_a_recording_cannot_steer_the_terminal(demo, tmp_path, capsys):
    recording = demo.result.recording
    hostile = replace(recording, qconfig={"\x1b]0;title\x07\u202e": "\x1b[31mred"})
    save(hostile, tmp_path / "hostile.jitq")
    assert main(["show", str(tmp_path / "hostile.jitq")]) == 0
    said = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


@pytest.mark.parametrize(
    ("command", "said"), [("show", "insert_observers"), ("report -o page.html", "page.html")]
)
def test_reading_needs_no_torch(demo, tmp_path, command, said):
    program = "import sys; sys.modules['torch'] = None; from jitq_explore.cli import main; sys.exit(main())"
    arguments = [*command.split(), f"{demo.folder.resolve()}/digits.jitq"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert said in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        run("--version")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jitq-explore {__version__}\n"


def test_the_help_of_record_explains_every_qconfig(capsys):
    with pytest.raises(SystemExit):
        run("record --help")
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in (*STATIC, *DYNAMIC))


@pytest.mark.parametrize(
    ("mode", "name"),
    [("static", name) for name in STATIC] + [("dynamic", name) for name in DYNAMIC],
)
def test_every_named_qconfig_can_be_made(mode, name):
    assert type(make_qconfig(name, mode)).__name__ == "QConfig"


def test_the_tour_of_a_checkout_is_opened_where_it_is():
    tour = find_tour(Path.cwd())
    assert tour.parent.name == "notebooks"
    assert json.loads(tour.read_text(encoding="utf-8"))["cells"]


def test_notebooks_are_copied_and_never_overwritten(tmp_path):
    notebooks = find_tour(Path.cwd()).parent
    mine = tmp_path / "tour.ipynb"
    mine.write_text("mine", encoding="utf-8")
    copy_notebooks(notebooks, tmp_path)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in notebooks.glob("*.ipynb")
    }
