"""How quick the explorer is in a real JupyterLab, in headless Chromium.

    python tests/benchmarks/explorer.py [digits | resnet152] ...

step     from pressing → to the painted graph of the next stage, milliseconds, median
row      from clicking a box of the graph to its row marked in the table, median
drift    the furthest that an unchanged box moved in a step, pixels
blank    frames in which no box was to be seen during the steps
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

WANTED = {"digits": 150, "resnet152": 400}
"""Net -> how many milliseconds a step may take."""

ROW = 400
"""How many milliseconds a row may take."""

CELLS = {
    "digits": """
import jitq_explore as jq, torch
from jitq_explore import demo
data = demo.digits()
scripted = torch.jit.script(demo.train(data.train))
batches = [data.calibration]
calibrate = demo.calibrate
""",
    "resnet152": """
import sys
sys.path.insert(0, {here!r})
import jitq_explore as jq, torch
from generated import images, scripted_resnet
scripted, batches = scripted_resnet(152), [images(1)]
def calibrate(model, batches):
    for batch in batches:
        model(batch)
""",
}
SHOW = """
from torch.ao.quantization import get_default_qconfig
session = jq.Session.static(
    scripted, {"": get_default_qconfig("fbgemm")}, calibrate, batches, progress=False
)
session.run()
jq.explore(session, stage="fold_conv_bn")
"""

# Presses → and watches every frame until the graph of the next stage is painted.
_STEP = """(key) => new Promise(resolve => {
    const root = document.querySelector('.jitq');
    const graph = () => [...root.querySelectorAll('.jitq-graph svg:has(g.node)')].at(-1);
    const places = () => Object.fromEntries([...root.querySelectorAll('.jitq-graph g.node')]
        .map(box => [box.dataset.box, box.getBoundingClientRect()]));
    const old = graph(), before = places(), start = performance.now();
    let blank = 0;
    root.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    const look = () => {
        if (!root.querySelector('.jitq-graph g.node')) blank += 1;
        if (graph() === old && performance.now() - start < 5000)
            return requestAnimationFrame(look);
        // This frame lays the new graph out; when the next one begins it has been painted.
        requestAnimationFrame(() => {
            const spent = performance.now() - start, after = places();
            const moved = Object.keys(before).filter(name => after[name]).map(name =>
                Math.hypot(before[name].x - after[name].x, before[name].y - after[name].y));
            resolve({spent, blank, drift: Math.max(0, ...moved)});
        });
    };
    requestAnimationFrame(look);
})"""

_ROW = """(number) => new Promise(resolve => {
    const root = document.querySelector('.jitq');
    const marked = () => root.querySelector('tr.jitq-here')?.textContent;
    const boxes = [...root.querySelectorAll('.jitq-graph g.node.observer')];
    const box = boxes[number % boxes.length], old = marked(), start = performance.now();
    const {x, y, width, height} = box.getBoundingClientRect();
    const at = {clientX: x + width / 2, clientY: y + height / 2, bubbles: true, pointerId: 1};
    for (const name of ['pointerdown', 'pointerup']) box.dispatchEvent(new PointerEvent(name, at));
    box.dispatchEvent(new MouseEvent('click', at));
    const look = () => {
        if ((marked() && marked() !== old) || performance.now() - start > 5000)
            return requestAnimationFrame(() => resolve(performance.now() - start));
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""


def measure(net: str) -> None:
    import nbformat
    from browser.lab import open_in_lab

    work = Path(tempfile.mkdtemp())
    here = str(Path(__file__).parent)
    sources = (CELLS[net].format(here=here) if "{here" in CELLS[net] else CELLS[net], SHOW)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), work / "run.ipynb")
    with open_in_lab(work / "run.ipynb", work) as lab:
        lab.run_all(300)
        assert not lab.errors, lab.errors
        page = lab.page
        page.wait_for_selector(".jitq .jitq-graph g.node")
        page.locator(".jitq").first.scroll_into_view_if_needed()
        page.wait_for_timeout(4000)  # milliseconds: what a reader takes to look around
        keys = (["ArrowRight"] * 5 + ["ArrowLeft"] * 5) * 2
        steps = []
        for key in keys:
            steps.append(page.evaluate(_STEP, key))
            page.wait_for_timeout(300)
        page.locator(".jitq button.jitq-card", has_text="insert_observers").click()
        page.wait_for_timeout(1000)
        rows = [page.evaluate(_ROW, number) for number in range(9)]
    spent = [step["spent"] for step in steps]
    print(f"{net}: step {statistics.median(spent):.0f} ms (at most {WANTED[net]}),", end=" ")
    print(
        f"slowest {max(spent):.0f}; row {statistics.median(rows):.0f} ms (at most {ROW});", end=" "
    )
    print(f"drift {max(step['drift'] for step in steps):.1f} px,", end=" ")
    print(f"{sum(step['blank'] for step in steps)} blank frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=list(CELLS), help=f"of {', '.join(CELLS)}")
    for net in parser.parse_args().nets:
        measure(net)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
