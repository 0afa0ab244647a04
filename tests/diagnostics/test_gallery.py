"""Every case of the gallery is found, where it is, and its remedy removes the finding."""

from __future__ import annotations

import pytest
from gallery import CASES, Case, line_text

import jitq_explore as jq

EACH = [pytest.param(case, how, id=f"{case}-{how}") for case in CASES for how in case.hows]


@pytest.mark.parametrize(("case", "how"), EACH)
def test_found_and_cured(case: Case, how: str):
    found = jq.diagnose(case.broken(how)).of(case.rule)
    assert case.severity in {each.severity for each in found}, jq.diagnose(case.broken(how)).text()
    assert all(each.why and each.evidence and each.remedy for each in found)
    assert case.module in {each.module for each in found} or not case.module, found.text()
    lines = [line_text(each.source) for each in found if each.source]
    assert not case.line or any(case.line in line for line in lines), (lines, found.text())
    cured = jq.diagnose(case.cured(how)).of(case.rule)
    assert case.severity not in {each.severity for each in cured}, cured.text()
