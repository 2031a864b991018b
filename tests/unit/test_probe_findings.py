"""Findings are logged when they begin and end, and those that flap fill no log."""

import logging

from steerd.core.settings import PathId
from steerd.core.views import Finding
from steerd.probe.findings import Findings

PATH, OTHER = PathId("fra1/wg0"), PathId("ams1/wg1")


def test_what_begins_and_ends_is_logged_in_words_once_a_minute(caplog):
    caplog.set_level(logging.INFO)
    findings = Findings()
    for _ in range(100):
        findings.found(PATH, Finding.TARGET, "of its targets 192.0.2.1 does not answer")
        findings.over(PATH, Finding.TARGET)
    findings.found(OTHER, Finding.TARGET, "of its targets 192.0.2.2 does not answer")
    assert [record.getMessage() for record in caplog.records] == [
        "fra1/wg0: of its targets 192.0.2.1 does not answer",
        "fra1/wg0: no longer so: of its targets 192.0.2.1 does not answer",
        "ams1/wg1: of its targets 192.0.2.2 does not answer",
    ]
    assert not findings.of(PATH)
    assert findings.of(OTHER)
