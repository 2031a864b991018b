"""What must hold of every price: more delay, jitter, loss or bias is never cheaper, and no cost is negative."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.belief.path import Path
from steerd.core.cost import voice
from steerd.core.cost.price import TERMS, Price
from steerd.core.cost.tariff import JITTER_MAX, RTT_MAX, tariff
from steerd.core.events import PathMtu
from steerd.core.settings import Codec, Objective, PathId, PathSettings, PolicyId, PolicySettings, Settings
from tests.unit.beliefs import Told

A = PathId("a/w")
WORST = 8000.0
"""No measurement makes a call cost more than this, in ms."""

weight = st.floats(0.0, 100.0)
policies = st.builds(
    PolicySettings,
    policy=st.just(PolicyId("p")),
    objective=st.sampled_from(list(Objective)),
    codec=st.sampled_from(list(Codec)),
    rtt_weight=weight,
    jitter_weight=weight,
    loss_weight=weight,
    preferred=st.floats(0.0, 10_000.0).map(lambda worth: ((A, worth),)),
)
beliefs = st.tuples(st.floats(0.01, 5000.0), st.floats(0.0, 3000.0), st.floats(0.0, 1.0), st.floats(0.0, 10_000.0))
penalties = st.floats(0.0, 10_000.0)


def price(policy, rtt, jitter, loss, bias, *, penalty=0.0, load=0.0, own_load=0.0):
    path = Path(PathSettings(A, "a", "a"), half_life=2.0, now=0.0, draw=lambda: 0.0)
    path.legs[:] = (leg,) = [Told(2.0)]
    path.answered(rtt, 0.0, 0, 0.0)
    leg.mean = leg.last_rtt = rtt
    leg.jitter, leg.loss = jitter, loss
    path.sized(PathMtu(A, 1400, 1500))
    path.charge(load=0.5)
    common = Settings(mtu_penalty=penalty, load_penalty=load)
    worth = dict(policy.preferred).get(A, 0.0)
    made = Price(path, tariff(policy, common), common, bias=bias, worth=worth)
    made.renew(own_load)
    return made


@given(policies, beliefs, st.integers(0, 3), st.floats(0.0, 1000.0))
def test_what_is_worse_is_never_cheaper(policy, belief, which, more):
    worse = list(belief)
    worse[which] = min(1.0, worse[which] + more / 1000.0) if which == 2 else worse[which] + more
    before, after = price(policy, *belief), price(policy, *worse)
    assert after.cost >= before.cost * (1.0 - 1e-12)
    assert after.last_cost >= before.last_cost * (1.0 - 1e-12)


@given(policies, beliefs, penalties, penalties, st.sampled_from(["penalty", "load", "own_load"]))
def test_what_does_not_depend_on_probes_is_never_cheaper_either(policy, belief, penalty, more, which):
    before, after = price(policy, *belief, **{which: penalty}), price(policy, *belief, **{which: penalty + more})
    assert after.cost >= before.cost * (1.0 - 1e-12)
    assert after.last_cost >= before.last_cost * (1.0 - 1e-12)
    assert after.fixed >= before.fixed


@given(policies, beliefs, penalties, penalties, penalties)
def test_costs_are_bounded_and_the_sum_of_their_terms(policy, belief, penalty, load, own_load):
    one = price(policy, *belief, penalty=penalty, load=load, own_load=own_load)
    terms = one.terms()
    assert one.cost >= 0.0
    assert isfinite(one.cost)
    assert terms["total"] == pytest.approx(one.cost, abs=1e-6)
    assert sum(terms[name] for name in TERMS) == pytest.approx(one.cost, abs=1e-6)
    assert -dict(policy.preferred)[A] - 1e-9 <= terms["prefer"] <= 0.0


@given(policies, beliefs)
def test_an_answer_as_believed_costs_what_is_believed(policy, belief):
    """But for loss, which a single answer does not pay."""
    rtt, jitter, _, bias = belief
    one = price(policy, rtt, jitter, 0.0, bias)
    assert one.last_cost == pytest.approx(one.cost)


@given(st.sampled_from(list(Codec)), beliefs)
def test_a_calls_cost_is_bounded(codec, belief):
    one = price(PolicySettings(PolicyId("p"), objective=Objective.MOS, codec=codec), *belief)
    assert one.cost <= WORST + belief[3]
    assert 1.0 <= one.shown()["mos"] <= 4.5


@given(st.sampled_from(list(Codec)), beliefs)
def test_a_call_sounds_as_over_a_clean_path_of_that_rtt(codec, belief):
    """That is what the equivalent delay means: the same rating, but for the bias."""
    rtt, jitter, loss = min(belief[0], RTT_MAX), min(belief[1], JITTER_MAX), belief[2]
    dirty = price(PolicySettings(PolicyId("p"), objective=Objective.MOS, codec=codec), rtt, jitter, loss, 0.0)
    rating = voice.rating(voice.delay(rtt, jitter), loss, codec)
    assert voice.rating(voice.delay(dirty.cost, 0.0), 0.0, codec) == pytest.approx(rating, abs=1e-6)
