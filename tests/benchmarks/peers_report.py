"""What `peers.py` measured, as Markdown and as a picture for light and dark pages."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers_ways import NETS, STAGES

ENOUGH = 0.9
"""The share of a stage's marks that a picture must have to count as showing the stage."""

MARKS = {
    "float": "layers",
    "prepared": "observers",
    "debug": "quantize nodes",
    "final": "quantized kernels",
}
DIFFERENCES = {
    "jitq_explore": "drawn, node by node",
    "print + difflib": "lines of text",
}
NOTES = {
    "jitq_explore": "quantizes the float file itself, in the time given",
    "Netron": "draws what is in the observers (numel, eq, If), but not which observer it is; keeps no file",
    "TensorBoard": "its export, without the time that its viewer takes",
    "torchview": "the eager model; a ScriptModule is one box",
    "torchvista": "the eager model; a ScriptModule fails",
    "print + difflib": "text, no picture",
}

_BETWEEN = re.compile(r"(<!-- peers -->\n).*?(<!-- /peers -->)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """What a tool made of a stage of a net, in its best way."""

    way: str
    runs: tuple[dict[str, Any], ...]

    @property
    def best(self) -> dict[str, Any]:
        return min(self.runs, key=lambda run: (bool(run["error"]), run["seconds"]))

    @property
    def share(self) -> float:
        return self.best["marks"] / self.best["of"] if self.best["of"] else 0.0

    @property
    def shown(self) -> bool:
        return not self.best["error"] and self.share >= ENOUGH

    @property
    def complaint(self) -> str:
        """The tool's own words, where it made no picture."""
        said = self.best["error"].splitlines()[0] if self.best["error"] else ""
        said = said.removeprefix("NoPictureError: ")
        return re.sub(r"^TimeoutError: .*?(\d+)000ms.*", r"nothing drawn in \1 s", said)


class Board:
    """The cells by tool, net and stage."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        cells = found["cells"]
        self.tools = tuple(dict.fromkeys(cell["tool"] for cell in cells))
        self.nets = tuple(dict.fromkeys(cell["net"] for cell in cells))

    def ways(self, tool: str, net: str, stage: str) -> list[Cell]:
        where = tool, net, stage
        return [
            Cell(cell["way"], tuple(cell["runs"]))
            for cell in self.found["cells"]
            if (cell["tool"], cell["net"], cell["stage"]) == where
        ]

    def cell(self, tool: str, net: str, stage: str) -> Cell:
        """The stage in the way that shows it soonest, else in the one that shows most of it."""

        def merit(cell: Cell) -> tuple[float, ...]:
            best = cell.best
            if cell.shown:
                return 2, -best["seconds"]
            return float(not best["error"]), cell.share, best.get("nodes", 0)

        return max(self.ways(tool, net, stage), key=merit)

    def shown(self, tool: str, net: str) -> list[Cell]:
        cells = (self.cell(tool, net, stage) for stage in STAGES)
        return [cell for cell in cells if cell.shown]

    def seconds(self, tool: str, net: str) -> list[float]:
        return [run["seconds"] for cell in self.shown(tool, net) for run in cell.runs]

    def starts(self, tool: str) -> list[float]:
        """Process start and imports, and the browser's start, where there was one."""
        cells = (cell for net in self.nets for cell in self.shown(tool, net))
        return [run["start"] + run["browser"] for cell in cells for run in cell.runs]


def write_report(found: dict[str, Any], folder: Path, readme: Path | None) -> None:
    """peers.md and the pictures in the folder, the summary in the README."""
    board = Board(found)
    for theme in PALETTES:
        draw(board, folder / f"peers-{theme}.svg", theme)
    (folder / "peers.md").write_text(
        f"# Scoreboard\n\n{summary(board, '.')}\n{details(board)}", encoding="utf-8"
    )
    if readme is not None:
        where = Path(os.path.relpath(folder, readme.parent)).as_posix()
        text = (
            f"{summary(board, where)}\nEvery picture, every error: [peers.md]({where}/peers.md).\n"
        )
        old = readme.read_text(encoding="utf-8")
        new, count = _BETWEEN.subn(lambda found: found[1] + text + found[2], old)
        if not count:
            raise SystemExit(f"{readme} has no lines <!-- peers --> and <!-- /peers -->")
        readme.write_text(new, encoding="utf-8")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |\n" for line in lines)


def summary(board: Board, where: str) -> str:
    """The picture and one row a tool."""

    def row(tool: str) -> list[str]:
        def each(text: Callable[[str], str]) -> str:
            return " · ".join(text(net) if board.shown(tool, net) else "–" for net in board.nets)

        starts = board.starts(tool)
        shown = " · ".join(str(len(board.shown(tool, net))) for net in board.nets)
        return [
            tool,
            shown,
            "yes" if board.cell(tool, board.nets[0], "prepared").shown else "no",
            DIFFERENCES.get(tool, "no"),
            each(lambda net: spread(board.seconds(tool, net))),
            spread(starts) if starts else "–",
            each(lambda net: f"{max(c.best['nodes'] for c in board.shown(tool, net)):,}"),
            each(lambda net: size(max(c.best["bytes"] for c in board.shown(tool, net)))),
        ]

    head = (
        "", "stages shown, of 4", "observers", "difference of stages", "time to picture, s",
        "start, s", "nodes, at most", "bytes, at most",
    )  # fmt: skip
    nets = ", ".join(NETS[net] for net in board.nets)
    versions = ", ".join(f"{name} {version}" for name, version in board.found["versions"].items())
    notes = "".join(f"- {tool}: {NOTES[tool]}\n" for tool in board.tools)
    picture = (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{where}/peers-dark.svg">'
        f'<img alt="Which tool shows which stage, and how long it takes" '
        f'src="{where}/peers-light.svg"></picture>\n'
    )
    return (
        f"{picture}\n{table(head, map(row, board.tools))}\n"
        f"In this order: {nets}. Seconds: median / best; those before the tool begins (process, "
        "imports, browser) are told apart.\n\n"
        f"{notes}\nMeasured by `tests/benchmarks/peers.py` with {versions}.\n"
    )


def details(board: Board) -> str:
    """Every stage in every tool's best way, what failed, and the differences."""
    parts = [
        "\nA stage is shown when the picture has at least nine tenths of what makes it that stage: "
        + ", ".join(f"{stage}: {marks}" for stage, marks in MARKS.items())
        + ". A label that stands for several of them counts once.\n"
    ]
    for net in board.nets:
        rows = (
            [tool, *(in_words(board.cell(tool, net, stage), stage) for stage in STAGES)]
            for tool in board.tools
        )
        parts.append(f"\n## {NETS[net]}\n\n{table(('', *STAGES), rows)}")
    complaints = dict.fromkeys(
        (tool, cell.way, stage, cell.complaint)
        for net in board.nets
        for tool in board.tools
        for stage in STAGES
        for cell in board.ways(tool, net, stage)
        if cell.complaint
    )
    parts.append("\n## What they said where they failed\n\n")
    parts.append(table(("tool", "way", "stage", "error"), complaints))
    parts.append("\n## Differences between stages\n\n")
    parts.append(table(("net", "stages", *DIFFERENCES), _difference_rows(board)))
    parts.append("\nLines or nodes added, removed and changed, of how many there were before.\n")
    return "".join(parts)


def _difference_rows(board: Board) -> Iterable[list[str]]:
    for net, pairs in board.found["differences"].items():
        for pair, counts in pairs.items():
            yield [NETS[net], pair, *(_difference(counts[tool]) for tool in DIFFERENCES)]


def _difference(counts: list[int]) -> str:
    added, removed, changed, before = counts
    return f"+{added:,} −{removed:,} ~{changed:,} of {before:,}"


def in_words(cell: Cell, stage: str) -> str:
    best = cell.best
    if best["error"]:
        return f"✗ {cell.complaint}"
    seconds = spread([run["seconds"] for run in cell.runs])
    sign = "✓" if cell.shown else "✗"
    marks = f"{best['marks']:,} of {best['of']:,} {MARKS[stage]}"
    return (
        f"{sign} {marks}; {best['nodes']:,} nodes, {seconds} s, {size(best['bytes'])} ({cell.way})"
    )


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} / {min(seconds):.1f}"


def size(count: int) -> str:
    if not count:
        return "none"  # drawn in the browser alone
    return f"{count / 2**20:.1f} MB" if count > 2**20 else f"{max(1, round(count / 2**10))} KB"


PALETTES = {
    "light": {"ink": "#1f2328", "faint": "#59636e", "yes": "#0072b2", "no": "#eceef0"},
    "dark": {"ink": "#f0f6fc", "faint": "#9198a1", "yes": "#0072b2", "no": "#262c36"},
}
SIGNS = {
    "resnet18": ("o", "#009e73"),
    "transformer12": ("s", "#cc79a7"),
    "resnet152": ("^", "#d55e00"),
}


def draw(board: Board, path: Path, theme: str) -> None:
    """Left: which stage of which net is shown, and by how many nodes; right: the time it takes."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    colour = PALETTES[theme]
    settings = {
        "text.color": colour["ink"],
        "axes.labelcolor": colour["ink"],
        "xtick.color": colour["ink"],
        "ytick.color": colour["ink"],
        "font.size": 9,
        "svg.hashsalt": "peers",
    }
    with plt.rc_context(settings):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(11, 3.9), width_ratios=(2.7, 1), layout="constrained", sharey=True
        )
        _draw_stages(board, left, colour)
        _draw_times(board, right, colour)
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


def _draw_stages(board: Board, axes: Any, colour: dict[str, str]) -> None:
    from matplotlib.patches import Rectangle

    places = []
    for k, net in enumerate(board.nets):
        left = k * (len(STAGES) + 0.35)
        axes.text(left + 1.95, -1.35, NETS[net], ha="center", va="center", weight="bold")
        for n, stage in enumerate(STAGES):
            places.append((left + n + 0.45, stage))
            for y, tool in enumerate(board.tools):
                cell = board.cell(tool, net, stage)
                eager = cell.way.startswith("eager")
                face = colour["yes"] if cell.shown and not eager else colour["no"]
                edge = colour["yes"] if cell.shown else face
                axes.add_patch(Rectangle((left + n, y - 0.42), 0.9, 0.84, fc=face, ec=edge, lw=1.5))
                ink = "white" if face == colour["yes"] else colour["ink"]
                axes.text(left + n + 0.45, y, _word(cell), ha="center", va="center",
                          color=ink, fontsize=8, linespacing=0.95)  # fmt: skip
    for x, stage in places:
        axes.text(x, -0.75, stage, ha="center", va="center", fontsize=8)
    axes.set_xlim(-0.05, places[-1][0] + 0.5)
    axes.set_ylim(len(board.tools) - 0.5, -1.7)
    axes.set_yticks(range(len(board.tools)), board.tools)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.set_xlabel("✓ and nodes shown; else what is missing. float: the layers, prepared: the "
                    "observers,\ndebug: the quantize nodes, final: the quantized kernels",
                    fontsize=8)  # fmt: skip
    axes.spines[:].set_visible(False)


def _word(cell: Cell) -> str:
    if cell.best["error"]:
        return "✗\nerror" if "drawn in" not in cell.complaint else "✗\nempty"
    if cell.shown:
        eager = "\n(eager)" if cell.way.startswith("eager") else ""
        return f"✓ {cell.best['nodes']:,}{eager}"
    return f"✗ {cell.best['marks']}\nof {cell.best['of']}"


def _draw_times(board: Board, axes: Any, colour: dict[str, str]) -> None:
    for k, net in enumerate(board.nets):
        sign, face = SIGNS[net]
        shown = [(y, board.seconds(tool, net)) for y, tool in enumerate(board.tools)]
        points = [(statistics.median(found), y) for y, found in shown if found]
        offset = (k - (len(board.nets) - 1) / 2) * 0.22
        axes.scatter([x for x, _ in points], [y + offset for _, y in points], s=34, marker=sign,
                     color=face, label=NETS[net], zorder=3)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set_xlabel(
        "seconds from file to picture (median)\nTensorBoard: to its event file", fontsize=8
    )
    axes.grid(axis="x", color=colour["no"], zorder=0)
    axes.tick_params(length=0, labelleft=False)
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper center", ncols=1, frameon=False, fontsize=8, bbox_to_anchor=(0.5, 1.03),
                borderaxespad=0, labelspacing=0.2)  # fmt: skip
