"""What must hold of every price: more delay, jitter, loss or bias is never cheaper, and no cost is negative."""

from math import isfinite

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steerd.core import voice
from steerd.core.belief.path import Path
from steerd.core.cost import JITTER_MAX, RTT_MAX, TERMS, Pricing, tariff
from steerd.core.events import PathMtu
from steerd.core.quote import Quote
from steerd.core.settings import Codec, Objective, PathId, PathSettings, PolicyId, PolicySettings, Settings

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
    bias_weight=weight,
    preferred=st.floats(0.0, 10_000.0).map(lambda worth: ((A, worth),)),
)
beliefs = st.tuples(st.floats(0.01, 5000.0), st.floats(0.0, 3000.0), st.floats(0.0, 1.0), st.floats(0.0, 10_000.0))
penalties = st.floats(0.0, 10_000.0)


def quote(policy, rtt, jitter, loss, bias, penalty=0.0, load=0.0):
    common = Pricing(Settings(mtu_penalty=penalty, load_penalty=load))
    path = Path(PathSettings(A, "a", "a", bias=bias), common, half_life=2.0, now=0.0, draw=lambda: 0.0)
    (leg,) = path.legs
    leg.reply(rtt, 0.0)
    leg.mean = leg.level = leg.last_rtt = rtt
    leg.jitter, leg.loss = jitter, loss
    path.sized(PathMtu(A, 1400, 1500))
    path.loaded(0.5)
    own = tariff(policy, common)
    assume(own is not None)
    return Quote(path, own, dict(policy.preferred)[A])


@given(policies, beliefs, st.integers(0, 3), st.floats(0.0, 1000.0))
def test_what_is_worse_is_never_cheaper(policy, belief, which, more):
    worse = list(belief)
    worse[which] = min(1.0, worse[which] + more / 1000.0) if which == 2 else worse[which] + more
    before, after = quote(policy, *belief), quote(policy, *worse)
    assert after.cost >= before.cost * (1.0 - 1e-12)
    assert after.spot >= before.spot * (1.0 - 1e-12)
    assert after.level >= before.level * (1.0 - 1e-12)


@given(policies, beliefs, penalties, penalties, st.booleans())
def test_a_greater_penalty_is_never_cheaper(policy, belief, penalty, more, of_load):
    after = quote(policy, *belief, *((penalty, more) if of_load else (penalty + more, 0.0)))
    before = quote(policy, *belief, penalty)
    assert after.cost >= before.cost * (1.0 - 1e-12)
    assert after.spot >= before.spot * (1.0 - 1e-12)
    assert after.level >= before.level * (1.0 - 1e-12)


@given(policies, beliefs, penalties, penalties)
def test_costs_are_bounded_and_the_sum_of_their_terms(policy, belief, penalty, load):
    one = quote(policy, *belief, penalty, load)
    terms = one.terms()
    assert one.cost >= 0.0
    assert isfinite(one.cost)
    assert terms["total"] == pytest.approx(one.cost, abs=1e-6)
    assert sum(terms[name] for name in TERMS) == pytest.approx(one.cost, abs=1e-6)
    assert -dict(policy.preferred)[A] - 1e-9 <= terms["prefer"] <= 0.0


@given(st.sampled_from(list(Codec)), beliefs)
def test_a_calls_cost_is_bounded(codec, belief):
    one = quote(PolicySettings(PolicyId("p"), (), objective=Objective.MOS, codec=codec, preferred=((A, 0.0),)), *belief)
    assert one.cost <= WORST + belief[3]
    assert 1.0 <= one.shown()["mos"] <= 4.5


@given(st.sampled_from(list(Codec)), beliefs)
def test_a_call_sounds_as_over_a_clean_path_of_that_rtt(codec, belief):
    """That is what the equivalent delay means: the same rating, but for the bias."""
    rtt, jitter, loss, _ = belief
    policy = PolicySettings(PolicyId("p"), (), objective=Objective.MOS, codec=codec, preferred=((A, 0.0),))
    dirty = quote(policy, min(rtt, RTT_MAX), min(jitter, JITTER_MAX), loss, 0.0)
    rating = voice.rating(voice.delay(min(rtt, RTT_MAX), min(jitter, JITTER_MAX)), loss, codec)
    assert voice.rating(voice.delay(dirty.cost, 0.0), 0.0, codec) == pytest.approx(rating, abs=1e-6)


@given(policies, st.floats(1.0, 1900.0), st.floats(0.0, 300.0), st.floats(0.0, 1.0))
def test_the_slope_is_that_of_the_cost(policy, rtt, jitter, loss):
    """What scales the standard error is by how much the cost moves when the RTT does."""
    step = 1e-4
    low, high = (quote(policy, rtt + by, jitter, loss, 0.0) for by in (-step, step))
    slopes = {round(one._slope(), 9) for one in (low, high)}
    assume(len(slopes) == 1)  # not just across a corner
    assert (high.cost - low.cost) / (2.0 * step) == pytest.approx(slopes.pop(), abs=1e-3, rel=1e-3)
