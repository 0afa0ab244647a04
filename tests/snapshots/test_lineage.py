"""The lives of nodes and values, on real runs of all small nets."""

from __future__ import annotations

import pytest
from benchmarks.generated import images, scripted_resnet
from nets import NETS
from runs import FBGEMM, calibrate, recorded, session

import jitq_explore as jq
from jitq_explore.snapshots import tracking
from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.lineage import float_ops_of, module_of, source_of, sources_of
from jitq_explore.snapshots.source import short_source

# On the device a loop has no methods, and what is shared by two names fails in torch itself.
RUNS = [
    (net, how, mode)
    for net, spec in NETS.items()
    for how in spec.hows
    for mode in ("static", "dynamic", "on_device")
    if (net, mode) != ("loop", "on_device")
    and (net, how, mode) != ("shared_submodule", "traced", "on_device")
]

CONV = """\
n13 aten::conv2d of conv1 after 'input', nets.py:36
  input                 given     %9 = aten::conv2d in conv1
  fold_conv_bn          fused     aten::conv2d + aten::batch_norm into aten::conv2d; \
conv1.weight holds new numbers; conv1.bias holds new numbers
  insert_observers      survived
  calibrate             survived
  insert_quant_dequant  survived
  quant_finalize        fused     aten::conv2d + aten::relu into quantized::conv2d_relu
  constant_propagation  survived
  dce                   survived"""

RELU = """\
%x.5 = aten::relu after 'input', nets.py:36
  input                 given      %x.5 = aten::relu
  fold_conv_bn          survived
  insert_observers      survived
  insert_observers      observed   by HistogramObserver: 0 … 0.9774
  calibrate             survived
  insert_quant_dequant  survived
  insert_quant_dequant  quantized  by aten::quantize_per_tensor
  quant_finalize        fused      aten::conv2d + aten::relu into quantized::conv2d_relu
  constant_propagation  survived
  dce                   survived"""

DEVICE_LINEAR = """\
n4 aten::linear of fc1 after 'input', nets.py:79
  input                        given     %4 = aten::linear in fc1
  inline                       survived
  fold_conv_bn                 survived
  insert_observer_method       survived  in observe_forward
  insert_quant_dequant_method  survived  in quantize_forward
  quant_finalize_method        fused     aten::linear into quantized::linear_dynamic
  reset_observers              survived
  observe                      survived
  quantize                     survived
  quantized_run                survived"""


def kernels(recording):
    return [n for n in recording.last.graph().nodes if n.kind.startswith("quantized::")]


def first(recording, stage, kind):
    return next(recording.snapshot(stage).graph().find(kind))


def test_the_text_of_a_life():
    recording = recorded("conv_bn_relu")
    assert str(jq.lineage(recording, first(recording, "input", "aten::conv2d"))) == CONV
    assert str(jq.lineage(recording, "%x.5", "input")) == RELU


def test_on_the_device_a_node_is_followed_from_method_to_method():
    recording = recorded("mlp", mode="on_device")
    life = jq.lineage(recording, "n4", "input")
    assert str(life) == DEVICE_LINEAR
    assert life.steps[-1].method == "quantized_forward"
    weight = jq.lineage(recording, first(recording, "input", "prim::GetAttr"))
    assert weight.steps[-1].method == "quantize_forward"


def test_a_kernel_is_followed_back_to_all_it_was_made_of():
    recording = recorded("conv_bn_relu")
    life = jq.lineage(recording, kernels(recording)[0])
    given = [step.nodes_after[0].kind for step in life.steps if step.what == "given"]
    assert given == ["aten::conv2d", "aten::batch_norm", "aten::relu"]
    assert (life.steps[0].stage, life.alive, life.module) == ("input", True, "conv1")


QD, FINAL = "insert_quant_dequant", "quant_finalize"


@pytest.mark.parametrize(
    ("stage", "kind", "later", "what", "detail"),
    [
        ("input", "aten::batch_norm", "fold_conv_bn", "fused", "aten::conv2d + aten::batch_norm"),
        ("insert_observers", "jitq::observe", QD, "replaced", "by aten::quantize_per_tensor %x.14"),
        (QD, "aten::quantize_per_channel", FINAL, "folded", "into the packed attribute"),
        (QD, "prim::GetAttr", FINAL, "folded", "into the constant %self.x.14_scale_0 = "),
        (QD, "aten::dequantize", FINAL, "fused", "into quantized::conv2d_relu"),
        (FINAL, "prim::Constant", "dce", "removed", "nothing used it"),
    ],
)
def test_what_a_stage_did(stage, kind, later, what, detail):
    recording = recorded("conv_bn_relu")
    life = jq.lineage(recording, first(recording, stage, kind))
    (step,) = [step for step in life.steps if step.stage == later]
    assert step.what == what
    assert step.detail.startswith(detail)


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_every_node_has_a_life_from_its_making_to_its_end(net, how, mode):
    recording = recorded(net, how, mode)
    names = ["input", *recording.names]
    for stage in names:
        for node in recording.snapshot(stage).graph().nodes:
            life = jq.lineage(recording, node, stage)
            assert life.steps[0].what in ("given", "created")
            seen = [names.index(step.stage) for step in life.steps]
            assert seen == sorted(seen)
            assert set(range(seen[0], seen[-1] + 1)) == set(seen)
            assert life.alive <= (life.steps[-1].stage == names[-1])


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_every_kernel_names_its_float_ops_and_their_lines(net, how, mode):
    recording = recorded(net, how, mode)
    for kernel in kernels(recording):
        stage = recording.names[-1]
        ops = float_ops_of(recording, stage, kernel)
        assert ops
        assert all(op.kind.startswith("aten::") for op in ops)
        lines = sources_of(recording, stage, kernel)
        assert lines
        assert all(short_source(line).startswith("nets.py:") for line in lines)
        assert module_of(recording, stage, kernel) in [op.module_path for op in ops]


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_every_observed_value_has_its_row(net, how, mode):
    recording = recorded(net, how, mode)
    table = jq.lineage_table(recording)
    assert list(table.observer) == list(jq.observer_table(recording).observer)
    assert table.source_line.str.startswith("nets.py:").all()
    for column in ("quantize_node", "fate", "kernel", "float_ops"):
        assert (table[column] != "").all(), column
    assert not table.quantize_node.duplicated().any()


def test_the_line_is_the_layers_own():
    """The truth is computed: each layer of the net is called on a line of its own."""
    recording = recorded("conv_bn_relu")
    for snapshot in ("insert_quant_dequant", "dce"):
        for node in recording.snapshot(snapshot).graph().nodes:
            line = {"conv1": 36, "conv2": 37, "fc": 38}.get(module_of(recording, snapshot, node))
            if line is not None and not node.is_constant:
                assert short_source(source_of(recording, snapshot, node)) == f"nets.py:{line}"


@pytest.mark.parametrize("how", ["scripted", "traced"])
@pytest.mark.parametrize("net", ["conv_bn_relu", "residual", "transformer_block"])
def test_a_kernel_stands_for_the_layer_whose_weight_it_packs(net, how):
    """The truth is computed: a packed weight has the shape of its layer's own, of no other's where
    the net gives each its own channel count."""
    recording = recorded(net, how, "static")
    final = recording.last
    for kernel in kernels(recording):
        fetch = final.graph().producers.get(kernel.inputs[1])
        state = final.modules[0].attributes.get(str(fetch and fetch.attributes.get("name")))
        if state is not None and state.kind == "packed":
            layer = recording.input.module(module_of(recording, "dce", kernel))
            assert layer.attributes["weight"].tensor.shape == state.tensor.shape


def test_a_deep_net_has_all_its_rows():
    batches = [(images(1, size=2)[0],)]
    run = jq.Session.static(scripted_resnet(18), {"": FBGEMM}, calibrate, [batches], progress=False)
    table = jq.lineage_table(run.run())
    assert len(table) == len(jq.observer_table(run.recording)) == 51
    assert table.source_line.str.startswith("generated.py:").all()
    assert set(table.float_ops) == {
        "aten::conv2d + aten::batch_norm",
        "aten::conv2d + aten::batch_norm + aten::relu",
        "aten::add + aten::relu",
        "aten::linear",
    }


def test_a_run_that_has_not_ended():
    run = session("mlp")
    assert jq.lineage_table(run.recording).empty
    table = jq.lineage_table(run.run(until="insert_observers"))
    assert (table.fate == "observed so far").all()
    assert (table.quantize_node == "").all()
    assert table["scale"].isna().all()


def test_a_loaded_recording_tells_the_same(tmp_path):
    recording = recorded("conv_bn_relu")
    jq.save(recording, tmp_path / "run.jitq")
    loaded = jq.load(tmp_path / "run.jitq")
    kernel = kernels(recording)[0]
    assert str(jq.lineage(loaded, kernel)) == str(jq.lineage(recording, kernel))
    assert jq.lineage_table(loaded).equals(jq.lineage_table(recording))


def test_several_into_one_and_one_into_several(monkeypatch):
    run = session("mlp").run(until="insert_observers")

    def made_up(before, after):
        old, new = (tuple(graph.find("aten::linear")) for graph in (before, after))
        pair = (old, new[:1]) if before is run.input.graph() else (old[:1], new)
        return GraphDiff(before, after, (Match(*pair, "made up", 1.0),), (), ())

    monkeypatch.setattr(tracking, "diff_graphs", made_up)
    first_linear, second_linear = run.input.graph().find("aten::linear")
    steps = jq.lineage(run, second_linear).steps
    assert [step.what for step in steps] == ["given", "merged", "replicated"]
    assert steps[1].nodes_before == (first_linear, second_linear)
    assert len(steps[2].nodes_after) == 2
    back = jq.lineage(run, steps[2].nodes_after[1]).steps
    assert [step.what for step in back] == ["given", "given", "merged", "replicated"]


def test_what_there_is_not():
    recording = recorded("mlp")
    with pytest.raises(KeyError, match=r"unknown stage 'prepare' \(must be one of \['input', "):
        jq.lineage(recording, "n0", "prepare")
    with pytest.raises(KeyError, match=r"unknown node or value 'nobody' after 'dce': 'forward'"):
        jq.lineage(recording, "nobody", "dce")
    with pytest.raises(KeyError, match=r"unknown method \(must be one of \['forward'\]"):
        jq.lineage(recording, "n0", "dce", method="backward")
    with pytest.raises(KeyError, match="is an input of the model: no node makes it"):
        source_of(recording, "input", "x.1")


def test_an_input_of_the_model_has_a_life_too():
    recording = recorded("residual")
    life = jq.lineage(recording, recording.input.graph().inputs[1], "input")
    assert life.alive
    happened = [(step.stage, step.what) for step in life.steps if step.what != "survived"]
    assert happened == [
        ("input", "given"),
        ("insert_observers", "observed"),
        ("insert_quant_dequant", "quantized"),
    ]
