"""The gallery: small models that go wrong, each with what shall be said of it and what cures it.

`Case.broken` and `Case.cured` make recordings; `line` is a part of the user's own line that the
finding has to name. Where the harm can be measured, `run` compares with the float model.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import linecache
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from nets import ConvBnRelu, TransformerBlock, _give_statistics
from runs import FBGEMM, calibrate
from torch import Tensor, nn
from torch.ao.quantization import (
    MinMaxObserver,
    QConfig,
    default_dynamic_qconfig,
    default_per_channel_weight_observer,
    default_qconfig,
    default_weight_observer,
    float16_dynamic_qconfig,
)

import jitq_explore as jq

torch_jit = importlib.import_module("torch.ao.quantization.quantize_jit")

WHOLE = {"": FBGEMM}
MINMAX = QConfig(MinMaxObserver, default_weight_observer)
BOTH = ("scripted", "traced")


def batches(*shape: int, count: int = 4) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [(torch.randn(shape, generator=generator),) for _ in range(count)]


ROWS = batches(4, 6)
DOUBLES = [(rows.double(),) for (rows,) in ROWS]
IMAGES = batches(2, 3, 8, 8)


@functools.cache
def eager(make: Callable[[], nn.Module]) -> nn.Module:
    """The net in eval mode, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = make()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                _give_statistics(module)
    return net.eval()


def compiled(
    net: nn.Module, how: str, inputs: Sequence[tuple[Any, ...]] = ROWS
) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net) if how == "scripted" else torch.jit.trace(net, inputs[0])


def finished(session: jq.Session) -> jq.Recording:
    """The recording of a run, to wherever it came."""
    with contextlib.suppress(Exception):
        session.run()
    assert session.recording.error is not None or not session.stages
    return session.recording


def static(
    net: nn.Module,
    how: str = "scripted",
    qconfig: dict[str, Any] | None = None,
    data: Sequence[tuple[Any, ...]] = ROWS,
    run: Callable[..., object] = calibrate,
    **more: Any,
) -> jq.Recording:
    model = compiled(net, how, data)
    given = WHOLE if qconfig is None else qconfig
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return finished(jq.Session.static(model, given, run, [data], progress=False, **more))


def dynamic(
    net: nn.Module, how: str = "scripted", qconfig: dict[str, Any] | None = None
) -> jq.Recording:
    given = {"": default_dynamic_qconfig} if qconfig is None else qconfig
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return finished(jq.Session.dynamic(compiled(net, how), given))


def on_device(
    net: nn.Module,
    how: str = "scripted",
    qconfig: dict[str, Any] | None = None,
    data: Sequence[tuple[Any, ...]] = ROWS,
    **more: Any,
) -> jq.Recording:
    given = {"": default_dynamic_qconfig} if qconfig is None else qconfig
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return finished(jq.Session.on_device(compiled(net, how, data), given, **more))


# -- the nets ---------------------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.fc2 = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class Dropped(Two):
    """With a dropout that is nothing in eval mode, and in place."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.dropout = nn.Dropout(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.dropout(torch.relu(self.fc1(x))))


class WithSpare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.spare = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


class BnOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.bn(self.conv(x)))


class ReluBeforeBn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(torch.relu(self.conv(x)))


class BnBeforeRelu(ReluBeforeBn):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class TwoNorms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.bn2 = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x)) + self.bn2(self.conv(x))


class TwoNormsTwoConvs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.conv2 = copy.deepcopy(self.conv)
        self.bn1 = nn.BatchNorm2d(4)
        self.bn2 = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x)) + self.bn2(self.conv2(x))


class OneNormTwoCalls(TwoNorms):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x)) + self.conv(x)


class OneNormTwoConvs(TwoNormsTwoConvs):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x)) + self.conv2(x)


class NormAndMore(TwoNorms):
    """What the layer makes goes to the norm, and elsewhere too."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.bn1(y) + y


class OwnConv(nn.Conv2d):
    pass


class OwnClass(BnBeforeRelu):
    def __init__(self) -> None:
        super().__init__()
        self.conv = OwnConv(3, 4, 3)


class NormElsewhere(BnBeforeRelu):
    """The layer is called by a method of another module than the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3))


class LinearNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.fc(x))


class NoStatistics(BnBeforeRelu):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(4, track_running_stats=False)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.positive = nn.Linear(5, 4)
        self.negative = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc1(x)
        if x.sum() > 0:
            return self.positive(y)
        return self.negative(y)


class BranchOnQuantized(Branch):
    def forward(self, x: Tensor) -> Tensor:
        y = self.fc1(x)
        if y.sum() > 0:
            return self.positive(y)
        return self.negative(y)


class BranchOnFlag(Branch):
    def forward(self, x: Tensor, flag: bool) -> Tensor:
        y = self.fc1(x)
        if flag:
            return self.positive(y)
        return self.negative(y)


class Looped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 7)
        self.fc = nn.Linear(7, 7)
        self.rounds = 3

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(self.rounds):
            x = torch.relu(self.fc(x))
        return x


class LoopedTwin(Looped):
    """What is called in the loop alone shares its class with what torch's passes come to."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 6)


class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Linear(6, 6)
        self.fc = nn.Linear(6, 6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        future = torch.jit.fork(self.side, x)
        y = self.fc(x)
        return torch.jit.wait(future) + y


class NotForked(Forked):
    def forward(self, x: Tensor) -> Tensor:
        return self.side(x) + self.fc(x)


@torch.jit.script
def free_linear(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight)


class InFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(6, 6) / 3)

    def forward(self, x: Tensor) -> Tensor:
        return free_linear(self.fc(x), self.weight)


class InMethod(InFunction):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.fc(x), self.weight)


class Alpha(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 6)
        self.right = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.left(x), self.right(x), alpha=2)


class NoAlpha(Alpha):
    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x) * 2


class AddedParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.offset = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + self.offset


class AddedBias(AddedParameter):
    def __init__(self) -> None:
        super().__init__()
        self.fc.bias.data += self.offset.data

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Activation(nn.Module):
    function: Callable[[Tensor], Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.fc2 = nn.Linear(5, 4)


class Gelu(Activation):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Hardswish(Activation):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.hardswish(self.fc1(x)))


class GeluIsland(Activation):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.exp(F.gelu(self.fc1(x))))


class AfterGelu(Activation):
    """The pooling runs on quantized values, where its input is one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.gelu(self.fc1(x)), 0.1)


class AfterHardswish(Activation):
    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.hardswish(self.fc1(x)), 0.1)


class PaddedInWords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.conv = nn.Conv2d(3, 4, 3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.first(x))


class PaddedInNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.first(x))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class LoudRow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 16)
        self.fc.weight.data[3] *= 1000

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class HugeWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.fc.weight.data *= 1e6

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class BrokenWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.fc.weight.data[1, 1] = torch.nan

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class TwoMethods(Two):
    @torch.jit.export
    def scores(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc1(x))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.left(x), self.right(x)


class ListOutput(TwoOutputs):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.left(x), self.right(x)]


class Maximum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.max(self.left(x), self.right(x))


class ElementwiseMaximum(Maximum):
    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(self.left(x), self.right(x))


class ConvBn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = ConvBn()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Half(nn.Module):
    """Fails on some inputs, half-way."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.fc2 = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc1(x)
        return self.fc2(y.view(4, 5))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 6)
        self.fc2 = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.block(x * 100)


class NotReused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.other = copy.deepcopy(self.block)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.other(x * 100)


class Dead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.fc2 = nn.Linear(5, 4)
        self.fc1.bias.data -= 100

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class Faint(Two):
    def __init__(self) -> None:
        super().__init__()
        self.fc1.weight.data *= 1e-7
        self.fc1.bias.data *= 1e-7


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(10, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.fc(self.bag(words))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x)[0])


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, words: Tensor) -> Tensor:
        return self.fc(self.embedding(words))


# -- the cases --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong: how to make it, the finding's rule and place, and what cures it."""

    name: str
    rule: str
    severity: str
    broken: Callable[[str], jq.Recording]
    cured: Callable[[str], jq.Recording]
    hows: tuple[str, ...] = BOTH
    module: str = ""
    line: str = ""

    def __str__(self) -> str:
        return self.name


def line_text(source: str) -> str:
    """The user's own line that a finding names."""
    path, line, _ = source.rsplit(":", 2)
    return linecache.getline(path, int(line)).strip()


def nothing(model: torch.nn.Module, data: object) -> None:
    """A calibration that forgets to calibrate."""


def tolerant(model: torch.nn.Module, data: Sequence[tuple[Tensor]]) -> None:
    """A calibration that goes on after a batch that failed."""
    for batch in data:
        try:
            model(*batch)
        except Exception:
            continue


def with_extreme(value: float) -> list[tuple[Tensor]]:
    data = [tuple(t.clone() for t in batch) for batch in ROWS]
    data[2][0][1, 2] = value
    return data


def positive(sign: float = 1.0) -> list[tuple[Tensor]]:
    return [(sign * batch[0].abs(),) for batch in ROWS]


def converted_only(how: str) -> jq.Recording:
    with warnings.catch_warnings(), jq.record() as recorder:
        warnings.simplefilter("ignore")
        torch_jit.convert_jit(compiled(eager(Two), how))
    return recorder.recordings[0]


def prepared(how: str, times: int) -> jq.Recording:
    with warnings.catch_warnings(), jq.record() as recorder:
        warnings.simplefilter("ignore")
        model = compiled(eager(Two), how)
        for _ in range(times):
            model = torch_jit.prepare_jit(model, {"": MINMAX})
            calibrate(model, ROWS)
        torch_jit.convert_jit(model)
    return recorder.recordings[-1]


def not_begun(net: nn.Module, qconfig: dict[str, Any], data: Any = ROWS) -> jq.Recording:
    """What a pass that can end the process would be given."""
    return jq.Session.static(compiled(net, "scripted", data), qconfig, calibrate, [data]).recording


def training(make: Callable[[], nn.Module]) -> nn.Module:
    return copy.deepcopy(eager(make)).train()


def optimized(how: str) -> jq.Recording:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.optimize_for_inference(torch.jit.freeze(compiled(eager(Two), how)))
        return finished(jq.Session.static(model, WHOLE, calibrate, [ROWS], progress=False))


def quantized_again(how: str) -> jq.Recording:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = jq.Session.static(compiled(eager(Two), how), WHOLE, calibrate, [ROWS])
        first.run()
        return finished(jq.Session.static(first.module, WHOLE, calibrate, [ROWS]))


def without_vnni(qconfig: QConfig) -> Callable[[str], jq.Recording]:
    return lambda how: replace(static(eager(Two), how, {"": qconfig}), vnni=False, engine="x86")


def compared(recording_of: Callable[[], jq.Session]) -> jq.Recording:
    session = recording_of()
    session.run()
    jq.compare(session, ROWS)
    return session.recording


def _session(data: Sequence[tuple[Tensor]], qconfig: QConfig, how: str) -> jq.Session:
    model = compiled(eager(Two), how)
    return jq.Session.static(model, {"": qconfig}, calibrate, [data], progress=False)


CONV = {"data": IMAGES}
WORDS = [(torch.randint(0, 9, (2, 3)),)]
SEQUENCE = batches(3, 2, 6)

CASES = (
    Case("shared class", "shared_class", "error",
         lambda how: not_begun(eager(WithSpare), WHOLE),
         lambda how: static(eager(WithSpare), how, {**WHOLE, "spare": None}),
         ("scripted",), "spare"),
    Case("shared class, in a loop", "shared_class", "error",
         lambda how: not_begun(eager(LoopedTwin), WHOLE),
         lambda how: static(eager(LoopedTwin), how, {**WHOLE, "fc": None}),
         ("scripted",), "fc"),
    Case("scripted attention", "scripted_attention", "error",
         lambda how: not_begun(eager(Attention), WHOLE, batches(3, 2, 8)),
         lambda how: static(eager(TransformerBlock), how, data=batches(2, 5, 8)),
         ("scripted",), "attention"),
    Case("never calibrated, per channel", "uncalibrated_per_channel", "error",
         lambda how: static(eager(Two), how, run=nothing), lambda how: static(eager(Two), how)),
    Case("never calibrated: weights unpacked", "unpacked_weight", "error",
         lambda how: static(eager(Two), how, run=nothing), lambda how: static(eager(Two), how)),
    Case("never calibrated, per tensor", "uncalibrated", "error",
         lambda how: static(eager(Two), how, {"": default_qconfig}, run=nothing),
         lambda how: static(eager(Two), how, {"": default_qconfig})),
    Case("branch never taken", "branch_not_calibrated", "warning",
         lambda how: static(eager(Branch), how, data=positive()),
         lambda how: static(eager(Branch), how, data=positive() + positive(-1)),
         ("scripted",), "negative", "return self.negative(y)"),
    Case("branch on a quantized value", "branch_on_quantized", "warning",
         lambda how: static(eager(BranchOnQuantized), how),
         lambda how: static(eager(BranchOnFlag), how, data=[(*row, k % 2 == 0) for k, row in enumerate(ROWS)]),
         ("scripted",), "fc1", "if y.sum() > 0:"),
    Case("NaN, min-max", "not_finite", "error",
         lambda how: static(eager(Two), how, {"": MINMAX}, with_extreme(torch.nan)),
         lambda how: static(eager(Two), how, {"": MINMAX}), module="fc1"),
    Case("infinity, min-max", "not_finite", "error",
         lambda how: static(eager(Two), how, {"": MINMAX}, with_extreme(torch.inf)),
         lambda how: static(eager(Two), how, {"": MINMAX}), module="fc1"),
    Case("NaN, histogram", "stage_failed", "error",
         lambda how: static(eager(Two), how, data=with_extreme(torch.nan)),
         lambda how: static(eager(Two), how)),
    Case("a call that fails half-way", "call_ended_half_way", "warning",
         lambda how: static(eager(Half), how, data=[*ROWS[:2], *batches(3, 6, count=1)],
                            run=tolerant, histograms=True),
         lambda how: static(eager(Half), how, data=ROWS, histograms=True),
         ("scripted",)),
    Case("every call fails half-way", "partly_calibrated", "error",
         lambda how: static(eager(Half), how, data=batches(3, 6), run=tolerant),
         lambda how: static(eager(Half), how), ("scripted",), "fc2"),
    Case("outlier", "outlier", "warning",
         lambda how: static(eager(Two), how, {"": MINMAX}, with_extreme(1e4), histograms=True),
         lambda how: static(eager(Two), how, {"": MINMAX}, histograms=True), module="fc1"),
    Case("outlier, no histogram", "outlier", "warning",
         lambda how: static(eager(Two), how, {"": MINMAX}, with_extreme(1e4)),
         lambda how: static(eager(Two), how, {"": MINMAX}), module="fc1"),
    Case("outlier, few values in a histogram", "outlier", "warning",
         lambda how: static(eager(Two), how, data=with_extreme(1e4)),
         lambda how: static(eager(Two), how), module="fc1"),
    Case("outlier beyond all bounds", "overflowing_range", "error",
         lambda how: static(eager(Two), how, {"": MINMAX}, with_extreme(3e38)),
         lambda how: static(eager(Two), how, {"": MINMAX}), module="fc1"),
    Case("always zero", "always_zero", "warning",
         lambda how: static(eager(Dead), how), lambda how: static(eager(Two), how),
         line="torch.relu(self.fc1(x))"),
    Case("hardly more than zero", "tiny_range", "warning",
         lambda how: static(eager(Faint), how), lambda how: static(eager(Two), how),
         line="torch.relu(self.fc1(x))"),
    Case("conv, relu, bn", "norm_not_folded", "info",
         lambda how: static(eager(ReluBeforeBn), how, **CONV),
         lambda how: static(eager(BnBeforeRelu), how, **CONV),
         module="bn", line="self.bn(torch.relu(self.conv(x)))"),
    Case("observed batch norm", "norm_parameter", "info",
         lambda how: static(eager(ReluBeforeBn), how, **CONV),
         lambda how: static(eager(ReluBeforeBn), how, {**WHOLE, "bn": None}, **CONV),
         ("traced",), "bn"),
    Case("observed layer norm", "norm_parameter", "info",
         lambda how: static(eager(TransformerBlock), how, data=batches(2, 5, 8)),
         lambda how: static(eager(TransformerBlock), how,
                            {**WHOLE, "norm1": None, "norm2": None}, batches(2, 5, 8)),
         module="norm1"),
    Case("one conv, two norms", "double_fold", "error",
         lambda how: static(eager(TwoNorms), how, **CONV),
         lambda how: static(eager(TwoNormsTwoConvs), how, **CONV),
         module="conv", line="self.bn1(self.conv(x)) + self.bn2(self.conv(x))"),
    Case("one conv, one norm, two calls", "double_fold", "error",
         lambda how: static(eager(OneNormTwoCalls), how, **CONV),
         lambda how: static(eager(OneNormTwoConvs), how, **CONV),
         module="conv", line="self.bn1(self.conv(x)) + self.conv(x)"),
    Case("norm without statistics", "norm_without_statistics", "error",
         lambda how: static(eager(NoStatistics), how, **CONV),
         lambda how: static(eager(BnBeforeRelu), how, **CONV),
         module="bn", line="torch.relu(self.bn(self.conv(x)))"),
    Case("training mode, scripted", "scripted_in_training", "warning",
         lambda how: static(training(BnOnly), how, **CONV),
         lambda how: static(eager(BnOnly), how, **CONV), ("scripted",), "bn"),
    Case("training mode, traced", "traced_in_training", "error",
         lambda how: static(training(BnOnly), how, **CONV),
         lambda how: static(eager(BnOnly), how, **CONV), ("traced",), "bn"),
    Case("LSTM", "float_no_rule", "info",
         lambda how: static(eager(Lstm), how, data=SEQUENCE),
         lambda how: static(eager(Two), how), module="lstm", line="self.lstm(x)"),
    Case("embedding", "float_no_rule", "info",
         lambda how: static(eager(Words), how, data=WORDS),
         lambda how: static(eager(Two), how), module="embedding", line="self.embedding(words)"),
    Case("matmul", "float_no_rule", "info",
         lambda how: static(eager(TransformerBlock), how, data=batches(2, 5, 8)),
         lambda how: static(eager(Two), how), line="self.q(x) @ self.k(x)"),
    Case("loop", "float_in_loop", "warning",
         lambda how: static(eager(Looped), how), lambda how: static(eager(Looped), "traced"),
         ("scripted",), "fc", "torch.relu(self.fc(x))"),
    Case("fork", "float_in_fork", "warning",
         lambda how: static(eager(Forked), how), lambda how: static(eager(NotForked), how),
         ("scripted",), "side", "torch.jit.fork(self.side, x)"),
    Case("function", "float_in_function", "warning",
         lambda how: static(eager(InFunction), how), lambda how: static(eager(InMethod), how),
         line="return F.linear(x, weight)"),
    Case("alpha", "float_alpha", "info",
         lambda how: static(eager(Alpha), how), lambda how: static(eager(NoAlpha), how),
         line="alpha=2"),
    Case("added parameter", "float_parameter", "info",
         lambda how: static(eager(AddedParameter), how),
         lambda how: static(eager(AddedBias), how), line="+ self.offset"),
    Case("kept in float", "float_no_qconfig", "info",
         lambda how: static(eager(Two), how, {**WHOLE, "fc1": None}),
         lambda how: static(eager(Two), how), module="fc1", line="self.fc1(x)"),
    Case("dynamic covers linear alone", "float_dynamic_only", "info",
         lambda how: dynamic(eager(Hardswish), how),
         lambda how: static(eager(Hardswish), how), line="F.hardswish"),
    Case("two layers joined by a float op", "joined_by_float", "info",
         lambda how: static(eager(Gelu), how), lambda how: static(eager(Hardswish), how),
         line="F.gelu(self.fc1(x))"),
    Case("float island", "float_island", "info",
         lambda how: static(eager(GeluIsland), how), lambda how: static(eager(Hardswish), how),
         line="F.gelu(self.fc1(x))"),
    Case("empty qconfig", "empty_qconfig", "error",
         lambda how: static(eager(Two), how, {}), lambda how: static(eager(Two), how)),
    Case("qconfig of None", "empty_qconfig", "error",
         lambda how: static(eager(Two), how, {"": None}), lambda how: static(eager(Two), how)),
    Case("misspelt key", "unknown_key", "error",
         lambda how: static(eager(Two), how, {"fc_1": FBGEMM}),
         lambda how: static(eager(Two), how, {"fc1": FBGEMM})),
    Case("misspelt key among others", "unknown_key", "warning",
         lambda how: static(eager(Two), how, {**WHOLE, "f2": None}),
         lambda how: static(eager(Two), how, {**WHOLE, "fc2": None})),
    Case("converted, not prepared", "not_prepared", "error",
         converted_only, lambda how: prepared(how, 1)),
    Case("optimized first", "already_optimized", "error",
         optimized, lambda how: static(eager(Two), how)),
    Case("prepared twice", "prepared_twice", "error",
         lambda how: prepared(how, 2), lambda how: prepared(how, 1)),
    Case("prepared twice: quantized again", "redundant_pair", "warning",
         lambda how: prepared(how, 2), lambda how: prepared(how, 1)),
    Case("nothing to quantize in the mode", "nothing_quantized", "warning",
         lambda how: dynamic(eager(BnOnly), "scripted"),
         lambda how: static(eager(BnOnly), how, **CONV), ("scripted",)),
    Case("lost rows", "lost_rows", "error",
         lambda how: static(eager(LoudRow), how, {"": MINMAX}),
         lambda how: static(eager(LoudRow), how,
                            {"": QConfig(MinMaxObserver, default_per_channel_weight_observer)}),
         module="fc", line="self.fc(x)"),
    Case("lost rows, dynamic", "lost_rows", "error",
         lambda how: dynamic(eager(LoudRow), how),
         lambda how: dynamic(eager(LoudRow), how,
                             {"": QConfig(default_dynamic_qconfig.activation,
                                          default_per_channel_weight_observer)}),
         module="fc", line="self.fc(x)"),
    Case("transposed, per channel", "transposed_per_channel", "error",
         lambda how: static(eager(Transposed), how, **CONV),
         lambda how: static(eager(Transposed), how, {"": MINMAX}, **CONV),
         module="up", line="self.up(x)"),
    Case("dynamic qconfig, static run", "dynamic_qconfig", "error",
         lambda how: static(eager(Two), how, {"": default_dynamic_qconfig}),
         lambda how: static(eager(Two), how)),
    Case("float16 qconfig, static run", "stage_failed", "error",
         lambda how: static(eager(Two), how, {"": float16_dynamic_qconfig}),
         lambda how: dynamic(eager(Two), how, {"": float16_dynamic_qconfig})),
    Case("float16 overflows", "float16_overflow", "error",
         lambda how: dynamic(eager(HugeWeight), how, {"": float16_dynamic_qconfig}),
         lambda how: dynamic(eager(HugeWeight), how), module="fc"),
    Case("no VNNI", "saturating_kernel", "warning",
         without_vnni(MINMAX), without_vnni(default_qconfig), module="fc1"),
    Case("on the device: key of a module", "on_device_key", "error",
         lambda how: on_device(eager(Two), how, {"fc1": default_dynamic_qconfig}),
         lambda how: on_device(eager(Two), how), module="fc1"),
    Case("on the device: None for a module", "on_device_key", "warning",
         lambda how: on_device(eager(Two), how, {"": default_dynamic_qconfig, "fc2": None}),
         lambda how: on_device(eager(Two), how), module="fc2"),
    Case("on the device: wrong order", "on_device_order", "info",
         lambda how: on_device(eager(Two), how),
         lambda how: on_device(eager(Two), how, inputs=ROWS[0])),
    Case("on the device: conv and norm in a submodule", "on_device_norm", "error",
         lambda how: on_device(eager(Wrapped), how, data=IMAGES),
         lambda how: on_device(eager(ConvBnRelu), how, data=IMAGES),
         module="inner.bn", line="self.bn(self.conv(x))"),
    Case("dropped method", "dropped_method", "info",
         lambda how: static(eager(TwoMethods), how),
         lambda how: static(eager(TwoMethods), how, preserved_attrs=["scores"]), ("scripted",)),
    Case("kept method", "float_method", "warning",
         lambda how: static(eager(TwoMethods), how, preserved_attrs=["scores"]),
         lambda how: static(eager(TwoMethods), how), ("scripted",)),
    Case("kept module", "unpacked_weight", "warning",
         lambda how: static(eager(Two), how, preserved_attrs=["fc1"]),
         lambda how: static(eager(Two), how), line="self.fc1(x)"),
    Case("float64", "not_float32", "error",
         lambda how: static(copy.deepcopy(eager(Two)).double(), how, data=DOUBLES),
         lambda how: static(eager(Two), how), module="fc1"),
    Case("quantized before", "already_quantized", "warning",
         quantized_again, lambda how: static(eager(Two), how)),
    Case("bad name to preserve", "stage_failed", "error",
         lambda how: static(eager(TwoMethods), how, preserved_attrs=["nope"]),
         lambda how: static(eager(TwoMethods), how, preserved_attrs=["scores"]), ("scripted",)),
    Case("the final model is larger", "model_grew", "warning",
         lambda how: static(eager(Two), how, preserved_attrs=["fc1", "fc2"]),
         lambda how: static(eager(Two), how)),
    Case("tuple of outputs", "tuple_output", "error",
         lambda how: static(eager(TwoOutputs), how), lambda how: static(eager(ListOutput), how),
         ("scripted",)),
    Case("maximum of two", "binary_max", "error",
         lambda how: static(eager(Maximum), how),
         lambda how: static(eager(ElementwiseMaximum), how), line="torch.max("),
    Case("module used twice", "shared_range", "warning",
         lambda how: static(eager(Reused), how, histograms=True),
         lambda how: static(eager(NotReused), how, histograms=True), ("scripted",), "block.fc1", "self.fc2(self.fc1(x))"),
    Case("padding in words", "stage_failed", "error",
         lambda how: static(eager(PaddedInWords), how, **CONV),
         lambda how: static(eager(PaddedInNumbers), how, **CONV), ("scripted",)),
    Case("embedding bag", "stage_failed", "error",
         lambda how: static(eager(Bag), how, data=WORDS),
         lambda how: static(eager(Bag), how, {**WHOLE, "bag": None}, WORDS)),
    Case("broken weight", "broken_weight", "error",
         lambda how: static(eager(BrokenWeight), how, {"": MINMAX}),
         lambda how: static(eager(LoudRow), how), module="fc"),
    Case("poor output", "poor_output", "error",
         lambda how: compared(lambda: _session(with_extreme(1e4), MINMAX, how)),
         lambda how: compared(lambda: _session(ROWS, MINMAX, how))),
)  # fmt: skip
