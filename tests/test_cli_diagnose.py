"""`jitq-explore diagnose`: exit codes and formats."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from crashing_nets import NeverCalled, scripted
from torch import nn

from jitq_explore.cli import main
from jitq_explore.cli.diagnose import _annotation
from jitq_explore.diagnostics.findings import Finding


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a healthy model, one that torch's passes die of, and recordings of both."""
    monkeypatch.chdir(tmp_path)
    healthy = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    torch.jit.save(torch.jit.script(healthy), "healthy.pt")
    torch.jit.save(scripted(NeverCalled), "deadly.pt")
    torch.save([torch.randn(16, 3) for _ in range(4)], "inputs.pt")
    main(["record", "healthy.pt", "--inputs", "inputs.pt", "-o", "healthy.jitq"])
    main(["record", "deadly.pt", "--inputs", "inputs.pt", "-o", "deadly.jitq"])
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("healthy.jitq", 0),
        ("healthy.jitq --fail-on warning", 0),
        ("healthy.pt --inputs inputs.pt", 0),
        ("deadly.jitq", 1),
        ("deadly.jitq --fail-on info", 1),
        ("deadly.jitq --fail-on never", 0),
        ("deadly.pt --inputs inputs.pt", 1),
        ("deadly.pt --dynamic", 1),
        ("deadly.pt --dynamic --isolate", 1),
        ("deadly.pt --inputs inputs.pt --remedy", 0),
        ("deadly.pt", 2),
        ("deadly.jitq --dynamic", 2),
        ("nothing.pt --dynamic", 2),
        ("inputs.pt --dynamic", 2),
        ("deadly.pt --on-device --remedy", 2),
    ],
)
def test_exit_codes(files, capsys, command, code):
    capsys.readouterr()
    assert main(["diagnose", *command.split()]) == code
    said = capsys.readouterr()
    assert bool(said.out) == (code != 2)
    assert said.err.startswith("jitq-explore: error: ") == (code == 2)


def test_a_recording_is_known_by_its_content(files, capsys):
    (files / "deadly.jitq").rename("deadly.zip")
    assert main(["diagnose", "deadly.zip"]) == 1


def test_json(files, capsys):
    capsys.readouterr()
    main(["diagnose", "deadly.jitq", "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "deadly.jitq"
    assert told["counts"]["error"] == sum(f["severity"] == "error" for f in told["findings"])
    assert any(f["module"] == "aux" and "None" in f["remedy"] for f in told["findings"])


def test_github(files, capsys):
    capsys.readouterr()
    main(["diagnose", "deadly.jitq", "--format", "github"])
    *annotations, summary = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in annotations)
    assert summary.startswith("deadly.jitq: ")


@pytest.mark.parametrize(
    ("source", "place"),
    [("net.py:3:4", "file=net.py,line=3,col=5,"), ("/usr/lib/net.py:3:4", ""), ("", "")],
)
def test_annotations_point_at_lines_that_github_can_show(tmp_path, monkeypatch, source, place):
    monkeypatch.chdir(tmp_path)
    finding = Finding("rule", "info", "50 % of a, b:", "why\n::error::", source=source)
    line = _annotation(finding)
    assert line.startswith(f"::notice {place}title=50 %25 of a%2C b%3A::")
    assert "\n" not in line


def test_needs_no_torch_for_a_recording(files):
    program = "import sys; sys.modules['torch'] = None; from jitq_explore.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "diagnose", "deadly.jitq"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "aux" in done.stdout
