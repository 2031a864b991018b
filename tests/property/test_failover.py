"""A dead path is left within its confirmation time, whatever the rates, the RTTs and the phase."""

from hypothesis import given
from hypothesis import strategies as st

from steerd.core.belief.health import CONFIRMATIONS
from steerd.core.belief.path import CONFIRM_SLOWEST
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather

DEAD, ALIVE = PathId("a/w"), PathId("b/w")


@given(
    interval=st.sampled_from([0.1, 0.2, 0.5, 1.0, 2.0]),
    rtt=st.floats(1.0, 150.0),
    further=st.floats(5.0, 200.0),
    jitter=st.sampled_from([0.0, 1.0]),
    at=st.floats(60.0, 62.0),
    down_after=st.sampled_from([0.0, 0.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_a_dead_path_is_left_within_its_confirmation_time(interval, rtt, further, jitter, at, down_after, seed):
    weather = {
        DEAD: Line(Weather(rtt=rtt, jitter=jitter), Weather(at=at, dead=True)),
        ALIVE: Line(Weather(rtt=rtt + further, jitter=jitter)),
    }
    paths = tuple(
        PathSettings(path, path[0], path, interval=interval, standby_interval=interval, down_after=down_after)
        for path in weather
    )
    settings = Settings(paths=paths, policies=(PolicySettings(PolicyId("all")),), round=interval)
    driver = Driver(settings, weather, seed=seed)
    driver.run(at)
    assert driver.engine.policies[PolicyId("all")].assignment.wanted == DEAD
    patience = driver.engine.paths[DEAD].patience
    # The next probe, its patience, the confirming ones (sent while the first is awaited or after it), and the
    # answer of a rival that was asked once the silence began.
    confirm = min(interval, CONFIRM_SLOWEST)
    bound = interval + patience + CONFIRMATIONS * confirm + patience + (rtt + further) / 1e3 + 10 * jitter / 1e3
    driver.run(at + max(bound, down_after + interval + patience + confirm) + 0.05)
    last = driver.switches()[-1]
    assert (last.old, last.new) == (DEAD, ALIVE)
    # It may be left for its losses' price before it is called down.
    assert last.reason in (Reason.DOWN, Reason.BETTER)
    under_way = (rtt + 30.0 * jitter) / 1e3  # a probe sent before the end, whose answer never came
    assert last.reason is Reason.BETTER or last.at > at + down_after - under_way
