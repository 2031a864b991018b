"""What is progress in probing, for the watchdog and /healthz: outcomes, as often as probes are due."""

from math import inf

import pytest

from steerd.core.engine import Engine
from steerd.core.events import Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.daemon.driver import Driver
from steerd.daemon.liveness import Liveness

A = PathId("a/w")


@pytest.mark.parametrize(("period", "slack"), [(0.2, 30.2), (1.0, 31.0), (120.0, 150.0), (3600.0, 3630.0), (inf, 1e9)])
def test_who_probes_seldom_makes_progress_seldom(period, slack):
    now = [1000.0]
    settings = Settings(paths=(PathSettings(A, "a", "a", timeout=1.0),), policies=(), round=1.0)
    driver = Driver(Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0))
    liveness = Liveness(driver, lambda: period, clock=lambda: now[0])
    for at in (1000.0, 2000.0):
        now[0] = at
        driver.events.tell(Probed(A, Outcome.REPLY, at, 0.02))
        now[0] = at + slack - 0.1
        assert liveness.healthy()
    now[0] += 0.2
    assert liveness.healthy() is (period == inf)
