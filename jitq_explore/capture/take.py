"""A live ScriptModule -> `Snapshot`."""

from __future__ import annotations

from dataclasses import replace

from torch.jit import ScriptModule

from jitq_explore.capture.hush import Heard, hushed, kept_warnings
from jitq_explore.capture.printed import printed
from jitq_explore.capture.read_code import CodeReader
from jitq_explore.capture.read_graph import read_body
from jitq_explore.capture.read_modules import ModuleReader, is_observer, type_name, walk
from jitq_explore.capture.read_observers import ObserverReader
from jitq_explore.capture.read_tensors import TensorReader
from jitq_explore.capture.torch_types import CppMethod, CppModule
from jitq_explore.snapshots.graph import Graph, plain_type
from jitq_explore.snapshots.modules import ModuleState
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Snapshot

_OPAQUE_CONSTANTS = ("<Tensor>", "object of")


class SnapshotTaker:
    """Takes the snapshots of one run; what is equal from one to the next is read and held once.

    Graphs are known again by their printed text without mangling counters, and by their code; that
    costs a small part of reading them.
    """

    def __init__(self, method_name: str = "forward") -> None:
        self.method_name = method_name
        self._tensors = TensorReader()
        self._codes = CodeReader()
        self._bodies: dict[tuple[str, ...], Graph] = {}
        self._states: dict[tuple[str, str], ModuleState] = {}

    def take(self, module: ScriptModule) -> Snapshot:
        """The model as it is now. Holds no torch object and does not touch the module."""
        # Unpacking a weight to look at it makes torch warn of its own API.
        with hushed(Heard()), kept_warnings([]), collector_paused():
            return self._take(module)

    def _take(self, module: ScriptModule) -> Snapshot:
        texts: dict[tuple[str, str], str] = {}
        bodies: dict[tuple[str, str], Graph] = {}
        codes: dict[tuple[str, str], str] = {}
        found = list(walk(module._c))
        types = {type_name(submodule) for _, submodule in found}
        modules, observers = self._read(found)
        for (_, submodule), state in zip(found, modules, strict=True):
            for name in state.methods:
                key = (state.class_group, name)
                if key in texts:
                    continue
                method = submodule._get_method(name)
                texts[key] = printed(method.graph)
                if not state.is_observer:
                    bodies[key], codes[key] = self._method(state, name, method, texts[key], types)
        return Snapshot(texts, bodies, modules, observers, self.method_name, codes)

    def retake_graphs(self, module: ScriptModule, before: Snapshot) -> Snapshot:
        """The same after a pass that leaves all attributes, and all submodules' graphs, alone."""
        root = before.modules[0]
        types = {state.class_group for state in before.modules}
        texts, bodies, codes = dict(before.texts), dict(before.bodies), dict(before.codes)
        with hushed(Heard()), kept_warnings([]):
            for name in root.methods:
                key = (root.class_group, name)
                method = module._c._get_method(name)
                text = printed(method.graph)
                if text != before.texts[key]:
                    texts[key] = text
                    bodies[key], codes[key] = self._method(root, name, method, text, types)
        if texts == before.texts:
            return before
        return replace(before, texts=texts, bodies=bodies, codes=codes)

    def retake_observers(self, module: ScriptModule, before: Snapshot) -> Snapshot:
        """The same after a run that can only have fed the observers."""
        with hushed(Heard()), kept_warnings([]):
            return before.with_observers(self._readings(list(walk(module._c))))

    def _read(
        self, found: list[tuple[str, CppModule]]
    ) -> tuple[tuple[ModuleState, ...], tuple[ObserverReading, ...]]:
        # Passes add attributes to classes, so what a class has is looked up anew each time.
        reader = ModuleReader(self._tensors)
        states = tuple(self._shared(reader.read(path, module)) for path, module in found)
        return states, self._readings(found)

    def _shared(self, state: ModuleState) -> ModuleState:
        """The state as it was last read, where it has not changed."""
        key = (state.path, state.class_group)
        if self._states.get(key) != state:
            self._states[key] = state
        return self._states[key]

    def _readings(self, found: list[tuple[str, CppModule]]) -> tuple[ObserverReading, ...]:
        reader = ObserverReader()
        return tuple(
            reader.read(path, module) for path, module in found if is_observer(path, module)
        )

    def _method(
        self, state: ModuleState, name: str, method: CppMethod, text: str, types: set[str]
    ) -> tuple[Graph, str]:
        """The body and the code of a method."""
        if any(mark in text for mark in _OPAQUE_CONSTANTS):
            return read_body(method.graph, types), self._codes.read(method, text, None)
        known_as = (state.class_name, name, plain_type.__wrapped__(text))
        code = self._codes.read(method, text, known_as)
        # The text names functions without their modules, the code with them.
        key = (*known_as, code)
        if key not in self._bodies:
            self._bodies[key] = read_body(method.graph, types)
        return self._bodies[key], code
