"""The real daemon says what keeps it from steering all that it is to steer, and that it does no longer."""

from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.lab.world.world import World
from tests.lab.test_daemon import LOG, start, status
from tests.lab.test_daemon_reload import text
from tests.lab.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def shadowed() -> Any:
    found: dict[str, Any] = {}
    with World(rate=50) as world:
        daemon = start(world, world.gateway_config())
        found["before"] = [one for one in status(world)["remarks"] if "never steered" in one]
        namespaces.ip("route add 198.18.0.0/15 dev lo", "gw")
        until(lambda: any("never steered" in one for one in status(world)["remarks"]))
        found["remarks"] = [one for one in status(world)["remarks"] if "never steered" in one]
        found["shown"] = text(world, "status")[1]
        daemon.terminate()
        found["code"] = daemon.wait(60)
    found["log"] = LOG.read_text()
    return found


def test_status_and_log_tell_of_prefixes_that_main_takes_first() -> None:
    found = run(f"{__name__}:shadowed")
    assert found["before"] == []
    (said,) = found["remarks"]
    assert said.endswith("198.18.0.0/15")
    assert f"\n! {said}\n" in f"{found['shown']}\n"
    assert found["log"].count(said) == 1
    assert found["code"] == 0
