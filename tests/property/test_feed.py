"""Whatever is fed: nothing is raised, no switch goes where none may, and how a trace ends changes nothing before it."""

from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from steerd.core.effects import Cadence, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import (
    BackboneLink,
    BackboneLinks,
    Carried,
    Configured,
    Installed,
    Link,
    Order,
    Outcome,
    PathMtu,
    PopState,
    Probed,
    Swept,
    Tunnel,
    UplinkPrice,
    Verb,
)
from steerd.core.memory import Memory
from steerd.core.settings import (
    Objective,
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

PATHS = [PathId(f"p{number}/w") for number in range(5)]
POLICIES = [PolicyId("one"), PolicyId("two")]
ANYWHERE = [*PATHS, PathId("gone/w")]
POPS = [path.split("/")[0] for path in ANYWHERE]

path_settings = st.builds(
    lambda path, interval, standby, legs, uplink: PathSettings(
        path, path.split("/")[0], uplink or path, interval=interval, standby_interval=interval * standby, legs=legs
    ),
    st.sampled_from(PATHS),
    st.sampled_from([0.2, 1.0]),
    st.sampled_from([1.0, 5.0, 30.0]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from(["", "wan"]),
)
policy_settings = st.builds(
    PolicySettings,
    policy=st.sampled_from(POLICIES),
    forbidden=st.lists(st.sampled_from(PATHS), max_size=2, unique=True).map(
        lambda paths: tuple((p, "no") for p in paths)
    ),
    when_none=st.sampled_from(list(WhenNone)),
    objective=st.sampled_from(list(Objective)),
    preferred=st.lists(st.sampled_from(PATHS), max_size=1).map(lambda paths: tuple((path, 20.0) for path in paths)),
    min_dwell=st.sampled_from([0.0, 0.0, 10.0]),
    spread=st.sampled_from([1, 1, 3]),
    service=st.sampled_from(["", "", "db"]),
    through=st.lists(st.sampled_from(["p0", "p1", "p2", "p3", "p4"]), unique=True).map(tuple),
)
settings = st.builds(
    Settings,
    paths=st.lists(path_settings, min_size=1, max_size=5, unique_by=lambda one: one.path).map(tuple),
    policies=st.lists(policy_settings, min_size=1, max_size=2, unique_by=lambda one: one.policy).map(tuple),
    rule=st.sampled_from([PanelSettings(), PanelSettings(10.0), RegretSettings(), ThresholdSettings(hold=3.0)]),
    round=st.sampled_from([0.2, 1.0]),
    max_active=st.sampled_from([1, 2, 12]),
    load_penalty=st.sampled_from([0.0, 50.0]),
    gate=st.sampled_from([0.0, 5.0]),
    failover_within=st.sampled_from([0.0, 20.0]),
)
rtts = st.sampled_from([0.01, 0.02, 0.03, 0.1, 0.9])
legs = st.sampled_from([0, 0, 0, 1])
replies = st.builds(Probed, st.sampled_from(PATHS), st.just(Outcome.REPLY), st.just(0.0), rtts, legs)
backbones = st.none() | st.builds(
    BackboneLinks,
    st.lists(
        st.builds(BackboneLink, st.sampled_from([*POPS, "db"]), st.sampled_from([0.0, 5.0, 90.0]), st.just(0.0)),
        max_size=4,
    ).map(tuple),
    st.sampled_from([1.0, 10.0]),
    st.sampled_from([0.0, 30.0]),
)
events = st.one_of(
    replies,
    replies,
    st.builds(Probed, st.sampled_from(ANYWHERE), st.sampled_from(list(Outcome)), st.just(0.0), rtts, legs),
    st.builds(Link, st.sampled_from(ANYWHERE), st.booleans()),
    st.builds(PathMtu, st.sampled_from(ANYWHERE), st.just(1400), st.sampled_from([1400, 1500]), st.booleans()),
    st.builds(Tunnel, st.sampled_from(ANYWHERE), st.sampled_from(["", "no handshake"])),
    st.builds(Carried, st.sampled_from(ANYWHERE), st.sampled_from([0.0, 1e4, 1e6])),
    st.builds(
        UplinkPrice, st.sampled_from([*ANYWHERE, "wan"]), st.sampled_from([0.0, 30.0]), st.sampled_from([0.0, 0.9, 1.2])
    ),
    st.builds(
        PopState, st.sampled_from(POPS), st.booleans(), st.sampled_from([None, 0.0, 1.0]), st.just(0.0), backbones
    ),
    st.builds(
        Order, st.sampled_from(list(Verb)), st.sampled_from([*POPS, *POLICIES]), st.sampled_from([None, *POPS]),
        st.sampled_from([None, 0.0, 5.0]), st.sampled_from(["operator", "pop", "signed by alice"]), st.booleans(),
    ),
    st.builds(Installed, st.sampled_from([*POLICIES, PolicyId("gone")]), st.sampled_from([None, *PATHS])),
    st.builds(Configured, settings),
)  # fmt: skip
steps = st.lists(st.tuples(st.sampled_from([0.0, 0.05, 0.3, 1.0, 1.0, 7.0, 90.0]), events), min_size=1, max_size=120)


uptimes = st.sampled_from([0.0, 0.0, 1e5, 1e9])
"""Of the machine, in seconds: a clock that counts them is never near 0 for long."""


def make(common, seed=0, began=0.0):
    return Engine(common, Memory(), now=began, epoch=1, draw=Random(seed).random)


def timed(steps, began=0.0):
    """The events and their times: an order's end is seconds from then, a probe was sent a little before."""
    now = began
    for number, (dt, event) in enumerate(steps):
        now += dt
        if isinstance(event, Probed):
            yield event._replace(sent_at=now - (event.rtt if number % 5 else 2.0)), now
        elif isinstance(event, Order) and event.until is not None:
            yield event._replace(until=now + event.until), now
        else:
            yield event, now


def run(engine, steps, check=lambda _engine, _effect, _now: None, began=0.0):
    """Feed them, with the kernel's agreement to whatever is asked. All switches, with the time."""
    switches = []
    for event, now in timed(steps, began):
        todo = [event]
        while todo:
            for effect in engine.feed(todo.pop(0), now):
                if not isinstance(event, Configured):  # a round that ended before it went by the old settings
                    check(engine, effect, now)
                if isinstance(effect, Steer):
                    todo.append(Installed(effect.policy, effect.best, effect.runner_up, shares=effect.shares))
                elif isinstance(effect, Switched):
                    switches.append((now, effect))
        assert engine.next_deadline() >= now
        engine.view(now)
    return switches


def allowed(engine, effect, now):
    """No effect goes where none may."""
    if isinstance(effect, Switched) and effect.rule != "kernel" and effect.new is not None:
        assert effect.new not in effect.excluded
        assert effect.new != effect.old
    if isinstance(effect, Steer):
        policy = engine.policies.get(effect.policy)
        assert policy is None or not {effect.best, effect.runner_up} & {path for path, _ in policy.settings.forbidden}
        assert effect.best is None or effect.best != effect.runner_up
    if isinstance(effect, Cadence):
        assert effect.every is None or effect.every > 0.0


@given(settings, steps, uptimes)
@example(
    Settings((PathSettings(PATHS[0], "p0", "p0"),), (PolicySettings(POLICIES[0]),)),
    [(0.0, Link(PATHS[0], up=False)), (0.0, Link(PATHS[0], up=True)), (0.0, Probed(PATHS[0], Outcome.LATE, 0.0, 0.9))],
    1e9,
)
def test_nothing_is_raised_and_no_switch_goes_to_a_path_that_is_excluded(common, steps, began):
    engine = make(common, began=began)
    run(engine, steps, allowed, began)
    kept = engine.memory(began + 1e4)
    Engine(engine.settings, kept, now=0.0, epoch=2, draw=Random(0).random).view(0.0)


@given(settings, steps, st.data())
def test_a_trace_cut_short_gives_the_same_switches_up_to_the_cut(common, steps, data):
    cut = data.draw(st.integers(0, len(steps)))
    whole, short = run(make(common), steps), run(make(common), steps[:cut])
    assert whole[: len(short)] == short
    ended = sum(dt for dt, _ in steps[:cut])
    assert all(now >= ended for now, _ in whole[len(short) :])


@given(st.lists(st.lists(st.one_of(st.none(), rtts), min_size=5, max_size=5), min_size=1, max_size=80), st.data())
def test_a_swept_trace_cut_short_too(rows, data):
    common = Settings(
        paths=tuple(PathSettings(path, path, path) for path in PATHS),
        policies=(PolicySettings(POLICIES[0]),),
        round=0.0,
        max_active=data.draw(st.sampled_from([2, 12])),
    )

    def moves(rows):
        engine, found = make(common), []
        for number, row in enumerate(rows):
            sampled = [None if rtt is None else 1e3 * rtt for rtt in row]
            for effect in engine.sweep(Swept(float(number), PATHS, sampled), float(number)):
                allowed(engine, effect, float(number))
                if isinstance(effect, Switched):
                    found.append(effect)
                    engine.feed(Installed(effect.policy, effect.new), float(number))
        return found

    cut = data.draw(st.integers(0, len(rows)))
    whole, short = moves(rows), moves(rows[:cut])
    assert whole[: len(short)] == short
    assert all(one.at >= cut for one in whole[len(short) :])
