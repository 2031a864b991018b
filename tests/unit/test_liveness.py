"""What is progress in probing, for the watchdog and /healthz, and what /readyz says of policies."""

from dataclasses import replace
from math import inf

import pytest

from steerd.core.engine import Engine
from steerd.core.events import Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, Settings
from steerd.core.states import PolicyState
from steerd.core.views import View
from steerd.daemon.driver import Driver
from steerd.daemon.liveness import Liveness
from steerd.status.stream import Stream
from tests.unit.test_control_as_json import POLICY

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


class Seen:
    """A driver that is only looked at."""

    def __init__(self, *policies):
        self.events = Stream()
        self._view = View(0.0, 1, (), policies, (), {})

    def view(self):
        return self._view


def ready(*policies):
    return Liveness(Seen(*policies), lambda: 1.0).ready()


def test_a_gateway_is_ready_when_every_policy_has_a_choice_that_its_packets_follow():
    assert ready(POLICY) == (True, "ready")
    waiting = replace(POLICY, policy="late", state=PolicyState.NONE)
    assert ready(POLICY, waiting) == (False, "no choice yet: late")
    astray = replace(POLICY, policy="lost", error="by wan", mismatch="by wan")
    assert ready(waiting, astray, POLICY) == (False, "no choice yet: late; lost: by wan")


def test_what_the_kernel_refused_is_no_reason_as_long_as_another_path_carries():
    assert ready(replace(POLICY, error="no such device")) == (True, "ready")
