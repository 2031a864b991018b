"""The alert rules that come with steerd, in Prometheus' own unit tests: each fires for what it is for, none when all is
calm, and each has a section of the runbook."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.prometheus

PROJECT = Path(__file__).parents[2]
RULES = PROJECT / "config/prometheus/steerd.rules.yml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())

GW = 'job="steerd",instance="gw1"'
PATH = f'{GW},pop="fra1",path="fra1/wg0"'
OTHER = f'{GW},pop="ams1",path="ams1/wg0"'
POLICY = f'{GW},policy="default"'

BAD = ("held", "blocked", "local-outage", "none")
CALM = {
    f"up{{{GW}}}": "1x180",
    f'steerd_policy_state{{{POLICY},state="steering"}}': "1x180",
    **{f'steerd_policy_state{{{POLICY},state="{state}"}}': "0x180" for state in BAD},
    f'steerd_policy_active{{{POLICY},pop="fra1",path="fra1/wg0"}}': "1x180",
    f'steerd_policy_active{{{POLICY},pop="ams1",path="ams1/wg0"}}': "0x180",
    **{f'steerd_path_state{{{path},state="up"}}': "1x180" for path in (PATH, OTHER)},
    **{f'steerd_probes_total{{{path},result="reply"}}': "0+60x180" for path in (PATH, OTHER)},
    **{f'steerd_probes_total{{{path},result="lost"}}': "0x180" for path in (PATH, OTHER)},
    **{f'steerd_probes_total{{{path},result="late"}}': "0x180" for path in (PATH, OTHER)},
    f'steerd_switches_total{{{POLICY},reason="better"}}': "0+0.1x180",
    f'steerd_switches_total{{{POLICY},reason="down"}}': "0x180",
    f'steerd_policy_packets_total{{{POLICY},family="ipv4",where="choice",device="wg0"}}': "0+60000x180",
    f'steerd_policy_packets_total{{{POLICY},family="ipv4",where="astray",device="other"}}': "0x180",
    f'steerd_policy_packets_total{{{POLICY},family="ipv4",where="guard",device=""}}': "0x180",
    f"steerd_guard_dropped_packets_total{{{POLICY}}}": "0x180",
    f'steerd_routes_installed{{{POLICY},family="ipv4"}}': "10x180",
    f'steerd_routes_installed{{{POLICY},family="ipv6"}}': "0x180",
    f"steerd_observing{{{GW}}}": "0x180",
    f'steerd_repairs_total{{{GW},object="route"}}': "0x180",
    f"steerd_config_last_reload_successful{{{GW}}}": "1x180",
    f"steerd_catalogue_expired{{{GW}}}": "0x180",
    f"steerd_catalogue_last_success_timestamp_seconds{{{GW}}}": "0+60x180",
    f"steerd_mqtt_connected{{{GW}}}": "1x180",
    f'steerd_loop_lag_seconds_bucket{{{GW},le="0.2"}}': "0+600x180",
    f"steerd_loop_lag_seconds_count{{{GW}}}": "0+600x180",
    f'steerd_path_finding{{{PATH},finding="rate-limited"}}': "0x180",
    f"steerd_path_local_queue_seconds{{{PATH}}}": "0.001x180",
    f'steerd_uplink_bytes_total{{{GW},uplink="wwan0"}}': "0+1000x180",
    f'steerd_uplink_cap_bytes{{{GW},uplink="wwan0"}}': "1000000000x180",
    f'steerd_faults_total{{{GW},part="probes"}}': "0x180",
    'steerd_fleet_gateways{job="steerd-fleet",instance="middle",region="eu",presence="stale"}': "0x180",
}  # fmt: skip
"""A gateway with two paths, for three hours of minutes."""

PROVOKED = {
    "SteerdPolicyOutage": {f'steerd_policy_state{{{POLICY},state="held"}}': "0x100 1x80"},
    "SteerdNoChoice": {f'steerd_policy_state{{{POLICY},state="none"}}': "0x100 1x80"},
    "SteerdNoSpare": {f'steerd_path_state{{{OTHER},state="up"}}': "1x100 0x80"},
    "SteerdFlapping": {f'steerd_switches_total{{{POLICY},reason="better"}}': "0+1x180"},
    "SteerdBadPath": {f'steerd_probes_total{{{PATH},result="lost"}}': "0+6x180"},
    "SteerdTrafficAstray": {
        f'steerd_policy_packets_total{{{POLICY},family="ipv4",where="astray",device="other"}}': "0+6000x180"
    },
    "SteerdTrafficDropped": {
        f'steerd_policy_packets_total{{{POLICY},family="ipv4",where="guard",device=""}}': "0+600000x180"
    },
    "SteerdGuardDrops": {f"steerd_guard_dropped_packets_total{{{POLICY}}}": "0+10x180"},
    "SteerdRoutesMissing": {f'steerd_routes_installed{{{POLICY},family="ipv4"}}': "10x100 0x80"},
    "SteerdRepairs": {f'steerd_repairs_total{{{GW},object="route"}}': "0+1x180"},
    "SteerdReloadFailed": {f"steerd_config_last_reload_successful{{{GW}}}": "1x100 0x80"},
    "SteerdCatalogueStale": {f"steerd_catalogue_expired{{{GW}}}": "0x100 1x80"},
    "SteerdMqttAway": {f"steerd_mqtt_connected{{{GW}}}": "1x100 0x80"},
    "SteerdLoopLag": {f'steerd_loop_lag_seconds_bucket{{{GW},le="0.2"}}': "0+500x180"},
    "SteerdTargetRateLimited": {f'steerd_path_finding{{{PATH},finding="rate-limited"}}': "0x100 1x80"},
    "SteerdLocalQueue": {f"steerd_path_local_queue_seconds{{{PATH}}}": "0.001x100 0.5x80"},
    "SteerdCapNear": {f'steerd_uplink_bytes_total{{{GW},uplink="wwan0"}}': "950000000x180"},
    "SteerdFaults": {f'steerd_faults_total{{{GW},part="probes"}}': "0x150 1x30"},
    "SteerdGone": {f"up{{{GW}}}": "1x100 0x80"},
    "SteerdFleetStale": {
        'steerd_fleet_gateways{job="steerd-fleet",instance="middle",region="eu",presence="stale"}': "0x100 3x80"
    },
}  # fmt: skip
"""What is otherwise than in `CALM`."""


def firing(folder: Path, changed: dict[str, str]) -> set[str]:
    """The alerts that fire in the end, as Prometheus evaluates the rules every minute."""
    series = [{"series": name, "values": values} for name, values in {**CALM, **changed}.items()]
    tests = [
        {
            "interval": "1m",
            "input_series": series,
            # Expected is that none fires: promtool says what does.
            "alert_rule_test": [{"eval_time": "170m", "alertname": alert, "exp_alerts": []} for alert in ALERTS],
        }
    ]
    file = folder / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "alertname" in said, said
    return set(re.findall(r"alertname: (\w+), time: 2h50m", said)) | set(re.findall(r'alertname="(\w+)"', said))


def test_prometheus_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, capture_output=True)


def test_none_fires_while_all_is_calm(tmp_path):
    assert firing(tmp_path, {}) == set()


def test_every_alert_is_provoked():
    assert set(PROVOKED) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_for_what_it_is_for(tmp_path, alert):
    found = firing(tmp_path, PROVOKED[alert])
    assert alert in found
    assert len(found) == 1, "one cause, one alert"


def test_every_expression_of_the_docs_is_one_to_prometheus(tmp_path):
    text = (PROJECT / "docs/metrics.md").read_text()
    block = text.partition("Useful expressions:")[2].split("```")[1].strip()
    rules: list[dict[str, Any]] = [
        {"record": f"docs:{number}", "expr": line.partition(" # ")[0].strip()}
        for number, line in enumerate(block.splitlines())
    ]
    assert len(rules) > 5
    file = tmp_path / "docs.yml"
    file.write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
