"""Whose line a node stems from, and its short form, as tables show it."""

from __future__ import annotations

import pytest

from jitq_explore.snapshots.flatten import Chains
from jitq_explore.snapshots.source import short_source, users_own


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


@pytest.mark.parametrize(
    ("inner", "outer", "own"),
    [
        (("net.py:9:1",), ("main.py:3:1",), "net.py:9:1"),
        (("/torch/nn/functional.py:1:1", "net.py:9:1"), ("main.py:3:1",), "net.py:9:1"),
        (("/torch/nn/functional.py:1:1",), ("main.py:3:1",), "main.py:3:1"),
        ((), ("/torch/nn/functional.py:1:1", "main.py:3:1"), "main.py:3:1"),
        (("/torch/nn/a.py:1:1",), ("/torch/nn/b.py:1:1",), "/torch/nn/a.py:1:1"),
        ((), ("/torch/nn/b.py:1:1",), "/torch/nn/b.py:1:1"),
        ((), (), ""),
    ],
)
def test_the_users_own_line_of_a_chain_of_calls_is_the_innermost_outside_torch(inner, outer, own):
    assert users_own(inner + outer) == own
    assert Chains(outer)[inner] == (inner + outer, own)
