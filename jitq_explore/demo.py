"""The digits demo: train a small CNN, quantize it stage by stage, keep everything that was seen.

`digits`, `train`, `calibrate` and `accuracy` are the pieces that `notebooks/tour.ipynb` is made of;
`run` is the whole, as `jitq-explore demo` does it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig

from jitq_explore.capture.session import Session
from jitq_explore.snapshots.archive import save
from jitq_explore.snapshots.diff import diff
from jitq_explore.snapshots.recording import INPUT, Recording, StageRecord
from jitq_explore.views.dot import diff_dot
from jitq_explore.views.dot_captions import with_captions_moved
from jitq_explore.views.render import render_svg
from jitq_explore.views.tables import stage_table

SEED = 0

Batch = tuple[Tensor, Tensor]
"""Images [batch, 1, 8, 8] with grey values from 0 to 1, and labels [batch] from 0 to 9."""


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits in three parts that have no image in common."""

    train: tuple[Batch, ...]
    calibration: tuple[Batch, ...]
    test: tuple[Batch, ...]


class MissingScikitLearnError(ImportError):
    """The digits come with scikit-learn, which is not installed."""

    def __init__(self) -> None:
        super().__init__(
            'the demo needs scikit-learn for its digits: pip install "jitq-explore[demo]"'
        )


def digits(batch_size: int = 64) -> Digits:
    """The images, in a fixed random order: 1,197 to train, 200 to calibrate, 400 to test."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingScikitLearnError from None
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(SEED))
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1)[order] / 16
    labels = torch.tensor(data.target)[order]
    parts = (
        tuple(zip(images[part].split(batch_size), labels[part].split(batch_size), strict=True))
        for part in (slice(0, 1197), slice(1197, 1397), slice(1397, None))
    )
    return Digits(*parts)


class Residual(nn.Module):
    """Two convolutions around which the input is led and added."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, height, width] -> the same shape."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + x)


class DigitsNet(nn.Module):
    """A stem, one residual block, pooling and a linear layer.

    Every convolution has a channel count of its own, so that shapes tell the layers apart; relu and
    pooling are torch's plain functions, since `F.relu` and `F.max_pool2d` script to branches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.block = Residual(16, 24)
        self.fc = nn.Linear(16 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Images [batch, 1, 8, 8] -> a score for each digit, [batch, 10]."""
        x = torch.relu(self.bn(self.conv(images)))
        x = torch.max_pool2d(self.block(x), 2)
        scores: Tensor = self.fc(torch.flatten(x, 1))
        return scores


def train(batches: Sequence[Batch], epochs: int = 8) -> DigitsNet:
    """A trained network in eval mode; the same one every time, in a few seconds."""
    with _reproducible():
        model = DigitsNet()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs * len(batches))
        for _ in range(epochs):
            for images, labels in batches:
                optimizer.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimizer.step()
                schedule.step()
    return model.eval()


@contextmanager
def _reproducible() -> Iterator[None]:
    """Fixed seed and one thread (sums in the same order everywhere); put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            yield
    finally:
        torch.set_num_threads(threads)


def calibrate(model: Callable[[Tensor], Tensor], batches: Sequence[Batch]) -> None:
    """Show the observed model typical images; it needs no labels."""
    with torch.no_grad():
        for images, _ in batches:
            model(images)


def accuracy(model: Callable[[Tensor], Tensor], batches: Sequence[Batch]) -> float:
    """The share of images, from 0 to 1, whose highest score is the right digit's."""
    with torch.no_grad():
        hits = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches)
    return hits / sum(len(labels) for _, labels in batches)


def saved_bytes(module: torch.jit.ScriptModule) -> int:
    """The size of the model's TorchScript file, in bytes."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.tell()


@dataclass(frozen=True)
class Measured:
    """What one model is worth: accuracy from 0 to 1 on the test images, and its file's bytes."""

    accuracy: float
    nbytes: int


@dataclass(frozen=True)
class DemoRun:
    """All that the demo made; `files` are those it wrote."""

    recording: Recording
    float_model: Measured
    int8_model: Measured
    files: tuple[Path, ...]


def run(folder: Path, say: Callable[[str], None] = print) -> DemoRun:
    """Train, quantize stage by stage, measure and write to `folder`; `say` takes each line."""
    data = digits()
    folder.mkdir(parents=True, exist_ok=True)

    say(f"Training a small CNN on {_count(data.train)} of scikit-learn's digits ...")
    scripted = torch.jit.script(train(data.train))

    say(f"Quantizing it, stage by stage; calibrated with {_count(data.calibration)} other digits:")
    say("")
    session = quantize(scripted, data.calibration)
    for line in stage_lines(session.recording):
        say(line)

    float_model = measure(scripted, data.test)
    int8_model = measure(session.module, data.test)
    say("")
    say(f"On {_count(data.test)} digits that neither has seen:")
    say("")
    say("           accuracy    file size")
    say(f"  float     {float_model.accuracy:7.2%} {float_model.nbytes:>10,} B")
    say(f"  int8      {int8_model.accuracy:7.2%} {int8_model.nbytes:>10,} B")

    say("")
    say(f"Written to {folder}/:")
    files = []
    for path, what in write(folder, scripted, data.calibration, session.recording):
        say(f"  {path.name:<30} {what}")
        files.append(path)
    say("")
    say(f"Read it as text:  jitq-explore show {folder / 'digits.jitq'}")
    say("Step through it:  jitq-explore lab")
    return DemoRun(session.recording, float_model, int8_model, tuple(files))


def quantize(scripted: torch.jit.ScriptModule, batches: Sequence[Batch]) -> Session:
    """A static session, run to its end one stage at a time."""
    qconfig = get_default_qconfig(torch.backends.quantized.engine)
    session = Session.static(scripted, {"": qconfig}, calibrate, [batches])
    for _ in session.stages:
        session.step()
    return session


def measure(module: torch.jit.ScriptModule, batches: Sequence[Batch]) -> Measured:
    """Accuracy on the batches, and the size of the model's file."""
    return Measured(accuracy(module, batches), saved_bytes(module))


def stage_lines(recording: Recording) -> Iterator[str]:
    """The stage table as lines of fewer than 80 columns."""
    yield "  stage                  nodes   added removed changed seconds"
    for row, stage in zip(stage_table(recording).itertuples(), recording, strict=True):
        counts = (
            f"{row.nodes:>5} {f'+{row.added}':>7} {f'-{row.removed}':>7} {f'~{row.changed}':>7}"
        )
        yield f"  {row.stage:<22} {counts} {row.seconds:>7.3f}  {_remark(stage)}".rstrip()


def _remark(stage: StageRecord) -> str:
    if stage.batches is not None:
        return f"{stage.batches} batches"
    return "" if stage.changed else "no change"


def write(
    folder: Path,
    scripted: torch.jit.ScriptModule,
    calibration: Sequence[Batch],
    recording: Recording,
) -> Iterator[tuple[Path, str]]:
    """Write the demo's files one after another -> (path, what it is).

    The model and the calibration images are what `jitq-explore record` wants.
    """
    model_file, inputs_file = folder / "digits.pt", folder / "calibration.pt"
    torch.jit.save(scripted, model_file)
    yield model_file, "the float model, TorchScript"
    # A slice would be saved with all the images that it is a slice of.
    torch.save([images.clone() for images, _ in calibration], inputs_file)
    yield inputs_file, "the calibration images"

    recording_file = folder / "digits.jitq"
    save(recording, recording_file)
    yield recording_file, "the recording"

    before = INPUT
    for number, stage in enumerate(recording.names, 1):
        drawing_file = folder / f"{number}-{stage}.svg"
        drawing = diff_dot(diff(recording, before, stage))
        drawing_file.write_text(
            with_captions_moved(render_svg(drawing.dot.source)), encoding="utf-8"
        )
        yield drawing_file, f"what {stage} did"
        before = stage


def _count(batches: Sequence[Batch]) -> str:
    return f"{sum(len(labels) for _, labels in batches):,}"
