"""Graphs and diffs made by hand, for drawings of them."""

from __future__ import annotations

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import Attribute, Block, Graph, Node, Value

HOSTILE = (
    "</script><img src=x onerror=\"alert('1')\"> \\N \\G \\n & &lt;b&gt; <b>\x1b[31m\n\u202e%s{}"
)
"""A name that would break out of HTML, SVG, DOT, a terminal and a line, if it were let."""


class Builder:
    """Collects nodes; values are known by their names. Node ids are n0, n1, … in order."""

    def __init__(self, *inputs: str) -> None:
        self.inputs = inputs
        self.nodes: list[Node] = []
        self.blocks: dict[str, Block] = {}
        self.types = dict.fromkeys(inputs, "Tensor") | {"self": "__torch__.Net"}

    def node(
        self,
        kind: str,
        *inputs: str,
        out: str | tuple[str, ...] = (),
        path: str = "",
        block: str = "",
        blocks: tuple[str, ...] = (),
        source: str = "",
        **attributes: Attribute,
    ) -> str:
        """Adds a node and returns the name of its (first) output."""
        outputs = (out,) if isinstance(out, str) else out
        self.types.update(dict.fromkeys(outputs, "Tensor"))
        node_id = f"n{len(self.nodes)}"
        self.nodes.append(
            Node(
                node_id, kind, inputs, outputs, attributes, path, source, (), block, blocks
            )
        )  # fmt: skip
        self.blocks.update({name: Block(name, node_id, (), ()) for name in blocks})
        return outputs[0] if outputs else ""

    def constant(self, value: Attribute, out: str, block: str = "") -> str:
        return self.node("prim::Constant", out=out, block=block, value=value)

    def weight(self, path: str, out: str) -> str:
        """Reads `conv.weight` from the model, a node a step."""
        *modules, name = path.split(".")
        value = "self"
        for module in modules:
            value = self.node("prim::GetAttr", value, out=f"{out}/{module}", name=module)
        return self.node("prim::GetAttr", value, out=out, name=name)

    def close(self, block: str, outputs: tuple[str, ...], inputs: tuple[str, ...] = ()) -> None:
        self.types.update(dict.fromkeys(inputs, "Tensor"))
        self.blocks[block] = Block(block, self.blocks[block].owner, inputs, outputs)

    def graph(self, *outputs: str) -> Graph:
        return Graph(
            inputs=("self", *self.inputs),
            outputs=outputs,
            nodes=tuple(self.nodes),
            values={name: Value(name, name, type_) for name, type_ in self.types.items()},
            blocks=self.blocks,
            lines={"net.py:9": "    x = self.conv(x)"},
        )


def pair(
    before: Graph,
    after: Graph,
    pairs: dict[str, str],
    changes: dict[str, tuple[tuple[str, str, str], ...]] | None = None,
    names: tuple[str, str] = ("before", "after"),
) -> GraphDiff:
    """A diff from its answer: `pairs` maps ids before ("n1" or "n1 n2") to ids after.

    `changes` has the changes of a pair under its id after.
    """
    matched = tuple(
        Match(
            tuple(before.node(name) for name in old.split()),
            (after.node(new),),
            "by hand",
            1.0,
            (changes or {}).get(new, ()),
        )
        for old, new in pairs.items()
    )
    old_ids = {name for old in pairs for name in old.split()}
    return GraphDiff(
        before,
        after,
        matched,
        tuple(node for node in after.nodes if node.id not in pairs.values()),
        tuple(node for node in before.nodes if node.id not in old_ids),
        *names,
    )


def unchanged(graph: Graph, changed: tuple[str, ...] = ()) -> GraphDiff:
    """A graph against itself, where the nodes of these ids count as changed."""
    told = (("attributes", "old", "new"),)
    return pair(graph, graph, {n.id: n.id for n in graph.nodes}, dict.fromkeys(changed, told))


def observed() -> GraphDiff:
    """conv → relu, before and after observers are put in front of both inputs of the conv."""
    before = Builder("x")
    weight = before.weight("conv.weight", out="w")
    two = before.constant((2, 2), out="two")
    before.node("aten::conv2d", "x", weight, two, two, out="y", path="conv", source="net.py:9:4")
    before.node("aten::relu", "y", out="z")

    after = Builder("x")
    weight = after.weight("conv.weight", out="w")
    seen = after.node("jitq::observe", "x", out="x.obs", observer="_observer_1")
    weight = after.node("jitq::observe", weight, out="w.obs", path="conv", observer="_observer_0")
    two = after.constant((2, 2), out="two")
    after.node("aten::conv2d", seen, weight, two, two, out="y", path="conv", source="net.py:9:4")
    after.node("aten::relu", "y", out="z")
    pairs = {"n0": "n0", "n1": "n1", "n2": "n4", "n3": "n5", "n4": "n6"}
    return pair(before.graph("z"), after.graph("z"), pairs, names=("fold", "observe"))


def quantized() -> GraphDiff:
    """dequantize → conv → relu → quantize becomes one kernel; the constant for its scale is new."""
    before = Builder("x")
    before.node("aten::dequantize", "x", out="d")
    before.node("aten::conv2d", "d", out="c", path="block.conv")
    before.node("aten::relu", "c", out="r", path="block")
    before.node("aten::quantize_per_tensor", "r", out="q")
    before.node("aten::dequantize", "q", out="y")

    after = Builder("x")
    scale = after.constant(0.5, out="scale")
    after.node("quantized::conv2d_relu", "x", "packed", scale, out="q")
    after.node("aten::dequantize", "q", out="y")
    after.types["packed"] = "Tensor"
    kinds = (("kind", "aten::conv2d + aten::relu", "quantized::conv2d_relu"),)
    return pair(
        before.graph("y"), after.graph("y"), {"n1 n2": "n1", "n4": "n2"}, {"n1": kinds}
    )  # fmt: skip


def layers(count: int, with_modules: bool = True) -> Graph:
    """A long chain of ops, ten to a block, five blocks to a stage."""
    built = Builder("x")
    value = "x"
    for number in range(count):
        path = f"stage{number // 50}.{number // 10 % 5}" if with_modules else ""
        value = built.node("aten::relu", value, out=f"v{number}", path=path)
    return built.graph(value)
