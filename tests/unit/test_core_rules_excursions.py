"""Excursions: a path suddenly costs a price a second or more. Does it count in full? Worked by hand.

Before anything was seen one is expected to go on for half a second. It counts in full at once if that costs two prices:
from 400 ms above the cheapest. Else it counts for 0.99 of a price a second; the rest is owed, and counts with a
half-life of 60 s.
"""

import pytest

from tests.unit.beliefs import field, look, rule


def scene():
    """Three paths that have long cost 20 ms; `c` will go on excursions."""
    return rule(), field({"a": 0.0, "b": 0.0, "c": 0.0}, a=20.0, b=20.0, c=20.0)


def kept(dt):
    """The share of what is owed that is still owed after ``dt`` seconds."""
    return 2 ** (-dt / 60)


def counts(one, standings, spot, *, missing=False, dt=0.1):
    """Whether a round of `c` at ``spot`` counts in full. What is owed from before does not matter."""
    c = standings["c"]
    c.regret, c.owed = 0.0, 0.0
    c.belief.missing = missing
    look(one, standings, c=spot, dt=dt)
    c.belief.missing = False
    in_full = (spot - 20.0) * dt
    assert c.regret + c.owed == pytest.approx(in_full)  # nothing is lost
    if c.owed:
        in_part = 99.0 * min(dt, 1.0)
        assert c.owed == pytest.approx((in_full - in_part) * kept(dt))
        return False
    return True


def calm(one, standings, rounds=1, dt=0.1):
    for _ in range(rounds):
        look(one, standings, dt=dt)


@pytest.mark.parametrize("spot", [60.0, 110.0, 119.0])
def test_what_costs_less_than_a_price_a_second_is_none(spot):
    one, standings = scene()
    assert counts(one, standings, spot)
    assert (standings["c"].out, standings["c"].kind) == (False, None)


@pytest.mark.parametrize(("spot", "kind"), [(119.9, None), (120.0, 0), (200.0, 0)])
def test_from_a_price_a_second_on_it_is_watched_whether_it_lasts(spot, kind):
    one, standings = scene()
    assert counts(one, standings, spot) is (kind is None)
    assert (standings["c"].kind, standings["c"].age, standings["c"].out) == (kind, 0.0, True)


@pytest.mark.parametrize(("spot", "dt"), [(220.0, 0.1), (220.0, 0.25), (120.5, 1.0), (70.25, 2.0), (53.5, 3.0)])
def test_one_that_is_not_expected_to_last_counts_for_less_than_a_price(spot, dt):
    """In a longer round the same is more: 50 ms above the others for 2 s are a price."""
    one, standings = scene()
    assert not counts(one, standings, spot, dt=dt)
    assert standings["c"].regret < 100.0


@pytest.mark.parametrize(("spot", "dt", "full"), [(420.0, 0.1, True), (419.9, 0.1, False), (420.0, 0.2, True)])
def test_what_would_cost_two_prices_meanwhile_counts_at_once(spot, dt, full):
    assert counts(*scene(), spot, dt=dt) is full


def test_a_missing_probe_counts_in_full_from_the_second_round_on():
    """One alone is for health to judge."""
    one, standings = scene()
    told = [counts(one, standings, 520.0, missing=True) for _ in range(3)]
    assert told == [False, True, True]
    one, standings = scene()
    assert [counts(one, standings, 220.0, missing=True) for _ in range(3)] == [False] * 3


def test_what_follows_an_excursion_counts_as_it_is():
    """As long as it costs less than a price a second."""
    one, standings = scene()
    counts(one, standings, 220.0)
    assert standings["c"].out
    assert counts(one, standings, 119.9)
    assert standings["c"].out
    assert counts(one, standings, 70.0)  # half a price: it is over
    assert not standings["c"].out


def test_what_is_owed_counts_by_and_by():
    """20 ms*s of which 9.9 count at once: half of the rest in a minute."""
    one, standings = scene()
    counts(one, standings, 220.0)
    c = standings["c"]
    assert (c.regret, c.owed) == (pytest.approx(20.0 - 10.1 * kept(0.1)), pytest.approx(10.1 * kept(0.1)))
    for dt, rounds in ((1.0, 30), (5.0, 6)):
        calm(one, standings, rounds, dt)
    assert c.owed == pytest.approx(10.1 * kept(0.1) / 2)
    assert c.regret == pytest.approx(20.0 - c.owed)


def test_what_is_owed_adds_up():
    one, standings = scene()
    c = standings["c"]
    look(one, standings, c=220.0, dt=0.1)
    calm(one, standings)
    before = c.owed
    look(one, standings, c=220.0, dt=0.1)
    assert c.owed == pytest.approx((before + 10.1) * kept(0.1))


def test_no_more_than_five_prices_are_owed():
    one, standings = scene()
    c = standings["c"]
    c.owed = 489.9
    look(one, standings, c=220.0, dt=0.1)
    assert c.owed == pytest.approx(500.0 * kept(0.1))
    c.owed, c.out = 495.0, False
    look(one, standings, c=220.0, dt=0.1)
    assert c.owed == pytest.approx(500.0 * kept(0.1))


@pytest.mark.parametrize(("owed", "left"), [(0.5, 0.5), (0.01, 0.01), (0.0005, 0.0)])
def test_less_than_a_thousandth_is_owed_no_longer(owed, left):
    one, standings = scene()
    standings["c"].owed = owed
    calm(one, standings)
    assert standings["c"].owed == pytest.approx(left * kept(0.1))


@pytest.mark.parametrize(("dt", "rounds"), [(0.1, 10), (0.25, 4), (1.0, 1), (2.0, 1)])
def test_after_a_second_or_a_round_it_is_known_whether_it_lasts(dt, rounds):
    one, standings = scene()
    look(one, standings, c=220.0, dt=dt)
    for n in range(rounds):
        assert standings["c"].kind == 0, n
        look(one, standings, c=220.0, dt=dt)
    assert standings["c"].kind is None


def excursion(one, standings, then, *, missing=False, rounds=10, dt=0.1):
    """One that costs ``then`` for so many rounds after it began."""
    standings["c"].belief.missing = missing
    look(one, standings, c=220.0, dt=dt)
    for _ in range(rounds):
        look(one, standings, c=then, dt=dt)
    standings["c"].belief.missing = False
    calm(one, standings)


@pytest.mark.parametrize(("dt", "rounds"), [(0.1, 10), (1.0, 1)])
@pytest.mark.parametrize("then", [71.0, 220.0, 400.0])
def test_where_they_last_the_next_counts_at_once(then, dt, rounds):
    """Two of four did: expected for 1 s, it counts from 200 ms on. To last is to still cost half a price a second."""
    for spot, full in ((220.0, True), (219.9, False)):
        one, standings = scene()
        excursion(one, standings, then, rounds=rounds, dt=dt)
        assert counts(one, standings, spot) is full


@pytest.mark.parametrize(("dt", "rounds"), [(0.1, 10), (0.3, 4), (0.5, 2), (1.0, 1)])
@pytest.mark.parametrize("then", [70.0, 20.0])
def test_where_they_pass_the_next_must_cost_more_to_count_at_once(then, dt, rounds):
    """One of four did: expected for a third of a second, it counts from 600 ms on."""
    for spot, full in ((620.0, True), (619.9, False)):
        one, standings = scene()
        excursion(one, standings, then, rounds=rounds, dt=dt)
        assert counts(one, standings, spot) is full


@pytest.mark.parametrize("dt", [0.1, 0.3, 0.5, 1.0])
def test_spikes_alone_are_learned_to_be_alone_at_any_rate(dt):
    """Each is over in the next round; after thirty one is expected to last for a 32nd of a second."""
    one, standings = scene()
    for _ in range(30):
        look(one, standings, c=220.0, dt=dt)
        calm(one, standings, rounds=round(5 / dt), dt=dt)
    assert one._excursions.ahead(0) == pytest.approx(1 / 32)


def test_each_is_learned_from_once_however_long():
    one, standings = scene()
    excursion(one, standings, 220.0, rounds=50)
    assert not counts(one, standings, 219.9)
    one, standings = scene()
    look(one, standings, c=220.0, dt=0.1)
    excursion(one, standings, 220.0)  # it had begun before
    assert not counts(one, standings, 219.9)


def test_losses_are_learned_from_apart():
    one, standings = scene()
    excursion(one, standings, 220.0, missing=True)
    assert not counts(one, standings, 419.9)
    calm(one, standings)
    assert [counts(one, standings, 220.0, missing=True) for _ in range(2)] == [False, True]
    one, standings = scene()
    excursion(one, standings, 220.0)
    assert [counts(one, standings, 419.9, missing=True) for _ in range(2)] == [False, False]


def test_one_that_still_stands_after_a_second_counts_in_full_from_then_on():
    one, standings = scene()
    assert [counts(one, standings, 220.0) for _ in range(12)] == [False] * 10 + [True] * 2


def test_the_current_paths_own_count_alike():
    """Beyond a rival's level for what counts, beyond what the rival paid for what it is."""
    one, standings = scene()
    standings["a"].regret = 50.0
    look(one, standings, a=220.0, dt=0.1)
    b = standings["b"]
    assert b.above == pytest.approx(20.0 - standings["a"].owed)
    assert b.beyond == pytest.approx(20.0)
    look(one, standings, a=21.0, b=20.5, dt=0.2)
    assert b.above == pytest.approx(20.2 - standings["a"].owed)
    assert b.beyond == pytest.approx(20.1)
