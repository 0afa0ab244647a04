"""The process that runs pygraphviz: reads DOT, writes SVG, until its input ends.

Run as a script, so it imports nothing of this package. Both ways a message is a length (4 bytes,
big-endian) and as many bytes of UTF-8; a request begins with a line that holds the seconds it may
take, an answer with "+" (SVG follows) or "-" (what went wrong follows).
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import BinaryIO


def main() -> None:
    """Answer one request after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what interrupts the notebook is not meant for us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the C library prints must not end up among the answers
    _answer("digraph {}")  # loads fonts and plugins while the parent still prepares its drawing
    while (request := _read(sys.stdin.buffer)) is not None:
        seconds, _, source = request.partition("\n")
        # A layout cannot be interrupted and holds the GIL, which this timer does not need. It is
        # for the case that the parent is gone and nobody else ends a layout that takes for ever.
        faulthandler.dump_traceback_later(float(seconds) + 1, exit=True)
        answer = _answer(source)
        faulthandler.cancel_dump_traceback_later()
        _write(answers, answer)


def _answer(source: str) -> str:
    try:
        import pygraphviz

        graph = pygraphviz.AGraph(string=source)
        return f"+{graph.draw(format='svg', prog='dot').decode()}"
    except Exception as error:  # the parent raises it
        return f"-{type(error).__name__}: {error}"


def _read(stream: BinaryIO) -> str | None:
    header = stream.read(4)
    if len(header) < 4:
        return None
    return stream.read(int.from_bytes(header, "big")).decode()


def _write(stream: BinaryIO, text: str) -> None:
    data = text.encode()
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


if __name__ == "__main__":
    main()
