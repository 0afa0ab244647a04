"""The reference of the public names."""

from __future__ import annotations

from pathlib import Path

import pytest

import jitq_explore as jq
from jitq_explore import testing
from jitq_explore.cli import main
from jitq_explore.reference import TOPICS, reference


def test_every_public_name_is_in_one_topic():
    named = [name for _, names in TOPICS for name in names]
    asserted = {f"testing.{name}" for name in vars(testing) if name.startswith("assert_")}
    assert sorted(named) == sorted(set(jq.__all__) - {"__version__"} | asserted)


def test_every_public_name_and_method_says_what_it_is():
    for _, entries in reference().topics:
        for entry in entries:
            assert entry.summary.endswith((".", ":")), entry.name
            assert not entry.doc.startswith(f"{entry.name}("), f"{entry.name} has no docstring"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("diff", "diff(recording: Recording, before: str, after: str, method: str | None = None)"),
        ("jq.Session.step", "step() -> StageRecord"),
        ("jitq_explore.testing.assert_sqnr", "testing.assert_sqnr(recording: "),
        (
            "Session",
            ".on_device(model: ScriptModule, qconfig_dict: Mapping[str, Any], method_name: str = 'forward'",
        ),
        (None, "Tables\n  stage_table"),
    ],
)
def test_names_are_told_of(name: str | None, said: str, capsys: pytest.CaptureFixture[str]):
    assert said in reference(name).text()
    assert main(["help", *([name] if name else [])]) == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [("comprae", "'comprae' is no public name"), ("Session.stpe", "Session has no 'stpe'")],
)
def test_names_that_are_not_there(name: str, said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyError, match=said):
        reference(name)
    assert main(["help", name]) == 2
    assert said in capsys.readouterr().err


def test_it_is_a_page_too(tmp_path: Path):
    page = tmp_path / "reference.html"
    assert main(["help", "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert '<details id="explore">' in text
    assert "default-src 'none'" in text
    assert "<code>Session.static</code>" in text
