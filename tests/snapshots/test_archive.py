"""A recording and its file: the same thing, whatever is in it and whatever was done to the file."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from build import branch, chain, module, reading, recording, recordings, snapshot, typical
from hypothesis import HealthCheck, given, settings

from jitq_explore.snapshots import archive, codec
from jitq_explore.snapshots.archive import ArchiveError, load, save
from jitq_explore.snapshots.consistency import problems
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import Recording, Snapshot
from jitq_explore.snapshots.timeline import CalibrationTimeline, RangeTrack

same_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jitq"


@pytest.fixture
def saved(path: Path) -> Path:
    return save(typical(), path)


def exact(rec: Recording) -> str:
    """Text that tells 1, 1.0 and True apart, 0.0 from -0.0, a tuple from a list, and finds NaN."""
    return repr(rec)


# --- there and back


@given(recordings)
@same_file
def test_what_is_read_is_what_was_saved(path, rec):
    assert exact(load(save(rec, path))) == exact(rec)


def test_the_typical_recording_comes_back(path):
    assert exact(load(save(typical(), path))) == exact(typical())


def test_what_was_one_object_comes_back_as_one(saved):
    rec = load(saved)
    first, second, third, failed = rec.stages
    assert first.before is rec.input
    assert second.before is first.after
    assert second.after is second.before
    assert failed.steps[0].after is failed.steps[1].before
    assert rec.input.modules is first.after.modules
    conv, conv2 = rec.input.modules[1:]
    assert conv.attributes["weight"] is conv2.attributes["w"]
    assert rec.input.bodies["Net", "forward"] is rec.input.bodies["Conv", "forward"]
    assert rec.input.texts["Net", "forward"] is third.after.texts["Net", "forward"]
    assert rec.input.codes["Net", "forward"] is third.after.codes["Net", "forward"]


def test_equal_parts_are_stored_once(path):
    long = "%x : Tensor = aten::relu(%y)" + random.Random(0).randbytes(20_000).hex()
    once = save(recording(snapshot(chain("a"), long)), path).stat().st_size
    copies = [snapshot(chain("a"), "".join(long)) for _ in range(5)]
    assert save(recording(*copies), path).stat().st_size < once + 500
    rec = load(path)
    assert all(stage.after is rec.input for stage in rec)


def test_the_same_recording_makes_the_same_bytes(path):
    assert save(typical(), path).read_bytes() == save(typical(), path).read_bytes()


def test_nothing_computed_is_stored(path, saved):
    rec = typical()
    rec.input.graph("forward")
    assert [stage.changed for stage in rec] == [True, False, True, False]
    assert save(rec, path).read_bytes() == saved.read_bytes()


def test_a_recording_of_realistic_size_makes_a_small_file(path):
    rng = random.Random(0)
    bodies = [chain(*(rng.choice(["aten::relu", "aten::add"]) for _ in range(3000))) for _ in "123"]
    blocks = tuple(module(f"layer.{i}", "Net") for i in range(900))
    rec = recording(*(snapshot(body, str(body), (module(), *blocks)) for body in bodies))
    assert save(rec, path).stat().st_size < 400_000
    assert load(path) == rec


def test_a_recording_is_read_without_torch_pandas_and_widgets(saved):
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'pandas', 'ipywidgets']));"
        "from jitq_explore.snapshots.archive import load; print(load(sys.argv[1]).names)"
    )
    done = subprocess.run([sys.executable, "-c", script, saved], capture_output=True, text=True)
    assert done.stdout == "('stage1', 'stage2', 'stage3', 'dce')\n", done.stderr


# --- saving


def test_save_says_which_field_holds_what_it_should_not(path):
    bad = snapshot(chain("a", values=[[1, 2]]))
    with pytest.raises(ArchiveError, match=r"Node.attributes: a list where Attribute is expected"):
        save(recording(bad), path)
    with pytest.raises(ArchiveError, match=r"Recording.seed: a str where int \| None is expected"):
        save(replace(typical(), seed="0"), path)
    with pytest.raises(TypeError, match="takes a Recording, not str"):
        save("session", path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save(recording(snapshot(branch())), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_save_makes_no_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="create the folder"):
        save(typical(), tmp_path / "new" / "run.jitq")
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        save(typical(), str(tmp_path))


def test_lists_may_nest_but_not_without_end(path):
    def nested(depth: int) -> Recording:
        value: tuple[object, ...] = ()
        for _ in range(depth):
            value = (value,)
        return recording(snapshot(chain("prim::Constant", values=[value])))

    assert exact(load(save(nested(30), path))) == exact(nested(30))
    with pytest.raises(ArchiveError, match="Attribute nests 32 levels deep"):
        save(nested(40), path)


# --- damaged files


def assert_sound_or_refused(path: Path) -> None:
    try:
        rec = load(path)
    except ArchiveError:
        return
    assert not list(problems(rec))
    assert exact(rec)
    assert all(stage.changed in (True, False) for stage in rec)


def test_every_truncated_file_is_refused(saved):
    content = saved.read_bytes()
    for length in {*range(0, len(content), 7), len(content) - 1}:
        saved.write_bytes(content[:length])
        with pytest.raises(ArchiveError, match=r"run\.jitq: it is not a sound zip file"):
            load(saved)


def test_flipped_bits_are_found_or_do_not_matter(saved):
    content, rng = saved.read_bytes(), random.Random(0)
    for place in range(0, len(content), 2):
        flipped = bytearray(content)
        flipped[place] ^= rng.randrange(1, 256)
        saved.write_bytes(flipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of names it finds twice
            try:
                assert exact(load(saved)) == exact(typical())
            except ArchiveError:
                continue


def rewrite(path: Path, **changed: Callable[[bytes], bytes]) -> Path:
    """The zip once more, sound in itself, with some members changed."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, changed.get(name.partition(".")[0], lambda same: same)(data))
    return path


@pytest.mark.parametrize("member", ["recording", "texts", "cells", "floats"])
def test_a_forged_member_is_refused_or_still_makes_sense(saved, member):
    content, rng = saved.read_bytes(), random.Random(member)

    def forge(data: bytes) -> bytes:
        forged = bytearray(data)
        for _ in range(rng.choice([1, 1, 3])):
            place = rng.randrange(len(forged))
            forged[place] = rng.choice([0, 1, 255, forged[place] ^ 1, rng.randrange(256)])
        return bytes(forged)

    for _ in range(100):
        saved.write_bytes(content)
        assert_sound_or_refused(rewrite(saved, **{member: forge}))


# --- files made to deceive


def header(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        found = json.loads(data)
        change(found)
        return json.dumps(found).encode()

    return changed


def table(found: dict, name: str) -> dict:
    return next(entry for entry in found["tables"] if entry["name"] == name)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda h: h.update(format="zip"), "it is no recording"),
        (lambda h: h.update(version=2), "version 2, this jitq_explore reads up to 1: update it"),
        (lambda h: h.update(version=True), "its version is True"),
        (lambda h: h.pop("tables"), "lists no tables"),
        (lambda h: table(h, "Node").update(name="Nodule"), "unknown class or type 'Nodule'"),
        (
            lambda h: table(h, "Node")["fields"].update(colour="str"),
            "unknown field 'colour' of Node",
        ),
        (lambda h: table(h, "Node")["fields"].pop("kind"), "Node lacks its field 'kind'"),
        (
            lambda h: table(h, "Node")["fields"].update(kind="int"),
            "Node.kind holds 'int', not 'str'",
        ),
        (lambda h: table(h, "Node").update(rows=10**9), "its cells end too early"),
        (lambda h: table(h, "Node").update(rows=-1), "below zero"),
        (lambda h: table(h, "Node").update(rows=1.5), "'rows' is of type float, not int"),
        (lambda h: table(h, "int").update(values=[True]), "one of its integers is none"),
        (lambda h: h["tables"].append(table(h, "Node")), "a table twice"),
        (lambda h: h["tables"].append({"name": "bool"}), "'bool' is never a table of its own"),
    ],
)
def test_a_header_that_lies_is_refused(saved, change, complaint):
    with pytest.raises(ArchiveError, match=complaint):
        load(rewrite(saved, recording=header(change)))


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"recording": lambda data: b"["}, "not sound JSON"),
        ({"recording": lambda data: b"[" * 100_000}, "not sound JSON"),
        ({"recording": lambda data: b'{"version": NaN}'}, "NaN is no JSON number"),
        ({"recording": lambda data: b"9" * 10_000}, "not sound JSON"),
        ({"recording": lambda data: b"[]"}, "holds a list, not a dict"),
        ({"texts": lambda data: b"[]"}, "its texts end too early"),
        ({"texts": lambda data: data.replace(b'""', b"1", 1)}, "one of its texts is none"),
        ({"cells": lambda data: data[:-1]}, "not a whole number of items of 4 bytes"),
        ({"cells": lambda data: data + b"\0" * 4}, "its cells go on after the last table"),
        ({"cells": lambda data: b"\xff" * len(data)}, "do not add up|does not"),
        ({"floats": lambda data: data[:-8]}, "its floats end too early"),
    ],
)
def test_a_member_that_does_not_fit_is_refused(saved, members, complaint):
    with pytest.raises(ArchiveError, match=complaint):
        load(rewrite(saved, **members))


def test_a_field_with_a_default_may_be_missing(path):
    """So files stay readable when a class gets a new field."""
    save(recording(snapshot(chain("a"))), path)

    def forget(found: dict) -> None:
        # The last column of the last table: no cells of others move.
        assert table(found, "Recording") is found["tables"][-1]
        del table(found, "Recording")["fields"]["numerics"]

    def without_last_cell(data: bytes) -> bytes:
        return np.frombuffer(data, np.uint8).reshape(4, -1)[:, :-1].tobytes()

    rewrite(path, recording=header(forget), cells=without_last_cell)
    assert load(path) == recording(snapshot(chain("a")))


def test_a_file_from_before_code_was_kept_is_read_without(path, monkeypatch):
    hints = codec._hints
    with monkeypatch.context() as older:
        older.setattr(
            codec, "_hints", lambda cls: {k: v for k, v in hints(cls).items() if k != "codes"}
        )
        save(typical(), path)
    rec = load(path)
    assert rec.input == replace(typical().input, codes={})
    with pytest.raises(KeyError, match="of an older version"):
        rec.input.code()


def test_a_pickle_in_place_of_an_array_is_not_opened(saved, tmp_path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (tmp_path.joinpath("sprung").touch, ())

    stream = io.BytesIO()
    np.save(stream, np.array([Trap()], dtype=object), allow_pickle=True)
    for payload in (stream.getvalue(), pickle.dumps(Trap())):
        with pytest.raises(ArchiveError):
            load(rewrite(saved, floats=lambda _, payload=payload: payload))
    saved.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArchiveError, match="not a sound zip file"):
        load(saved)
    assert not tmp_path.joinpath("sprung").exists()


def test_a_zip_bomb_is_not_inflated(saved):
    rewrite(saved, floats=lambda _: bytes(50_000_000))
    assert saved.stat().st_size < 100_000
    with pytest.raises(ArchiveError, match="more than 1000000 bytes; if you trust"):
        load(saved, max_bytes=1_000_000)


def test_a_member_may_not_be_larger_than_it_says(saved):
    content = saved.read_bytes()
    size = len(zipfile.ZipFile(io.BytesIO(content)).read("texts.json"))
    lying = content.replace(size.to_bytes(4, "little"), (size - 9).to_bytes(4, "little"))
    assert lying != content
    saved.write_bytes(lying)
    with pytest.raises(ArchiveError, match="sound zip file"):
        load(saved)


def test_foreign_zips_are_refused(saved):
    with zipfile.ZipFile(saved, "a") as file:
        file.writestr("/etc/passwd", "")
    with pytest.raises(ArchiveError, match=r"its members are \['/etc/passwd', "):
        load(saved)
    with zipfile.ZipFile(saved, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("/etc/passwd", "")
    with pytest.raises(ArchiveError, match="a member twice"):
        load(saved)
    with zipfile.ZipFile(saved, "w") as file:
        file.writestr("model.pkl", "")
    with pytest.raises(ArchiveError, match=r"no recording: recording.json is missing"):
        load(saved)


def test_a_missing_file_is_not_found_and_the_others_are_named(saved):
    with pytest.raises(FileNotFoundError) as caught:
        load(saved.with_name("ruin.jitq"))
    assert "run.jitq" in caught.value.__notes__[0]


# --- recordings that contradict themselves


def one_graph(**changes: object) -> Recording:
    return recording(snapshot(replace(branch(), **changes)))


def node(**changes: object) -> Recording:
    relu = replace(branch().nodes[1], **changes)
    return one_graph(nodes=(branch().nodes[0], relu))


def with_modules(*modules: object) -> Recording:
    made = snapshot(branch())
    return recording(Snapshot(made.texts, made.bodies, modules))  # type: ignore[arg-type]


def with_track(**changes: object) -> Recording:
    rec, track = typical(), RangeTrack("_observer_0", (1, 2), (-1.0, -2.0), (1.0, 1.0))
    timeline = CalibrationTimeline((replace(track, **changes),))
    return replace(rec, stages=(replace(rec.stages[0], timeline=timeline),))


def with_batches(low: tuple[float, ...], high: tuple[float, ...]) -> Recording:
    made = replace(reading(), batch_minimum=low, batch_maximum=high)
    return recording(snapshot(branch()).with_observers((made,)))


def contradictions() -> Iterator[tuple[Recording, str]]:
    yield replace(typical(), mode="magic"), "unknown mode 'magic'"
    yield node(inputs=("q",)), "node 'n1' takes %q, which nothing makes"
    yield node(inputs=("z",)), "values are made from themselves"
    own = {**branch().blocks, "b1": replace(branch().blocks["b1"], outputs=("y",))}
    yield one_graph(blocks=own), "values are made from themselves"
    yield node(outputs=("q",)), "'n1' makes %q, which is not among the values"
    yield node(outputs=("y",)), "'n1' makes %y, which is made before"
    yield node(block="b9"), "'n1' stands in block 'b9', which no node before it has"
    yield node(id="n0"), "two nodes have the same id"
    yield node(blocks=("b9",)), "nodes and blocks do not agree"
    yield one_graph(blocks={}), "nodes and blocks do not agree"
    yield one_graph(outputs=("q",)), "%q is returned, and nothing makes it"
    yield one_graph(inputs=("q",)), "the graph makes %q, which is not among the values"
    yield with_modules(), "the first module is not the model itself"
    yield with_modules(module("conv")), "the first module is not the model itself"
    yield with_modules(module(), module()), "two modules have the same path"
    yield with_modules(module(), module("a", "A")), "no body of 'forward' of the module 'a'"
    foreign = replace(snapshot(branch()), codes={("A", "forward"): ""})
    yield recording(foreign), "no code of 'forward' of the module ''"
    yield with_track(minimum=(-1.0,)), "ranges of observer '_observer_0' and their batches do not"
    yield with_track(counts=(9.0,)), "ranges of observer '_observer_0' and their batches do not"
    yield with_track(batches=(), minimum=(), maximum=()), "and their batches do not agree"
    yield with_batches((1.0,), ()), "have not two ends each"


@pytest.mark.parametrize(("rec", "complaint"), list(contradictions()))
def test_a_contradiction_is_neither_saved_nor_loaded(rec, complaint, path, monkeypatch):
    with pytest.raises(ArchiveError, match=f"cannot save .*{complaint}"):
        save(rec, path)
    with monkeypatch.context() as careless:
        careless.setattr(archive, "problems", lambda rec: iter(()))
        save(rec, path)
    with pytest.raises(ArchiveError, match=f"cannot load .*contradicts itself: .*{complaint}"):
        load(path)


def test_an_observer_needs_no_body():
    observer = replace(module("_observer_0", "Observer"), is_observer=True)
    assert not list(problems(with_modules(module(), observer)))


def test_a_node_inside_its_own_block_is_a_contradiction():
    selfish = Node("n0", "prim::If", ("x",), ("y",), {}, block="b0", blocks=("b0",))
    graph = Graph(("x",), ("y",), (selfish,), branch().values, {"b0": branch().blocks["b0"]})
    assert any("no node before it has" in p for p in problems(recording(snapshot(graph))))
