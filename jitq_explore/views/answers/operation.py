"""What a node does: its attributes, what it takes and gives, and what of it differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from jitq_explore.snapshots.diff import Match
from jitq_explore.snapshots.graph import (
    OBSERVE,
    Attribute,
    Graph,
    Node,
    attribute_names,
    constant_value,
    show_attribute,
)
from jitq_explore.snapshots.modules import AttributeState
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.views import labels
from jitq_explore.views.answers.pages import Page
from jitq_explore.views.answers.sections import pair_row, pairs
from jitq_explore.views.answers.wording import (
    is_packed_name,
    number_text,
    numbers_text,
    without_packed_names,
)
from jitq_explore.views.printable import shorten_end

_LONG = 200
_MANY = 12
_NAMES = {OBSERVE: ("observed",), "prim::If": ("condition",), "prim::GetAttr": ("of",)}


def operation_sections(page: Page, node: Node, gone: bool) -> Iterator[dict[str, object]]:
    """What changed first, then the node as it is."""
    match = _match(page, node, gone)
    old = _same_op(match, node) if match is not None else None
    if match is not None:
        yield from _changes(match)
    attributes = list(_attributes(node.attributes, old.attributes if old else {}))
    if attributes:
        yield pairs("Attributes", attributes, "What is fixed in the node itself")
    if node.inputs:
        yield pairs("Inputs", _inputs(page, node, gone, old), "The values it takes")
    if node.outputs:
        yield pairs("Outputs", _outputs(page, node, gone), "The values it makes")


def _match(page: Page, node: Node, gone: bool) -> Match | None:
    return page.diff.match_after.get(node.id) if page.diff is not None and not gone else None


def _same_op(match: Match, node: Node) -> Node | None:
    """The node of a match that this one can be compared with, input by input."""
    if len(match.before) == 1:
        return match.before[0]
    alike = [old for old in match.before if old.kind == node.kind]
    return alike[0] if len(alike) == len(match.after) == 1 else None


def _changes(match: Match) -> Iterator[dict[str, object]]:
    rows = [
        pair_row(what, _plain(new), _plain(old))
        for what, old, new in match.changes
        if what != "attributes"
    ]
    if rows:
        hint = f"Why it is taken for the same: {match.reason} ({match.confidence:.0%} sure)"
        yield pairs("What changed", rows, hint)


def _plain(text: str) -> str:
    return shorten_end(without_packed_names(text), _LONG)


def _attributes(
    attributes: Mapping[str, Attribute], old: Mapping[str, Attribute]
) -> Iterator[dict[str, object]]:
    for name, value in attributes.items():
        was = shorten_end(show_attribute(old[name]), _LONG) if name in old else None
        yield pair_row(name, shorten_end(show_attribute(value), _LONG), was)
    for name in old.keys() - attributes.keys():
        yield pair_row(name, "", shorten_end(show_attribute(old[name]), _LONG))


def _inputs(page: Page, node: Node, gone: bool, old: Node | None) -> Iterator[dict[str, object]]:
    snapshot = page.snapshot(gone)
    graph = snapshot.graph()
    names = _NAMES.get(node.kind) or labels.argument_names(node)
    was = page.before if old is not None else None
    for position, value in enumerate(node.inputs):
        maker = graph.producers.get(value)
        name = names[position] if position < len(names) else f"input {position}"
        is_fixed = bool(_fixed_text(snapshot, value))
        old_text = _old_text(was, old, position, len(node.inputs)) if is_fixed else None
        yield pair_row(
            name,
            labels.dtype_name(name, _value_text(snapshot, value)),
            labels.dtype_name(name, old_text) if old_text is not None else None,
            page.lead(maker, gone) if maker is not None else None,
            _fed_by(graph, value, maker),
        )


def _old_text(was: Snapshot | None, old: Node | None, position: int, count: int) -> str | None:
    """What an input was before: only of what is fixed, as other values merely change names."""
    if was is None or old is None or len(old.inputs) != count:
        return None
    text = _fixed_text(was, old.inputs[position])
    return text or None


def _value_text(snapshot: Snapshot, value: str) -> str:
    fixed = _fixed_text(snapshot, value)
    if fixed:
        return fixed
    known = snapshot.graph().values[value]
    return f"%{known.debug_name} : {known.type}"


def _fixed_text(snapshot: Snapshot, value: str) -> str:
    """A constant, or what the model holds under that path; "" for what is computed."""
    graph = snapshot.graph()
    constant = constant_value(graph, value)
    if constant is not None:
        return shorten_end(show_attribute(constant[0]), _LONG)
    names = attribute_names(graph, value)
    if names is None:
        return ""
    state = snapshot.by_path.get(".".join(names[:-1]))
    held = state.attributes.get(names[-1]) if state is not None else None
    path = ".".join(names)
    if held is None:
        return path
    return _held_text(held) if is_packed_name(path) else f"{path} : {_held_text(held)}"


def _held_text(held: AttributeState) -> str:
    """What an attribute of a module is, in short."""
    tensor = held.tensor
    if tensor is None:
        return shorten_end(show_attribute(held.value), _LONG) or held.type
    shape = " × ".join(map(str, tensor.shape)) or "scalar"
    packed = "packed " if held.kind == "packed" else ""
    text = f"{packed}{tensor.dtype} {shape}, largest |x| {number_text(tensor.abs_max)}"
    if held.scale:
        text += f", scale {numbers_text(held.scale, 3)}"
    if isinstance(held.value, tuple) and held.value:
        numbers = [item for item in held.value if isinstance(item, int | float)]
        return f"{numbers_text(numbers)} ({tensor.dtype})"
    return text


def _fed_by(graph: Graph, value: str, maker: Node | None) -> str:
    if maker is not None:
        return f"made by {labels.kind_of(maker)}"
    return "an input of the model" if value in graph.inputs else "an input of the block"


def _outputs(page: Page, node: Node, gone: bool) -> Iterator[dict[str, object]]:
    graph = page.snapshot(gone).graph()
    for position, value in enumerate(node.outputs):
        known = graph.values[value]
        label = "result" if len(node.outputs) == 1 else f"result {position}"
        yield pair_row(label, f"%{known.debug_name} : {known.type}")
        if node.kind == "prim::GetAttr" and (held := _fixed_text(page.snapshot(gone), value)):
            yield pair_row("what it is", held, hint="What the model holds under that name")
        users = graph.consumers.get(value, ())
        yield from _users(page, users, gone)
        if value in graph.outputs:
            yield pair_row("returned", "an output of the model")


def _users(page: Page, users: Sequence[Node], gone: bool) -> Iterator[dict[str, object]]:
    for user in users[:_MANY]:
        path = f" in {user.module_path}" if user.module_path else ""
        yield pair_row("taken by", f"{labels.kind_of(user)}{path}", node=page.lead(user, gone))
    if len(users) > _MANY:
        yield pair_row("taken by", f"{len(users) - _MANY} more")
