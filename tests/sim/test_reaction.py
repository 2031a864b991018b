"""How fast what is clearly better is followed, wherever in their periods paths are probed; and what moves nothing."""

import pytest

from steerd.core.events import Order, Verb
from steerd.core.settings import (
    PanelSettings,
    PathId,
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
)
from steerd.core.states import Reason
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather

A, B = PathId("a/w"), PathId("b/w")
SEEDS = 40
STEP = 100.0


def waits(hz, *, gain, noise):
    """In seconds, in order: how long after it had become ``gain`` ms dearer than b path a was left."""
    found = []
    for seed in range(SEEDS):
        lines = {
            A: Line(Weather(rtt=20, jitter=noise), Weather(at=STEP, rtt=28 + gain, jitter=noise)),
            B: Line(Weather(rtt=28, jitter=noise)),
        }
        driver = run(lines, hz, STEP + 60.0, seed)
        found.append(next(one.at for one in driver.switches() if one.at > STEP) - STEP)
    return sorted(found)


def run(lines, hz, until, seed, standby=None):
    paths = tuple(
        PathSettings(path, path[:-2], path, interval=1 / hz, standby_interval=standby or 1 / hz) for path in lines
    )
    driver = Driver(Settings(paths=paths, policies=(PolicySettings(PolicyId("all")),), round=1 / hz), lines, seed=seed)
    driver.run(until)
    return driver


@pytest.mark.parametrize(("hz", "gain", "median", "most"), [(1, 40, 3, 4), (5, 40, 2, 2), (1, 10, 8, 9), (5, 10, 8, 8)])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_step_is_followed_soon(hz, gain, noise, median, most):
    """The first probe that tells of it is sent up to a period later."""
    found = waits(hz, gain=gain, noise=noise)
    assert found[SEEDS // 2] <= median + 1e-6
    assert found[-1] <= most + 1e-6


@pytest.mark.parametrize("standby", [1.0, 5.0, 30.0])
def test_lone_spikes_move_little_however_rarely_a_path_is_probed(standby):
    """Twenty paths 4 ms apart, of which one sample in fifty is 300 ms late: at most ten switches in an hour."""
    lines = {PathId(f"{place:02}/w"): Line(Weather(rtt=20 + 4 * place, spikes=0.02)) for place in range(20)}
    for seed in range(2):
        driver = run(lines, 1, 3600.0, seed, standby)
        assert len([one for one in driver.switches() if one.reason is Reason.BETTER]) <= 10


@pytest.mark.parametrize("standby", [5.0, 10.0])
def test_a_silent_path_is_not_left_for_one_that_is_silent_too(standby):
    """b dies a second before a does, and is asked too rarely to be known as dead: only c answers."""
    c = PathId("c/w")
    lines = {
        A: Line(Weather(rtt=20), Weather(at=85.0, dead=True)),
        B: Line(Weather(rtt=23), Weather(at=84.0, dead=True)),
        c: Line(Weather(rtt=80)),
    }
    for seed in range(SEEDS):
        later = [one.new for one in run(lines, 1, 120.0, seed, standby).switches() if one.at > 84.0]
        assert later == [c]


@pytest.mark.parametrize("rule", [PanelSettings(), RegretSettings()])
def test_a_path_that_a_pin_sets_aside_does_not_keep_a_policy_where_it_is(rule):
    """Pinned to PoP a, of which one path becomes slow: its other one is taken, though b is the cheapest of all."""
    slow, fast = PathId("a/x"), PathId("a/y")
    lines = {
        slow: Line(Weather(rtt=20), Weather(at=60.0, rtt=300)),
        fast: Line(Weather(rtt=30)),
        B: Line(Weather(rtt=25)),
    }
    paths = tuple(PathSettings(path, path.split("/")[0], path) for path in lines)
    settings = Settings(paths=paths, policies=(PolicySettings(PolicyId("all")),), rule=rule)
    driver = Driver(settings, lines)
    driver.at(10.0, driver.feed, Order(Verb.PIN, "all", to="a"))
    driver.run(90.0)
    assert [one.new for one in driver.switches()] == [slow, fast]
