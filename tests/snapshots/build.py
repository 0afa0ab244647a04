"""Small recordings made by hand, and the strategies that make any."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from jitq_explore.snapshots.graph import Attribute, Block, Graph, Node, TensorSummary, Value
from jitq_explore.snapshots.modules import AttributeState, ModuleState, TensorStats
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError, StageRecord
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.steps import Event, Step, StepGraph

NAN, INF = float("nan"), float("inf")


def chain(*kinds: str, values: Iterable[Attribute] = ()) -> Graph:
    """A graph whose nodes each take what the one before makes; `values` become attributes."""
    names = ["x", *(f"{kind}.{i}" for i, kind in enumerate(kinds))]
    given = dict(enumerate(values))
    nodes = tuple(
        Node(
            f"n{i}",
            kind,
            inputs=(names[i],),
            outputs=(names[i + 1],),
            attributes={"value": given[i]} if i in given else {},
            frames=("net.py:9:5", "torch/nn/modules/conv.py:4:1"),
        )
        for i, kind in enumerate(kinds)
    )
    return Graph(
        inputs=("x",),
        outputs=names[-1:] and (names[-1],),
        nodes=nodes,
        values={name: Value(name, name, "Tensor") for name in names},
        lines={"net.py:9": "    x = self.conv(x)"},
    )


def branch() -> Graph:
    """An If with two blocks, the first with a node of its own."""
    nodes = (
        Node("n0", "prim::If", ("x",), ("y",), {}, blocks=("b0", "b1")),
        Node("n1", "aten::relu", ("x",), ("z",), {}, block="b0"),
    )
    blocks = {"b0": Block("b0", "n0", (), ("z",)), "b1": Block("b1", "n0", (), ("x",))}
    return Graph(("x",), ("y",), nodes, {n: Value(n, n, "Tensor") for n in "xyz"}, blocks)


def module(path: str = "", group: str = "Net", **attributes: AttributeState) -> ModuleState:
    return ModuleState(path, f"net.{group}", group, False, False, ("forward",), attributes)


def snapshot(
    graph: Graph,
    text: str = "graph(%x): …",
    modules: tuple[ModuleState, ...] = (module(),),
    observers: tuple[ObserverReading, ...] = (),
    code: str = "def forward(self, …",
) -> Snapshot:
    groups = dict.fromkeys(module.class_group for module in modules)
    return Snapshot(
        texts={(group, "forward"): text for group in groups},
        bodies={(group, "forward"): graph for group in groups},
        modules=modules,
        observers=observers,
        codes={(group, "forward"): code for group in groups},
    )


def recording(*snapshots: Snapshot, names: Iterable[str] = ()) -> Recording:
    """The first snapshot is the model as given, each other one what a stage made of it."""
    names = tuple(names) or tuple(f"stage{i}" for i in range(1, len(snapshots)))
    steps = zip(names, snapshots, snapshots[1:], strict=False)
    stages = tuple(StageRecord(name, before, after, 0.25) for name, before, after in steps)
    return Recording(
        "static", snapshots[0], stages, names, {"": "QConfig(…)", "fc": "None"}, "2.13.0", "x86"
    )


def reading(counts: tuple[float, ...] = (0.0, 3.0, 1.5)) -> ObserverReading:
    return ObserverReading(
        "conv", "_observer_1", "torch.HistogramObserver", "quint8", "per_tensor_affine",
        0, 127, None, (-1.0,), (INF,), (NAN,), (0,), True, Histogram(counts, -1.0, 1.0),
        {"bins": 3},
    )  # fmt: skip


def inner_steps() -> tuple[Step, ...]:
    """Two steps, of which the second begins where the first ends."""
    before, after = (StepGraph(("graph():", f"  {k}", "  return ()")) for k in range(2))
    event = Event("fused", "made é\0\ud800", ("x", "y"), "conv", "because")
    return (Step("fuse", "one", (event,), before, after, "a → b"), Step("rest", "", (), after))


def typical() -> Recording:
    """Four snapshots with a bit of everything; most of each is the one before."""
    stats = TensorStats("float32", (2, 3), 24, 1.5, 0, 0, "c0ffee", (1.5, 0.1))
    weight = AttributeState(
        "parameter", "Tensor", tensor=stats, scale=(0.1, 0.2), zero_point=(0, 0)
    )
    modules = (module(), module("conv", "Conv", weight=weight), module("conv2", "Conv", w=weight))
    constants = (
        1,
        True,
        1.0,
        None,
        "é\0\ud800",
        (1, (2.0, ())),
        TensorSummary("int64", (1,), "d", (7,)),
    )
    given = snapshot(chain("aten::conv2d", "aten::relu"), modules=modules)
    folded = snapshot(chain(*["prim::Constant"] * 7, values=constants), modules=modules)
    calibrated = snapshot(branch(), modules=modules, observers=(reading(),))
    made = recording(given, folded, folded, calibrated)
    failed = StageRecord(
        "dce", calibrated, calibrated, 0.0, StageError("RuntimeError", "no"), steps=inner_steps()
    )
    return Recording(
        made.mode,
        given,
        (*made.stages, failed),
        made.planned,
        made.qconfig,
        "2.13.0",
        "x86",
        seed=0,
        rules=(FusionRule("a → b", "graph():", "", "static", "c0ffee"),),
    )


texts = st.text(st.characters(), max_size=8)  # any code point, halves of surrogate pairs included
floats = st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, NAN, INF])
many_floats = st.lists(floats | st.integers(-3, 3), max_size=6).map(tuple)
summaries = st.builds(TensorSummary, texts, st.tuples(st.integers()), texts, many_floats)
attributes = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | texts | summaries,
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)
graphs = st.builds(
    lambda kinds, values: chain(*kinds, values=values),
    st.lists(texts, max_size=6),
    st.lists(attributes, max_size=6),
)
stats = st.builds(
    TensorStats, texts, st.tuples(st.integers()), st.integers(), floats, st.integers(),
    st.integers(), texts, many_floats,
)  # fmt: skip
states = st.builds(
    AttributeState, texts, texts, attributes, st.none() | stats, many_floats,
    st.lists(st.integers(), max_size=3).map(tuple), st.none() | st.integers(),
)  # fmt: skip
snapshots = st.builds(
    snapshot,
    graphs,
    texts,
    st.dictionaries(texts, states, max_size=3).map(
        lambda found: (ModuleState("", "net.Net", "Net", None, False, ("forward",), found),)
    ),
    st.lists(st.builds(reading, many_floats), max_size=2).map(tuple),
    texts,
)
recordings = st.lists(snapshots, min_size=1, max_size=3).map(lambda found: recording(*found))
