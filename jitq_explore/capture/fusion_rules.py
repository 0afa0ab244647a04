"""The rewrite rules of `quant_finalize`, as the running torch has them.

torch lists them nowhere. Its log shows the pattern of every rule that is tried, on any model; what
a rule makes is seen by applying the rules to that pattern itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule
from torch.jit._recursive import create_script_module, infer_methods_to_compile

from jitq_explore.capture.hush import Heard, hushed, kept_warnings
from jitq_explore.capture.inner_steps.fusing import BEFORE_FUSION, PATTERN, rules_tried
from jitq_explore.capture.jit_log import Listener, Said, listening
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.capture.torch_types import CppGraph
from jitq_explore.snapshots.rule_names import rule_names
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.step_changes import kind_made, lines_made, names_made
from jitq_explore.snapshots.steps import StepGraph

_MODES = {"static": QuantType.STATIC, "dynamic": QuantType.DYNAMIC}
_OPTIONS = "subgraph_matcher:finalize"
_HEAD_END = "):\n"
_NAME = re.compile(r"%([\w.]+)")
_INPUT = re.compile(r"%([\w.]+) : \w+")


class _Nothing(torch.nn.Module):
    """A model on which the rules can be tried."""

    def forward(self) -> None:
        """Take and give nothing."""
        return


@functools.cache
def fusion_rules_of_torch() -> tuple[FusionRule, ...]:
    """All rules, in the order in which they are tried, those of static quantization first.

    Found once in a process. Empty where the log cannot be heard.
    """
    with hushed(Heard()), kept_warnings([]):
        return tuple(rule for mode in _MODES for rule in _rules(mode))


def _rules(mode: str) -> Iterator[FusionRule]:
    patterns = _patterns(mode)
    replacements = [_replacement(pattern, mode) for pattern in patterns]
    names = rule_names([pattern.text for pattern in patterns], replacements)
    for pattern, replacement, name in zip(patterns, replacements, names, strict=True):
        digest = hashlib.blake2b(pattern.text.encode(), digest_size=6).hexdigest()
        yield FusionRule(name, pattern.text, replacement, mode, digest)


@dataclass(frozen=True)
class _Pattern:
    """A pattern, and whether it is tried before the fusion: to insert ops that pack weights."""

    text: str
    is_prepack: bool


def _patterns(mode: str) -> list[_Pattern]:
    """The patterns as the log prints them, in order."""
    found: list[_Pattern] = []
    is_prepack = True
    for entry in _said_of(_model(), mode):
        is_prepack = is_prepack and entry.text != BEFORE_FUSION
        if entry.text == PATTERN and entry.graph is not None:
            found.append(_Pattern(entry.graph.text, is_prepack))
    return found


def _said_of(model: ScriptModule, mode: str) -> list[LogEntry]:
    """What `quant_finalize` says of rewriting that model; freezing it may fail."""
    said = Said()
    with listening(Listener(), _OPTIONS, said), contextlib.suppress(RuntimeError):
        torch._C._jit_pass_quant_finalize(model._c, _MODES[mode], [])
    return said.entries


def _model() -> ScriptModule:
    """A model with a class of its own: `quant_finalize` rewrites what it is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: ScriptModule = create_script_module(
            _Nothing().eval(), infer_methods_to_compile, share_types=False
        )
    return model


def _replacement(pattern: _Pattern, mode: str) -> str:
    """What the rules make of the pattern; "" where none takes it, whatever its inputs are.

    Some rules ask that an input be a number, or the constant 1.
    """
    if mode == "dynamic" and not pattern.is_prepack:
        return _replaced_in_a_model(pattern.text, mode)
    rewrite = (
        torch._C._jit_pass_insert_prepack_unpack  # type: ignore[attr-defined]
        if pattern.is_prepack
        else torch._C._jit_pass_quant_fusion  # type: ignore[attr-defined]
    )
    for text in (pattern.text, *_with_special_inputs(pattern.text)):
        graph = torch._C.parse_ir(text)
        before = str(graph)
        rewrite(graph)
        if str(graph) != before:
            return _under_head_of(pattern.text, str(graph))
    return ""


def _with_special_inputs(pattern: str) -> Iterator[str]:
    """The pattern with one or two of its inputs as a number, or as the constant 1."""
    inputs = _INPUT.findall(_head(pattern))
    changes = [(name, change) for name in inputs for change in (_as_number, _as_one)]
    for name, change in changes:
        yield change(pattern, name)
    for (name, change), (other, other_change) in itertools.combinations(changes, 2):
        if name != other:
            yield other_change(change(pattern, name), other)


def _as_number(pattern: str, name: str) -> str:
    return pattern.replace(f"%{name} : Tensor", f"%{name} : int", 1)


def _as_one(pattern: str, name: str) -> str:
    """The input gives way to a node of the same name."""
    inputs = _INPUT.finditer(_head(pattern))
    head = ", ".join(one[0] for one in inputs if one[1] != name)
    body = pattern[len(_head(pattern)) :]
    return f"graph({head}):\n  %{name} : int = prim::Constant[value=1](){body}"


def _under_head_of(pattern: str, made: str) -> str:
    """What was made, as a graph with the pattern's inputs: none of them a constant."""
    body = made[made.index(_HEAD_END) + len(_HEAD_END) :].rstrip().splitlines()
    used = {name for line in body for name in _NAME.findall(line.partition(" = ")[2] or line)}
    kept = [line for line in body if not set(names_made(line)) or set(names_made(line)) & used]
    return "\n".join([_head(pattern), *kept, ""])


def _head(pattern: str) -> str:
    return pattern[: pattern.index(_HEAD_END) + len(_HEAD_END) - 1]


def _replaced_in_a_model(pattern: str, mode: str) -> str:
    """The same for a rule that is applied to models alone: read off what the log says of it."""
    model = _model()
    graph = model._c._get_method("forward").graph
    _put(pattern, graph)
    said = _said_of(model, mode)
    for one, after in rules_tried(said, StepGraph(tuple(str(graph).rstrip().splitlines()))):
        if one.pattern.text == pattern and after is not None:
            return _in_words_of(pattern, one.before, after)
    return ""


def _put(pattern: str, graph: CppGraph) -> None:
    """Make the graph take, compute and return what the pattern does."""
    given = torch._C.parse_ir(pattern)
    values = {}
    for value in given.inputs():
        copy = graph.addInput(value.debugName())
        copy.setType(value.type())
        values[value.debugName()] = copy
    for node in given.nodes():
        inputs = [values[value.debugName()] for value in node.inputs()]
        made = graph.create(node.kind(), inputs, node.outputsSize())
        made.copyAttributes(node)
        graph.appendNode(made)
        for value, copy in zip(node.outputs(), made.outputs(), strict=True):
            copy.setType(value.type())
            values[value.debugName()] = copy
    graph.eraseOutput(0)
    for value in given.outputs():
        graph.registerOutput(values[value.debugName()])


def _in_words_of(pattern: str, before: StepGraph, after: StepGraph) -> str:
    """What was made between two graphs, with the names of the pattern's values."""
    taken, made = lines_made(after, before), lines_made(before, after)
    wanted = [line for line in pattern.splitlines() if names_made(line)]
    if not made or [kind_made(line) for line in taken] != [kind_made(line) for line in wanted]:
        return ""
    called = {
        name: ours
        for line, same in zip(taken, wanted, strict=True)
        for name, ours in zip(_NAME.findall(line), _NAME.findall(same), strict=True)
    }
    body = [_NAME.sub(lambda name: f"%{called.get(name[1], name[1])}", line) for line in made]
    returned = ", ".join(f"%{name}" for name in names_made(body[-1]))
    return "\n".join([_head(pattern), *body, f"  return ({returned})", ""])
