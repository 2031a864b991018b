"""What is wanted meets the router's answers, while reloads come in between."""

import asyncio
import contextlib
import time
from dataclasses import replace
from functools import partial

import pytest

from steerd.core.effects import Declined, Fact
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.daemon.driver import Driver
from steerd.faults import Boundary

A, B = PathId("a/w"), PathId("b/w")
USERS, EXTRA = PolicyId("users"), PolicyId("extra")
BOTH = Settings(
    paths=tuple(PathSettings(path, path.split("/")[0], path, timeout=1.0) for path in (A, B)),
    policies=(PolicySettings(USERS), PolicySettings(EXTRA)),
    round=0.01,
)
WITHOUT_EXTRA = replace(BOTH, policies=BOTH.policies[:1])
WITHOUT_A = replace(WITHOUT_EXTRA, paths=BOTH.paths[1:])


class Daemon:
    """A driver whose engine wants both policies at A, and a router to whom each reload comes first, as in the daemon:
    what was wanted before it waits for its turn."""

    def __init__(self, settings=BOTH):
        self.facts, self.asked, self.took, self.reloads = [], [], [], {}
        self.settings = settings
        engine = Engine(settings, Memory(), now=time.monotonic(), epoch=1, draw=lambda: 0.0)
        self.driver = Driver(engine)
        self.driver.facts.listen(Fact, self.facts.append)

    async def steer(self, wanted):
        self.asked.append((wanted.policy, wanted.best))
        if reload := self.reloads.pop((wanted.policy, wanted.best), None):
            self.settings = reload
            self.driver.feed(Configured(reload))
        if all(one.policy != wanted.policy for one in self.settings.policies):
            return Installed(wanted.policy, None, None, f"no policy {wanted.policy} is configured")
        if all(one.path != wanted.best for one in self.settings.paths):
            return Installed(wanted.policy, None, None, f"no path {wanted.best} is configured")
        return Installed(wanted.policy, wanted.best, wanted.runner_up)

    async def runs(self):
        now = time.monotonic()
        for path, rtt in ((A, 0.001), (B, 0.003)):
            self.driver.feed(Probed(path, Outcome.REPLY, now, rtt))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await self.driver.steering(self.steer, self.took.append)
        self.driver.stop()

    def declined(self):
        return [fact for fact in self.facts if isinstance(fact, Declined)]


def test_what_is_wanted_is_carried_out():
    daemon = Daemon()
    asyncio.run(daemon.runs())
    assert sorted(daemon.asked) == [(EXTRA, A), (USERS, A)]
    assert len(daemon.took) == 2


@pytest.mark.parametrize("during", [(USERS, A), (EXTRA, A)], ids=["before its turn", "in its turn"])
def test_a_policy_that_a_reload_took_away_is_not_spoken_of(during, caplog):
    daemon = Daemon()
    daemon.reloads[during] = WITHOUT_EXTRA
    asyncio.run(daemon.runs())
    assert daemon.asked[0] == (USERS, A)
    assert daemon.driver.engine.policies[USERS].assignment.choice == A
    assert not daemon.declined()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_path_that_a_reload_took_away_costs_the_next_one_nothing(caplog):
    daemon = Daemon(WITHOUT_EXTRA)
    daemon.reloads[USERS, A] = WITHOUT_A
    asyncio.run(daemon.runs())
    assert daemon.asked == [(USERS, A), (USERS, B)]
    held = daemon.driver.engine.policies[USERS].assignment
    assert (held.choice, held.error) == (B, None)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_what_could_not_be_carried_out_for_a_mistake_of_ours_is_tried_again():
    daemon, steer, failures = Daemon(), Daemon.steer, []

    async def fails_at_first(wanted):
        if len(failures) < 3:
            failures.append(wanted.policy)
            raise KeyError("nobody expected this")
        return await steer(daemon, wanted)

    async def runs():
        for path, rtt in ((A, 0.001), (B, 0.003)):
            daemon.driver.feed(Probed(path, Outcome.REPLY, time.monotonic(), rtt))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                steering = partial(daemon.driver.steering, fails_at_first, daemon.took.append)
                await Boundary("steering").keep(steering, pause=0.01)
        daemon.driver.stop()

    asyncio.run(runs())
    assert len(failures) == 3
    assert sorted(daemon.asked) == [(EXTRA, A), (USERS, A)]
    assert daemon.driver.steering_since is None


def test_a_policy_that_went_while_its_switch_failed_is_waited_for_no_more():
    daemon = Daemon()

    async def fails(wanted):
        daemon.driver.feed(Configured(replace(BOTH, policies=())))
        raise KeyError("nobody expected this")

    async def runs():
        daemon.driver.feed(Probed(A, Outcome.REPLY, time.monotonic(), 0.001))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await Boundary("steering").keep(partial(daemon.driver.steering, fails, daemon.took.append), pause=0.01)
        daemon.driver.stop()

    asyncio.run(runs())
    assert daemon.driver.steering_since is None
