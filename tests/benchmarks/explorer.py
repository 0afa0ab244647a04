"""How quick the explorer is in a real JupyterLab, in headless Chromium.

    python tests/benchmarks/explorer.py [digits | resnet152] ...

step     from pressing → to the painted graph of the next stage, milliseconds, median
row      from clicking a box of the graph to its row marked in the table, median
drift    the furthest that a box which is there before and after a step was from its place, in any
         frame until 15 frames after it, pixels; and of how many boxes, in the step with the fewest
blank    frames in which no box was to be seen during the steps
frame    from one frame to the next while many boxes (all modules unfolded, before and after side by
         side) are dragged and zoomed, milliseconds: median, and what 95 of 100 are below
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

# Presses a key and watches every frame until the graph of the next stage is painted, and some more.
_STEP = """(key) => new Promise(resolve => {
    const root = document.querySelector('.jitq');
    const room = root.querySelector('.jitq-graph-body').getBoundingClientRect();
    const boxes = () => [...root.querySelectorAll('.jitq-graph g.node')];
    const graph = () => [...root.querySelectorAll('.jitq-graph svg:has(g.node)')].at(-1);
    const places = () => new Map(boxes().map(box => [box.dataset.box, box.getBoundingClientRect()]));
    const isSeen = ({left, right, top, bottom}) => right > room.left && left < room.right
        && bottom > room.top && top < room.bottom;
    const isBlank = () => !boxes().some(box => isSeen(box.getBoundingClientRect())
        && box.checkVisibility({opacityProperty: true, visibilityProperty: true}));
    const old = graph(), before = places(), start = performance.now();
    let blank = 0, drift = 0, common = [];
    const compare = () => {
        const now = places();
        common = [...now.keys()].filter(name => before.has(name));
        for (const name of common) {
            const [one, other] = [before.get(name), now.get(name)];
            drift = Math.max(drift, Math.hypot(one.x - other.x, one.y - other.y));
        }
    };
    root.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    const look = () => {
        if (isBlank()) blank += 1;
        if (graph() === old && performance.now() - start < 5000)
            return requestAnimationFrame(look);
        // This frame lays the new graph out; when the next one begins it has been painted.
        requestAnimationFrame(() => rest(performance.now() - start, 15));
    };
    const rest = (spent, frames) => {
        if (isBlank()) blank += 1;
        compare();
        if (!frames) return resolve({spent, blank, drift, compared: common.length});
        requestAnimationFrame(() => rest(spent, frames - 1));
    };
    requestAnimationFrame(look);
})"""

# Notes how long each frame takes, until it is asked for them.
_WATCH = """() => {
    let last = performance.now();
    window.frameTimes = [];
    const look = now => {
        window.frameTimes?.push(now - last);
        last = now;
        if (window.frameTimes) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
_WATCHED = (
    "() => { const found = window.frameTimes.slice(1); window.frameTimes = null; return found; }"
)

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
        boxes, frames = frames_of(page)
    spent = [step["spent"] for step in steps]
    print(f"{net}: step {statistics.median(spent):.0f} ms (at most {WANTED[net]}),", end=" ")
    print(
        f"slowest {max(spent):.0f}; row {statistics.median(rows):.0f} ms (at most {ROW});", end=" "
    )
    compared = min(step["compared"] for step in steps)
    print(
        f"drift {max(step['drift'] for step in steps):.1f} px of {compared} boxes or more,", end=" "
    )
    print(f"{sum(step['blank'] for step in steps)} blank frames;", end=" ")
    p95 = statistics.quantiles(frames, n=20)[-1]
    print(f"frame {statistics.median(frames):.0f} ms, p95 {p95:.0f} ms ({boxes} boxes)")


def frames_of(page) -> tuple[int, list[float]]:
    """How many boxes are drawn, with all modules unfolded and two sides; how long the frames are, milliseconds,
    while they are dragged and zoomed by a mouse."""
    explorer = page.locator(".jitq").first
    # Here before and after are alike, and have the most boxes.
    explorer.locator("button.jitq-card", has_text="calibrate").click()
    explorer.get_by_role("button", name="Unfold all").click()
    page.wait_for_timeout(8000)  # milliseconds, for the layout
    explorer.get_by_role("button", name="Side by side").click()
    page.wait_for_timeout(3000)
    explorer.get_by_role("button", name="Fit", exact=True).click()
    page.wait_for_timeout(1000)
    room = explorer.locator(".jitq-graph-body").bounding_box()
    x, y = room["x"] + room["width"] / 2, room["y"] + room["height"] / 2
    page.mouse.move(x, y)
    page.evaluate(_WATCH)
    page.mouse.down()
    for turn in range(4):
        page.mouse.move(x + (120 if turn % 2 else -120), y + 60, steps=30)
    page.mouse.up()
    page.keyboard.down("Control")
    for turn in range(60):
        page.mouse.wheel(0, -30 if turn < 30 else 30)
        page.wait_for_timeout(16)
    page.keyboard.up("Control")
    frames = page.evaluate(_WATCHED)
    return explorer.locator(".jitq-graph g.node").count(), frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=list(CELLS), help=f"of {', '.join(CELLS)}")
    for net in parser.parse_args().nets:
        measure(net)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
