"""Caps as rules see them: whatever is used of two uplinks, traffic moves seldom, and leaves a cap that is reached while
the other has room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from steerd.core.cost.charges import DEAREST, scarcity
from steerd.core.events import UplinkPrice
from tests.unit.driven import Driven, steady

LTE, FIBRE = "lte/wwan0", "fibre/eth0"
rises = st.lists(st.integers(0, 6), min_size=20, max_size=20)


@given(rises, rises, st.sampled_from([20.0, 60.0]), st.sampled_from([25.0, 200.0]))
@settings(max_examples=25)
def test_counts_that_only_rise_move_traffic_no_more_often_than_prices_change(one, other, rtt, rival):
    driven = Driven({LTE: steady(rtt), FIBRE: steady(rival)}).run(15.0)
    used, told = {LTE: 70, FIBRE: 70}, 0
    for steps in zip(one, other, strict=True):
        for path, more in zip(used, steps, strict=True):
            before, used[path] = scarcity(used[path] / 100.0), used[path] + more
            told += scarcity(used[path] / 100.0) != before
            driven.feed(UplinkPrice(path, 0.0, used[path] / 100.0))
        driven.run(driven.now + 3.0)
    moves = [switched for switched in driven.switches if switched.rule not in ("first", "kernel")]
    assert len(moves) <= told
    driven.run(driven.now + 30.0)
    costs = {path: scarcity(share / 100.0) for path, share in used.items()}
    if max(costs.values()) == DEAREST > 2.0 * min(costs.values()):
        assert driven.policy().choice == min(costs, key=lambda path: costs[path])
