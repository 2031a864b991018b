"""A real Prometheus that scrapes what runs in the lab, with the rules that come with steerd, thirty times as fast: it
scrapes each second and not each half minute, and every span of time in the rules is a thirtieth of what it is."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN
from tests.lab.waiting import until

RULES = Path(__file__).parents[2] / "config/prometheus/steerd.rules.yml"
FASTER = 30
LISTEN = "127.0.0.1:9090"
_SPAN = re.compile(r"(?<=\[)\d+[smhd](?=])|(?<=for: )\d+[smhd]")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def faster(rules: str) -> str:
    """The rules with all their spans shortened."""
    return _SPAN.sub(lambda span: f"{int(span[0][:-1]) * _SECONDS[span[0][-1]] * 1000 // FASTER}ms", rules)


class Prometheus:
    """Runs in the gateway's namespace from now on, until the lab ends. ``jobs``: what it scrapes, by job."""

    def __init__(self, jobs: Mapping[str, str]) -> None:
        folder = RUN / "prometheus"
        folder.mkdir()
        (folder / "steerd.rules.yml").write_text(faster(RULES.read_text()))
        scraped = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in jobs.items()]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["steerd.rules.yml"],
            "scrape_configs": scraped,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML, too
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        with (folder / "log").open("w") as log:
            namespaces.spawn("gw", [*command, f"--web.listen-address={LISTEN}"], stderr=log, stdout=log)
        until(lambda: self.query("count(up)"), what="a first scrape", told=(folder / "log").read_text)

    def query(self, expression: str) -> list[Any]:
        """What it is now: series with a value each. Empty as well while Prometheus does not answer yet."""
        url = f"http://{LISTEN}/api/v1/query?{urlencode({'query': expression})}"
        command = namespaces.command("gw", [sys.executable, "-c", _FETCH, url])
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return list(json.loads(done.stdout)["data"]["result"]) if done.stdout else []

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def fired(self) -> set[str]:
        """All that fired so far."""
        return {one["metric"]["alertname"] for one in self.query('max_over_time(ALERTS{alertstate="firing"}[1h])')}

    def awaits(self, alert: str) -> None:
        """Until it fires."""
        until(lambda: alert in self.firing(), 120.0, what=alert, told=lambda: str(self.firing()))

    def calm(self) -> None:
        """Until none fires any more."""
        until(lambda: not self.firing(), 120.0, what="calm", told=lambda: str(self.firing()))
