"""What README says: its snippets run, and the names that it names are there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

import jitq_explore as jq

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_snippets_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    there: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, snippet in enumerate(SNIPPETS):
            exec(compile(snippet, f"README snippet {number}", "exec"), there)
    assert isinstance(there["recording"], jq.Recording)
    assert {path.name for path in tmp_path.iterdir()} == {"run.jitq", "run.html"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bjq\.(\w+)", README))))
def test_the_names_are_there(name: str):
    assert name in jq.__all__


@pytest.mark.parametrize("path", sorted(set(re.findall(r'(?:src|srcset)="([^"]+)"', README))))
def test_the_pictures_are_there(path: str):
    assert (Path(__file__).parent.parent / path).is_file()
