"""What must hold for any input: the core's promises, as properties."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.belief.estimate import Estimate
from steerd.core.effects import PathChanged, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import Configured, Installed, Link, Order, Outcome, PopState, Probed, Swept, Tunnel, Verb
from steerd.core.memory import Memory
from steerd.core.rules.rule import SAMPLES_MIN
from steerd.core.settings import (
    PanelSettings,
    PathId,
    PathSettings,
    PolicyId,
    PolicySettings,
    RegretSettings,
    Settings,
    ThresholdSettings,
    WhenNone,
)
from steerd.core.states import PathState, Reason

PATHS = [PathId(f"p{number}/w") for number in range(4)]
POLICY = PolicyId("all")
RULES = [PanelSettings(), PanelSettings(price=20.0), RegretSettings(), ThresholdSettings(hold=5.0)]

rules = st.sampled_from(RULES)
costs = st.lists(st.floats(1.0, 500.0), min_size=2, max_size=4)


def make(paths=PATHS, *, rule=RULES[0], round_=0.0, forbidden=(), when_none=WhenNone.KEEP, seed=0) -> Engine:
    settings_ = Settings(
        paths=tuple(PathSettings(path, path.split("/")[0], path) for path in paths),
        policies=(PolicySettings(POLICY, tuple((path, "test") for path in forbidden), when_none),),
        rule=rule,
        round=round_,
    )
    return Engine(settings_, Memory(), now=0.0, epoch=1, draw=Random(seed).random)


def sweep(engine, time, rtts, paths=PATHS):
    """Feed one round, carry out what is asked, return the effects."""
    return answer(engine, engine.sweep(Swept(time, paths[: len(rtts)], rtts), time), time)


def put(engine, event, time):
    return engine.sweep(event, time) if isinstance(event, Swept) else engine.feed(event, time)


def answer(engine, effects, time):
    out = list(effects)
    for effect in effects:
        if isinstance(effect, Steer):
            out += engine.feed(Installed(effect.policy, effect.best, effect.runner_up), time)
    return out


def moves(effects):
    return [effect for effect in effects if isinstance(effect, Switched)]


@given(costs, rules, st.sampled_from([0.2, 1.0, 10.0]))
def test_a_constant_scoreboard_never_switches(rtts, rule, step):
    """The first choice is the cheapest, and it stays."""
    engine = make(rule=rule)
    seen = [move for n in range(200) for move in moves(sweep(engine, n * step, rtts))]
    assert [move.reason for move in seen] == [Reason.START]
    assert seen[0].new == PATHS[rtts.index(min(rtts))]


@given(st.data(), costs, rules)
def test_what_tunnels_say_of_themselves_moves_nobody(data, rtts, rule):
    """As long as probes are answered: no path goes down, and the first choice stays."""
    engine = make(rule=rule)
    seen = []
    for n in range(60):
        for path in data.draw(st.sets(st.sampled_from(PATHS), max_size=3)):
            said = data.draw(st.sampled_from(["", "no handshake"]))
            seen += answer(engine, engine.feed(Tunnel(path, said), float(n)), float(n))
        seen += sweep(engine, float(n), rtts)
    heard = set(PATHS[: len(rtts)])
    changes = [one for one in seen if isinstance(one, PathChanged) and one.path in heard]
    assert {one.new for one in changes} <= {PathState.UP, PathState.SUSPECT}
    assert [move.reason for move in moves(seen)] == [Reason.START]
    assert all(engine.paths[path].health.state is PathState.UP for path in heard)


@given(st.data(), rules)
def test_after_a_switch_unchanged_input_wants_nothing_back(data, rule):
    engine = make(rule=rule)
    rtt = st.floats(1.0, 300.0)
    time = 0.0
    for _ in range(data.draw(st.integers(2, 6))):
        rtts = data.draw(st.lists(rtt, min_size=4, max_size=4))
        for _ in range(data.draw(st.integers(1, 60))):
            time += 1.0
            sweep(engine, time, rtts)
    last = data.draw(st.lists(rtt, min_size=4, max_size=4))
    where: list = []
    for _ in range(400):
        time += 1.0
        where += [move.new for move in moves(sweep(engine, time, last))]
    assert len(set(where)) == len(where), f"went back: {where}"


@given(st.data(), rules)
def test_never_to_what_policy_forbids(data, rule):
    forbidden = data.draw(st.sets(st.sampled_from(PATHS), max_size=3))
    engine = make(rule=rule, forbidden=forbidden, when_none=data.draw(st.sampled_from(list(WhenNone))))
    drained: set[str] = set()
    for time, effect in wild(data, engine, drained):
        if isinstance(effect, Steer):
            assert effect.best not in forbidden
            assert effect.runner_up not in forbidden
            if effect.best is not None:
                assert effect.best != effect.runner_up
        if isinstance(effect, Switched) and effect.new is not None and effect.rule != "kernel":
            assert effect.new.split("/")[0] not in drained, time


@given(st.data(), rules)
def test_the_same_events_give_the_same_effects(data, rule):
    engine = make(rule=rule)
    log: list = []
    first = [effect for _, effect in wild(data, engine, set(), log)]
    again = make(rule=rule)
    assert [effect for event, now in log for effect in put(again, event, now)] == first


@given(st.data(), st.floats(0.0, 20.0))
def test_waking_up_late_changes_nothing(data, late):
    """An engine that is woken at each deadline, and one that is woken only by events, decide alike."""
    times = sorted(data.draw(st.lists(st.floats(0.0, 40.0), min_size=5, max_size=60, unique=True)))
    events = [
        Probed(data.draw(st.sampled_from(PATHS)), Outcome.REPLY, time, data.draw(st.floats(0.001, 0.3)))
        for time in times
    ]
    prompt, lazy = make(round_=1.0), make(round_=1.0)
    order = Order(Verb.DRAIN, "p0", until=min(30.0, late + 1.0))
    timely, late_ones = list(prompt.feed(order, 0.0)), list(lazy.feed(order, 0.0))
    for event in events:
        while prompt.next_deadline() < event.sent_at:
            deadline = prompt.next_deadline()
            timely += prompt.feed(None, deadline)
        timely += prompt.feed(event, event.sent_at)
        late_ones += lazy.feed(event, event.sent_at)
    assert timely == late_ones


@given(costs, st.floats(0.5, 400.0), st.integers(1, 300), st.sampled_from([PanelSettings(), RegretSettings()]))
def test_a_path_added_later_does_not_win_by_being_new(rtts, rtt, after, rule):
    """It has to be known first; and to the work function it has to make good a price."""
    rtts = [*rtts, rtt][-4:]
    old = PATHS[: len(rtts) - 1]
    engine = make(old, rule=rule)
    for n in range(after):
        sweep(engine, float(n), rtts[:-1], old)
    grown = make(PATHS[: len(rtts)], rule=rule).settings
    engine.feed(Configured(grown), float(after))
    gain = min(rtts[:-1]) - rtts[-1]
    for n in range(after, after + 100):
        if moves(sweep(engine, float(n), rtts)):
            heard = n - after + 1
            assert heard >= SAMPLES_MIN
            assert gain > (3.0 if isinstance(rule, PanelSettings) else 2.0)
            assert isinstance(rule, PanelSettings) or gain * heard >= 0.5 * rule.price
            return
    assert gain < 5.0


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 3000.0)), min_size=1, max_size=80), st.floats(0.1, 5.0))
def test_swept_is_probed_one_by_one(column, step):
    """A round at once is the same as its outcomes one after the other."""
    whole, single = make(), make()
    for n, rtt in enumerate(column):
        time = n * step
        rtts = [rtt, 40.0]
        one = sweep(whole, time, rtts)
        effects: list = []
        for path, value in zip(PATHS, rtts, strict=False):
            if value is None:
                effects += single.feed(Probed(path, Outcome.OVERDUE, time), time)
                effects += single.feed(Probed(path, Outcome.LOST, time), time)
            else:
                effects += single.feed(Probed(path, Outcome.REPLY, time, value * 1e-3), time)
        effects += single.sweep(Swept(time, [], []), time)
        other = answer(single, effects, time)
        assert told(one) == told(other)


def told(effects):
    """What was done, without figures: RTTs in seconds and in milliseconds differ in their last bit."""
    return [(type(one), *one[:5]) for one in effects]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_a_late_answer_undoes_its_loss_exactly(lost, data):
    """Loss as if the late ones had never been lost, whenever the news came."""
    late = {n for n, one in enumerate(lost) if one and data.draw(st.booleans())}
    real, ideal = Estimate(2.0), Estimate(2.0)
    for n, one in enumerate([False, *lost]):
        time = float(n)
        for estimate, counts in ((real, one), (ideal, one and n - 1 not in late)):
            if one:
                estimate.overdue(time)
            else:
                estimate.reply(20.0, time)
            if counts:
                estimate.lost(time)
    for n in late:
        real.undo_loss(float(n + 1))
    for estimate in (real, ideal):
        estimate.reply(20.0, len(lost) + 1.0)
    assert real.loss == pytest.approx(ideal.loss, abs=1e-9)


@given(st.data())
def test_memory_survives_a_restart(data):
    engine = make()
    drained: set[str] = set()
    for _ in wild(data, engine, drained):
        pass
    now = 1e6
    engine.feed(None, now)
    kept = engine.memory(now)
    settings_ = make().settings
    again = Engine(settings_, kept, now=0.0, epoch=2, draw=Random(1).random).memory(0.0)
    assert again.drains == kept.drains
    assert again.pins == kept.pins
    assert [(hold.path, hold.length) for hold in again.holds] == [(hold.path, hold.length) for hold in kept.holds]


def wild(data, engine, drained, log=None):
    """Anything at any time; yields (time, effect)."""
    time = 0.0
    pops = [path.split("/")[0] for path in PATHS]
    for _ in range(data.draw(st.integers(5, 60))):
        time += data.draw(st.sampled_from([0.0, 0.1, 1.0, 7.0]))
        path = data.draw(st.sampled_from(PATHS))
        kind = data.draw(st.sampled_from(["sweep", "sweep", "sweep", "probe", "link", "order", "pop", "installed"]))
        if kind == "sweep":
            rtts = data.draw(st.lists(st.one_of(st.none(), st.floats(1.0, 300.0)), min_size=4, max_size=4))
            event: object = Swept(time, PATHS, rtts)
        elif kind == "probe":
            outcome = data.draw(st.sampled_from(list(Outcome)))
            event = Probed(path, outcome, time - data.draw(st.floats(0.0, 2.0)), data.draw(st.floats(0.001, 2.0)))
        elif kind == "link":
            event = Link(path, up=data.draw(st.booleans()))
        elif kind == "pop":
            event = PopState(path.split("/")[0], accepting=data.draw(st.booleans()))
        elif kind == "installed":
            event = Installed(
                POLICY, data.draw(st.sampled_from([None, engine.policies[POLICY].assignment.wanted])), None
            )
        else:
            verb = data.draw(st.sampled_from(list(Verb)))
            pop = data.draw(st.sampled_from(pops))
            subject = pop if verb in (Verb.DRAIN, Verb.UNDRAIN) else POLICY
            event = Order(verb, subject, pop, hard=data.draw(st.booleans()))
            if verb is Verb.DRAIN:
                drained.add(pop)
            elif verb is Verb.UNDRAIN:
                drained.discard(pop)
        if log is not None:
            log.append((event, time))
        for effect in (effects := put(engine, event, time)):
            yield time, effect
        for steer in [effect for effect in effects if isinstance(effect, Steer)]:
            error = data.draw(st.sampled_from([None, None, None, "refused"]))
            best = steer.best if error is None else engine.policies[POLICY].assignment.choice
            installed = Installed(steer.policy, best, None, error)
            if log is not None:
                log.append((installed, time))
            for effect in engine.feed(installed, time):
                yield time, effect
