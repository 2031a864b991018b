"""Every query of the dashboards has an answer from a real Prometheus that scrapes a real daemon and a fleet service."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator

import pytest

from steerd.lab.enclosure import RUN, run
from steerd.lab.world.world import METRICS, TENANT, World
from tests.lab.test_daemon import ask, start, status
from tests.lab.waiting import until
from tests.prometheus.watched import Prometheus
from tools.dashboards.__main__ import FOLDER

pytestmark = [pytest.mark.prometheus, pytest.mark.lab, pytest.mark.broker]

FLEET = "127.0.0.1:9912"
CHOSEN = {"gateway.json": METRICS, "fleet.json": FLEET}
SPANS = {"$__rate_interval": "8s", "[1h]": "[8s]", "[1d]": "[8s]"}
LABELS = re.compile(r"{{(\w+)}}")


def asked(name: str) -> Iterator[tuple[str, set[str]]]:
    """What Grafana sends, and the labels that are to be in the answer."""
    page = json.loads((FOLDER / name).read_text())
    for variable in page["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable["query"])):
            yield found[1].replace("$instance", CHOSEN[name]), {found[2]}
    for panel in page["panels"]:
        for target in panel.get("targets", []):
            expression = (
                target["expr"].replace("$instance", CHOSEN[name]).replace("$policy", ".+").replace("$pop", ".+")
            )
            for span, instead in SPANS.items():
                expression = expression.replace(span, instead)
            yield expression, set(LABELS.findall(target["legendFormat"]))


def choice(world: World) -> str:
    return str(status(world)["policies"][0]["choice"])


def scene() -> tuple[int, list[str]]:
    """How many queries there are, and those that nothing of the kind was ever an answer to."""
    inventory, config = RUN / "inventory", RUN / "fleet.toml"
    uplink = '[[uplink]]\nname = "tun-par1"\ncap = "1GB"\nresets = "1st"\n'
    with World(rate=100) as world:
        inventory.write_text("lab/gw-lab\n")
        config.write_text(
            f'[fleet]\nname = "middle"\ninventory = "inventory"\n'
            f'[mqtt]\nurl = "{world.broker.url}"\ntenant = "{TENANT}"\n[export]\nlisten = "{FLEET}"\n'
        )
        world.spawn("gw", [sys.executable, "-m", "steerd.cli.steerd", "fleet", "-c", str(config)])
        start(world, world.gateway_config(tables=uplink))
        prometheus = Prometheus({"steerd": METRICS, "steerd-fleet": FLEET})
        wanted = [one for name in CHOSEN for one in asked(name)]
        unanswered = list(wanted)

        def all_answered() -> bool:
            world.broker.publish(f"steer/v1/{TENANT}/pop/par1/state", "not what a PoP says")
            ask(world, "pin", "users", next(name for name in world.pops if not choice(world).startswith(name)))
            for query in tuple(unanswered):
                answer = prometheus.query(query[0])
                if answer and all(query[1] <= set(series["metric"]) for series in answer):
                    unanswered.remove(query)
            return not unanswered

        with contextlib.suppress(AssertionError):
            until(all_answered, 60.0)
    return len(wanted), [expression for expression, _ in unanswered]


def test_every_query_of_the_dashboards_has_an_answer() -> None:
    queries, unanswered = run(f"{__name__}:scene", timeout=300.0)
    assert queries > 30
    assert unanswered == []
