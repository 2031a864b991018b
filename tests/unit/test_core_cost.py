"""What a path costs: the price all policies share, and that of a policy with weights, preferences, an objective."""

from dataclasses import replace
from math import inf

import pytest

from steerd.core.belief.path import Path
from steerd.core.cost import TERMS, Pricing
from steerd.core.cost.pop_load import FREE, FRESH, GONE, Loads
from steerd.core.effects import Steer
from steerd.core.engine import Engine
from steerd.core.events import Installed, Link, Outcome, PathMtu, Probed, Swept
from steerd.core.memory import Memory
from steerd.core.policy import Policy
from steerd.core.quote import Quote
from steerd.core.rules import Regret
from steerd.core.settings import Objective, PathId, PathSettings, PolicyId, PolicySettings, RegretSettings, Settings

A, B = PathId("a/w"), PathId("b/w")
ALL = PolicyId("all")
COMMON = Settings(loss_penalty=200.0, jitter_weight=1.0)


def path(rtt=30.0, jitter=0.0, loss=0.0, last=None, bias=0.0, legs=1, common=COMMON):
    """A path with a belief written by hand."""
    made = Path(
        PathSettings(A, "a", "a", bias=bias, legs=legs), Pricing(common), half_life=2.0, now=0.0, draw=lambda: 0.0
    )
    for leg in made.legs:
        leg.reply(rtt, 0.0)
        leg.mean, leg.jitter, leg.loss, leg.last_rtt = rtt, jitter, loss, last or rtt
        leg.level = rtt + 10.0
    made.configure(made.settings, Pricing(common), half_life=2.0, now=0.0)
    return made


def seen(by, at):
    """A path as a policy with these settings sees it."""
    policy = Policy(PolicySettings(ALL, **by), {A: at}, Regret(RegretSettings(), 2.0))
    belief = policy.standings[A].belief
    assert belief is policy.priced[A]
    return belief


def quote(by, at):
    belief = seen(by, at)
    assert isinstance(belief, Quote)
    return belief


def test_a_policy_that_asks_for_nothing_sees_the_path_itself():
    one = path()
    assert seen({}, one) is one
    assert seen({"min_dwell": 60.0, "preferred": ()}, one) is one


@pytest.mark.parametrize(
    "by",
    [
        {"rtt_weight": 2.0}, {"jitter_weight": 0.0}, {"loss_weight": 3.0}, {"bias_weight": 0.5},
        {"preferred": ((A, 1.0),)}, {"preferred": ((B, 1.0),)}, {"objective": Objective.MOS},
    ],
)  # fmt: skip
def test_a_policy_that_asks_for_anything_has_a_price_of_its_own(by):
    one = path()
    belief = quote(by, one)
    assert (belief.id, belief.samples, belief.up) == (one.id, one.samples, one.up)
    assert tuple(belief.terms()) == (*TERMS, "total")


def test_weights_multiply_their_term():
    one = path(rtt=30.0, jitter=4.0, loss=0.05, last=50.0, bias=6.0)
    assert one.cost == 30.0 + 4.0 + 10.0 + 6.0
    belief = quote({"rtt_weight": 0.5, "jitter_weight": 2.0, "loss_weight": 3.0, "bias_weight": 10.0}, one)
    assert belief.terms() == {
        "rtt": 15.0, "jitter": 8.0, "loss": 30.0, "load": 0.0, "backbone": 0.0, "bias": 60.0, "mtu": 0.0,
        "prefer": 0.0, "total": 113.0,
    }  # fmt: skip
    assert (belief.cost, belief.level) == (113.0, 118.0)


def test_weights_multiply_what_the_scoreboard_says():
    """Weights of one policy go on top of `score.jitter_weight` and `score.loss_penalty`."""
    one = path(jitter=4.0, loss=0.1, common=replace(COMMON, jitter_weight=3.0, loss_penalty=50.0))
    terms = quote({"jitter_weight": 2.0, "loss_weight": 4.0}, one).terms()
    assert (terms["jitter"], terms["loss"]) == (24.0, 20.0)


def test_a_lost_probe_pays_the_common_penalty_and_the_rate_of_loss_the_rest():
    one = path(rtt=30.0, loss=0.05, last=50.0)
    light, heavy = quote({"loss_weight": 0.5}, one), quote({"loss_weight": 3.0}, one)
    assert (light.cost, heavy.cost) == (35.0, 60.0)
    assert (light.spot, heavy.spot) == (50.0, 50.0 + 20.0)
    one.overdue(0, 1.0, 1.1)
    assert (light.spot, heavy.spot) == (30.0 + 100.0, 30.0 + 20.0 + 200.0)


def test_a_call_pays_for_the_rate_of_loss_alone():
    one = path(rtt=30.0, loss=0.05)
    belief = quote({"objective": Objective.MOS}, one)
    assert belief.spot == belief.cost > 400.0
    one.overdue(0, 1.0, 1.1)
    assert belief.spot == belief.cost


def test_what_is_preferred_is_cheaper_by_its_worth():
    one = path(rtt=30.0, bias=2.0)
    belief = quote({"preferred": ((A, 5.0),)}, one)
    assert (belief.terms()["prefer"], belief.terms()["total"], belief.cost, belief.spot) == (-5.0, 27.0, 27.0, 27.0)
    assert (belief.scatter, belief.level_error2) == (one.scatter, one.level_error2)
    assert one.cost == 32.0  # others see no difference


def test_what_is_preferred_still_costs_a_tenth():
    """No cost is negative, and of two preferred paths the better one is still the cheaper one."""
    near, far = (quote({"preferred": ((A, 500.0),)}, path(rtt=rtt)) for rtt in (20.0, 30.0))
    assert near.cost == pytest.approx(2.0)
    assert far.cost == pytest.approx(3.0)
    assert near.terms()["prefer"] == pytest.approx(-18.0)
    assert near.terms()["total"] == pytest.approx(near.cost)
    assert near.scatter == pytest.approx(0.1 * path().scatter)


def test_a_call_over_a_clean_path_costs_its_rtt():
    belief = quote({"objective": Objective.MOS}, path(rtt=40.0, last=60.0, bias=3.0))
    assert belief.cost == 43.0
    assert belief.spot == 63.0
    assert belief.shown() == {"mos": pytest.approx(4.390, abs=0.001)}  # R = 93.2 - 0.024 * 40


def test_jitter_and_loss_cost_a_call_their_delay():
    """RTT 40 ms, jitter 5 ms: 50 ms mouth to ear, Id = 1.2. 2 % lost: Ie,eff = 7.01, together 8.21, as at 206.8 ms
    without loss: 156.8 more, twice that for both ways."""
    one = path(rtt=40.0, jitter=5.0, loss=0.02)
    belief = quote({"objective": Objective.MOS}, one)
    terms = belief.terms()
    assert (terms["rtt"], terms["jitter"]) == (40.0, 20.0)
    assert terms["loss"] == pytest.approx(313.6, abs=0.1)
    assert belief.cost == terms["total"] == pytest.approx(373.6, abs=0.1)
    assert belief.level_error2 == pytest.approx((0.024 / 0.134) ** 2 * one.level_error2)
    assert belief.shown()["mos"] == pytest.approx(4.19, abs=0.01)  # R = 85.0


@pytest.mark.parametrize(
    ("rtt", "jitter", "loss", "common", "cost", "mos"),
    [(20.0, 1.0, 0.02, 25.0, 367.2, 4.21), (60.0, 1.0, 0.0, 61.0, 64.0, 4.38), (30.0, 12.0, 0.0, 42.0, 78.0, 4.38)],
)
def test_the_documented_paths(rtt, jitter, loss, common, cost, mos):
    one = path(rtt, jitter, loss)
    belief = quote({"objective": Objective.MOS}, one)
    assert one.cost == common
    assert belief.cost == pytest.approx(cost, abs=0.05)
    assert belief.shown()["mos"] == pytest.approx(mos, abs=0.005)


def test_measurements_are_bounded():
    one = path(rtt=9000.0, jitter=9000.0, loss=1.0)
    assert quote({"rtt_weight": 2.0}, one).cost == 4000.0 + 1000.0 + 200.0
    assert (
        quote({"objective": Objective.MOS}, one).cost == quote({"objective": Objective.MOS}, path(2000, 1000, 1)).cost
    )


def test_a_path_costs_each_policy_what_its_own_worst_leg_does():
    one = path(legs=2)
    first, second = one.legs
    first.mean, first.jitter = 40.0, 0.0
    second.mean, second.jitter = 30.0, 8.0
    one.configure(one.settings, Pricing(COMMON), half_life=2.0, now=0.0)
    assert one.cost == 40.0
    assert quote({"jitter_weight": 5.0}, one).cost == 70.0


def test_a_weighted_rtt_is_as_unsure_as_it_weighs():
    """Twice the RTT has twice the standard error: what is three of them stays three."""
    one = path()
    belief = quote({"rtt_weight": 2.0}, one)
    assert belief.scatter == 2.0 * one.scatter
    assert belief.level_error2 == 4.0 * one.level_error2


def test_weights_of_one_are_the_common_price():
    """The two ways to make a price agree, missing probes included."""
    one = path(rtt=30.0, jitter=4.0, loss=0.05, last=50.0, bias=6.0)
    belief = quote({"preferred": ((B, 1.0),)}, one)
    for missing in (False, True):
        if missing:
            one.overdue(0, 1.0, 1.1)
        assert (belief.missing, belief.terms()) == (missing, one.terms())
        assert (belief.cost, belief.level, belief.spot) == pytest.approx((one.cost, one.level, one.spot))
        assert (belief.scatter, belief.level_error2) == (one.scatter, one.level_error2)


def test_what_was_never_heard_costs_infinitely_much():
    one = path()
    one.forget()
    belief = quote({"rtt_weight": 2.0}, one)
    assert (belief.cost, belief.level, belief.spot, belief.terms(), belief.shown()) == (inf, inf, inf, {}, {})


# In the engine


def steered(*policies, biases=(0.0, 0.0), min_dwell=0.0):
    settings = Settings(
        paths=tuple(PathSettings(id_, id_[0], id_, bias=bias) for id_, bias in zip((A, B), biases, strict=True)),
        policies=policies or (PolicySettings(ALL, min_dwell=min_dwell),),
        round=0.0,
    )
    return Engine(settings, Memory(), now=0.0, epoch=1, draw=lambda: 0.0)


def sweep(engine, rtts, *, times):
    for time in times:
        for effect in engine.feed(Swept(float(time), [A, B], rtts), float(time)):
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


def test_a_reload_changes_the_price():
    engine = steered(PolicySettings(ALL), biases=(3.0, 0.0))
    sweep(engine, [20.0, 20.0], times=range(3))
    engine.policies[ALL].configure(PolicySettings(ALL, bias_weight=2.0), engine.paths, engine.policies[ALL].rule)
    assert engine.policies[ALL].standings[A].belief.cost == 26.0
    engine.policies[ALL].configure(PolicySettings(ALL), engine.paths, engine.policies[ALL].rule)
    assert engine.policies[ALL].standings[A].belief is engine.paths[A]


# min_dwell


def choice(engine):
    return engine.policies[ALL].choice


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


HOLE, PASSES = PathMtu(A, 1380, 1420), PathMtu(A, 1420, 1420)


@pytest.mark.parametrize("by", [{}, {"rtt_weight": 2.0}, {"bias_weight": 0.0}, {"objective": Objective.MOS}])
def test_a_black_hole_costs_its_penalty_whatever_the_policy_weighs(by):
    one = path(rtt=30.0, jitter=4.0, loss=0.02, bias=6.0)
    belief = seen(by, one)
    before = (belief.cost, belief.spot, belief.level, belief.scatter, belief.level_error2)
    one.sized(HOLE)
    assert (belief.cost, belief.spot, belief.level) == pytest.approx([part + 100.0 for part in before[:3]])
    assert (belief.scatter, belief.level_error2) == before[3:]
    assert belief.terms()["mtu"] == 100.0
    assert belief.terms()["total"] == pytest.approx(belief.cost)
    one.sized(PASSES)
    assert (belief.cost, belief.spot, belief.level) == before[:3]
    assert belief.terms()["mtu"] == 0.0


def test_a_penalty_holds_for_every_sample_and_over_new_settings():
    one = path(rtt=30.0)
    one.link(True, 0.0)
    one.sized(HOLE)
    for n in range(1, 20):  # also while it is steady, where the cost is summed in another place
        one.probed(Probed(A, Outcome.REPLY, float(n), 0.030), n + 0.03)
        assert one.cost == pytest.approx(130.0)
        assert one.terms()["mtu"] == 100.0
    assert one.steady
    one.configure(one.settings, Pricing(replace(COMMON, mtu_penalty=7.0)), half_life=2.0, now=20.0)
    assert one.cost == pytest.approx(37.0)
    one.configure(one.settings, Pricing(replace(COMMON, mtu_penalty=0.0)), half_life=2.0, now=20.0)
    assert one.cost == pytest.approx(30.0)


def test_a_loaded_pop_costs_its_share_of_the_penalty():
    one = path(rtt=30.0, common=replace(COMMON, load_penalty=20.0))
    belief = quote({"rtt_weight": 2.0}, one)
    one.loaded(0.25)
    assert (one.cost, one.terms()["load"], one.terms()["total"]) == (35.0, 5.0, 35.0)
    assert (belief.cost, belief.terms()["load"]) == (65.0, 5.0)
    one.loaded(0.0)
    assert (one.cost, belief.cost) == (30.0, 60.0)


@pytest.mark.parametrize(
    ("load", "age", "share"),
    [
        (0.0, 0.0, 0.0), (FREE, 0.0, 0.0), (0.75, 0.0, 0.5), (1.0, 0.0, 1.0), (7.0, 0.0, 1.0),
        (1.0, FRESH, 1.0), (1.0, (FRESH + GONE) / 2, 0.5), (0.75, (FRESH + GONE) / 2, 0.25), (1.0, GONE, 0.0),
        (1.0, 1e9, 0.0), (1.0, -5.0, 1.0),
    ],
)  # fmt: skip
def test_what_is_said_of_load_fades_and_then_goes(load, age, share):
    loads = Loads()
    loads.told("fra1", load, 1000.0)
    assert loads.shares(1000.0 + age) == {"fra1": pytest.approx(share)}
    assert bool(loads) == (age < GONE)


def test_a_pop_that_no_longer_speaks_of_load_has_none():
    loads = Loads()
    loads.told("fra1", 1.0, 0.0)
    loads.told("fra1", None, 1.0)
    assert not loads
    assert loads.shares(1.0) == {}


def test_a_router_that_says_so_makes_no_black_hole():
    one = path(rtt=30.0)
    one.sized(PathMtu(A, 1380, 1420, told=True))
    assert one.terms()["mtu"] == 0.0
    assert one.cost == 30.0
    assert not PASSES.black_hole
