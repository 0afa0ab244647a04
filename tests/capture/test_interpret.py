from __future__ import annotations

import pytest
import torch
from nets import NETS
from runs import MODES, session

import jitq_explore as jq
from jitq_explore.capture.interpret import InterpreterError
from jitq_explore.capture.program import Program
from jitq_explore.capture.torch_types import wrap


def tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in tensors(item)]


CASES = [(net, how, mode) for net, spec in NETS.items() for how in spec.hows for mode in MODES[:2]]


@pytest.mark.parametrize(("net", "how", "mode"), CASES)
def test_interprets_as_torch_does_at_every_live_stage(net, how, mode):
    run = session(net, how, mode)
    stock = {"input": run.module}
    for stage in run.stages:
        run.step()
        if stage in ("fold_conv_bn", "insert_quant_dequant"):
            # quant_finalize will rewrite its graph.
            clone = torch._C._hack_do_not_use_clone_module_with_class
            stock[stage] = wrap(clone(run.module._c, [], []))
    stock[stage] = run.module
    for name, module in stock.items():
        program = Program(run.live(name))
        for batch in NETS[net].inputs():
            with torch.no_grad():
                want = module(*batch)
            for mine, theirs in zip(tensors(program.outputs(batch)), tensors(want), strict=True):
                assert torch.equal(mine, theirs), name


class InPlace(torch.nn.Module):
    """Writes into its input, its buffer and a list, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.add_(1)
        parts = [x]
        parts.append(x.relu_() + self.seen)
        parts[0] = parts[1] * self.calls
        total = torch.zeros(2)
        for part in parts:
            total += part
        return total


def test_neither_model_nor_inputs_change():
    run = jq.Session.dynamic(torch.jit.script(InPlace().eval()), {"": None})
    program = Program(run.live("input"))
    given = torch.tensor([-1.0, 2.0])
    first, again = program.outputs((given,)), program.outputs((given,))
    assert torch.equal(first[0], torch.tensor([2.0, 6.0]))
    assert torch.equal(again[0], first[0])
    assert run.module.calls == 0
    assert not run.module.seen.any()
    assert torch.equal(given, torch.tensor([-1.0, 2.0]))


class Collections(torch.nn.Module):
    """Ops on lists and dicts whose types torch does not take from Python."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {"a": x, "b": x + 1}
        found.update({"c": found.setdefault("d", x * 3)})
        sizes = [2, 0, 7]
        sizes.remove(7)
        sizes += [1]
        sizes.sort()
        total = x * sizes[-1]
        for name in found.keys():  # noqa: SIM118
            total = total + found[name]
        if "a" in found:
            total = total * len(sizes[:2])
        return total + sizes.index(2)


def test_lists_and_dicts_are_gone_through_as_torch_does():
    run = jq.Session.dynamic(torch.jit.script(Collections().eval()), {"": None})
    x = torch.tensor([-1.0, 2.0])
    (mine,) = tensors(Program(run.live("input")).outputs((x,)))
    assert torch.equal(mine, run.module(x))


def test_values_are_dropped_after_their_last_use():
    program = Program(session("residual").live("input"))
    run = program.run(NETS["residual"].inputs()[0])
    alive = run.gi_frame.f_locals["self"].values
    most = 0
    for _ in run:
        made = [alive[name] for name in alive.keys() - program.known.keys()]
        most = max(most, sum(isinstance(value, torch.Tensor) for value in made))
    assert 0 < most <= 5


def test_a_failing_node_is_named():
    program = Program(session("mlp").live("input"))
    with pytest.raises(InterpreterError, match=r"aten::linear of module 'fc1', .*nets\.py"):
        program.outputs((torch.zeros(3, 5),))
