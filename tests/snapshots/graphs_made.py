"""Synthetic graphs, and edits of them whose outcome is known: ground truth by construction.

A graph is made as a tree of `Op`s, is edited as such, and is then written out as a `Graph` under
names of its own, in an order of its own. Every `Op` keeps a number through all of that, so which
node is which is known and need not be labelled.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from jitq_explore.snapshots.graph import Block, Graph, Node, Value, plain_type


@dataclass
class Body:
    """A block, or the whole graph."""

    inputs: list[int]
    ops: list[Op] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)


@dataclass
class Op:
    number: int
    kind: str
    inputs: list[int]
    outputs: list[int]
    attributes: dict[str, object]
    path: str
    bodies: list[Body] = field(default_factory=list)

    @property
    def is_fixed(self) -> bool:
        return self.kind in ("prim::Constant", "prim::GetAttr") or (
            self.kind == "prim::ListConstruct" and bool(self.attributes.get("fixed"))
        )


UNARY = (
    "aten::relu",
    "aten::sigmoid",
    "aten::tanh",
    "aten::max_pool2d",
    "aten::dropout",
    "aten::gelu",
)
BINARY = ("aten::add", "aten::mul", "aten::matmul", "aten::sub")
WEIGHTED = ("aten::conv2d", "aten::linear")


@dataclass
class Maker:
    """Makes one graph of about `size` nodes.

    With `is_bare` nothing but the structure tells nodes apart: no module paths, no weights.
    """

    random: random.Random
    is_bare: bool = False
    count: int = 0
    values: int = 2  # 0 is the model, 1 its input
    constants: dict[object, int] = field(default_factory=dict)
    main: Body = field(default_factory=lambda: Body([0, 1]))
    modules: dict[str, int] = field(default_factory=dict)

    def value(self) -> int:
        self.values += 1
        return self.values - 1

    def op(
        self,
        body: Body,
        kind: str,
        inputs: list[int],
        path: str = "",
        outputs: int = 1,
        **attributes: object,
    ) -> int:
        made = [self.value() for _ in range(outputs)]
        body.ops.append(
            Op(self.count, kind, inputs, made, attributes, "" if self.is_bare else path)
        )
        self.count += 1
        return made[0]

    def constant(self, value: object) -> int:
        """Shared by all of the graph, or now and then a new one."""
        known = self.constants.get(repr(value))
        if known is None or self.random.random() < 0.15:
            known = self.op(self.main, "prim::Constant", [], value=value)
            self.constants[repr(value)] = known
        return known

    def attribute(self, path: str) -> int:
        owner, _, name = path.rpartition(".")
        inner = 0
        if owner:
            if owner not in self.modules:
                self.modules[owner] = self.attribute(owner)
            inner = self.modules[owner]
        return self.op(self.main, "prim::GetAttr", [inner], owner, name=name)

    def layer(self, body: Body, x: int, path: str, kind: str) -> int:
        if self.is_bare:
            return self.op(body, kind, [x, self.constant(1)])
        weight, bias = self.attribute(f"{path}.weight"), self.attribute(f"{path}.bias")
        return self.op(body, kind, [x, weight, bias, self.constant(1)], path)

    def block(self, body: Body, x: int, path: str, shape: random.Random) -> int:
        """One block of a shape that the seed of `shape` decides: equal seeds, equal blocks."""
        y = x
        branches = [x]
        for k in range(shape.randrange(2, 6)):
            what = shape.random()
            if what < 0.4:
                y = self.layer(body, y, f"{path}.layer{k}", shape.choice(WEIGHTED))
            elif what < 0.75:
                extra = [self.constant(shape.randrange(3))] if shape.random() < 0.4 else []
                y = self.op(body, shape.choice(UNARY), [y, *extra], path)
            elif what < 0.85:
                q = self.op(
                    body,
                    "aten::quantize_per_tensor",
                    [y, self.constant(0.1), self.constant(0)],
                    path,
                )
                y = self.op(body, "aten::dequantize", [q], path)
            else:
                y = self.op(body, "custom::op", [y], path, level=shape.randrange(4))
            if shape.random() < 0.3:
                branches.append(y)
        if shape.random() < 0.7:
            y = self.op(body, shape.choice(BINARY), [y, shape.choice(branches)], path)
        return y

    def nested(self, body: Body, x: int, path: str, depth: int = 0) -> int:
        """An If or a Loop around blocks."""
        shape = random.Random(self.random.random())
        y = self.value()
        if self.random.random() < 0.6:
            condition = self.op(body, "aten::Bool", [x], path)
            bodies = [Body([]), Body([])]
            for inner in bodies:
                inner.outputs = [self.block(inner, x, path, shape)]
            op = Op(
                self.count, "prim::If", [condition], [y], {}, "" if self.is_bare else path, bodies
            )
        else:
            inner = Body([self.value(), self.value()])
            out = self.block(inner, inner.inputs[1], path, shape)
            if depth < 2 and self.random.random() < 0.4:
                out = self.nested(inner, out, path, depth + 1)
            inner.outputs = [self.constant(True), out]
            inputs = [self.constant(3), self.constant(True), x]
            op = Op(
                self.count, "prim::Loop", inputs, [y], {}, "" if self.is_bare else path, [inner]
            )
        self.count += 1
        body.ops.append(op)
        return y


def make(seed: int, size: int, is_bare: bool = False) -> Maker:
    """A graph of at least `size` nodes: repeated blocks, branches, and blocks within blocks."""
    maker = Maker(random.Random(seed), is_bare)
    choose = maker.random
    x, k = 1, 0
    ends: list[int] = []
    while maker.count < size:
        seed_of_blocks = choose.random()
        for _ in range(choose.choice((1, 1, 2, 6, 12))):
            if maker.count >= size:
                break
            what = choose.random()
            if what < 0.1:
                x = maker.nested(maker.main, x, f"block{k}")
            elif what < 0.25:
                arms = [
                    maker.block(maker.main, x, f"block{k}.arm{j}", random.Random(seed_of_blocks))
                    for j in range(choose.randrange(2, 4))
                ]
                x = maker.op(maker.main, "aten::add", arms[:2], f"block{k}")
                ends.extend(arms[2:])
            else:
                x = maker.block(maker.main, x, f"block{k}", random.Random(seed_of_blocks))
            k += 1
    maker.main.outputs = [x, *ends]
    return maker


def all_bodies(body: Body) -> Iterator[Body]:
    yield body
    for op in body.ops:
        for inner in op.bodies:
            yield from all_bodies(inner)


def all_ops(body: Body) -> Iterator[Op]:
    for inner in all_bodies(body):
        yield from inner.ops


# ---------------------------------------------------------------------------------- writing out


def write(maker: Maker, seed: int | None = None) -> tuple[Graph, dict[int, str]]:
    """The graph, and number of an op -> id of its node.

    A seed renames every value, mangles the class names anew and reorders independent nodes.
    """
    return _Writer(random.Random(seed) if seed is not None else None).write(maker.main)


class _Writer:
    def __init__(self, shuffle: random.Random | None) -> None:
        self.shuffle = shuffle
        self.nodes: list[Node] = []
        self.blocks: dict[str, Block] = {}
        self.values: dict[str, Value] = {}
        self.names: dict[int, str] = {}
        self.ids: dict[int, str] = {}

    def write(self, body: Body) -> tuple[Graph, dict[int, str]]:
        inputs = tuple(self.name(value) for value in body.inputs)
        self.body(body, "")
        outputs = tuple(self.names[value] for value in body.outputs)
        return Graph(inputs, outputs, tuple(self.nodes), self.values, self.blocks), self.ids

    def name(self, value: int) -> str:
        mangle = 0
        name = f"v{value}"
        if self.shuffle is not None:
            mangle = self.shuffle.randrange(1000)
            name = f"{self.shuffle.randrange(10**9)}.{len(self.values)}"
        printed = plain_type(
            f"__torch__.net.___torch_mangle_{mangle}.Block" if not value else "Tensor"
        )
        self.values[name] = Value(name, name, printed)
        self.names[value] = name
        return name

    def body(self, body: Body, block: str) -> None:
        for op in self.order(body):
            number = len(self.nodes)
            node_id = f"n{number}"
            self.ids[op.number] = node_id
            inputs = tuple(self.names[value] for value in op.inputs)
            outputs = tuple(self.name(value) for value in op.outputs)
            block_ids = tuple(f"b{len(self.blocks) + k}" for k in range(len(op.bodies)))
            for block_id, inner in zip(block_ids, op.bodies, strict=True):
                names = tuple(self.name(value) for value in inner.inputs)
                self.blocks[block_id] = Block(block_id, node_id, names, ())
            attributes = {name: value for name, value in op.attributes.items() if name != "fixed"}
            self.nodes.append(
                Node(
                    node_id,
                    op.kind,
                    inputs,
                    outputs,
                    attributes,
                    op.path,
                    block=block,
                    blocks=block_ids,
                )
            )
            for block_id, inner in zip(block_ids, op.bodies, strict=True):
                self.body(inner, block_id)
                yielded = tuple(self.names[value] for value in inner.outputs)
                self.blocks[block_id] = Block(
                    block_id, node_id, self.blocks[block_id].inputs, yielded
                )

    def order(self, body: Body) -> list[Op]:
        """Any order in which everything is made before it is taken."""
        made = {value: op for op in body.ops for value in op.outputs}
        waits = {
            op.number: {made[value].number for value in _taken(op) if value in made}
            for op in body.ops
        }
        ready = [op for op in body.ops if not waits[op.number]]
        followers: dict[int, list[Op]] = defaultdict(list)
        for op in body.ops:
            for number in waits[op.number]:
                followers[number].append(op)
        ordered = []
        while ready:
            at = self.shuffle.randrange(len(ready)) if self.shuffle else _first(ready)
            op = ready.pop(at)
            ordered.append(op)
            for follower in followers[op.number]:
                waits[follower.number].discard(op.number)
                if not waits[follower.number]:
                    ready.append(follower)
        assert len(ordered) == len(body.ops)
        return ordered


def _first(ready: list[Op]) -> int:
    return min(range(len(ready)), key=lambda k: ready[k].number)


def _taken(op: Op) -> Iterator[int]:
    """The values from outside that an op takes, its blocks' own included."""
    yield from op.inputs
    for body in op.bodies:
        own = set(body.inputs) | {value for inner in body.ops for value in inner.outputs}
        taken = [value for inner in body.ops for value in _taken(inner)]
        yield from (value for value in (*taken, *body.outputs) if value not in own)


# --------------------------------------------------------------------------------------- edits


@dataclass
class Truth:
    """What edits did: by numbers of ops."""

    added: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)  # one to one
    copied: dict[int, tuple[int, ...]] = field(default_factory=dict)  # before -> all after
    fused: dict[int, tuple[int, ...]] = field(default_factory=dict)  # after -> all before

    @property
    def size(self) -> int:
        return sum(map(len, (self.added, self.removed, self.changed, self.copied, self.fused)))


class Editor:
    """Edits a copy of a graph, no two edits within two hops of each other."""

    def __init__(self, maker: Maker, seed: int) -> None:
        self.maker = copy.deepcopy(maker)
        self.random = random.Random(seed)
        self.truth = Truth()
        self.touched: set[int] = set()
        self.edits: list[str] = []

    def edit(self, count: int, kinds: Iterable[str] = ()) -> None:
        """That many edits of those kinds, or as many as there is room for."""
        names = sorted(kinds or EDITS)
        for _ in range(count):
            self.random.shuffle(names)
            ops = [op for op in all_ops(self.maker.main) if op.number not in self.touched]
            self.random.shuffle(ops)
            for name in names:
                if any(self.attempt(name, op) for op in ops[:80]):
                    break

    def attempt(self, name: str, op: Op) -> bool:
        if op.number in self.touched or op.number in self.truth.added:
            return False
        near = self.near(op)
        if not EDITS[name](self, op):
            return False
        self.touched |= near | self.near(op)
        self.edits.append(name)
        return True

    def near(self, op: Op, hops: int = 2) -> set[int]:
        """The ops within some hops, constants and attributes not counted as ways."""
        users = self.users()
        makers = self.makers()
        found, edge = {op.number}, [op]
        for _ in range(hops):
            ahead = []
            for at in edge:
                ways = [user for value in self.results(at) for user in users.get(value, ())]
                ways += [makers[value] for value in _taken(at) if value in makers]
                for way in ways:
                    if way.number not in found and not way.is_fixed:
                        found.add(way.number)
                        ahead.append(way)
            edge = ahead
        return found

    def results(self, op: Op) -> list[int]:
        return [*op.outputs, *(value for body in op.bodies for value in body.inputs)]

    def users(self) -> dict[int, list[Op]]:
        found: dict[int, list[Op]] = defaultdict(list)
        for body in all_bodies(self.maker.main):
            for op in body.ops:
                for value in dict.fromkeys(op.inputs):
                    found[value].append(op)
                for inner in op.bodies:
                    for value in inner.outputs:
                        if op not in found[value]:
                            found[value].append(op)
        return found

    def makers(self) -> dict[int, Op]:
        return {value: op for op in all_ops(self.maker.main) for value in (*self.results(op),)}

    def home(self, op: Op) -> Body:
        return next(body for body in all_bodies(self.maker.main) if op in body.ops)

    def data(self, op: Op) -> list[int]:
        """Places of the inputs that are neither constants nor attributes."""
        makers = self.makers()
        return [
            place
            for place, value in enumerate(op.inputs)
            if value and not (value in makers and makers[value].is_fixed)
        ]

    def redirect(self, old: int, new: int, but: tuple[Op, ...] = ()) -> None:
        for body in all_bodies(self.maker.main):
            for op in body.ops:
                if op not in but:
                    op.inputs = [new if value == old else value for value in op.inputs]
            body.outputs = [new if value == old else value for value in body.outputs]

    def put(self, body: Body, at: int, kind: str, inputs: list[int], **attributes: object) -> Op:
        op = Op(self.maker.count, kind, inputs, [self.maker.value()], attributes, "")
        self.maker.count += 1
        body.ops.insert(at, op)
        return op


def is_plain(editor: Editor, op: Op) -> bool:
    """An op proper: computes one value from at least one."""
    return (
        not op.is_fixed and not op.bodies and len(op.outputs) == 1 and bool(editor.data(op))
        and op.kind not in THREADS
    )  # fmt: skip


THREADS = ("aten::quantize_per_tensor", "aten::dequantize")


def insert_pair(editor: Editor, op: Op) -> bool:
    """A quantize and a dequantize behind an op, for one of its takers or for all."""
    if not is_plain(editor, op):
        return False
    body = editor.home(op)
    at = body.ops.index(op) + 1
    value = op.outputs[0]
    takers = [user for user in editor.users()[value] if user in body.ops and value in user.inputs]
    new = [editor.put(body, at + k, "prim::Constant", [], value=v) for k, v in enumerate((0.25, 7))]
    q = editor.put(body, at + 2, THREADS[0], [value, *(c.outputs[0] for c in new)])
    dq = editor.put(body, at + 3, THREADS[1], [q.outputs[0]])
    if takers and editor.random.random() < 0.5:
        taker = editor.random.choice(takers)
        taker.inputs = [dq.outputs[0] if v == value else v for v in taker.inputs]
    else:
        editor.redirect(value, dq.outputs[0], (q,))
    editor.truth.added.update(node.number for node in (*new, q, dq))
    return True


def delete(editor: Editor, op: Op) -> bool:
    """An op is gone, its takers take what it took; constants of its own go with it or stay."""
    if not is_plain(editor, op):
        return False
    body = editor.home(op)
    value = op.inputs[editor.random.choice(editor.data(op))]
    if len(editor.data(op)) > 1 and any(
        len(editor.users()[op.inputs[place]]) < 2
        for place in editor.data(op)
        if op.inputs[place] != value
    ):
        return False  # more than one op would be gone: what only this one took serves nobody
    editor.redirect(op.outputs[0], value)
    body.ops.remove(op)
    editor.truth.removed.add(op.number)
    if editor.random.random() < 0.5:
        _sweep(editor, op)
    return True


def _sweep(editor: Editor, op: Op) -> None:
    makers = editor.makers()
    for value in op.inputs:
        made = makers.get(value)
        if made is not None and made.is_fixed and not editor.users()[value]:
            editor.home(made).ops.remove(made)
            editor.truth.removed.add(made.number)
            _sweep(editor, made)


def replace_kind(editor: Editor, op: Op) -> bool:
    if not is_plain(editor, op):
        return False
    kinds = UNARY if len(editor.data(op)) == 1 else BINARY
    op.kind = editor.random.choice([kind for kind in kinds if kind != op.kind])
    editor.truth.changed.add(op.number)
    return True


def change_attribute(editor: Editor, op: Op) -> bool:
    """An attribute of an op, or the value of a constant that one op alone takes."""
    if op.kind == "custom::op":
        op.attributes["level"] = 10 + editor.random.randrange(5)
    elif op.kind == "prim::Constant" and len(users := editor.users()[op.outputs[0]]) == 1:
        if users[0].number in editor.touched or users[0].bodies:
            return False
        if op.outputs[0] in [v for body in all_bodies(editor.maker.main) for v in body.outputs]:
            return False
        op.attributes["value"] = 10 + editor.random.randrange(5)
        editor.touched |= editor.near(users[0])
    else:
        return False
    editor.truth.changed.add(op.number)
    return True


def swap_inputs(editor: Editor, op: Op) -> bool:
    if not is_plain(editor, op) or len(editor.data(op)) < 2:
        return False
    one, other = editor.data(op)[:2]
    if op.inputs[one] == op.inputs[other]:
        return False
    op.inputs[one], op.inputs[other] = op.inputs[other], op.inputs[one]
    editor.truth.changed.add(op.number)
    return True


def replicate(editor: Editor, op: Op) -> bool:
    """Some of a constant's takers get one of their own."""
    if op.kind != "prim::Constant":
        return False
    body = editor.home(op)
    users = [u for u in editor.users()[op.outputs[0]] if op.outputs[0] in u.inputs]
    if len(users) < 2 or any(user.number in editor.touched for user in users):
        return False
    twin = editor.put(body, body.ops.index(op) + 1, op.kind, [], **op.attributes)
    moved = editor.random.sample(users, editor.random.randrange(1, len(users)))
    for user in moved:
        user.inputs = [twin.outputs[0] if v == op.outputs[0] else v for v in user.inputs]
        editor.touched |= editor.near(user, 2)
    editor.truth.copied[op.number] = op.number, twin.number
    return True


def fuse(editor: Editor, op: Op) -> bool:
    """An op and its only taker become one: a quantized kernel, or something never seen."""
    if not is_plain(editor, op):
        return False
    users = editor.users()[op.outputs[0]]
    body = editor.home(op)
    if len(users) != 1 or users[0] not in body.ops or not is_plain(editor, users[0]):
        return False
    last = users[0]
    if op.outputs[0] in body.outputs or len(editor.data(last)) != 1:
        return False
    name = f"custom::{op.kind.partition('::')[2]}_and_{last.kind.partition('::')[2]}"
    if op.kind in WEIGHTED and last.kind == "aten::relu":
        name = f"quantized::{op.kind.partition('::')[2]}_relu"
    inputs = [*op.inputs, *(v for v in last.inputs if v != op.outputs[0])]
    fused = editor.put(body, body.ops.index(last), name, inputs)
    body.ops.remove(op)
    body.ops.remove(last)
    editor.redirect(last.outputs[0], fused.outputs[0])
    editor.truth.fused[fused.number] = op.number, last.number
    return True


EDITS: dict[str, Callable[[Editor, Op], bool]] = {
    "insert_pair": insert_pair,
    "delete": delete,
    "replace_kind": replace_kind,
    "change_attribute": change_attribute,
    "swap_inputs": swap_inputs,
    "replicate": replicate,
    "fuse": fuse,
}
