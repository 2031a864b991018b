"""One of many gateways: what a gate and a spread fail-over change, and what they never change."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from steerd.core.effects import PathChanged, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Link, Order, Outcome, Probed, Swept, Verb
from steerd.core.memory import Memory
from steerd.core.settings import (
    PanelSettings,
    PathId,
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
)
from steerd.core.states import PathState, Reason

PATHS = [PathId(f"p{number}/w") for number in range(4)]
POLICY = PolicyId("all")
LONE = Settings(
    paths=tuple(PathSettings(path, path.split("/")[0], path) for path in PATHS),
    policies=(PolicySettings(POLICY),),
    round=0.0,
)
RULES = [PanelSettings(), RegretSettings(), ThresholdSettings(hold=5.0)]

rules = st.sampled_from(RULES)
rows = st.lists(st.one_of(st.none(), st.floats(1.0, 300.0)), min_size=4, max_size=4)
distinct = st.permutations([20.0, 33.0, 47.0, 60.0])


class Counted:
    """Draws, and how many there were."""

    def __init__(self, seed=0):
        self._random = Random(seed)
        self.times = 0

    def __call__(self):
        self.times += 1
        return self._random.random()


def make(settings, draw):
    return Engine(settings, Memory(), now=0.0, epoch=1, draw=draw)


def answered(engine, effects, time):
    """Carry out what is asked, and return all that was wanted."""
    out = list(effects)
    for effect in effects:
        if isinstance(effect, Steer):
            out += engine.feed(Installed(effect.policy, effect.best, effect.runner_up), time)
    return out


def sweep(engine, time, rtts):
    return answered(engine, engine.sweep(Swept(time, PATHS, rtts), time), time)


def moves(effects):
    return [effect for effect in effects if isinstance(effect, Switched)]


@given(st.lists(rows, min_size=1, max_size=120), rules)
def test_a_lone_gateway_draws_for_hold_downs_alone(column, rule):
    """So recordings of it replay as ever, whatever is drawn for fleets."""
    draw, held = Counted(), 0
    engine = make(replace(LONE, rule=rule), draw)
    for time, rtts in enumerate(column):
        effects = sweep(engine, float(time), rtts)
        held += sum(
            isinstance(one, PathChanged) and one.old is PathState.RECOVERING and one.new is PathState.UP
            for one in effects
        )
    assert draw.times == held


def fell_silent(on):
    """Three probes in a row overdue, and all others answer in between."""
    for number in range(3):
        at = 40.1 + number
        for path in PATHS:
            if path == on:
                yield Probed(path, Outcome.OVERDUE, at), at + 0.1
            else:
                yield Probed(path, Outcome.REPLY, at, 0.05), at + 0.1


FORCES = {
    Reason.ABSENT: lambda on: [(Link(on, up=False), 40.0)],
    Reason.DRAIN: lambda on: [(Order(Verb.DRAIN, on.split("/")[0]), 40.0)],
    Reason.PIN: lambda on: [(Order(Verb.PIN, POLICY, "p0" if on != PATHS[0] else "p1", hard=True), 40.0)],
    Reason.POLICY: lambda on: [
        (Configured(replace(LONE, policies=(PolicySettings(POLICY, forbidden=((on, "test"),)),))), 40.0)
    ],
    Reason.KERNEL: lambda on: [(Installed(POLICY, PATHS[0] if on != PATHS[0] else PATHS[1]), 40.0)],
    Reason.DOWN: fell_silent,
}


@given(distinct, rules, st.sampled_from(list(FORCES)), st.sampled_from([0.0, 20.0]))
def test_a_forced_move_never_waits_for_the_gate(rtts, rule, reason, within):
    """It happens with the very event that it happens with on a lone gateway, be the gate as good as shut."""
    seen = []
    for gate, spread in ((0.0, 0.0), (1000.0, within)):
        settings = replace(LONE, rule=rule, gate=gate, failover_within=spread)
        engine = make(settings, lambda: 1.0 - 2.0**-53)
        for time in range(40):
            sweep(engine, float(time), rtts)
        on = engine.policies[POLICY].assignment.wanted
        story = [
            [(event, move.reason) for move in moves(answered(engine, engine.feed(configured(event, settings), at), at))]
            for event, at in FORCES[reason](on)
        ]
        seen.append(story)
    lone, one_of_many = seen
    assert one_of_many == lone
    assert [told for step in lone for _, told in step] == [reason]


def configured(event, settings):
    if isinstance(event, Configured):
        return Configured(replace(settings, policies=event.settings.policies))
    return event


@given(distinct, rules)
def test_what_nothing_forces_waits_for_a_gate_that_is_shut_and_goes_when_it_opens(rtts, rule):
    shut = [0.999999]
    engine = make(replace(LONE, rule=rule, gate=5.0), lambda: shut[0])
    for time in range(40):
        sweep(engine, float(time), rtts)
    on = engine.policies[POLICY].assignment.wanted
    worse = [300.0 if path == on else rtt for path, rtt in zip(PATHS, rtts, strict=True)]
    assert not [move for time in range(40, 200) for move in moves(sweep(engine, float(time), worse))]
    view = engine.view(199.0).policies[0]
    assert view.outlook.startswith("held back by the gate: "), view.outlook
    shut[0] = 0.0
    (move,) = moves(sweep(engine, 200.0, worse))
    assert (move.old, move.reason) == (on, Reason.BETTER)
    assert "gate" not in engine.view(200.0).policies[0].outlook


@given(st.lists(rows, min_size=20, max_size=120), rules, st.integers(0, 100))
def test_the_same_seed_makes_the_same_of_the_same(column, rule, seed):
    told = []
    for _ in range(2):
        engine = make(replace(LONE, rule=rule, gate=5.0, failover_within=20.0), Random(seed).random)
        told.append([sweep(engine, float(time), rtts) for time, rtts in enumerate(column)])
    assert told[0] == told[1]


def test_a_herd_goes_at_the_rate_that_the_gate_has():
    """300 gateways, of which each could gain 40 of 70 ms: after 9 s in the mean, from when the rule has noticed."""
    waits = []
    for seed in range(300):
        engine = make(replace(LONE, gate=5.0), Random(seed).random)
        for time in range(40):
            sweep(engine, float(time), [30.0, 30.0, 30.0, 30.0])
        on = engine.policies[POLICY].assignment.wanted
        noticed = None
        for time in range(40, 240):
            effects = sweep(engine, float(time), [70.0 if path == on else 30.0 for path in PATHS])
            if noticed is None and (moves(effects) or engine.view(float(time)).policies[0].outlook.startswith("held")):
                noticed = time
            if moves(effects):
                waits.append(time - noticed + 1)
                break
    assert len(waits) == 300
    assert 7.5 < sum(waits) / 300 < 10.0
