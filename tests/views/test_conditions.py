"""What an If asks, as one would write it."""

from __future__ import annotations

import pytest
from views.build import Builder

from jitq_explore.views.answers.conditions import condition_of


def built() -> Builder:
    """`self.bn.training`, an input `x` and what is worked out of them; of `k` nothing is known."""
    built = Builder("x", "k")
    built.weight("bn.training", "training")
    built.constant(True, "true")
    built.constant(False, "false")
    built.constant(4, "four")
    built.node("aten::relu", "x", out="y")
    built.node("aten::dim", "y", out="dim")
    built.node("aten::size", "y", out="size")
    built.node("aten::__getitem__", "size", "four", out="item")
    built.node("aten::ne", "dim", "four", out="is_odd")
    built.node("aten::__not__", "is_odd", out="is_even")
    built.node("aten::gt", "y", "four", out="is_large")
    built.node("aten::Bool", "is_large", out="large")
    built.node("prim::Loop", "four", "true", "item", out="sum")
    for name, then, other in (
        ("both", "is_odd", "false"), ("either", "true", "is_odd"), ("one", "dim", "four"),
    ):  # fmt: skip
        built.node("prim::If", "training", out=name, blocks=(f"{name}/0", f"{name}/1"))
        built.close(f"{name}/0", (then,))
        built.close(f"{name}/1", (other,))
    built.node("aten::eq", "sum", "four", out="is_sum")
    built.types |= dict.fromkeys(
        ("training", "dim", "size", "item", "is_odd", "is_even", "large", "sum", "both", "either",
         "one", "is_sum"), "int",
    )  # fmt: skip
    return built


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("training", "bn.training"),
        ("false", "False"),
        ("is_odd", "dim(%y) != 4"),
        ("is_even", "not (dim(%y) != 4)"),
        ("item", "size(%y)[4]"),
        ("both", "bn.training and (dim(%y) != 4)"),
        ("either", "bn.training or (dim(%y) != 4)"),
        ("one", "%one"),
        ("large", "%is_large"),
        ("is_sum", "%sum == 4"),
        ("k", "%k"),
    ],
)
def test_a_condition_is_written_as_in_python(value, text):
    asking = built()
    asking.node("prim::If", value, blocks=("then", "else"))
    graph = asking.graph("y")
    assert condition_of(graph.nodes[-1], graph) == text
    assert condition_of(graph.nodes[0], graph) == ""


def test_what_is_deep_is_called_by_its_name():
    asking = Builder("n")
    asking.types["n"] = "int"
    for depth in range(9):
        asking.node("aten::neg", f"{depth}" if depth else "n", out=f"{depth + 1}")
    asking.types |= dict.fromkeys(map(str, range(10)), "int")
    asking.node("prim::If", "9", blocks=("then", "else"))
    graph = asking.graph("n")
    assert condition_of(graph.nodes[-1], graph) == "neg(neg(neg(neg(%5))))"
