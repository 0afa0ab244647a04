"""`Recording`: what was seen of one quantization run, stage by stage.

This is the object everything else turns on: `capture` makes it, tables, drawings, diagnoses and
widgets read it. It holds no torch object and is saved to a file and read back without torch. It
holds megabytes of graphs, so what is printed of it is short: a notebook prints what a cell ends in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from jitq_explore.snapshots.flatten import Origin, flatten
from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.modules import AttributeState, ModuleState
from jitq_explore.snapshots.numerics import Comparison
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.steps import Step
from jitq_explore.snapshots.timeline import CalibrationTimeline

INPUT = "input"
"""Name of the snapshot of the model as it was given."""

MODES = ("static", "dynamic", "on_device")


@dataclass(frozen=True)
class Snapshot:
    """A model at one moment.

    `texts` (IR as torch prints it) and `bodies` (the same as plain data, calls not inlined) are
    keyed by (class group, method name): modules that share a TorchScript class share its methods,
    so that repeated blocks are held once. So are `codes` (TorchScript code as torch prints it, ""
    where it could not; none at all in files of older versions). Of observers there are texts, no
    bodies and no codes. `modules` lists every submodule, parents first, the model itself ("") at
    the head.
    """

    texts: Mapping[tuple[str, str], str]
    bodies: Mapping[tuple[str, str], Graph]
    modules: tuple[ModuleState, ...]
    observers: tuple[ObserverReading, ...] = ()
    method_name: str = "forward"
    codes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _flattened: dict[str, tuple[Graph, tuple[Origin, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def graph(self, method: str | None = None) -> Graph:
        """The flattened graph of one of the model's methods (default: `main_method`).

        Submodules are inlined, observers are single nodes of kind `jitq::observe`. Made when first
        asked for. KeyError names the methods there are.
        """
        return self._flat(method)[0]

    def origins(self, method: str | None = None) -> tuple[Origin, ...]:
        """For each node of that graph, in order, the body that it is from and its id there."""
        return self._flat(method)[1]

    def _flat(self, method: str | None) -> tuple[Graph, tuple[Origin, ...]]:
        name = self._checked(method)
        if name not in self._flattened:
            with collector_paused():
                self._flattened[name] = flatten(self, name)
        return self._flattened[name]

    def with_observers(self, observers: tuple[ObserverReading, ...]) -> Snapshot:
        """The same model whose observers have seen something else; the graphs are shared."""
        copy = replace(self, observers=observers)
        object.__setattr__(copy, "_flattened", self._flattened)
        return copy

    def text(self, method: str | None = None, module: str = "") -> str:
        """The IR of a method of the module at that path, as torch prints it."""
        name = self._checked(method, module)
        return self.texts[self.module(module).class_group, name]

    def code(self, method: str | None = None, module: str = "") -> str:
        """The TorchScript code of a method of the module at that path, as torch prints it.

        "" where torch could not print it. KeyError where none is kept, as of observers.
        """
        name = self._checked(method, module)
        if not self.codes:
            raise KeyError("no code was kept: this recording is of an older version, make it anew")
        state = self.module(module)
        if state.is_observer:
            raise KeyError(f"no code is kept of the observer {module!r} (must be another module)")
        return self.codes[state.class_group, name]

    def module(self, path: str) -> ModuleState:
        """The state of the submodule at that path; KeyError names some that exist."""
        try:
            return self.by_path[path]
        except KeyError:
            few = ", ".join(repr(module.path) for module in self.modules[:6])
            raise KeyError(f"unknown module {path!r} (there are {few}, …)") from None

    @cached_property
    def by_path(self) -> Mapping[str, ModuleState]:
        """Module path -> its state."""
        return {module.path: module for module in self.modules}

    @cached_property
    def readings(self) -> Mapping[str, ObserverReading]:
        """Observer's module path -> what it had seen."""
        return {reading.path: reading for reading in self.observers}

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.modules)} modules, {len(self.observers)} observers>"

    @property
    def method_names(self) -> tuple[str, ...]:
        """The model's own compiled methods."""
        return self.modules[0].methods

    @property
    def main_method(self) -> str:
        """The method that shows the quantization: `forward`, or the latest an on-device stage
        made."""
        base = self.method_name
        candidates = (f"quantized_{base}", f"quantize_{base}", f"observe_{base}")
        return next((name for name in candidates if name in self.method_names), base)

    @cached_property
    def structure(self) -> Mapping[tuple[str, str], str]:
        """(module path, method) -> digest of its graph, whatever its values and classes are
        called."""
        return {
            (module.path, name): self.bodies[module.class_group, name].structure
            for module in self.modules
            if not module.is_observer
            for name in module.methods
        }

    def _checked(self, method: str | None, module: str = "") -> str:
        name = method or self.main_method
        known = self.module(module).methods
        if name not in known:
            raise KeyError(f"unknown method {name!r} (must be one of {list(known)})")
        return name


@dataclass(frozen=True, slots=True)
class StageError:
    """The error a stage ended with: the exception's type, its message and the printed traceback."""

    type: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"

    @property
    def line(self) -> str:
        """Its first line: torch adds tables of what could have been called."""
        return str(self).strip().partition("\n")[0].rstrip()


@dataclass(frozen=True)
class StageRecord:
    """One stage: the model before and after it, and how it went.

    `seconds` is wall time of the stage itself, without that of taking snapshots. `batches` counts
    the model's calls during calibration. `messages` are the warnings that were kept from the
    screen. After an error `after` is what could still be read: for a calibration what its observers
    had seen, else the same as `before`.

    Of a calibration, `timeline` has the observers' ranges after each batch, and `interrupted` says
    that Ctrl-C (or `Session.stop`) ended it before the calibration function did. It has an `error`
    then until the session has been told to take what was seen, or to go on.

    `steps` are the inner steps of a pass, of a deep recording alone.
    """

    name: str
    before: Snapshot
    after: Snapshot
    seconds: float
    error: StageError | None = None
    batches: int | None = None
    messages: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    timeline: CalibrationTimeline | None = None
    interrupted: bool = False

    def __repr__(self) -> str:
        how = f"failed: {self.error}" if self.error else "changed" if self.changed else "no change"
        return f"<StageRecord {self.name}: {how}, {self.seconds:.3g} s>"

    @cached_property
    def changed(self) -> bool:
        """Whether any graph, or what any observer had seen, differs (names of values do not
        count)."""
        if self.before is self.after:
            return False
        return (
            self.before.structure != self.after.structure
            or self.before.observers != self.after.observers
        )

    @cached_property
    def renewed_attributes(self) -> Mapping[str, AttributeState]:
        """Path of each attribute that holds something else than before ("fc.weight") -> what."""
        old, new = (
            {(m.path, name): a for m in snapshot.modules for name, a in m.attributes.items()}
            for snapshot in (self.before, self.after)
        )
        return {
            ".".join(filter(None, key)): state
            for key, state in new.items()
            if key in old and old[key] != state
        }


@dataclass(frozen=True)
class Recording:
    """One quantization run.

    `mode` is one of "static", "dynamic", "on_device"; `qconfig` maps each key of the qconfig dict
    to the printed QConfig ("None" for None); `planned` names all stages of the run, `stages` holds
    those that have run, the failing one included, in order. `numerics` is what
    `jq.compare` measured, `rules` the fusion rules of the torch of a deep recording.
    `vnni` says whether the CPU multiplies 8-bit numbers without saturating (None: not known).
    """

    mode: str
    input: Snapshot
    stages: tuple[StageRecord, ...]
    planned: tuple[str, ...]
    qconfig: Mapping[str, str]
    torch_version: str
    engine: str
    seed: int | None = None
    debug: bool = False
    preserved_attrs: tuple[str, ...] = ()
    method_name: str = "forward"
    warnings: tuple[str, ...] = ()
    vnni: bool | None = None
    numerics: Comparison | None = None
    rules: tuple[FusionRule, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stages that have run, in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def last(self) -> Snapshot:
        """The newest snapshot."""
        return self.stages[-1].after if self.stages else self.input

    @property
    def error(self) -> StageError | None:
        """The error that ended the run, if one did."""
        return self.stages[-1].error if self.stages else None

    def __repr__(self) -> str:
        return f"<Recording {self.mode}: {', '.join(self.names) or 'nothing has run'}>"

    def __getitem__(self, name: str) -> StageRecord:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(f"unknown stage {name!r} (must be one of {list(self.names)})")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[StageRecord]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def snapshot(self, name: str) -> Snapshot:
        """The model after the named stage, or as it was given ("input")."""
        if name == INPUT:
            return self.input
        if name not in self:
            raise KeyError(f"unknown stage {name!r} (must be one of {[INPUT, *self.names]})")
        return self[name].after
