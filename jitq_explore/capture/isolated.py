"""The process in which `isolation` tries passes: `python -m jitq_explore.capture.isolated`.

It reads the folder of a job from each line of its standard input, and answers with a line: a JSON
string, empty where the pass ended well, else its error. It ends with its input.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch.ao.quantization.qconfig import QConfig
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule

from jitq_explore.capture import stages
from jitq_explore.capture.engines import engine_in_force
from jitq_explore.capture.guard import let_passes_crash
from jitq_explore.capture.isolation import JOB, MODEL
from jitq_explore.capture.take import SnapshotTaker


def main() -> None:
    """Answer job after job."""
    # What torch prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C in a terminal reaches all processes; only the one that asked handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    let_passes_crash()
    for line in sys.stdin:
        try:
            run(Path(json.loads(line)))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        else:
            said = ""
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def run(folder: Path) -> None:
    """Run the job's stage on the model, and look at all of what comes out, as a session does."""
    job: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    observers: dict[str, Any] = {}

    def observer(name: str) -> Any:
        if name not in observers:
            observers[name] = _loaded(folder / name)._c
        return observers[name]

    options = stages.Options(
        qconfigs={
            key: names and QConfig(*map(observer, names)) for key, names in job["qconfigs"].items()
        },
        quant_type=QuantType(job["quant_type"]),
        debug=job["debug"],
        preserved_attrs=job["preserved_attrs"],
        method_name=job["method_name"],
        separate=job["separate"],
    )
    with engine_in_force(job["engine"]):
        model = stages.BY_NAME[job["stage"]].apply(_loaded(folder / MODEL), options)
        SnapshotTaker(options.method_name).take(model)


def _loaded(path: Path) -> ScriptModule:
    # As bytes: torch cannot open every path that Windows can.
    module: ScriptModule = torch.jit.load(io.BytesIO(path.read_bytes()))
    return module


if __name__ == "__main__":
    main()
