"""The errors that end a command, their exit codes and their words."""

from __future__ import annotations

FAILED, BAD_INPUT = 1, 2
"""Exit codes: a run failed; the command line or a file it names was not usable."""


class BadInputError(Exception):
    """The command line, or a file it names, is not usable."""


class RunFailedError(Exception):
    """The work itself ended with an error."""


def what(error: Exception) -> str:
    """An error as one sentence: its message, and its type where the message alone says little."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # str of a KeyError is its message in quotes.
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # torch.jit.Error begins with a stack of source lines; what went wrong stands at its end.
    is_from_torchscript = bool(lines) and "TorchScript" in lines[0]
    text = lines[-1 if is_from_torchscript else 0] if lines else "no message"
    expected = isinstance(error, (BadInputError, RunFailedError, ValueError, OSError, KeyError))
    name = type(error).__name__
    # TorchScript's last line may name the type itself.
    return text if expected or text.startswith(f"{name}: ") else f"{name}: {text}"
