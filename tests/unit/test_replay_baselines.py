"""The other rules, each on small inputs, by what is published of it."""

import pytest

from steerd.replay.baselines import BASELINES, babel
from steerd.replay.baselines.babel import Babel
from steerd.replay.baselines.cassandra import Cassandra, Reservoir
from steerd.replay.baselines.fortigate import FortiGate
from steerd.replay.baselines.mwan3 import Interface, Mwan3
from steerd.replay.baselines.netbird import NetBird
from steerd.replay.baselines.plain import InstantBest, SmoothedMargin, StayAtStart
from steerd.replay.baselines.preference import Preference
from steerd.replay.baselines.tailscale import Tailscale
from steerd.replay.baselines.urltest import Mihomo, SingBox


def choices(rule, *samples, start=0):
    """What a rule uses after each sample, one a second: a tuple of the RTTs of a, b, c..."""
    return [rule.observe(float(n), dict(zip("abcd", rtts, strict=False))) for n, rtts in enumerate(samples, start)]


@pytest.mark.parametrize("name", BASELINES)
def test_nobody_chooses_before_an_answer_and_nobody_leaves_the_only_path(name):
    rule = BASELINES[name]()
    assert choices(rule, (None, None), (None, None)) == [None, None]
    assert set(choices(rule, *[(30, None)] * 20, *[(90, None)] * 20, start=2)[2:]) == {"a"}


@pytest.mark.parametrize("name", BASELINES)
def test_a_path_that_comes_later_and_one_that_is_not_measured_now_are_taken_as_they_come(name):
    rule = BASELINES[name]()
    for n in range(400):
        rtts = {"a": 100.0} if n < 30 else {"b": 20.0} if n % 3 else {"a": 100.0, "b": 20.0}
        rule.observe(float(n), rtts)
    assert rule.observe(400.0, {"a": 100.0, "b": 20.0}) == ("a" if name in ("stay at start", "mwan3") else "b")


# The plain ones


def test_staying_and_following():
    samples = [(None, 30), (20, 30), (20, 10), (None, None), (10, 10)]
    assert choices(StayAtStart(), *samples) == ["b"] * 5
    assert choices(InstantBest(), *samples) == ["b", "a", "b", "b", "b"]


def test_a_smoothed_mean_needs_a_margin():
    """From 30 to 10 by a tenth of the way each time: 28, 26.2, 24.6, 23.1: below 27 - 3 with the fourth."""
    assert choices(SmoothedMargin(), (27, 30), (27, 10), (27, 10), (27, 10)) == ["a"] * 4
    assert choices(SmoothedMargin(), (27, 30), *[(27, 10)] * 4) == [*["a"] * 4, "b"]
    assert choices(SmoothedMargin(), (27, 24.5), *[(20, 24.5)] * 40)[-1] == "a"  # 4.5 ms do, in time
    assert choices(SmoothedMargin(), (27, 24), *[(21.5, 24)] * 60)[-1] == "b"  # 2.5 ms never do


def test_a_lost_probe_weighs_twenty_ms_in_the_mean():
    assert choices(SmoothedMargin(), (20, 36), (None, 36)) == ["a", "b"]
    assert choices(SmoothedMargin(), (20, 38), (None, 38)) == ["a", "a"]


# babeld


@pytest.mark.parametrize(
    ("rtt", "metric"), [(5, 96), (10, 96), (65, 96 + 48), (120, 96 + 96), (500, 96 + 96), (21.5, 96 + 10)]
)
def test_babels_metric_grows_with_the_rtt_between_10_and_120_ms(rtt, metric):
    route = babel.Neighbour()
    for n in range(100):
        route.hello(rtt, n)
    assert route.metric == metric
    assert route.smoothed(100) == metric


def test_babels_rtt_begins_at_twice_the_first_and_decays_by_42_in_256():
    route = babel.Neighbour()
    route.hello(20.0, 0)
    assert route.rtt == 40_000
    route.hello(20.0, 1)
    assert route.rtt == (42 * 20_000 + 214 * 40_000) // 256
    route.hello(60.0, 2)  # from below it is rounded up
    assert route.rtt == -(-(42 * 60_000 + 214 * 36_718) // 256)


def test_a_neighbour_of_babel_needs_two_of_three_hellos():
    route = babel.Neighbour()
    heard = []
    for n, rtt in enumerate([20, 20, None, 20, None, None, 20, 20]):
        route.hello(rtt, n)
        heard.append(route.metric < babel.INFINITY)
    assert heard == [False, True, True, True, False, False, False, True]


def test_babels_smoothed_metric_goes_half_the_way_in_four_seconds():
    route = babel.Neighbour()
    for n in range(200):
        route.hello(10.0, n)
    assert route.smoothed(200) == 96
    route.metric = 196
    assert route.smoothed(204) == 146
    assert route.smoothed(208) == 171
    assert route.smoothed(209) == pytest.approx(171 + 25 * (2**0.25 - 1))
    assert route.smoothed(300) == 196  # within 4 it is there


def test_babel_moves_when_both_metrics_are_better_and_not_for_a_spike():
    calm = [(30, 50)] * 60
    assert set(choices(Babel(), *calm)[2:]) == {"a"}
    spike = choices(Babel(), *calm, (300, 50), *[(30, 50)] * 20)
    assert "b" not in spike[60:62]  # the metric jumps, the smoothed one has not moved yet
    step = choices(Babel(), *calm, *[(110, 50)] * 40)
    assert step[60] == "a"
    assert step[-1] == "b"


def test_babel_leaves_a_dead_neighbour_at_once_and_sees_nothing_beyond_120_ms():
    assert choices(Babel(), *[(30, 50)] * 60, (None, 50), (None, 50))[-2:] == ["a", "b"]
    assert set(choices(Babel(), *[(150, 180)] * 60, *[(900, 180)] * 60)[2:]) == {"a"}


# Tailscale


def test_tailscale_needs_ten_ms_and_a_third():
    """From its own table of cases: a small difference, and one that is small as a ratio, keep the old region."""
    assert choices(Tailscale(), (4, 5), (5, 4)) == ["a", "a"]
    assert choices(Tailscale(), (20, 60), (60, 30)) == ["a", "a"]  # 20 is the best of five minutes: nothing beats it
    assert choices(Tailscale(), (20, 60), (60, 12)) == ["a", "b"]
    assert choices(Tailscale(), (31, 100), (31, 20.5)) == ["a", "b"]  # 10.5 ms, and 20.5 <= 20.67
    assert choices(Tailscale(), (30, 100), (30, 20.5)) == ["a", "a"]  # 9.5 ms
    assert choices(Tailscale(), (300, 900), (300, 201)) == ["a", "a"]  # 99 ms, but more than two thirds


def test_tailscales_regions_are_as_good_as_their_best_of_five_minutes():
    rule = Tailscale()
    assert rule.observe(0.0, {"a": 20.0, "b": 50.0}) == "a"
    for time in (100.0, 200.0, 300.0):
        assert rule.observe(time, {"a": 200.0, "b": 50.0}) == "a"
    assert rule.observe(301.0, {"a": 200.0, "b": 50.0}) == "b"  # the 20 ms are too old


def test_tailscale_waits_eight_seconds_for_a_region_that_does_not_answer():
    assert choices(Tailscale(), (20, 50), *[(None, 50)] * 8) == [*["a"] * 8, "b"]
    assert choices(Tailscale(), (20, 50), *[(None, None)] * 9)[-1] == "a"


# mwan3


def test_an_interface_of_mwan3_goes_after_five_and_comes_back_after_five():
    interface = Interface()
    states = []
    for rtt in [None] * 4 + [20] + [None] * 5 + [20] * 4 + [None] + [20] * 5:
        interface.test(rtt)
        states.append(interface.online)
    assert states == [True] * 9 + [False] * 10 + [True]


def test_an_interface_of_mwan3_fails_when_it_is_slow():
    interface = Interface()
    for _ in range(4):
        interface.test(501.0)
    assert interface.online
    interface.test(1200.0)
    assert not interface.online


def test_mwan3_uses_the_first_that_is_online_and_never_the_faster():
    samples = [(20, 30, 40), *[(90, 10, 40)] * 10, *[(None, 30, 5)] * 5, *[(20, 30, 5)] * 5]
    assert choices(Mwan3(), *samples) == [*["a"] * 15, *["b"] * 5, "a"]
    assert choices(Mwan3(), (20, 30), *[(None, None)] * 20)[-1] == "a"


def test_the_order_of_preference_is_that_of_the_first_answers():
    preference = Preference()
    preference.meet({"a": None, "b": 50.0, "c": 30.0})
    preference.meet({"a": 10.0, "b": 1.0, "c": 90.0, "d": None})
    assert preference.order == ["c", "b", "a"]


# Cassandra


def test_a_reservoirs_median_is_mostly_its_newest_second():
    """At one a second the newest sample weighs 1, those before it 0.47, 0.22, 0.11...: more than all of them."""
    reservoir = Reservoir()
    for second, rtt in enumerate([20.9, 20.9, 20.9, 80.0]):
        reservoir.add(float(second), rtt)
    assert reservoir.median() == 80
    for second in (4, 5):
        reservoir.add(second, 20.9)
    assert reservoir.median() == 20
    together = Reservoir()
    for rtt in (30.0, 10.0, 20.0):
        together.add(7.5, rtt)
    assert together.median() == 20


def test_cassandra_stays_with_the_preferred_until_another_is_twice_as_good():
    assert choices(Cassandra(), (20, 30), (40, 21), (60, 21), (63, 30)) == ["a", "a", "b", "b"]
    assert choices(Cassandra(), (20, 30), (40, 21), (60, 21), (41, 30)) == ["a", "a", "b", "a"]
    assert choices(Cassandra(badness_threshold=0.1), (20, 30), (24, 21), (22, 21)) == ["a", "b", "a"]


def test_a_read_that_times_out_counts_as_five_seconds_and_ten_minutes_forget_it_all():
    rule = Cassandra()
    assert choices(rule, (20, 30), (None, 30)) == ["a", "b"]
    assert rule.observe(599.0, {"b": 30.0}) == "b"
    assert rule.observe(600.0, {"b": 30.0}) == "a"  # no samples of a: a score of 0, the best


# NetBird


def test_netbird_needs_twenty_ms_and_a_fifth_and_looks_twice_a_minute():
    def settled(here, there):
        return choices(NetBird(), (here - 1, here), *[(here, there)] * 200)[-1]

    assert settled(50, 31) == "a"
    assert settled(50, 29) == "b"
    assert settled(200, 165) == "a"  # 35 ms, and a fifth is 40
    assert settled(200, 155) == "b"
    found = choices(NetBird(), (20, 30), *[(90, 30)] * 100)
    assert found.index("b") == 30


def test_netbird_stays_while_the_difference_may_be_noise():
    noisy = [(60 + 150 * (n % 5 == 0), 60 - 25 + 150 * (n % 5 == 2)) for n in range(600)]
    assert set(choices(NetBird(), (20, 30), *noisy)) == {"a"}
    assert choices(NetBird(), (20, 30), *[(60, 35)] * 600)[-1] == "b"


def test_netbird_does_not_go_back_within_half_a_minute_but_leaves_a_lost_peer_within_seconds():
    rule = NetBird()
    assert choices(rule, (20, 30), *[(90, 30)] * 30)[-1] == "b"
    back = choices(rule, *[(20, 90)] * 60, start=31)
    assert back.index("a") >= 29
    assert choices(NetBird(), (20, 30), *[(None, 30)] * 6) == [*["a"] * 6, "b"]
    assert choices(NetBird(), (20, 30), *[(None, None)] * 60)[-1] == "a"


# url-test


def test_sing_box_tests_every_three_minutes_and_needs_fifty_ms():
    found = choices(SingBox(), (20, 30), *[(90, 30)] * 400)
    assert found.index("b") == 180
    assert set(choices(SingBox(), (20, 30), *[(80, 30)] * 400)) == {"a"}
    assert choices(SingBox(), (200, 149, 120, 99)) == ["b"]  # in their order, each by the tolerance
    assert choices(SingBox(), (200, 149, 120, 90)) == ["d"]


def test_sing_box_leaves_a_member_that_fails_its_test_for_the_first_that_nobody_beats():
    found = choices(SingBox(), (20, 70, 60), *[(None, 70, 60)] * 180)
    assert found[-2:] == ["a", "b"]
    assert choices(SingBox(), (20, 30), *[(None, None)] * 400)[-1] == "a"


def test_mihomo_takes_the_fastest_when_that_beats_the_one_in_use_by_the_tolerance():
    found = choices(Mihomo(), (20, 30, 40), *[(95, 40, 30)] * 301)
    assert found[299:301] == ["a", "c"]
    assert set(choices(Mihomo(), (20, 30, 40), *[(80, 40, 30)] * 301)) == {"a"}
    assert choices(Mihomo(), (20, 70, 60), *[(None, 70, 60)] * 300)[-1] == "c"


# FortiGate


def test_fortigate_prefers_by_ten_percent_and_takes_the_mean_of_thirty():
    assert set(choices(FortiGate(), (20, 30), *[(33, 30)] * 100)) == {"a"}
    found = choices(FortiGate(), (33, 34), *[(33, 29)] * 100)  # 33 / 1.1 is 30: the mean of b has to come below
    assert found.index("b") == 5
    assert choices(FortiGate(), (20, 30), *[(90, 30)] * 40, *[(31, 30)] * 40)[-1] == "a"


def test_a_member_of_fortigate_dies_after_five_lost_and_lives_after_five_answers():
    found = choices(FortiGate(), (20, 30), *[(None, 30)] * 5, *[(20, 30)] * 5)
    assert found == [*["a"] * 5, *["b"] * 5, "a"]
    assert choices(FortiGate(), (20, 30), *[(501, 30)] * 5)[-1] == "b"  # late answers are none
