"""Alert rules speak of metrics that there are, and each has a section in the runbook."""

import re
from pathlib import Path

from tests.unit.test_export_metrics import FAMILIES

PROJECT = Path(__file__).parents[2]
RULES = (PROJECT / "config/prometheus/steerd.rules.yml").read_text()
OF_OTHERS = ("steerd_catalogue_", "steerd_fleet_")
"""Metrics that are there with a catalogue, or those of the fleet service: their own docs list them."""


def test_rules_use_metrics_that_there_are():
    docs = "".join((PROJECT / "docs" / name).read_text() for name in ("metrics.md", "fleet.md"))
    used = set(re.findall(r"\bsteerd_\w+", RULES))
    assert len(used) > 15
    for name in used:
        family = re.sub(r"_(total|bucket|count|sum)$", "", name)
        known = family in FAMILIES or name in FAMILIES or name == "steerd_mqtt_connected"
        assert known or (name.startswith(OF_OTHERS) and name in docs), name


def test_every_alert_has_its_section_in_the_runbook():
    runbook = (PROJECT / "docs/runbook.md").read_text()
    alerts = re.findall(r"- alert: (\w+)", RULES)
    assert len(alerts) == len(set(alerts)) > 15
    assert re.findall(r"^## (Steerd\w+)", runbook, re.MULTILINE) == alerts
    links = re.findall(r"runbook_url: docs/runbook.md#(\w+)", RULES)
    assert links == [alert.lower() for alert in alerts]
