"""The short form of a source line, as tables show it."""

from __future__ import annotations

import pytest

from jitq_explore.snapshots.source import short_source


@pytest.mark.parametrize(
    ("frame", "short"),
    [
        ("/home/me/net.py:9:12", "net.py:9"),
        (r"C:\me\net.py:9:12", "net.py:9"),
        ("/tmp/ipykernel_4711/1020666769.py:17:8", "cell:17"),
        (r"C:\Temp\ipykernel_4711\1020666769.py:17:8", "cell:17"),
        ("<string>:3:4", "<string>:3"),
        ("", ""),
    ],
)
def test_folders_and_column_are_left_out(frame, short):
    assert short_source(frame) == short
