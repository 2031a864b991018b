"""What this machine does not measure is neither healthy nor dead: paths, or one family of them, that it cannot ask."""

import pytest

from steerd.core.effects import Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Installed, Outcome, Probed
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings, WhenNone
from steerd.core.states import PathState, PolicyState

A, B = PathId("a/w"), PathId("b/w")
ALL = PolicyId("all")
REPLY, OVERDUE, LOST, LOCAL = Outcome.REPLY, Outcome.OVERDUE, Outcome.LOST, Outcome.LOCAL


class World:
    """Two paths, a and b, probed each second; ``legs``: targets of each. What becomes of a leg's probes is written as
    one letter: r(eply), s(ilence), l(ocal)."""

    def __init__(self, *, legs=1, when_none=WhenNone.KEEP, uplinks=("a", "b")):
        settings = Settings(
            paths=tuple(
                PathSettings(path, path[0], uplink, timeout=1.0, legs=legs)
                for path, uplink in zip((A, B), uplinks, strict=True)
            ),
            policies=(PolicySettings(ALL, (), when_none),),
            round=1.0,
        )
        self.now = 0.0
        self.moves = []
        self.engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)

    def feed(self, event, at):
        for effect in self.engine.feed(event, at):
            if isinstance(effect, Switched):
                self.moves.append(effect.new)
            if isinstance(effect, Steer):
                self.feed(Installed(effect.policy, effect.best, effect.runner_up), at)

    def seconds(self, count, a, b):
        """So many seconds of this."""
        for _ in range(count):
            for path, legs, rtt in ((A, a, 0.01), (B, b, 0.02)):
                for leg, what in enumerate(legs):
                    sent = self.now + 0.1 + 0.1 * leg
                    if what == "r":
                        self.feed(Probed(path, REPLY, sent, rtt, leg), sent + rtt)
                    elif what == "s":
                        self.feed(Probed(path, OVERDUE, sent, leg=leg), sent + 0.05)
                    else:
                        self.feed(Probed(path, LOCAL, sent, leg=leg), sent)
            self.now += 1.0
            self.feed(None, self.now)
            for path, legs in ((A, a), (B, b)):
                for leg, what in enumerate(legs):
                    if what == "s":
                        self.feed(Probed(path, LOST, self.now - 0.9 + 0.1 * leg, leg=leg), self.now + 0.1)
        return self

    def state(self, path):
        return self.engine.paths[path].health.state

    @property
    def policy(self):
        return self.engine.view(self.now).policies[0]


def test_a_path_that_is_not_measured_any_more_is_suspect_after_seconds_and_left_for_one_that_is():
    world = World().seconds(10, "r", "r")
    assert world.moves == [A]
    world.seconds(4, "l", "r")
    assert world.state(A) is PathState.UP
    world.seconds(3, "l", "r")
    assert (world.state(A), world.moves) == (PathState.SUSPECT, [A, B])
    assert "not measured: this machine does not send its probes" in world.engine.paths[A].health.explanation
    world.seconds(30, "l", "r")
    assert world.moves == [A, B]
    world.seconds(30, "r", "r")
    assert world.state(A) is PathState.UP
    assert world.moves == [A, B, A], "10 ms better: it is worth a switch again"


def test_when_nothing_is_measured_nothing_moves():
    world = World().seconds(10, "r", "r").seconds(30, "l", "l")
    assert (world.moves, world.policy.state) == ([A], PolicyState.STEERING)
    world.seconds(1, "l", "r")
    assert world.moves == [A, B]


def test_who_is_not_measured_any_more_is_no_refuge():
    world = World().seconds(10, "r", "r").seconds(10, "r", "l").seconds(5, "s", "l")
    assert (world.state(A), world.moves, world.policy.state) == (PathState.DOWN, [A], PolicyState.HELD)
    world.seconds(1, "s", "r")
    assert world.moves == [A, B]


def test_a_family_that_this_machine_cannot_ask_does_not_count():
    """IPv6 is switched off here, or a name has no address of it."""
    world = World(legs=2).seconds(3, "rl", "rl")
    assert (world.moves, world.state(A)) == ([A], PathState.UP)
    world.seconds(5, "sl", "rl")
    assert (world.state(A), world.moves) == (PathState.DOWN, [A, B])


@pytest.mark.parametrize("before", ["rr", "rl"])
def test_a_dead_path_is_left_for_one_of_which_one_family_is_not_asked(before):
    world = World(legs=2).seconds(10, "rr", before).seconds(10, "rr", "rl").seconds(5, "ss", "rl")
    assert (world.state(A), world.moves) == (PathState.DOWN, [A, B])


def test_a_family_that_is_asked_again_counts_again():
    world = World(legs=2).seconds(10, "rl", "rr").seconds(5, "rs", "rr")
    assert (world.state(A) is PathState.UP, world.moves) == (False, [A, B])


def test_half_a_path_is_better_than_none_and_worse_than_a_whole_one():
    world = (
        World(legs=2, when_none=WhenNone.BLOCK).seconds(10, "rr", "rr").seconds(8, "rr", "rs").seconds(5, "ss", "rs")
    )
    assert world.moves == [A, B], "a is dead, and b answers in one family"
    world.seconds(10, "ss", "rs")
    assert (world.moves, world.policy.state) == ([A, B], PolicyState.HELD)
    world.seconds(1, "rr", "rs").seconds(8, "rr", "rs")
    assert world.moves == [A, B, A]
    world.seconds(5, "rs", "rs")
    assert world.moves == [A, B, A], "one half is as good as the other"
    world.seconds(10, "ss", "ss")
    assert world.moves[3:] == [None], "as when_none asks"
