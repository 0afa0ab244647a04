"""A user's model and data, read from files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.jit import ScriptModule

SAVE_A_MODEL = 'save one with torch.jit.save(torch.jit.script(model.eval()), "model.pt")'
SAVE_BATCHES = 'save them with torch.save([batch, batch, …], "inputs.pt")'


class BadFileError(ValueError):
    """A file is missing or is not what it should be; the message says what to do."""


def load_model(path: Path) -> ScriptModule:
    """The TorchScript model in a file, on the CPU."""
    _check_exists(path)
    try:
        model: ScriptModule = torch.jit.load(path, map_location="cpu")
    except Exception as error:
        # torch's own text speaks of corruption and is long; --traceback shows it.
        message = f"{path} is no TorchScript file (what torch.save writes is none), or is damaged"
        raise BadFileError(f"{message}; {SAVE_A_MODEL}") from error
    return model


def check_method(model: ScriptModule, name: str) -> None:
    """ValueError for a method that the model does not have, with those that it has."""
    names = model._c._method_names()
    if name not in names:
        raise ValueError(f"unknown method {name!r} (must be one of {', '.join(names)})")


def load_batches(path: Path) -> list[Any]:
    """The calibration batches in a file: a list, of which `run_batches` says how each is used.

    Loaded with `weights_only=True`: a file with anything but plain data in it is refused.
    """
    _check_exists(path)
    try:
        with warnings.catch_warnings():
            # Given a TorchScript file by mistake, torch warns first and fails then.
            warnings.simplefilter("ignore")
            batches = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"{path} is no file of torch.save that holds tensors alone; {SAVE_BATCHES}"
        raise BadFileError(message) from error
    if not isinstance(batches, (list, tuple)):
        kind = type(batches).__name__
        raise BadFileError(f"{path} holds one {kind} instead of a list of batches; {SAVE_BATCHES}")
    if not batches:
        raise BadFileError(f"{path} holds an empty list; {SAVE_BATCHES}")
    for number, batch in enumerate(batches, 1):
        _check_batch(batch, f"{path}: batch {number}")
    return list(batches)


def run_batches(model: ScriptModule, batches: Sequence[Any]) -> None:
    """Call the model on each batch: a tensor is its one argument, a tuple or list its arguments,
    a dict its keyword arguments."""
    with torch.no_grad():
        for batch in batches:
            if isinstance(batch, Mapping):
                model(**batch)
            else:
                model(*arguments_of(batch))


def arguments_of(batch: Any) -> tuple[Any, ...]:
    """The positional arguments a batch stands for; BadFileError for a dict: it has none."""
    if isinstance(batch, Mapping):
        raise BadFileError("on-device runs take no names: save each batch as a tuple, not a dict")
    return tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise BadFileError(f"there is no file {path}; name it as seen from {Path.cwd()}")
    if path.is_dir():
        raise BadFileError(f"{path} is a folder; name a file in it")


def _check_batch(batch: object, where: str) -> None:
    if isinstance(batch, Mapping):
        if not all(isinstance(name, str) for name in batch):
            raise BadFileError(f"{where} is a dict whose keys are not all names of arguments")
    elif not isinstance(batch, (torch.Tensor, tuple, list)):
        kind = type(batch).__name__
        raise BadFileError(
            f"{where} is of type {kind}, not a tensor or a tuple, list or dict of them; "
            f"{SAVE_BATCHES}"
        )
