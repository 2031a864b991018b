"""Policies with prices of their own, and with a ``min_dwell``, in the engine."""

from dataclasses import replace

import pytest

from steerd.core.effects import Steer
from steerd.core.engine import Engine
from steerd.core.events import Carried, Configured, Installed, Link, Outcome, Probed, Swept
from steerd.core.memory import BurdenMemory, Memory
from steerd.core.settings import Objective, PathId, PathSettings, PolicyId, PolicySettings, Settings, WhenNone
from tests.unit.driven import Driven, steady

A, B = PathId("a/w"), PathId("b/w")
ALL = PolicyId("all")


def steered(*policies, biases=(0.0, 0.0), min_dwell=0.0):
    settings = Settings(
        paths=tuple(PathSettings(id_, id_[0], id_, bias=bias) for id_, bias in zip((A, B), biases, strict=True)),
        policies=policies or (PolicySettings(ALL, min_dwell=min_dwell),),
        round=0.0,
    )
    return Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)


def sweep(engine, rtts, *, times):
    for time in times:
        for effect in engine.sweep(Swept(float(time), [A, B], rtts), float(time)):
            if isinstance(effect, Steer):
                engine.feed(Installed(effect.policy, effect.best, effect.runner_up), float(time))


def test_everything_that_shows_a_cost_shows_the_policys_own():
    bulk = PolicySettings(PolicyId("bulk"), bias_weight=10.0)
    voice = PolicySettings(PolicyId("voice"), objective=Objective.MOS, bias_weight=0.0)
    engine = steered(PolicySettings(ALL), bulk, voice, biases=(3.0, 0.0))
    sweep(engine, [20.0, 40.0], times=range(3))
    views = {view.policy: view for view in engine.view(3.0).policies}
    totals = {name: [one.terms["total"] for one in view.candidates] for name, view in views.items()}
    assert totals == {"all": [23.0, 40.0], "bulk": [50.0, 40.0], "voice": [20.0, 40.0]}
    assert {name: view.choice for name, view in views.items()} == {"all": A, "bulk": B, "voice": A}
    assert {name: view.last.evidence[A]["total"] for name, view in views.items()} == {
        "all": 23.0, "bulk": 50.0, "voice": 20.0,
    }  # fmt: skip
    assert "mos" in views["voice"].last.evidence[A]
    assert "mos" in views["voice"].candidates[0].rank
    assert "mos" not in views["all"].last.evidence[A]


def test_a_policy_leaves_a_dead_path_for_what_is_cheapest_to_itself():
    paths = [PathId(f"{name}/w") for name in "abc"]
    settings = Settings(
        paths=tuple(PathSettings(id_, id_[0], id_, bias=bias) for id_, bias in zip(paths, (0, 0, 20), strict=True)),
        policies=(PolicySettings(PolicyId("dear")), PolicySettings(PolicyId("rich"), bias_weight=0.0)),
        round=1.0,
    )
    engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)
    for policy in ("dear", "rich"):
        engine.feed(Installed(PolicyId(policy), paths[0], None), 0.0)
    for n in range(5):
        for path_, rtt in zip(paths, (0.01, 0.03, 0.02), strict=True):
            engine.feed(Probed(path_, Outcome.REPLY, n + 0.1, rtt), n + 0.2)
    effects = engine.feed(Link(paths[0], up=False), 5.0)
    assert {one.policy: one.best for one in effects if isinstance(one, Steer)} == {"dear": paths[1], "rich": paths[2]}


def test_a_reload_changes_the_price_and_keeps_the_rest():
    engine = steered(PolicySettings(ALL), biases=(3.0, 0.0))
    sweep(engine, [20.0, 20.5], times=range(3))
    for weight, cost in ((2.0, 26.0), (1.0, 23.0)):
        policies = (PolicySettings(ALL, bias_weight=weight),)
        engine.feed(Configured(replace(engine.settings, policies=policies)), 3.0)
        assert engine.policies[ALL].prices[A].cost == cost
        assert engine.policies[ALL].prices[A].path is engine.paths[A]
        assert choice(engine) == B


def test_a_reload_keeps_what_own_traffic_would_add_elsewhere():
    memory = Memory(burdens=(BurdenMemory(ALL, 60.0, 1e6, 0.0),))
    paths = tuple(PathSettings(path, path, path) for path in (A, B))
    engine = Engine(Settings(paths, (PolicySettings(ALL),)), memory, now=0.0, epoch=1, draw=lambda: 0.0)
    engine.feed(Installed(ALL, A), 0.0)
    engine.feed(Carried(A, 1e6), 1.0)
    assert [engine.policies[ALL].prices[path].own_load for path in (A, B)] == pytest.approx([0.0, 60.0], abs=0.01)
    engine.feed(Configured(replace(engine.settings, jitter_weight=2.0)), 2.0)
    assert [engine.policies[ALL].prices[path].own_load for path in (A, B)] == pytest.approx([0.0, 60.0], abs=0.01)


# min_dwell


def choice(engine):
    return engine.policies[ALL].assignment.choice


def test_nothing_cheap_moves_a_policy_within_its_dwell():
    engine = steered(min_dwell=100.0)
    sweep(engine, [20.0, 90.0], times=range(10))
    sweep(engine, [90.0, 20.0], times=range(10, 100))
    assert choice(engine) == A
    sweep(engine, [90.0, 20.0], times=range(100, 102))
    assert choice(engine) == B  # the rule has seen enough meanwhile
    sweep(engine, [20.0, 90.0], times=range(102, 200))
    assert choice(engine) == B


def test_the_outlook_tells_of_the_dwell():
    engine = steered(min_dwell=300.0)
    sweep(engine, [20.0, 90.0], times=range(121))
    view = engine.view(120.0).policies[0]
    assert view.dwell == 180.0
    assert view.outlook.startswith("may not move for another 3 min (min_dwell) unless it has to; then: b/w")
    assert "another 30 s (min_dwell)" in engine.view(270.0).policies[0].outlook
    assert "min_dwell" not in engine.view(300.0).policies[0].outlook
    assert engine.view(300.0).policies[0].dwell == 0.0


def test_force_moves_a_policy_within_its_dwell():
    engine = steered(min_dwell=1000.0)
    sweep(engine, [20.0, 90.0], times=range(10))
    steers = [one.best for one in engine.feed(Link(A, up=False), 10.0) if isinstance(one, Steer)]
    assert steers == [B]


def test_what_was_adopted_dwells_too():
    engine = steered(min_dwell=50.0)
    engine.feed(Installed(ALL, A, None), 0.0)
    sweep(engine, [90.0, 20.0], times=range(50))
    assert choice(engine) == A
    sweep(engine, [90.0, 20.0], times=range(50, 52))
    assert choice(engine) == B


def test_what_was_merely_kept_and_then_lost_is_not_asked_for_again():
    """Its device goes, a reload forbids the path, and the kernel has nothing left: `keep` has nothing to keep."""
    fra, policy = PathId("fra1/wg0"), PolicySettings(PolicyId("default"), when_none=WhenNone.KEEP)
    driven = Driven({fra: steady(30.0)}, policies=(policy,)).run(10.0)
    driven.feed(Link(fra, up=False))
    forbidden = replace(driven.settings, policies=(replace(policy, forbidden=((fra, "region"),)),))
    driven.feed(Configured(forbidden))
    effects = driven.feed(Installed(policy.policy, None, None))
    assert not [one for one in effects if isinstance(one, Steer)]
    # What was taken away by somebody else is asked for again.
    other = Driven({fra: steady(30.0)}, policies=(policy,)).run(10.0)
    (steer,) = (one for one in other.feed(Installed(policy.policy, None, None)) if isinstance(one, Steer))
    assert steer.best == fra


def test_with_another_target_nothing_that_was_believed_of_a_path_holds():
    driven = Driven({A: steady(30.0), B: steady(40.0)}).run(20.0)
    paths = driven.settings.paths
    driven.feed(Configured(replace(driven.settings, paths=(replace(paths[0], interval=2.0), paths[1]))))
    assert [path.n > 0 for path in driven.view().paths] == [True, True]
    driven.feed(Configured(replace(driven.settings, paths=(replace(paths[0], probed="another target"), paths[1]))))
    assert [path.n > 0 for path in driven.view().paths] == [False, True]
