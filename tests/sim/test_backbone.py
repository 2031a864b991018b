"""The whole way in the choice, simulated: a slow backbone, agents that die, agents that lie; and it replays."""

from random import Random

import pytest

from steerd.core.engine import Engine
from steerd.core.events import BackboneLink, BackboneLinks, PopState
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import Reason
from steerd.sim.driver import Driver
from steerd.sim.network import Line, Weather
from steerd.store.records import from_json, to_json

NEAR, FAR = PathId("near/w"), PathId("far/w")
RTTS = {NEAR: 10.0, FAR: 25.0}
INTERVAL = 10.0
SEEDS = range(20)


class Backbone:
    """Agents that say every `INTERVAL` seconds, each at its own time, how far the service is, by ``says`` of the time;
    None: they are dead. ``noise`` in ms."""

    def __init__(self, seed, says, *, most=100.0, noise=0.5, jitter=0.3):
        policy = PolicySettings(PolicyId("db"), service="db", through=("near", "far"))
        paths = tuple(PathSettings(path, path[:-2], path) for path in RTTS)
        lines = {path: Line(Weather(rtt=rtt, jitter=jitter)) for path, rtt in RTTS.items()}
        self.driver = Driver(Settings(paths=paths, policies=(policy,), backbone_max=most), lines, seed=seed)
        self._draw, self._says, self._noise = Random(seed), says, noise
        for pop in ("near", "far"):
            self.driver.at(self._draw.uniform(0.0, INTERVAL), self._speak, pop)

    def _speak(self, pop):
        driver = self.driver
        rtt = self._says(pop, driver.now)
        driver.at(driver.now + INTERVAL, self._speak, pop)
        if rtt is not None:
            link = BackboneLink("db", max(0.0, rtt + self._draw.gauss(0.0, self._noise)), 0.0)
            driver.feed(PopState(pop, accepting=True, backbone=BackboneLinks((link,), INTERVAL)))

    def moves(self, until):
        """Where it moved for the price, and when, after its first minute."""
        self.driver.run(until)
        return [(one.at, one.new) for one in self.driver.switches() if one.reason is Reason.BETTER and one.at > 60.0]

    def choice(self):
        return self.driver.engine.view(self.driver.now).policies[0].choice


@pytest.mark.parametrize("seed", SEEDS)
def test_the_nearer_pop_with_a_slow_backbone_loses_to_the_farther_one_and_wins_again(seed):
    def says(pop, now):
        return 60.0 if pop == "near" and 300.0 <= now < 900.0 else 20.0

    world = Backbone(seed, says)
    moves = world.moves(1500.0)
    assert [to for _, to in moves] == [FAR, NEAR]
    assert 300.0 < moves[0][0] < 340.0
    assert 900.0 < moves[1][0] < 940.0


@pytest.mark.parametrize("seed", SEEDS)
def test_when_all_agents_die_the_first_legs_alone_decide_after_one_switch_at_most(seed):
    world = Backbone(seed, lambda pop, now: None if now > 600.0 else 60.0 if pop == "near" else 20.0)
    world.driver.run(590.0)
    assert world.choice() == FAR
    assert [to for at, to in world.moves(3600.0) if at > 600.0] == [NEAR]
    terms = [one.terms["backbone"] for one in world.driver.engine.view(3600.0).policies[0].candidates]
    assert terms == [100.0, 100.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_when_all_agents_die_where_the_first_legs_alone_decide_the_same_nothing_moves(seed):
    world = Backbone(seed, lambda _pop, now: None if now > 600.0 else 20.0)
    assert world.moves(3600.0) == []
    assert world.choice() == NEAR


def test_noise_of_the_backbone_moves_little():
    """Between two PoPs that cost the same: half a switch an hour. Were each word taken as it is, 3.5."""
    moves = [Backbone(seed, lambda pop, _: 35.5 if pop == "near" else 20.0, noise=1.5).moves(7200.0) for seed in SEEDS]
    assert sum(map(len, moves)) <= 2 * len(SEEDS)


@pytest.mark.parametrize("says", [0.0, 220.0])
@pytest.mark.parametrize("most", [5.0, 30.0, 100.0])
def test_a_liar_costs_an_honest_gateway_the_bound_at_most(says, most):
    """The backbone takes 20 ms from both; one agent says 200 ms more, or nothing at all."""
    for liar in ("near", "far"):
        world = Backbone(1, lambda pop, _, liar=liar: says if pop == liar else 20.0, most=most)
        world.driver.run(600.0)
        assert RTTS[world.choice()] + 20.0 <= min(RTTS.values()) + 20.0 + most
        assert len(world.driver.switches()) <= 2


def test_a_dead_agent_s_pop_still_carries_while_nobody_else_is_better_known():
    world = Backbone(1, lambda pop, _: None if pop == "near" else 5000.0)
    world.driver.run(600.0)
    assert world.choice() == NEAR


def test_what_was_heard_of_the_backbone_replays_exactly():
    world = Backbone(3, lambda pop, now: 60.0 if pop == "near" and now > 300.0 else 20.0)
    world.driver.run(600.0)
    settings = from_json(to_json(world.driver.settings))
    engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=Random("3/engine").random)
    wanted = []
    for now, event in world.driver.log:
        wanted += engine.feed(event and from_json(to_json(event)), now)
    kept = [effect for _, effect in world.driver.effects]
    assert [one for one in wanted if type(one) in {type(each) for each in kept}] == kept


def test_a_recording_from_before_pops_spoke_of_links_is_read():
    old = {"kind": "PopState", "pop": "near", "accepting": True, "load": 0.5, "age": 1.0}
    assert from_json(old) == PopState("near", accepting=True, load=0.5, age=1.0)
    policy = to_json(PolicySettings(PolicyId("db")))
    del policy["service"], policy["through"]
    assert from_json(policy) == PolicySettings(PolicyId("db"))
