"""The engine's answers to single events."""

from math import inf

import pytest

from steerd.core.effects import Cadence, Declined, PathChanged, Steer, Switched
from steerd.core.engine import Engine
from steerd.core.events import (
    Configured,
    Installed,
    Link,
    Order,
    Outcome,
    PathMtu,
    PopState,
    Probed,
    Tunnel,
    Verb,
)
from steerd.core.memory import Memory
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings, WhenNone
from steerd.core.states import PathState, PolicyState, Reason

A, B, C = PathId("a/w"), PathId("b/w"), PathId("c/w")
ALL = PolicyId("all")


def make(*paths, uplinks=None, forbidden=(), when_none=WhenNone.KEEP, memory=None, round_=1.0, load_penalty=0.0):
    settings = Settings(
        paths=tuple(
            PathSettings(path, path.split("/")[0], (uplinks or {}).get(path, path), timeout=1.0)
            for path in paths or (A, B, C)
        ),
        policies=(PolicySettings(ALL, tuple((path, "test") for path in forbidden), when_none),),
        round=round_,
        load_penalty=load_penalty,
    )
    return Engine(settings, memory or Memory(), now=0.0, epoch=7, draw=lambda: 0.0)


def reply(engine, path, sent, rtt=0.02):
    return list(engine.feed(Probed(path, Outcome.REPLY, sent, rtt), sent + rtt))


def steering(engine, *, best=A, rtts=None):
    """An engine that has heard every path for ten rounds and steers to ``best``."""
    engine.feed(Installed(ALL, best, None), 0.0)
    for n in range(10):
        for path in engine.paths:
            reply(engine, path, n + 0.1, (rtts or {}).get(path, 0.02))
    return engine


def of(kind, effects):
    return [effect for effect in effects if isinstance(effect, kind)]


def test_a_path_is_probed_from_the_start():
    effects = make().feed(None, 0.0)
    assert {(one.path, one.every, one.patience) for one in of(Cadence, effects)} == {
        (path, 1.0, 1.0) for path in (A, B, C)
    }


def test_the_first_choice_waits_for_every_path_to_have_its_chance():
    engine = make(A, B)
    reply(engine, B, 0.5)
    assert not of(Steer, engine.feed(None, 1.0))
    steer = of(Steer, reply(engine, A, 1.2, 0.01))
    assert [(one.best, one.runner_up) for one in steer] == [(A, B)]


def test_the_first_choice_does_not_wait_for_ever():
    engine = make(A, B)
    reply(engine, B, 0.5)
    assert of(Switched, engine.feed(None, 2.0))[0].reason is Reason.START


def test_the_first_choice_waits_for_no_round_where_rounds_are_long():
    engine = make(A, B, round_=120.0)
    assert not of(Steer, reply(engine, A, 0.2))
    assert of(Steer, reply(engine, B, 0.7, 0.01))[0].best == B
    engine = make(A, B, round_=120.0)
    reply(engine, A, 0.2)
    assert engine.next_deadline() == 2.0, "first probes go out within a second, and have their timeout"
    assert of(Steer, engine.feed(None, 2.0))[0].best == A
    engine = make(A, B, round_=120.0)
    assert not of(Steer, engine.feed(None, 2.0))
    assert of(Steer, reply(engine, A, 50.0))[0].best == A, "the first that answers is taken then"


def test_event_ids_are_the_epoch_and_a_number():
    engine = make(A, B)
    reply(engine, A, 0.1)
    assert of(Switched, reply(engine, B, 0.1))[0].event_id == "7-1"


def test_adoption_is_no_switch_and_moves_nothing():
    engine = make()
    assert not of(Switched, engine.feed(Installed(ALL, C, A), 0.0))
    view = engine.view(1.0).policies[0]
    assert (view.choice, view.runner_up, view.state) == (C, A, PolicyState.STEERING)


def test_a_dead_choice_is_left_only_for_a_path_heard_since():
    engine = steering(make(A, B))
    for n in range(3):
        sent = 10.2 + n * 0.1
        effects = engine.feed(Probed(A, Outcome.OVERDUE, sent), sent + 0.05)
    assert engine.paths[A].health.state is PathState.DOWN
    assert not of(Steer, effects)
    assert engine.view(10.5).policies[0].state is PolicyState.HELD
    assert not of(Steer, reply(engine, B, 10.15, 0.4)), "sent before the silence began"
    (steer,) = of(Steer, reply(engine, B, 10.6))
    assert steer.best == B


def test_on_the_first_doubt_all_rivals_are_probed_faster():
    engine = steering(make(A, B, C))
    cadences = of(Cadence, engine.feed(Probed(A, Outcome.OVERDUE, 10.2), 10.25))
    assert {one.path for one in cadences} == {A, B, C}
    assert {one.every for one in cadences} == {0.25}
    assert {one.every for one in of(Cadence, reply(engine, A, 10.3))} == {1.0}


def test_a_refused_path_is_not_believed_and_left_alone_for_a_while():
    engine = make(A, B)
    for path in (A, B):
        reply(engine, path, 0.1, 0.01 if path == A else 0.03)
    engine.feed(None, 1.0)
    effects = engine.feed(Installed(ALL, None, None, "No such device"), 1.1)
    assert [one.reason for one in of(Switched, effects)] == [Reason.KERNEL]
    view = engine.view(1.1).policies[0]
    assert view.error == "No such device"
    assert "the kernel refused it" in next(one.excluded for one in view.candidates if one.path == A)
    reply(engine, B, 1.2, 0.03)
    (steer,) = of(Steer, engine.feed(None, 2.0))
    assert steer.best == B


def test_what_somebody_takes_away_is_asked_for_again():
    engine = steering(make(A, B))
    (steer,) = of(Steer, engine.feed(Installed(ALL, None), 11.0))
    assert steer.best == A


def test_a_steer_that_nobody_answers_is_asked_again():
    engine = make(A, B)
    reply(engine, A, 0.1)
    (first,) = of(Steer, reply(engine, B, 0.1))
    again = []
    for n in range(1, 14):
        for path in (A, B):
            again += of(Steer, reply(engine, path, n + 0.1))
    assert again[0].event_id == first.event_id
    assert len(again) == 1


def test_the_runner_up_stands_on_another_uplink():
    engine = make(A, B, C, uplinks={A: "wan", B: "wan", C: "lte"})
    for path, rtt in ((A, 0.01), (B, 0.02)):
        reply(engine, path, 0.1, rtt)
    (steer,) = of(Steer, reply(engine, C, 0.1, 0.09))
    assert (steer.best, steer.runner_up) == (A, C)


def test_a_runner_up_that_dies_is_replaced_without_a_switch():
    engine = steering(make(A, B, C), rtts={B: 0.03, C: 0.05})
    engine.feed(Installed(ALL, A, B), 10.5)
    for n in range(3):
        effects = engine.feed(Probed(B, Outcome.OVERDUE, 10.6 + n * 0.1), 10.65 + n * 0.1)
    assert not of(Switched, effects)
    steers = of(Steer, engine.feed(None, 12.0))
    assert [(one.best, one.runner_up) for one in steers] == [(A, C)]


@pytest.mark.parametrize("verb", [Verb.DRAIN, Verb.PIN])
def test_orders_act_at_once_and_run_out_at_their_time(verb):
    engine = steering(make(A, B))
    order = Order(verb, "a" if verb is Verb.DRAIN else ALL, None if verb is Verb.DRAIN else "b", until=20.0)
    steer = of(Steer, engine.feed(order, 11.0))[-1]
    assert steer.best == B
    engine.feed(Installed(ALL, B, None), 11.0)
    assert len(engine.memory(12.0).drains) + len(engine.memory(12.0).pins) == 1
    engine.feed(None, 20.0)
    left = engine.memory(20.0)
    assert (left.drains, left.pins) == ((), ())


def test_the_last_path_drained_blocks_where_wanted_and_undraining_brings_it_back():
    engine = steering(make(A, B, when_none=WhenNone.BLOCK))
    engine.feed(Order(Verb.DRAIN, "b"), 11.0)
    (steer,) = of(Steer, engine.feed(Order(Verb.DRAIN, "a"), 11.0))
    assert steer.best is None
    engine.feed(Installed(ALL, None), 11.0)
    assert engine.view(11.0).policies[0].state is PolicyState.BLOCKED
    effects = engine.feed(Order(Verb.UNDRAIN, "a"), 12.0)
    assert [(one.new, one.reason) for one in of(Switched, effects)] == [(A, Reason.UNDRAIN)]


def test_a_signed_drain_ranks_a_pop_last_and_forbids_nothing():
    engine = steering(make(A, B, when_none=WhenNone.BLOCK))
    signed = {"until": 60.0, "origin": "signed by alice"}
    (switched,) = of(Switched, engine.feed(Order(Verb.DRAIN, "a", **signed), 11.0))
    assert (switched.new, switched.reason, switched.by) == (B, Reason.DRAIN, "signed by alice")
    assert switched.excluded == {A: "a is to be left (signed by alice)"}
    engine.feed(Installed(ALL, B), 11.0)
    assert not of(Steer, engine.feed(Order(Verb.DRAIN, "b", **signed), 11.0))
    (switched,) = of(Switched, engine.feed(Link(B, up=False), 11.0))
    assert switched.new == A


def test_an_operators_pin_stands_above_a_signed_one():
    engine = steering(make(A, B))
    signed = Order(Verb.PIN, ALL, "b", 60.0, "signed by alice")
    assert [one.by for one in of(Switched, engine.feed(signed, 11.0))] == ["signed by alice"]
    (declined,) = of(Declined, engine.feed(Order(Verb.UNPIN, ALL), 11.0))
    assert declined.reason.startswith("pinned by somebody else")
    assert not of(Declined, engine.feed(Order(Verb.PIN, ALL, "a"), 11.0))
    for again in (signed, Order(Verb.UNPIN, ALL, origin="signed by alice")):
        assert of(Declined, engine.feed(again, 11.0))
    assert engine.view(11.0).policies[0].pin == "a"


def test_a_loaded_pop_is_left_and_what_it_said_fades():
    """Fed with nothing but equal answers: only what the PoP says of itself moves anything."""
    engine = make(A, B, load_penalty=50.0)
    now = 0.0

    def run(seconds: float) -> None:
        nonlocal now
        end = now + seconds
        while now < end:
            now += 1.0
            for path, rtt in ((A, 0.020), (B, 0.022)):
                for steer in of(Steer, engine.feed(Probed(path, Outcome.REPLY, now - rtt, rtt), now)):
                    engine.feed(Installed(steer.policy, steer.best, steer.runner_up), now)

    def load() -> float:
        (path,) = [one for one in engine.view(now).policies[0].candidates if one.path == A]
        return path.terms["load"]

    run(20)
    assert engine.view(now).policies[0].choice == A
    engine.feed(PopState("a", accepting=True, load=1.0, age=20.0), now)
    assert load() == 50.0
    run(9)
    assert load() == 50.0
    run(31)
    assert 20.0 < load() < 35.0  # it is looked at each ten seconds
    assert engine.view(now).policies[0].choice == B
    run(35)
    assert load() == 0.0


def test_an_undrain_by_another_origin_is_declined():
    engine = steering(make(A, B))
    engine.feed(Order(Verb.DRAIN, "a", origin="signed by alice"), 11.0)
    assert of(Declined, engine.feed(Order(Verb.UNDRAIN, "a"), 11.0))[0].reason == "not drained by this origin"


def test_a_stale_tunnel_has_the_path_and_its_rivals_probed_at_once_and_moves_nothing():
    engine = steering(make(A, B))
    effects = list(engine.feed(Tunnel(A, "no handshake for 181 s"), 10.0))
    (changed,) = of(PathChanged, effects)
    assert changed == PathChanged(A, PathState.UP, PathState.SUSPECT, "no handshake for 181 s", 10.0, ("all",))
    assert {(one.path, one.every) for one in of(Cadence, effects)} == {(A, 0.25), (B, 0.25)}
    assert not of(Steer, effects)
    assert engine.view(10.0).paths[0].reason == "no handshake for 181 s"
    for n in range(100):
        steers = of(Steer, engine.feed(Tunnel(A, f"no handshake for {182 + n} s"), 10.0 + n / 10))
        assert all(one.best == A for one in steers)


def test_an_answer_ends_the_suspicion_and_the_haste():
    engine = steering(make(A, B))
    engine.feed(Tunnel(A, "no handshake"), 10.0)
    effects = reply(engine, A, 10.1)
    assert [(one.old, one.new) for one in of(PathChanged, effects)] == [(PathState.SUSPECT, PathState.UP)]
    assert {(one.path, one.every) for one in of(Cadence, effects)} == {(A, 1.0), (B, 1.0)}


def test_a_path_whose_tunnel_is_stale_is_left_for_one_that_answered_since():
    engine = steering(make(A, B))
    engine.feed(Tunnel(A, "no handshake"), 10.0)
    reply(engine, B, 10.3)
    for sent in (10.1, 10.35):
        assert not of(Steer, engine.feed(Probed(A, Outcome.OVERDUE, sent), sent + 0.1))
    (steer,) = of(Steer, engine.feed(Probed(A, Outcome.OVERDUE, 10.6), 10.7))
    assert steer.best == B
    (policy,) = engine.view(10.7).policies
    why = {one.path: one.excluded for one in policy.candidates}
    assert why[A] == "down: 3 probes in a row unanswered over 0.60 s; no handshake"


def test_a_stale_tunnel_of_a_path_not_in_use_hurries_that_path_alone():
    engine = steering(make(A, B))
    effects = engine.feed(Tunnel(B, "no handshake"), 10.0)
    assert {(one.path, one.every) for one in of(Cadence, effects)} == {(B, 0.25)}
    never = make(A, B)
    never.feed(None, 0.0)
    assert [(one.path, one.every) for one in of(Cadence, never.feed(Tunnel(B, "no handshake"), 0.5))] == [(B, 0.25)]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Probed(PathId("x/y"), Outcome.REPLY, 0.0, 0.1), "unknown path"),
        (Probed(A, Outcome.REPLY, 0.0, 0.1, leg=1), "unknown path"),
        (Link(PathId("x/y"), up=True), "unknown path"),
        (PathMtu(PathId("x/y"), 1380, 1420), "unknown path"),
        (Tunnel(PathId("x/y"), "no handshake"), "unknown path"),
        (PopState("x", accepting=False), "unknown PoP"),
        (Order(Verb.DRAIN, "x"), "unknown PoP"),
        (Order(Verb.PIN, "x", "a"), "unknown policy"),
        (Order(Verb.PIN, ALL, "x"), "the policy may not use that PoP"),
        (Order(Verb.UNPIN, ALL), "not pinned"),
        (Installed(PolicyId("x"), A), "unknown policy"),
    ],
)
def test_what_makes_no_sense_is_declined_and_counted(event, reason):
    engine = make()
    assert [one.reason for one in of(Declined, engine.feed(event, 0.5))] == [reason]
    assert engine.view(0.5).declined == {reason: 1}


def test_a_reload_keeps_beliefs_pins_and_the_choice():
    engine = steering(make(A, B))
    engine.feed(Order(Verb.PIN, ALL, "a"), 11.0)
    effects = engine.feed(Configured(make(A, C).settings), 11.5)
    assert not of(Switched, effects)
    assert engine.paths[A].samples == 10
    assert engine.view(11.5).policies[0].pin == "a"
    assert B not in engine.paths


def test_a_reload_that_takes_the_choice_away_moves_at_once():
    engine = steering(make(A, B))
    effects = engine.feed(Configured(make(B, C).settings), 11.5)
    assert [(one.old, one.new, one.reason) for one in of(Switched, effects)] == [(A, B, Reason.POLICY)]


def test_memory_restores_orders_and_damping():
    engine = steering(make(A, B))
    engine.feed(Order(Verb.DRAIN, "a", until=100.0), 11.0)
    engine.feed(Order(Verb.PIN, ALL, "b", hard=True), 11.0)
    again = make(A, B, memory=engine.memory(12.0))
    kept = again.memory(0.0)
    assert [(one.pop, one.left) for one in kept.drains] == [("a", 88.0)]
    assert [(one.pop, one.hard, one.left) for one in kept.pins] == [("b", True, None)]


def test_a_black_hole_is_a_matter_of_price_and_is_remembered():
    engine = steering(make(A, B), rtts={B: 0.030})
    engine.feed(Installed(ALL, A, B), 10.0)
    assert not engine.feed(PathMtu(A, 1380, 1420), 10.0)  # nothing is forced: the rules look at the round's end
    for n in range(10, 15):
        for path in (A, B):
            engine.feed(Probed(path, Outcome.REPLY, n + 0.1, 0.02 if path == A else 0.03), n + 0.2)
    switch = engine.policies[ALL].last
    assert (switch.old, switch.new, switch.reason) == (A, B, Reason.BETTER)
    assert (switch.evidence[A]["mtu"], switch.evidence[B]["mtu"]) == (100.0, 0.0)
    assert switch.at <= 13.0
    view = {path.path: path.size for path in engine.view(15.0).paths}
    assert view == {A: PathMtu(A, 1380, 1420), B: None}
    again = steering(make(A, B, memory=engine.memory(15.0)), best=B)
    assert again.policies[ALL].prices[A].terms()["mtu"] == 100.0
    assert again.policies[ALL].last is None


def test_sleeping_long_is_void_time():
    """2.5 ms more are worth a switch after 80 s, but not of sleep."""
    engine = steering(make(A, B), rtts={A: 0.0225})
    before = engine.memory(9.5).rules[0].costs
    assert not of(Switched, engine.feed(None, 4000.0))
    assert engine.memory(4000.0).rules[0].costs == before
    assert 4000.0 < engine.next_deadline() <= 4001.0


def test_a_path_with_two_legs_is_as_good_as_the_worse():
    settings = Settings(
        paths=(PathSettings(A, "a", "a", legs=2), PathSettings(B, "b", "b")), policies=(PolicySettings(ALL),), round=1.0
    )
    engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)
    engine.feed(Probed(A, Outcome.REPLY, 0.1, 0.01, leg=0), 0.11)
    assert engine.policies[ALL].prices[A].cost == inf
    engine.feed(Probed(A, Outcome.REPLY, 0.1, 0.09, leg=1), 0.2)
    assert engine.policies[ALL].prices[A].cost == pytest.approx(90.0)
    assert of(Steer, reply(engine, B, 0.2, 0.05))[0].best == B


def test_the_first_choice_waits_for_every_leg():
    """A path of which one leg answered has no cost yet: it must not lose the first choice by that."""
    settings = Settings(
        paths=(PathSettings(A, "a", "a", legs=2), PathSettings(B, "b", "b")), policies=(PolicySettings(ALL),), round=0.2
    )
    engine = Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)
    engine.feed(Probed(A, Outcome.REPLY, 0.1, 0.01, leg=0), 0.11)
    reply(engine, B, 0.1, 0.05)
    assert not of(Steer, engine.feed(None, 0.2))
    assert of(Steer, engine.feed(Probed(A, Outcome.REPLY, 0.25, 0.01, leg=1), 0.26))[0].best == A


def test_settings_without_rounds_ask_for_no_cadence():
    assert not of(Cadence, make(round_=0.0).feed(None, 0.0))
