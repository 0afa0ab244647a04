"""The package as a whole: cheap to import, easy to set up, tidy."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import jitq_explore as jq

ROOT = Path(__file__).parent.parent


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "IPython", "ipywidgets", "pandas", "matplotlib", "numpy"}
    assert not loaded_by("import jitq_explore") & heavy


def test_reading_a_recording_loads_no_torch():
    assert "torch" not in loaded_by("import jitq_explore as jq; jq.load, jq.diff, jq.stage_table")


def test_every_public_name_is_there():
    assert all(getattr(jq, name) is not None for name in jq.__all__)


def set_up_commands() -> list[str]:
    """The commands in README's section on setting up: what stands in its fenced blocks."""
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("## Set up")[1].split("\n## ")[0]
    )
    return re.findall(r"```\w*\n(.*?)\n```", section, flags=re.DOTALL)


def test_readme_sets_up_with_two_commands():
    demo, tests = set_up_commands()
    assert demo.endswith("jitq-explore demo")
    assert "pytest" in tests


def test_ci_runs_the_second_of_them():
    assert set_up_commands()[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_top_level_holds_only_what_belongs_there():
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    there = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".")
        and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert there == {"README.md", "jitq_explore", "notebooks", "pyproject.toml", "tests"}
