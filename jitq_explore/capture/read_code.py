"""The TorchScript code of methods, as torch prints it."""

from __future__ import annotations

from jitq_explore.capture.torch_types import CppMethod

_QUALIFIED = "__torch__"


class CodeReader:
    """Reads the code of methods, of equal ones once: printing it costs more than the graph."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, ...], str] = {}
        self._held: dict[str, str] = {}

    def read(self, method: CppMethod, text: str, known_as: tuple[str, ...] | None) -> str:
        """The code of a method whose graph prints as `text`; "" where torch cannot print it.

        Methods that are `known_as` the same have equal graphs, but for mangling counters. None:
        this graph's text does not tell all of it, so that it may equal no other.
        """
        if known_as is None:
            return self._print(method)
        exact = (*known_as, text)
        for key in (known_as, exact):
            if key in self._read:
                return self._read[key]
        code = self._print(method)
        # Names of classes and functions come with their counters.
        self._read[exact if _QUALIFIED in code else known_as] = code
        return code

    def _print(self, method: CppMethod) -> str:
        try:
            code = str(method.code)
        except Exception:  # whatever it is: the model is well, only its code cannot be shown
            return ""
        return self._held.setdefault(code, code)
