"""`jitq-explore lab`: JupyterLab, open on the tour."""

from __future__ import annotations

import argparse
import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from jitq_explore.cli.parser import Commands, command
from jitq_explore.cli.printing import say

TOUR = "tour.ipynb"
"""The notebook to begin with; it leads to the others."""

COPIES = "jitq-notebooks"
"""The folder for the notebooks where there is no checkout."""


def lab(options: argparse.Namespace) -> None:
    """Be JupyterLab, open on the tour, until it is stopped."""
    from jupyterlab.labapp import LabApp

    notebook = find_tour(Path.cwd())
    say(f"Opening {notebook} in JupyterLab; stop it with Ctrl-C.")
    LabApp.launch_instance([*jupyter_arguments(notebook, options), *options.jupyter])


def jupyter_arguments(notebook: Path, options: argparse.Namespace) -> list[str]:
    """What JupyterLab is told, so that the addresses it prints lead to the notebook too."""
    arguments = [
        f"--ServerApp.root_dir={notebook.parent}",
        f"--LabApp.default_url=/lab/tree/{notebook.name}",
    ]
    if options.port is not None:
        arguments.append(f"--port={options.port}")
    if options.no_browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # JupyterLab refuses root unless told; in a container one often is nothing else. It listens
        # on this machine alone and asks for its token, as it does for everybody.
        arguments.append("--allow-root")
    return arguments


def find_tour(folder: Path) -> Path:
    """The tour: a checkout's own, else a copy below `folder`, beside copies of the others."""
    checkout = Path(__file__).parent.parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "notebooks" / TOUR
    own = folder / "notebooks" / TOUR
    if own.is_file() and (folder / "jitq_explore").is_dir():
        return own
    return copy_notebooks(resources.files("jitq_explore") / "notebooks", folder / COPIES) / TOUR


def copy_notebooks(source: Traversable, folder: Path) -> Path:
    """The folder, with a copy of every notebook; those that are there already stay as they are."""
    folder.mkdir(exist_ok=True)
    for notebook in source.iterdir():
        copy = folder / notebook.name
        if notebook.name.endswith(".ipynb") and not copy.exists():
            copy.write_bytes(notebook.read_bytes())
    return folder


def describe(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        lab,
        "open JupyterLab on the tour, a notebook that steps through the demo",
        """\
Opens JupyterLab on notebooks/tour.ipynb of a checkout, which leads to the
other notebooks. Where the package was installed without one, copies are
written to jitq-notebooks/ first; one that is there already is opened as it
is, never overwritten.

What follows -- goes to JupyterLab: jitq-explore lab -- --ip=0.0.0.0""",
    )
    parser.add_argument("--port", type=int, metavar="N", help="the port JupyterLab listens on")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address instead of opening a browser"
    )
    parser.add_argument("jupyter", nargs="*", metavar="-- ARGUMENT", help=argparse.SUPPRESS)
