"""`Session`: one quantization run, taken one stage at a time."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.jit import ScriptModule

from jitq_explore.capture import stages as passes
from jitq_explore.capture.calibration import GOES_ON, Calibration, batches_seen
from jitq_explore.capture.collect import Collector
from jitq_explore.capture.engines import engine_in_force
from jitq_explore.capture.guard import remedied
from jitq_explore.capture.isolation import SECONDS, Isolation
from jitq_explore.capture.jit_log import LOG_BYTES, Listener, left_by
from jitq_explore.capture.plan import Plan, independent_copy, scripted_options
from jitq_explore.capture.program import LiveModel, Program
from jitq_explore.capture.qconfig_changes import changed, with_observers
from jitq_explore.capture.qconfigs import (
    checked_calibration,
    levels_to_caller,
)
from jitq_explore.capture.rehearsal import rehearse_weights
from jitq_explore.capture.replay import Call, calls_made
from jitq_explore.capture.run_log import RunLog, Watched, new_recording
from jitq_explore.capture.stages import CALIBRATE, ON_DEVICE_RUN, Stage
from jitq_explore.capture.take import SnapshotTaker
from jitq_explore.capture.torch_types import unwrapped, wrap
from jitq_explore.capture.torch_version import require_supported_torch
from jitq_explore.capture.turn import Stopped, Turn, Watcher
from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.deciding import deciding_modules
from jitq_explore.snapshots.numerics import Comparison
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot, StageRecord

KEPT_LIVE = ("fold_conv_bn", "insert_quant_dequant")
"""Stages after which the numbers can differ and whose model no later stage has: kept, so that
`jq.compare` can run them."""


class Session:
    """A quantization run in single steps, each recorded.

    Make one with `Session.static`, `Session.dynamic` or `Session.on_device`. The given model is
    never changed: everything happens to an independent copy.

    It may be run in any thread, by one at a time; whoever else tries meanwhile gets a RuntimeError.
    """

    def __init__(self, model: ScriptModule, plan: Plan) -> None:
        require_supported_torch()
        self._plan = plan
        self._turn = Turn()
        self._calibration: Calibration | None = None
        self._warnings: list[str] = []
        self._options = scripted_options(model, plan, self._warnings)
        self._float = independent_copy(model)
        seconds = SECONDS if plan.isolate is True else float(plan.isolate)
        self._isolation = Isolation(seconds, self._turn.raise_if_stopped) if plan.isolate else None
        self._start()

    @classmethod
    def static(
        cls,
        model: ScriptModule,
        qconfig_dict: Mapping[str, Any],
        run_fn: Callable[..., object] | None,
        run_args: Sequence[Any],
        *,
        debug: bool = False,
        preserved_attrs: Sequence[str] | None = None,
        engine: str | None = None,
        progress: bool = True,
        histograms: bool = False,
        deep: bool = False,
        log_bytes: int = LOG_BYTES,
        remedy: bool = False,
        isolate: bool | float = False,
    ) -> Session:
        """Post-training static quantization, as torch's `quantize_jit` does it.

        `run_fn(observed_model, *run_args)` feeds calibration data to the observed model; it is
        called once, each call of the model within it counts as a batch. `engine` is the quantized
        backend during the run (one of `torch.backends.quantized.supported_engines`; put back after
        every stage). `progress` shows a bar while calibrating. With `histograms`, one of 2048 bins
        is collected beside every observer that keeps none, and the ends of every tensor that any is
        shown: `ObserverReading.collected`, `.batch_minimum`, `.batch_maximum`. `run_fn` is then
        given a twin of the observed model; the results are the same to the bit.

        With `deep` the C++ passes' own log is heard: each record has inner `steps` then, and the
        recording the fusion `rules` of this torch. The model is the same to the bit. A pass whose
        log would be, or is, larger than `log_bytes` has fewer steps; its messages say so.

        Ctrl-C in `run_fn`, or `stop`, ends the calibration and is raised; the observers keep what
        they have seen. Then `accept_calibration` takes that, `step` and `run` go on with it,
        `back` takes it back.

        A pass that would end the process is not run: WouldCrashError says why. With `remedy` the
        model and the qconfig dict are changed before `insert_observers` so that it can be run; the
        messages of that stage say what was done, and the results are those that the pass would
        give if it could.

        With `isolate` every pass that rebuilds the model is tried first in another process, which
        may die of it, on a saved copy: IsolatedPassError then, and the recording has everything
        before it. A number is how many seconds each may take there (True: 600). What cannot be
        saved as TorchScript cannot be isolated; the calibration never is.

        Raises ValueError for a model that is not scripted or traced, has no `forward`, or for keys
        of the qconfig dict that are not strings; AssertionError without calibration function or
        data; warns of a key that names no submodule.
        """
        run_fn, run_args = checked_calibration(run_fn, run_args)
        return cls(
            model,
            Plan(
                "static", qconfig_dict, run_fn, run_args, debug, preserved_attrs,
                engine=engine, progress=progress, histograms=histograms,
                deep=deep, log_bytes=log_bytes, remedy=remedy, isolate=isolate,
            ),
        )  # fmt: skip

    @classmethod
    def dynamic(
        cls,
        model: ScriptModule,
        qconfig_dict: Mapping[str, Any],
        *,
        debug: bool = False,
        preserved_attrs: Sequence[str] | None = None,
        engine: str | None = None,
        deep: bool = False,
        log_bytes: int = LOG_BYTES,
        remedy: bool = False,
        isolate: bool | float = False,
    ) -> Session:
        """Dynamic quantization, as torch's `quantize_dynamic_jit` does it: no calibration.

        The parameters and errors are those of `static`.
        """
        plan = Plan(
            "dynamic", qconfig_dict, debug=debug, preserved_attrs=preserved_attrs, engine=engine,
            deep=deep, log_bytes=log_bytes,
            remedy=remedy, isolate=isolate,
        )  # fmt: skip
        return cls(model, plan)

    @classmethod
    def on_device(
        cls,
        model: ScriptModule,
        qconfig_dict: Mapping[str, Any],
        method_name: str = "forward",
        *,
        inputs: torch.Tensor | Sequence[Any] | None = None,
        debug: bool = False,
        engine: str | None = None,
        deep: bool = False,
        log_bytes: int = LOG_BYTES,
        isolate: bool | float = False,
    ) -> Session:
        """On-device dynamic quantization of one method.

        With `inputs` (the method's arguments: a tensor, or a tuple of them) what happens on the
        device is run as well: `reset_observers`, `observe`, `quantize` (which empties the float
        weights of the session's own copy) and `quantized_run`. `deep`, `log_bytes` and `isolate`
        are those of `static`.
        """
        if isinstance(inputs, Mapping):
            raise TypeError(
                "inputs must be a tensor or a tuple of the method's arguments, in order; got a dict"
            )
        arguments = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
        plan = Plan(
            "on_device",
            qconfig_dict,
            debug=debug,
            method_name=method_name,
            inputs=None if arguments is None else tuple(arguments),
            engine=engine,
            deep=deep,
            log_bytes=log_bytes,
            isolate=isolate,
        )
        return cls(model, plan)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages to come, in order; an interrupted calibration is still one."""
        done = len(self.recording.stages) - (self._interrupted is not None)
        return self._plan.stages[done:]

    @property
    def _interrupted(self) -> StageRecord | None:
        """The calibration that can be gone on with, if the last stage is one."""
        last = self.recording.stages[-1] if self.recording.stages else None
        return last if last is not None and last.interrupted and last.error else None

    @property
    def module(self) -> ScriptModule:
        """The live model, as the last stage left it. Before the first stage a copy: the session
        goes back to the float model, which must stay as it is."""
        module = self._module
        if module is self._float:
            module = independent_copy(module)
        return module if isinstance(module, ScriptModule) else wrap(module._c)

    @property
    def recording(self) -> Recording:
        """What was seen so far. Frozen: it does not grow when the session goes on."""
        return self._log.recording

    @property
    def qconfig_dict(self) -> dict[str, Any]:
        """A copy of the qconfig dict that the session was made with."""
        return dict(self._plan.qconfig_dict)

    @property
    def is_busy(self) -> bool:
        """Whether a stage is running, in whatever thread."""
        return self._turn.is_held

    def step(self) -> StageRecord:
        """Run the next stage and return its record.

        A stage that fails is recorded with its error, which is raised; then only `back` goes on.
        RuntimeError when no stage is left, when the last one failed, or while another thread runs
        the session. `Stopped` for a calibration that was stopped.

        After a calibration that was interrupted (Ctrl-C, `stop`) this goes on with it, and warns:
        the calibration function is called once more, on the same observers. Data in a list begins
        anew, so that what was seen counts twice in averages and histograms; an iterator goes on
        where it was. There is one record of it all, with the batches of both.
        """
        with self._turn.taken():
            return self._step()

    def _step(self) -> StageRecord:
        self._check_can_go_on()
        name = self.stages[0]
        self._turn.begin(name)
        try:
            self._run_stage(name)
        finally:
            self._turn.tell(lambda watcher: watcher.ended())
        return self.recording.stages[-1]

    def _run_stage(self, name: str) -> None:
        with engine_in_force(self._plan.engine):
            if name == CALIBRATE:
                self._calibrate()
            elif name in ON_DEVICE_RUN:
                self._run_on_device(name)
            else:
                self._run_pass(passes.BY_NAME[name])

    def run(self, until: str | None = None) -> Recording:
        """Run to the end, or through the stage named `until`; return the recording.

        ValueError for a name that is not a stage to come; else what `step` raises. `Stopped` when
        it was stopped between two stages: `run` or `step` then go on as if nothing had been.
        """
        if until is not None and until not in self.stages:
            raise ValueError(f"unknown stage {until!r} (must be one of {list(self.stages)})")
        with self._turn.taken():
            return self._run(until)

    def _run(self, until: str | None) -> Recording:
        while self.stages and (until is None or until in self.stages):
            if self._turn.is_to_stop:
                raise Stopped(f"stopped before stage {self.stages[0]!r}; session.run() goes on")
            self._step()
        return self.recording

    def accept_calibration(self) -> StageRecord:
        """Take what the observers had seen when the calibration was interrupted; the run goes on.

        The record keeps saying that it was interrupted, and after how many batches. RuntimeError
        unless the last stage is such a calibration, or when no batch had been seen.
        """
        with self._turn.taken():
            interrupted = self._interrupted
            if interrupted is None:
                raise RuntimeError("the last stage is no calibration that was interrupted")
            if not interrupted.batches:
                raise RuntimeError("the calibration was interrupted before it had seen any batch")
            self._calibration = None
            self._log.settle(f"interrupted after {batches_seen(interrupted)}, and accepted so")
            self._turn.tell(lambda watcher: watcher.ended())
        return self.recording.stages[-1]

    def stop(self) -> None:
        """Ask the stage that is running, in whatever thread, to end; there it raises `Stopped`.

        A calibration ends before its next batch and is recorded as interrupted, with what its
        observers have seen. A pass cannot be interrupted: the run ends after it. Does
        nothing while nothing runs.
        """
        self._turn.stop()

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher of every stage and batch from now on; it is held weakly."""
        self._turn.add_watcher(watcher)

    def back(self, to: str | None = None) -> Recording:
        """Take back the last stage, or all stages after the one named `to` ("input": all).

        What is kept is run again from an independent copy of the float model, the calibration
        function included, since torch's passes cannot be undone.
        """
        done = self.recording.names
        if to is None:
            to = done[-2] if len(done) > 1 else "input"
        if to != "input" and to not in done:
            raise ValueError(f"unknown stage {to!r} (must be one of {['input', *done]})")
        with self._turn.taken():
            self._start()
            self._turn.tell(lambda watcher: watcher.ended())
            return self._run(until=to) if to != "input" else self.recording

    def with_qconfig(self, qconfig_dict: Mapping[str, Any]) -> Session:
        """A new session on the same float model and data with another qconfig dict."""
        return Session(wrap(self._float._c), replace(self._plan, qconfig_dict=qconfig_dict))

    def with_change(self, change: Change) -> Session:
        """A new session, not begun, whose qconfig dict differs in what the change says alone.

        Submodules that took their qconfig from a changed module keep the one they had. ValueError
        for a module that stays float, KeyError for one that does not exist.
        """
        for path in change.modules:
            self.recording.input.module(path)
        paths = [module.path for module in self.recording.input.modules]
        return self.with_qconfig(changed(self.qconfig_dict, change, paths))

    def with_observer(
        self,
        where: str,
        *,
        activation: Callable[..., object] | None = None,
        weight: Callable[..., object] | None = None,
    ) -> Session:
        """A new session, not begun, with other observers for one module, or for one value.

        `where` is a module's path or, after `insert_observers`, the path of a value's observer (as
        in `observer_table`): then the modules whose qconfig decides on that value are changed, and
        with them all values that these decide on. The observers are given as a QConfig takes them,
        such as `HistogramObserver.with_args(reduce_range=True)`.
        """
        paths = [module.path for module in self.recording.input.modules]
        modules = self._deciding(where, paths)
        return self.with_qconfig(
            with_observers(self.qconfig_dict, modules, activation, weight, paths)
        )

    def _deciding(self, where: str, paths: Sequence[str]) -> tuple[str, ...]:
        if where in paths:
            return (where,)
        for seen in observations(self.recording):
            if seen.reading.path == where:
                return deciding_modules(self.recording, seen)
        raise KeyError(f"{where!r} is neither a module nor the path of an observer")

    def float_model(self) -> ScriptModule:
        """A copy of the model as it was given."""
        return wrap(independent_copy(self._float)._c)

    def calibration_calls(self) -> tuple[Call, ...]:
        """The calls that the calibration function makes of the float model; none in a dynamic run.

        The function is run for it, its data is kept in memory.
        """
        plan = self._plan
        if plan.run_fn is None:
            return ()
        return calls_made(self.float_model(), plan.run_fn, plan.run_args)

    def with_engine(self, engine: str) -> Session:
        """A new session on the same float model and data, for another quantized backend."""
        return Session(wrap(self._float._c), replace(self._plan, engine=engine))

    @property
    def live_stages(self) -> tuple[str, ...]:
        """The stages whose models can still be run: those that are kept, and the last one."""
        last = self.recording.names[-1:]
        return (*(name for name in self._kept if name not in last), *last)

    def live(self, stage: str) -> LiveModel:
        """The model as a stage left it, to be run; never to be changed.

        Of all stages there are "input" and `live_stages`; KeyError for any other.
        """
        if stage == INPUT:
            module, snapshot = self._float._c, self.recording.input
            return LiveModel(snapshot, module, module._get_method(snapshot.method_name).graph)
        if stage in self._kept:
            return self._kept[stage]
        if stage not in self.live_stages:
            raise KeyError(f"stage {stage!r} cannot be run (must be one of {self.live_stages})")
        return self._live_now()

    def program(self, stage: str) -> Program:
        """The same, ready to be run node by node; made once for each stage."""
        snapshot = self.recording.input if stage == INPUT else self.recording[stage].after
        found = self._programs.get(stage)
        if found is None or found.model.snapshot is not snapshot:
            found = self._programs[stage] = Program(self.live(stage))
        return found

    @contextlib.contextmanager
    def measured(self) -> Iterator[Turn]:
        """While open, its models may be run: no stage begins, the quantized backend is its own.

        What it yields is to be told how far the measuring is, and knows whether it was stopped.
        RuntimeError while another thread runs the session.
        """
        with self._turn.taken(), engine_in_force(self._plan.engine):
            yield self._turn

    def store(self, numerics: Comparison) -> None:
        """Put what was measured into the recording."""
        self._log.recording = replace(self.recording, numerics=numerics)
        self._turn.tell(lambda watcher: watcher.ended())

    def __repr__(self) -> str:
        done = ", ".join(self.recording.names) or "nothing yet"
        return f"<Session {self._plan.mode}: done {done}; to come {', '.join(self.stages) or '-'}>"

    def _start(self) -> None:
        """The beginning of a run: the float model, and a recording of nothing but it."""
        plan = self._plan
        self._calibration = None
        # The on-device passes inline the module they are given: it must not be the one kept.
        self._module = independent_copy(self._float) if plan.mode == "on_device" else self._float
        taker = SnapshotTaker(plan.method_name)
        with engine_in_force(plan.engine):
            recording = new_recording(
                plan.mode,
                self._module,
                taker,
                dict(plan.qconfig_dict),
                plan.stages,
                debug=plan.debug,
                preserved_attrs=tuple(plan.preserved_attrs or ()),
                warnings=tuple(self._warnings),
            )
        self._log = RunLog(recording, taker, Listener(plan.log_bytes) if plan.deep else None)
        self._kept: dict[str, LiveModel] = {}
        self._programs: dict[str, Program] = {}

    def _check_can_go_on(self) -> None:
        failed = self.recording.error
        if failed is not None and self._interrupted is None:
            name = self.recording.names[-1]
            raise RuntimeError(f"stage {name!r} failed ({failed}); session.back() takes it back")
        if not self.stages:
            raise RuntimeError(
                "every stage has run; session.back() takes one back, "
                "session.with_qconfig({...}) starts another run"
            )

    def _run_pass(self, stage: Stage) -> None:
        def read(module: ScriptModule, before: Snapshot) -> Snapshot:
            if stage.graph_only:
                return self._log.taker.retake_graphs(module, before)
            after = self._log.taker.take(module)
            return after.with_observers(rehearsed) if rehearsed else after

        rehearsed: tuple[ObserverReading, ...] = ()
        if stage.name == "insert_quant_dequant" and self._plan.mode == "dynamic":
            # This pass shows the weights to their observers and removes these in one go.
            rehearsed = rehearse_weights(self._module, self.recording.last)
        self._module = self._log.watch(
            stage.name, lambda watched: self._applied(stage, watched), read
        )
        if stage.name in KEPT_LIVE:
            # torch can leave a graph that cannot be copied: the next pass fails and says so.
            with contextlib.suppress(RuntimeError):
                self._kept[stage.name] = self._live_now()

    def _applied(self, stage: Stage, watched: Watched) -> ScriptModule:
        plan, module, options = self._plan, self._module, self._options
        if stage.name == "insert_observers" and plan.remedy:
            done = remedied(module._c, "forward", options.qconfigs, plan.quant_type)
            module = unwrapped(done.module)
            options = replace(options, qconfigs={**options.qconfigs, **dict.fromkeys(done.keys)})
            watched.messages += done.messages
            qconfig = {**self.recording.qconfig, **dict.fromkeys(done.keys, "None")}
            self._log.recording = replace(self.recording, qconfig=qconfig)
        if self._isolation is not None and not stage.graph_only:
            self._isolation.try_out(stage.name, module._c, options, plan.engine)
        made = stage.apply(module, options)
        if plan.deep:
            watched.said.left = left_by(stage.name, module)
        return made

    def _live_now(self) -> LiveModel:
        last = self.recording.last
        # A copy, since quant_finalize rewrites the graph of the module that it is given.
        graph = self._module._c._get_method(last.main_method).graph.copy()
        return LiveModel(last, self._module._c, graph)

    def _calibrate(self) -> None:
        interrupted, watched = self._interrupted, Watched()
        if interrupted is not None:
            going_on = GOES_ON.format(batches=batches_seen(interrupted))
            warnings.warn(going_on, UserWarning, stacklevel=levels_to_caller())
            watched = self._log.reopen()
            watched.messages.append(going_on)
        # Kept while it is under way or interrupted: it holds the model.
        self._calibration = self._calibration or self._new_calibration()
        calibration, taker = self._calibration, self._log.taker
        self._log.watch(
            CALIBRATE,
            calibration.feed,
            lambda _, before: calibration.read(taker, before),
            read_failed=lambda before: calibration.read(taker, before),
            keep_warnings=False,
            watched=watched,
        )
        self._calibration = None

    def _new_calibration(self) -> Calibration:
        plan = self._plan
        if plan.run_fn is None:
            raise RuntimeError("this session has no calibration function")
        return Calibration(
            self._module,
            plan.run_fn,
            plan.run_args,
            progress=plan.progress,
            collector=Collector(self.recording.last) if plan.histograms else None,
            turn=self._turn,
            told=lambda done, total: self._turn.fed(CALIBRATE, done, total),
        )

    def _run_on_device(self, name: str) -> None:
        module, method = self._module, self._plan.method_name
        arguments = () if name == "reset_observers" else self._plan.inputs or ()
        called = f"quantized_{method}" if name == "quantized_run" else f"{name}_{method}"

        def run(watched: Watched) -> None:
            if not module._c._has_method(called):
                raise RuntimeError(
                    f"the model has no method {called!r}: torch found nothing to quantize in "
                    f"{method!r} (on-device it takes linear layers, outside loops)"
                )
            with torch.no_grad():
                getattr(module, called)(*arguments)

        self._log.watch(name, run, lambda _, before: self._log.taker.take(module))
