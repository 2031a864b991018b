"""Which path is taken when the one in use dies: the best of those that live, whoever happened to be probed first."""

from random import Random

import pytest

from steerd.core.effects import Steer
from steerd.core.engine import Engine
from steerd.core.events import Installed, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.policy.failover import AWAITED
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import PathState, PolicyState, Reason
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather

A, B, C = PathId("a/w"), PathId("b/w"), PathId("c/w")
ALL = PolicyId("all")


def settings(**knobs):
    paths = tuple(PathSettings(path, path[0], "wan", **knobs) for path in (A, B, C))
    return Settings(paths=paths, policies=(PolicySettings(ALL),), round=knobs.get("interval", 1.0))


def dying(b=150.0):
    """An engine on A, which goes down at 10.45, and where that makes it move. A's first unanswered probe was sent at
    10.2, C's answer came meanwhile. B and C cost ``b`` and 200 ms."""
    engine = Engine(settings(), Memory(), now=0.0, epoch=1, draw=lambda: 0.0)
    engine.feed(Installed(ALL, A, None), 0.0)
    for n in range(10):
        for path, rtt in ((A, 20.0), (B, b), (C, 200.0)):
            answered(engine, path, n + 0.1, n + 0.1 + rtt / 1e3)
    overdue(engine, A, 10.2, 10.25)
    overdue(engine, A, 10.3, 10.35)
    assert not answered(engine, C, 10.22, 10.42)
    moved = overdue(engine, A, 10.4, 10.45)
    assert engine.paths[A].health.state is PathState.DOWN
    return engine, moved


def answered(engine, path, sent, now):
    """Where to move to, if that makes it move."""
    return moves(engine.feed(Probed(path, Outcome.REPLY, sent, now - sent), now))


def overdue(engine, path, sent, now):
    return moves(engine.feed(Probed(path, Outcome.OVERDUE, sent), now))


def moves(effects):
    return [effect.best for effect in effects if isinstance(effect, Steer)]


def test_the_answer_of_a_better_path_is_awaited():
    engine, moved = dying()
    assert not moved
    assert engine.view(10.45).policies[0].state is PolicyState.STEERING
    assert answered(engine, B, 10.35, 10.5) == [B]


def test_the_next_best_is_taken_at_once_when_the_better_path_is_doubted():
    engine, _ = dying()
    assert overdue(engine, B, 10.3, 10.5) == [C]


def test_nobody_is_awaited_for_long():
    engine, _ = dying()
    assert answered(engine, C, 10.32, 10.52) == []
    assert answered(engine, C, 10.45 + AWAITED - 0.2, 10.45 + AWAITED) == [C]


def test_a_round_that_ends_ends_the_waiting_too():
    engine, _ = dying()
    assert moves(engine.feed(None, 11.0)) == [C]


def test_nobody_is_awaited_who_is_better_by_what_moves_nothing():
    assert dying(b=199.0)[1] == [C]


def test_a_choice_that_answers_meanwhile_is_not_left():
    engine, moved = dying()
    assert moved == answered(engine, A, 10.46, 10.48) == answered(engine, B, 10.35, 10.5) == []
    assert moves(engine.feed(None, 11.0)) == [A], "asked again, for a new runner-up"


@pytest.mark.parametrize("interval", [0.2, 1.0])
@pytest.mark.parametrize("jitter", [0.0, 3.0])
def test_one_switch_and_to_the_best_wherever_in_their_periods_the_paths_are_probed(interval, jitter):
    for seed in range(40):
        dies = 20.0 + Random(seed).random()
        lines = {
            A: Line(Weather(rtt=30, jitter=jitter), Weather(at=dies, dead=True)),
            B: Line(Weather(rtt=150, jitter=jitter)),
            C: Line(Weather(rtt=200, jitter=jitter)),
        }
        driver = Driver(settings(interval=interval, standby_interval=interval), lines, seed=seed)
        driver.run(dies + 10.0)
        switches = [(one.new, one.reason) for one in driver.switches() if one.at > dies]
        assert switches == [(B, Reason.DOWN)], f"seed {seed}"
