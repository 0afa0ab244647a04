"""The picture of the explorer in README, made anew: python tests/browser/picture.py

Needs a Chromium. Writes `.assets/explorer-light.png` and `-dark.png`, 1200 px wide.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from browser.lab import open_in_lab  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

CELL = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import jitq_explore as jq
from runs import session
run = session('residual')
run.run()
jq.explore(run, stage='insert_quant_dequant')
"""
WIDTH, HEIGHT = 1200, 1150


def main() -> None:
    """Take both."""
    folder = Path(tempfile.mkdtemp())
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "picture.ipynb")
    assets = ROOT / ".assets"
    assets.mkdir(exist_ok=True)
    with open_in_lab(folder / "picture.ipynb", folder) as lab:
        page = lab.page
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        lab.run_all()
        explorer = page.locator(".jitq").first
        explorer.locator(".jitq-graph g.node").first.wait_for()
        for theme in ("Light", "Dark"):
            page.evaluate(
                "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
                f"JupyterLab {theme}",
            )
            page.evaluate(
                "window.jupyterapp.commands.execute('application:set-mode', {mode: 'single-document'})"
            )
            explorer.locator(".jitq-graph g.node").nth(3).click()
            explorer.evaluate("element => element.scrollIntoView()")
            page.wait_for_timeout(1500)
            # Nothing is still asked for.
            expect(explorer.locator(".jitq-waiting")).to_be_empty()
            expect(explorer.locator("[aria-busy]")).to_have_count(0)
            box = explorer.bounding_box()
            assert box is not None
            clip = {"x": box["x"] - 4, "y": box["y"] - 4, "width": box["width"] + 8}
            clip["height"] = min(box["height"] + 8, HEIGHT - clip["y"] - 30)
            page.screenshot(path=str(assets / f"explorer-{theme.lower()}.png"), clip=clip)


if __name__ == "__main__":
    main()
