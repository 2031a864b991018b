"""Several paths at once: who takes part, in which parts, and that nothing of it flaps."""

from dataclasses import replace
from random import Random

import pytest

from steerd.core.effects import Shared, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Link, Order, Outcome, Probed, Share, Verb
from steerd.core.memory import Memory
from steerd.core.policy.spread import SETTLE
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings

A, B, C = PathId("a/w"), PathId("b/w"), PathId("c/w")
ALL = PolicyId("all")


class World:
    """An engine whose orders the kernel follows at once, and whose paths answer once a second."""

    def __init__(self, rtts, *, capacities=None, memory=None, installed=None, **policy):
        paths = tuple(
            PathSettings(path, path.split("/")[0], path, capacity=(capacities or {}).get(path, 1.0)) for path in rtts
        )
        self.settings = Settings(paths=paths, policies=(PolicySettings(ALL, **{"spread": 2, **policy}),))
        self.rtts = dict(rtts)
        self.now = 0.0
        self.effects = []
        self.engine = Engine(self.settings, memory or Memory(), now=0.0, epoch=1, draw=lambda: 0.5)
        if installed:
            self.feed(installed)

    def feed(self, event, at=None):
        effects = list(self.engine.feed(event, self.now if at is None else at))
        self.effects += effects
        for one in effects:
            if isinstance(one, Steer):
                self.feed(Installed(one.policy, one.best, one.runner_up, shares=one.shares), at)
        return effects

    def run(self, seconds, draw=lambda _path: 0.0):
        for _ in range(round(seconds)):
            for path, rtt in self.rtts.items():
                if rtt is None:
                    self.feed(Probed(path, Outcome.OVERDUE, self.now + 0.1), self.now + 0.4)
                else:
                    ms = rtt + draw(path)
                    self.feed(Probed(path, Outcome.REPLY, self.now + 0.1, ms / 1e3), self.now + 0.1 + ms / 1e3)
            self.now += 1.0
            self.feed(None)
        return self

    def of(self, kind):
        return [one for one in self.effects if isinstance(one, kind)]

    def order(self, verb, subject, to=None, **rest):
        self.feed(Order(verb, subject, to, **rest))

    @property
    def policy(self):
        return self.engine.view(self.now).policies[0]

    @property
    def parts(self):
        return {share.path: round(share.part, 2) for share in self.policy.shares}


@pytest.mark.parametrize(
    ("rtts", "rest", "parts"),
    [
        ({A: 20, B: 20}, {}, {A: 0.5, B: 0.5}),
        ({A: 20, B: 40}, {}, {A: 0.67, B: 0.33}),  # inversely proportional to cost
        ({A: 20, B: 40}, {"capacities": {A: 1.0, B: 2.0}}, {A: 0.5, B: 0.5}),  # proportional to capacity
        ({A: 20, B: 40}, {"spread": 1}, {}),
        ({A: 20, B: 90}, {}, {}),  # more than 50 ms dearer
        ({A: 20, B: 90}, {"spread_within": 80.0}, {A: 0.82, B: 0.18}),
        ({A: 20, B: 60, C: 30}, {}, {A: 0.6, C: 0.4}),  # the cheapest ones
        ({A: 20, B: 60, C: 30}, {"spread": 3}, {A: 0.5, B: 0.17, C: 0.33}),
        ({A: 20, B: 30, C: 20}, {"forbidden": ((C, "test"),)}, {A: 0.6, B: 0.4}),
    ],
)
def test_parts_are_by_capacity_and_cost(rtts, rest, parts):
    world = World(rtts, **rest).run(40)
    assert world.parts == parts
    assert sum(share.part for share in world.policy.shares) == pytest.approx(1.0 if parts else 0.0)
    assert len(world.of(Switched)) == 1
    assert len(world.of(Shared)) == bool(parts)
    if parts:
        assert world.policy.shares[0].path == world.policy.choice == A
        assert "joins" in world.of(Shared)[0].why


def test_the_runner_up_is_none_of_those_who_share():
    world = World({A: 20, B: 20, C: 30}).run(40)
    assert world.parts.keys() == {A, B}
    assert world.policy.runner_up == C


def test_who_dies_leaves_at_once_and_the_choice_stays():
    world = World({A: 20, B: 22, C: 30}).run(40)
    world.effects.clear()
    world.feed(Link(B, up=False))
    assert [one.best for one in world.of(Steer)] == [A]
    assert world.parts == {A: 0.6, C: 0.4}
    assert not world.of(Switched)
    assert "b/w leaves (absent" in world.of(Shared)[0].why


def test_when_the_choice_dies_another_of_them_is_the_choice():
    world = World({A: 20, B: 22}).run(40)
    world.feed(Link(A, up=False))
    assert world.policy.choice == B
    assert world.parts == {}
    world.feed(Link(A, up=True))
    world.run(300)
    assert world.parts.keys() == {A, B}


def test_a_dead_path_is_left_as_soon_as_it_is_known_to_be():
    world = World({A: 20, B: 22, C: 25}).run(40)
    world.rtts[B] = None
    world.run(5)
    assert world.parts.keys() == {A, C}


def test_a_drained_pop_takes_no_part_and_a_pin_leaves_the_others_out():
    world = World({A: 20, B: 22}).run(40)
    world.order(Verb.DRAIN, "b")
    assert world.parts == {}
    world.order(Verb.UNDRAIN, "b")
    world.run(20)
    assert world.parts.keys() == {A, B}
    world.order(Verb.PIN, "all", "b")
    assert (world.policy.choice, world.parts) == (B, {})
    world.run(20)
    assert world.parts == {}
    world.order(Verb.UNPIN, "all")
    world.run(20)
    assert world.parts.keys() == {A, B}


def test_a_reload_to_one_path_ends_the_sharing_at_once():
    world = World({A: 20, B: 22}).run(40)
    world.feed(Configured(replace(world.settings, policies=(PolicySettings(ALL),))))
    assert (world.policy.choice, world.parts) == (A, {})


def test_what_the_kernel_has_after_a_restart_stays():
    shares = (Share(A, 0.75), Share(B, 0.25))
    world = World({A: 20, B: 60}, installed=Installed(ALL, A, None, shares=shares)).run(60)
    assert not world.of(Steer)
    assert world.parts == {A: 0.75, B: 0.25}


def test_parts_follow_costs_that_changed_for_long_and_not_before():
    world = World({A: 20, B: 22}).run(40)
    world.effects.clear()
    world.rtts[B] = 60
    world.run(SETTLE - 1)
    assert not world.of(Shared)
    world.run(10)
    assert [one.why for one in world.of(Shared)] == ["costs changed"]
    assert world.parts == {A: 0.75, B: 0.25}
    world.rtts[B] = 85  # within half as much again as is allowed
    world.run(60)
    assert B in world.parts
    world.rtts[B] = 120
    world.run(60)
    assert world.parts == {}


def test_a_better_rival_takes_a_place_only_if_it_is_clearly_better():
    world = World({A: 20, B: 45, C: 60}).run(40)
    assert world.parts.keys() == {A, B}
    world.rtts[C] = 25  # by less than half of what is allowed
    world.run(60)
    assert world.parts.keys() == {A, B}
    world.rtts[B] = 55
    world.run(60)
    assert world.parts.keys() == {A, C}


@pytest.mark.parametrize("sd", [3.0, 10.0])
def test_equal_paths_under_noise_stay_as_they_are(sd):
    noise = Random(f"spread/{sd}")
    world = World({A: 40, B: 40, C: 40}).run(60)
    world.effects.clear()
    world.run(3600, draw=lambda _path: noise.gauss(0.0, sd))
    assert len(world.of(Shared)) <= 10 + len(world.of(Switched))
