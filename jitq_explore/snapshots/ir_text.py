"""IR as torch prints it -> `Graph`: for graphs that are known by their text alone.

`parse_ir_text(str(graph))` is what `read_graph(graph)` gives, as far as the text tells. It does not
tell call stacks (of a source there is one place, not the frames around it), the text of source
lines, the path of scripted modules that were inlined, and the contents of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from jitq_explore.snapshots.graph import (
    Attribute,
    Block,
    Graph,
    Node,
    TensorSummary,
    Value,
    plain_type,
)
from jitq_explore.snapshots.source import users_own

_NAME = r"%[\w.]+"
_NODE = re.compile(rf"(?P<outputs>(?:{_NAME} : .*?)?) = (?P<kind>\^?[\w:.]+)(?P<rest>[\[(].*)$")
_OUTPUT = re.compile(rf"(?P<name>{_NAME}) : (?P<type>.*?)(?:, (?={_NAME} : )|$)")
_AFTER_KIND = re.compile(
    r"\((?P<inputs>[^)]*)\)(?:, scope: (?P<scope>\S+))?(?: # (?P<source>\S.*:\d+:\d+))?\s*$"
)
_BLOCK = re.compile(r"block\d+\((?P<inputs>.*)\):$")
_ENDS = re.compile(r"(?:->|return) \((?P<outputs>.*)\)$")
_SUBGRAPH = re.compile(r"with (?P<name>[\w:]+_\d+) = (?=graph\()")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\](){},]')
_ATTRIBUTE = re.compile(r"(?P<name>\w+)=(?P<value>.*)$", re.DOTALL)

_INTEGER = re.compile(r"-?\d+$")
_ANNOTATED = re.compile(r"annotate\(.*, (\[\])\)$")
_PRINTED_TENSOR = re.compile(r"\[ \w*?(?P<type>[A-Z][a-z]+)Type\{(?P<shape>[\d,]*)\}")
_SCALAR_TENSOR = re.compile(r"\{(?P<value>[^{}]*)\}$")
_TENSOR_TYPE = re.compile(r"(?P<type>[A-Z]\w*)\((?P<shape>(?:\d+, )*)")
_GENERIC_TYPE = re.compile(r"(?P<name>Dict|Future|Union|Await|RRef)[(\[](?P<items>.*)[)\]]$")
_OPENING, _CLOSING = "[({", "])}"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPED = re.compile(r"\\(\d{3}|.)")
_LITERALS: Mapping[str, Attribute] = {"True": True, "False": False, "None": None}

_DTYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32",
}  # fmt: skip


class IrTextError(ValueError):
    """A text that is not IR as torch prints it."""


def parse_ir_text(text: str) -> Graph:
    """The graph that a printed one describes. IrTextError names the line that makes no sense."""
    main, subgraphs = _split(text.splitlines())
    reader = _Reader(subgraphs)
    inputs, outputs = reader.read(main, "")
    return Graph(inputs, outputs, tuple(reader.nodes), reader.values, reader.blocks)


@dataclass
class _Body:
    """A graph or block as lines: what it takes, its nodes, what it returns."""

    inputs: str
    nodes: list[_NodeText] = field(default_factory=list)
    outputs: str = ""


@dataclass
class _NodeText:
    line: str
    blocks: list[_Body] = field(default_factory=list)


class _Lines:
    """Lines one after the other, by their indent."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = [line for line in lines if line.strip()]
        self.at = 0

    def take(self) -> str:
        if self.at >= len(self.lines):
            raise IrTextError("the text ends within a graph")
        self.at += 1
        return self.lines[self.at - 1]

    def is_inside(self, indent: int) -> bool:
        """Whether the next line is indented more than that."""
        return self.at < len(self.lines) and _indent(self.lines[self.at]) > indent


def _indent(line: str) -> int:
    # Nodes without outputs are printed as " = kind(…)", one column further right.
    bare = line.lstrip(" ")
    return len(line) - len(bare) - bare.startswith("= ")


def _split(lines: Sequence[str]) -> tuple[_Body, dict[str, _Body]]:
    """The graph itself, and the graphs that are attributes of its nodes, by their printed names."""
    source = _Lines(lines)
    main = _graph(source, source.take())
    subgraphs = {}
    while source.at < len(source.lines):
        line = source.take()
        found = _SUBGRAPH.match(line)
        if found is None:
            raise IrTextError(f"cannot read {line!r}")
        subgraphs[found["name"]] = _graph(source, line[found.end() :])
    return main, subgraphs


def _graph(source: _Lines, head: str) -> _Body:
    if not head.startswith("graph("):
        raise IrTextError(f"a graph begins with 'graph(', not with {head[:40]!r}")
    while not head.endswith("):"):
        head = f"{head} {source.take().strip()}"
    return _body(source, head[len("graph(") : -2], indent=0)


def _body(source: _Lines, inputs: str, indent: int) -> _Body:
    body = _Body(inputs)
    while True:
        line = source.take()
        bare = line.strip()
        ends = _ENDS.match(bare)
        if ends:
            body.outputs = ends["outputs"]
            return body
        node = _NodeText(bare if not line.endswith(" ") else f"{bare} ")
        here = _indent(line)
        body.nodes.append(node)
        while source.is_inside(here):
            head = source.take()
            block = _BLOCK.match(head.strip())
            if block is None:
                raise IrTextError(f"cannot read {head!r}")
            node.blocks.append(_body(source, block["inputs"], _indent(head)))


class _Reader:
    """Numbers nodes and blocks as `read_graph` does."""

    def __init__(self, subgraphs: Mapping[str, _Body]) -> None:
        self.subgraphs = subgraphs
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.blocks: dict[str, Block] = {}
        self.inside = ""  # put before the names of a subgraph's values, which are its own

    def read(self, body: _Body, block: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Append the body's nodes; returns what it takes and what it returns."""
        inputs = self.add_values(body.inputs)
        for text in body.nodes:
            self.read_node(text, block)
        return inputs, self.names(body.outputs)

    def add_values(self, printed: str) -> tuple[str, ...]:
        """Of "%a : Tensor, %b : int"."""
        names = []
        for found in _OUTPUT.finditer(printed):
            debug_name = found["name"][1:]
            name = self.inside + debug_name
            self.values[name] = Value(name, debug_name, _python_type(found["type"]))
            names.append(name)
        return tuple(names)

    def names(self, printed: str) -> tuple[str, ...]:
        """Of "%a, %b"."""
        return tuple([self.inside + name[1:] for name in printed.split(", ") if name])

    def read_node(self, text: _NodeText, block: str) -> None:
        found = _NODE.match(f" {text.line}" if text.line.startswith("= ") else text.line)
        if found is None:
            raise IrTextError(f"cannot read {text.line!r}")
        kind, printed, after = found["kind"], *_brackets(found["rest"])
        tail = _AFTER_KIND.match(after)
        if tail is None:
            raise IrTextError(f"cannot read {text.line!r}")
        outputs = self.add_values(found["outputs"])
        subgraph = self.subgraphs.get(kind)
        inner = [*text.blocks, *([subgraph] if subgraph is not None else [])]
        first = len(self.blocks)
        frames = (tail["source"],) if tail["source"] else ()
        node = Node(
            id=f"n{len(self.nodes)}",
            kind=kind.rpartition("_")[0] if subgraph is not None else kind,
            inputs=self.names(tail["inputs"]),
            outputs=outputs,
            attributes=_attributes(printed, found["outputs"].partition(" : ")[2]),
            module_path=_scoped(tail["scope"] or ""),
            source=users_own(frames),
            frames=frames,
            block=block,
            blocks=tuple(f"b{first + k}" for k in range(len(inner))),
        )
        self.nodes.append(node)
        # All ids are taken before what is inside takes more.
        self.blocks.update((name, Block(name, node.id, (), ())) for name in node.blocks)
        for block_id, body in zip(node.blocks, inner, strict=True):
            self.read_block(block_id, body, f"{self.inside}{node.id}/" if body is subgraph else "")

    def read_block(self, block_id: str, body: _Body, inside: str) -> None:
        outer = self.inside
        self.inside = inside or outer
        inputs, outputs = self.read(body, block_id)
        self.blocks[block_id] = replace(self.blocks[block_id], inputs=inputs, outputs=outputs)
        self.inside = outer


@lru_cache(maxsize=65536)
def _python_type(printed: str) -> str:
    """A type as `str(value.type())` writes it, of one as graphs print it ("int[]?")."""
    if printed.endswith("?"):
        return f"Optional[{_python_type(printed[:-1])}]"
    if printed.endswith("[]"):
        return f"List[{_python_type(printed[:-2])}]"
    if printed.startswith("(") and printed.endswith(")"):
        items = [_python_type(piece.strip()) for piece in _pieces(printed[1:-1])]
        return f"Tuple[{', '.join(items)}]"
    generic = _GENERIC_TYPE.match(printed)
    if generic:
        items = [_python_type(piece.strip()) for piece in _pieces(generic["items"])]
        return f"{generic['name']}[{', '.join(items)}]"
    tensor = _TENSOR_TYPE.match(printed)
    return "Tensor" if tensor and tensor["type"] in _DTYPES else plain_type(printed)


def _brackets(rest: str) -> tuple[str, str]:
    """What stands between the square brackets of "[…](…)…", and what comes behind them."""
    if not rest.startswith("["):
        return "", rest
    depth = 0
    for token in _TOKEN.finditer(rest):
        mark = token[0]
        depth += (mark in _OPENING) - (mark in _CLOSING)
        if depth == 0 and mark == "]":
            return rest[1 : token.start()], rest[token.end() :]
    raise IrTextError(f"cannot read {rest!r}")


def _pieces(printed: str) -> Iterator[str]:
    """What the commas of the outermost level part."""
    depth = start = 0
    for token in _TOKEN.finditer(printed):
        mark = token[0]
        if mark == "," and depth == 0:
            yield printed[start : token.start()]
            start = token.end()
        depth += (mark in _OPENING) - (mark in _CLOSING)
    if printed[start:].strip():
        yield printed[start:]


def _attributes(printed: str, type_: str) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for piece in _pieces(printed):
        match = _ATTRIBUTE.match(piece.strip())
        if match is None:
            raise IrTextError(f"cannot read the attribute {piece!r}")
        value = _tensor(match["value"], type_)
        found[match["name"]] = value if value is not None else _plain(match["value"].strip())
    if type_ == "bool" and isinstance(found.get("value"), int):
        found["value"] = bool(found["value"])
    return found


def _plain(printed: str) -> Attribute:
    """A number, text, list or tuple; what cannot be read as one stays text as it was printed."""
    if _INTEGER.match(printed):
        return int(printed)
    if printed in _LITERALS:
        return _LITERALS[printed]
    if printed.startswith('"'):
        return _ESCAPED.sub(_unescaped, printed[1:-1])
    annotated = _ANNOTATED.match(printed)
    if annotated:
        return ()
    if printed[:1] in ("[", "(") and printed[-1:] in ("]", ")"):
        return tuple(_plain(piece.strip()) for piece in _pieces(printed[1:-1]))
    try:
        return float(printed)
    except ValueError:
        return printed


def _unescaped(match: re.Match[str]) -> str:
    mark = match[1]
    return chr(int(mark, 8) % 256) if mark.isdigit() else _ESCAPES.get(mark, mark)


def _tensor(printed: str, type_: str) -> TensorSummary | None:
    """What is told of a constant tensor: never its digest, its value where it is a single one."""
    scalar = _SCALAR_TENSOR.match(printed)
    known = _TENSOR_TYPE.match(type_)
    dtype = _DTYPES.get(known["type"], "") if known else ""
    if scalar and (known or type_ == "Tensor"):
        value = _plain(scalar["value"])
        values = (value,) if isinstance(value, int | float) else ()
        return TensorSummary(dtype, (), "", values)
    shown = _PRINTED_TENSOR.search(printed) if not printed.startswith('"') else None
    if shown:
        return TensorSummary(_DTYPES.get(shown["type"], ""), _shape(shown["shape"]), "")
    if printed == "<Tensor>":
        return TensorSummary(dtype, _shape(known["shape"]) if known else (), "")
    return None


def _shape(printed: str) -> tuple[int, ...]:
    return tuple(int(size) for size in re.findall(r"\d+", printed))


def _scoped(scope: str) -> str:
    """The module's path of a traced node: "__module.a/__module.a.conv" is "a.conv"."""
    return scope.rpartition("/")[2].removeprefix("__module").removeprefix(".")
