"""What a path costs a policy: one formula, its terms, and what the last probe alone paid."""

from math import inf

import pytest

from steerd.core.belief.path import Path
from steerd.core.cost.price import TERMS, Price, last_costs
from steerd.core.cost.tariff import tariff
from steerd.core.events import Outcome, PathMtu, Probed
from steerd.core.settings import Codec, Objective, PathId, PathSettings, PolicyId, PolicySettings, Settings
from tests.unit.beliefs import Told

A = PathId("a/w")
COMMON = Settings(loss_penalty=200.0, jitter_weight=1.0)
HOLE, PASSES = PathMtu(A, 1380, 1420), PathMtu(A, 1420, 1420)


def path(rtt=30.0, jitter=0.0, loss=0.0, last=None, legs=1):
    """A path with a belief written by hand."""
    made = Path(PathSettings(A, "a", "a", legs=legs), half_life=2.0, now=0.0, draw=lambda: 0.0)
    made.legs[:] = [Told(2.0) for _ in range(legs)]
    for number, leg in enumerate(made.legs):
        made.answered(rtt, 0.0, number, 0.0)
        leg.mean, leg.jitter, leg.loss, leg.last_rtt = rtt, jitter, loss, last or rtt
    return made


def missing(at):
    """Its newest probe is overdue by far."""
    at.overdue(0, 1.0, 1.1)
    at.end_round(9.0)


def price(at, common=COMMON, *, bias=0.0, worth=0.0, **by):
    """The path at the tariff of a policy with these settings."""
    own = tariff(PolicySettings(PolicyId("all"), **by), common)
    return Price(at, own, common, bias=bias, worth=worth)


def test_the_common_price_is_the_sum_of_its_terms():
    one = price(path(rtt=30.0, jitter=4.0, loss=0.05), bias=6.0)
    one.path.sized(HOLE)
    one.renew(own_load=7.0)
    assert one.terms() == {
        "rtt": 30.0, "jitter": 4.0, "loss": 10.0, "load": 0.0, "own_load": 7.0, "backbone": 0.0, "bias": 6.0,
        "uplink": 0.0, "mtu": 100.0, "prefer": 0.0, "total": 157.0,
    }  # fmt: skip
    assert one.cost == 157.0
    assert one.fixed == 113.0
    assert one.shown() == {}


def test_the_last_costs_of_many_are_those_of_each():
    silent = path(legs=1)
    missing(silent)
    prices = [price(path(last=60.0)), price(path(legs=2), bias=1.0), price(path(), worth=10.0), price(silent)]
    assert last_costs(prices) == [one.last_cost for one in prices] == [60.0, 31.0, 20.0, 230.0]


def test_weights_multiply_their_term():
    one = price(path(30.0, 4.0, 0.05), rtt_weight=0.5, jitter_weight=2.0, loss_weight=3.0)
    terms = one.terms()
    assert (terms["rtt"], terms["jitter"], terms["loss"], terms["total"]) == (15.0, 8.0, 30.0, 53.0)
    assert one.cost == 53.0


def test_weights_multiply_what_the_scoreboard_says():
    """Weights of one policy go on top of `score.jitter_weight` and `score.loss_penalty`."""
    common = Settings(jitter_weight=3.0, loss_penalty=50.0)
    terms = price(path(jitter=4.0, loss=0.1), common, jitter_weight=2.0, loss_weight=4.0).terms()
    assert (terms["jitter"], terms["loss"]) == (24.0, 20.0)


def test_the_last_cost_is_that_of_the_last_answer():
    one = price(path(rtt=30.0, jitter=4.0, last=50.0), bias=6.0)
    assert (one.cost, one.last_cost) == (40.0, 60.0)


def test_a_missing_probe_costs_the_mean_and_a_loss():
    one = price(path(rtt=30.0, jitter=4.0, last=50.0), bias=6.0)
    missing(one.path)
    assert one.last_cost == 30.0 + 4.0 + 200.0 + 6.0
    one.path.answered(40.0, 2.0, 0, 2.04)
    assert one.last_cost == 40.0 + one.path.legs[0].jitter + 6.0


def test_a_lost_probe_pays_the_common_penalty_and_the_rate_of_loss_the_rest():
    at = path(rtt=30.0, loss=0.05, last=50.0)
    light, heavy = price(at, loss_weight=0.5), price(at, loss_weight=3.0)
    assert (light.cost, heavy.cost) == (35.0, 60.0)
    assert (light.last_cost, heavy.last_cost) == (50.0, 50.0 + 20.0)
    missing(at)
    assert (light.last_cost, heavy.last_cost) == (30.0 + 100.0, 30.0 + 20.0 + 200.0)


def test_what_is_preferred_is_cheaper_by_its_worth():
    at = path(rtt=30.0)
    one = price(at, bias=2.0, worth=5.0)
    assert (one.terms()["prefer"], one.terms()["total"], one.cost, one.last_cost) == (-5.0, 27.0, 27.0, 27.0)
    assert price(at, bias=2.0).cost == 32.0  # others see no difference


def test_what_is_preferred_still_costs_a_tenth():
    """No cost is negative, and of two preferred paths the better one is still the cheaper one."""
    near, far = (price(path(rtt=rtt), worth=500.0) for rtt in (20.0, 30.0))
    assert (near.cost, far.cost) == (pytest.approx(2.0), pytest.approx(3.0))
    assert near.terms()["prefer"] == pytest.approx(-18.0)
    assert near.terms()["total"] == near.cost == near.last_cost


def test_a_call_over_a_clean_path_costs_its_rtt():
    one = price(path(rtt=40.0, last=60.0), bias=3.0, objective=Objective.MOS)
    assert (one.cost, one.last_cost) == (43.0, 63.0)
    assert one.shown() == {"mos": pytest.approx(4.390, abs=0.001)}  # R = 93.2 - 0.024 * 40


def test_jitter_and_loss_cost_a_call_their_delay():
    """RTT 40 ms, jitter 5 ms: 50 ms mouth to ear, Id = 1.2. 2 % lost: Ie,eff = 7.01, together 8.21, as at 206.8 ms
    without loss: 156.8 more, twice that for both ways."""
    one = price(path(40.0, 5.0, 0.02), objective=Objective.MOS)
    terms = one.terms()
    assert (terms["rtt"], terms["jitter"]) == (40.0, 20.0)
    assert terms["loss"] == pytest.approx(313.6, abs=0.1)
    assert one.cost == terms["total"] == pytest.approx(373.6, abs=0.1)
    assert one.shown()["mos"] == pytest.approx(4.19, abs=0.01)  # R = 85.0


def test_a_call_pays_for_the_rate_of_loss_alone():
    """No single probe that is missing costs it anything by itself."""
    one = price(path(rtt=30.0, loss=0.05), objective=Objective.MOS)
    assert one.last_cost == one.cost > 400.0
    missing(one.path)
    assert one.last_cost == one.cost


def test_a_codec_that_conceals_nothing_pays_more_for_loss():
    at = path(rtt=30.0, loss=0.02)
    concealed, bare = (price(at, objective=Objective.MOS, codec=codec) for codec in (Codec.G711_PLC, Codec.G711))
    assert bare.cost > concealed.cost


@pytest.mark.parametrize(
    ("rtt", "jitter", "loss", "common", "cost", "mos"),
    [(20.0, 1.0, 0.02, 25.0, 367.2, 4.21), (60.0, 1.0, 0.0, 61.0, 64.0, 4.38), (30.0, 12.0, 0.0, 42.0, 78.0, 4.38)],
)
def test_the_documented_paths(rtt, jitter, loss, common, cost, mos):
    at = path(rtt, jitter, loss)
    call = price(at, objective=Objective.MOS)
    assert price(at).cost == common
    assert call.cost == pytest.approx(cost, abs=0.05)
    assert call.shown()["mos"] == pytest.approx(mos, abs=0.005)


def test_measurements_are_bounded():
    worst = path(rtt=9000.0, jitter=9000.0, loss=1.0)
    assert price(worst, rtt_weight=2.0).cost == 4000.0 + 1000.0 + 200.0
    assert price(worst, objective=Objective.MOS).cost == price(path(2000.0, 1000.0, 1.0), objective=Objective.MOS).cost


def test_a_path_costs_each_policy_what_its_own_worst_leg_does():
    at = path(legs=2)
    first, second = at.legs
    first.mean, first.jitter, first.last_rtt = 40.0, 0.0, 41.0
    second.mean, second.jitter, second.last_rtt = 30.0, 8.0, 31.0
    common, strict = price(at), price(at, jitter_weight=5.0)
    assert (common.cost, strict.cost) == (40.0, 70.0)
    assert (common.last_cost, strict.last_cost) == (41.0, 71.0)
    assert (common.terms()["total"], strict.terms()["total"]) == (40.0, 70.0)


def test_what_was_never_heard_costs_infinitely_much():
    one = price(path(), rtt_weight=2.0)
    one.path.forget()
    assert (one.cost, one.terms(), one.shown()) == (inf, {}, {})


@pytest.mark.parametrize("by", [{}, {"rtt_weight": 2.0}, {"worth": 5.0}, {"objective": Objective.MOS}])
def test_a_black_hole_costs_its_penalty_whatever_the_policy_weighs(by):
    one = price(path(rtt=30.0, jitter=4.0, loss=0.02), bias=6.0, **by)
    before = (one.cost, one.last_cost)
    one.path.sized(HOLE)
    assert one.renew()
    assert (one.cost, one.last_cost) == pytest.approx([part + 100.0 for part in before])
    assert one.terms()["mtu"] == 100.0
    assert one.terms()["total"] == pytest.approx(one.cost)
    one.path.sized(PASSES)
    assert one.renew()
    assert (one.cost, one.last_cost) == before
    assert one.terms()["mtu"] == 0.0


def test_a_penalty_holds_for_every_sample():
    one = price(path(rtt=30.0))
    one.path.sized(HOLE)
    one.renew()
    for n in range(1, 20):
        one.path.probed(Probed(A, Outcome.REPLY, float(n), 0.030), n + 0.03)
        assert one.cost == one.last_cost == pytest.approx(130.0)


def test_a_router_that_says_so_makes_no_black_hole():
    one = price(path(rtt=30.0))
    one.path.sized(PathMtu(A, 1380, 1420, told=True))
    assert not one.renew()
    assert (one.terms()["mtu"], one.cost) == (0.0, 30.0)
    assert not PASSES.black_hole


def test_a_loaded_pop_costs_its_share_of_the_penalty():
    at = path(rtt=30.0)
    common = Settings(load_penalty=20.0)
    one, heavy = price(at, common), price(at, common, rtt_weight=2.0)
    at.charge(load=0.25)
    assert one.renew()
    assert heavy.renew()
    assert (one.cost, one.terms()["load"], one.terms()["total"]) == (35.0, 5.0, 35.0)
    assert (heavy.cost, heavy.terms()["load"]) == (65.0, 5.0)
    at.charge(load=0.0)
    assert one.renew()
    assert one.cost == 30.0


def test_own_load_is_kept_until_it_is_told_anew():
    one = price(path(rtt=30.0))
    assert one.renew(own_load=12.0)
    one.path.sized(HOLE)
    one.renew()
    assert (one.cost, one.terms()["own_load"]) == (142.0, 12.0)
    one.renew(own_load=0.0)
    assert one.cost == 130.0


def test_the_way_from_the_pop_on_costs_what_it_is_said_to():
    one = price(path(rtt=30.0), rtt_weight=2.0)
    assert one.renew(backbone=31.0)
    one.path.sized(HOLE)
    one.renew(own_load=1.0)
    assert (one.cost, one.last_cost, one.terms()["backbone"], one.terms()["total"]) == (192.0, 192.0, 31.0, 192.0)
    assert not one.renew(backbone=31.0)
    assert one.renew(backbone=0.0)


def test_every_term_is_shown_whatever_the_tariff():
    for by in ({}, {"worth": 1.0}, {"objective": Objective.MOS}):
        assert tuple(price(path(), **by).terms()) == (*TERMS, "total")
