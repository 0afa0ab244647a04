"""Findings as text and tables; rules that fail; which key of a qconfig dict wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import session

import jitq_explore as jq
from jitq_explore.diagnostics import diagnose as diagnosing
from jitq_explore.diagnostics.findings import Finding, Findings
from jitq_explore.snapshots.recording import Recording

ERROR = Finding(
    "broken", "error", "it <b>broke</b>\x1b", "so it is", "1 > 0", "mend it", "dce", "n1"
)
INFO = Finding("fine", "info", "it works", "so it is", module="fc", source="/a/b/net.py:9:4")


def test_the_worst_comes_first():
    found = Findings([INFO, ERROR])
    assert [each.severity for each in found] == ["error", "info"]
    assert found.summary() == "1 error, 1 info"
    assert list(found.at_least("warning")) == [ERROR]
    assert list(found.of("fine")) == [INFO]


def test_a_finding_says_where_it_is_and_hides_nothing():
    assert INFO.where == "module 'fc', net.py:9"
    text = Findings([ERROR, INFO]).text()
    assert "n1 after 'dce'" in text
    assert "remedy: mend it" in text
    assert "\x1b" not in text


def test_a_notebook_is_shown_no_markup_of_a_model():
    html = Findings([ERROR])._repr_html_()
    assert "&lt;b&gt;" in html
    assert "\x1b" not in html


def test_the_table_has_every_field():
    frame = Findings([ERROR, INFO]).table()
    assert list(frame.rule) == ["broken", "fine"]
    assert {"stage", "node", "module", "source", "change"} <= set(frame.columns)


def test_a_rule_that_fails_says_so_and_takes_no_other_with_it(monkeypatch):
    def failing(recording: Recording) -> list[Finding]:
        raise ZeroDivisionError("nothing")

    monkeypatch.setattr(diagnosing, "RULES", (failing, *diagnosing.RULES))
    found = jq.diagnose(session("loop", mode="dynamic").run())
    (own,) = found.of(diagnosing.FAILED)
    assert "ZeroDivisionError: nothing" in own.evidence
    assert found.of("float_in_loop")


@pytest.mark.parametrize("until", ["insert_observers", "calibrate", "insert_quant_dequant"])
@pytest.mark.parametrize("net", ["branch", "conv_bn_relu", "mlp"])
def test_a_run_that_is_not_over_is_not_blamed_for_it(net, until):
    found = jq.diagnose(session(net).run(until=until)).at_least("warning")
    assert {each.rule for each in found} <= {"branch_on_quantized"}


def test_the_key_that_won_is_told_for_every_module():
    run = session("residual", qconfig=None)
    quantized = next(iter(run.qconfig_dict.values()))
    keys = {"block1": None, "block1.conv2": quantized, "block3.conv1": quantized}
    with pytest.warns(UserWarning, match="block3"):
        other = run.with_qconfig({**run.qconfig_dict, **keys})
    table = jq.qconfig_table(other.recording)
    won = table[table.matched].set_index("module")
    assert list(won.key[["", "stem", "block1.conv1", "block1.conv2"]]) == [
        "", "", "block1", "block1.conv2",
    ]  # fmt: skip
    assert list(won.inherited_from[["", "stem", "block1.conv1", "block1.conv2"]]) == [
        None, "", "block1", None,
    ]  # fmt: skip
    assert won.qconfig["block1.conv1"] == "None"
    (lost,) = table[~table.matched].itertuples()
    assert (lost.key, lost.closest) == ("block3.conv1", "block1.conv1, block2.conv1, block2.conv2")


def test_without_a_key_there_is_none():
    table = jq.qconfig_table(session("mlp").with_qconfig({}).recording)
    assert set(table.key) == {None}
    assert set(table.qconfig) == {"None"}


def test_many_findings_of_a_kind_are_counted(monkeypatch):
    def talkative(recording: Recording) -> list[Finding]:
        return [replace(INFO, module=f"fc{number}") for number in range(20)]

    monkeypatch.setattr(diagnosing, "RULES", (talkative,))
    found = jq.diagnose(session("mlp").run())
    assert len(found) == diagnosing.MOST_OF_A_KIND + 1
    assert found[-1].title == "12 more findings of the rule 'fine'"
    assert "fc19" in found[-1].evidence
