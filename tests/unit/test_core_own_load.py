"""What a policy's own traffic adds to a path: learned from switches, charged where the traffic is not."""

import pytest

from steerd.core.belief.path import Role
from steerd.core.cost.own_load import (
    BELIEVED,
    LAG,
    LARGE,
    LONGEST,
    MEMORY,
    MUCH,
    PERIODS,
    SAMPLES,
    WATCHED,
    Learned,
    OwnLoad,
)
from steerd.core.cost.own_queue import BOUND, WINDOW, OwnQueue
from steerd.core.settings import PathSettings
from tests.unit.networks import Network, heard

A, B = "a/w", "b/w"
RATE = 1e6
ENOUGH = int(LAG) + SAMPLES
"""So many rounds of a second after a switch something is known."""


class World:
    """A policy with much traffic on a, which took 80 ms there, moves to b, which took 20 ms without it."""

    def __init__(self, rate=RATE, learned=None):
        self.network = heard(Network(A, B), a=80.0, b=20.0)
        self.own = OwnLoad()
        if learned is not None:
            self.own.restore(Learned(learned, rate, self.network.now, learned))
        self.a, self.b = self.network.paths[A], self.network.paths[B]
        self.a.carried(rate)
        self.own.switched(self.a, self.b, self.network.now)

    def carries(self, rate=RATE):
        self.a.carried(0.0)
        self.b.carried(rate)

    def rounds(self, count, a, b):
        """So many rounds in which both answer, if they do. Whether something was learned in any."""
        learned = []
        for _ in range(count):
            self.network.now += 1.0
            for name, rtt in ((A, a), (B, b)):
                if rtt is not None:
                    self.network.hear(name, rtt)
            self.own.heard(self.b)
            learned.append(self.own.look(self.network.now))
        return any(learned)

    def burden(self, rate=RATE, later=0.0):
        return self.own.burden(rate, self.network.now + later)

    def holds(self):
        """What stands in b's queue on average."""
        return self.own.learned.burden - self.own.learned.standing

    def judged(self):
        """The last RTT of b, as it counts."""
        (leg,) = self.own.quiet(self.b, self.network.now)
        return leg.last_rtt

    def measuring(self, later=0.0):
        return self.own.measuring(self.network.now + later)


def test_what_the_path_taken_rose_by_and_the_path_left_fell_by_is_the_burden():
    one = World()
    one.carries()
    assert not one.rounds(ENOUGH - 1, a=20.5, b=79.5)
    assert one.rounds(1, a=20.5, b=79.5)
    assert one.burden() == pytest.approx(BELIEVED * 59.5, abs=0.1)
    assert one.own.learned[:3] == (one.burden(), RATE, one.network.now)


@pytest.mark.parametrize(
    ("a", "b", "burden"),
    [(20.0, 35.0, 30.0), (65.0, 80.0, 30.0), (20.0, 20.0, 0.0), (90.0, 30.0, 0.0), (20.0, 9.0, 0.0)],
)
def test_half_of_the_geometric_mean_of_rise_and_fall_is_believed_and_never_less_than_nothing(a, b, burden):
    """A path is also left because it is bad, and then gets better by itself: then the other does not rise."""
    one = World()
    one.carries()
    assert one.rounds(ENOUGH, a, b)
    assert one.burden() == pytest.approx(BELIEVED * burden, abs=0.5)


def test_what_is_probed_at_once_tells_nothing_yet():
    one = World()
    one.carries()
    one.rounds(int(LAG), a=500.0, b=1.0)
    assert one.rounds(SAMPLES, a=70.0, b=30.0)
    assert one.burden() == pytest.approx(BELIEVED * 10.0, abs=0.1)


def test_a_lone_spike_after_a_switch_does_not_decide():
    one = World()
    one.carries()
    one.rounds(ENOUGH - 1, a=70.0, b=30.0)
    assert one.rounds(1, a=70.0, b=400.0)
    assert one.burden() == pytest.approx(BELIEVED * 10.0, abs=0.1)


@pytest.mark.parametrize("rate", [0.0, LARGE - 1.0])
def test_a_gateway_that_carries_little_learns_nothing(rate):
    one = World(rate)
    one.carries(rate)
    assert not one.measuring()
    assert not one.rounds(20, a=20.0, b=80.0)
    assert one.burden() == 0.0


def test_nothing_is_learned_where_the_traffic_did_not_come_along():
    one = World()
    one.carries(RATE / 2.0 - 1.0)
    assert not one.rounds(10, a=20.0, b=80.0)
    assert one.burden() == 0.0
    half = World()
    half.carries(RATE / 2.0)
    assert half.rounds(ENOUGH, a=20.0, b=80.0)


def test_nothing_is_learned_from_a_first_choice_or_a_path_not_heard():
    one = World()
    for old, new in ((None, one.b), (one.a, None), (one.a, one.network.add("c/w"))):
        one.own.switched(old, new, one.network.now)
        assert not one.measuring()


def test_while_it_is_measured_only_force_moves_the_policy_and_not_for_long():
    one = World()
    assert one.measuring()
    assert one.measuring(LAG + PERIODS - 0.1)
    assert not one.measuring(LAG + PERIODS)
    one.carries()
    one.rounds(ENOUGH, a=20.0, b=80.0)
    assert not one.measuring()  # something is known


@pytest.mark.parametrize(("every", "seconds"), [(0.5, 2.5), (5.0, 25.0), (30.0, LONGEST), (None, PERIODS)])
def test_it_takes_five_periods_of_the_path_that_is_probed_less_often(every, seconds):
    one = World()
    for path, role in ((one.a, Role.CHOSEN), (one.b, Role.CANDIDATE)):
        written = PathSettings(path.id, path.pop, path.pop, interval=0.5, standby_interval=every or 0.5)
        path.configure(written, half_life=2.0, now=one.network.now)
        if every is not None:  # in a replay nobody asks
            path.wants(role, scout_interval=1.0, urgent=False)
    one.own.switched(one.a, one.b, one.network.now)
    assert one.measuring(LAG + seconds - 0.1)
    assert not one.measuring(LAG + seconds)


def test_a_path_that_does_not_answer_is_not_waited_for():
    one = World()
    one.carries()
    assert not one.rounds(int(LAG + PERIODS), a=None, b=80.0)
    assert not one.rounds(20, a=20.0, b=80.0)
    assert one.burden() == 0.0


def test_the_next_switch_begins_anew():
    one = World()
    one.carries()
    one.rounds(ENOUGH - 1, a=20.0, b=80.0)
    one.own.switched(one.b, one.a, one.network.now)
    one.a.carried(RATE)
    one.b.carried(0.0)
    assert not one.rounds(ENOUGH - 1, a=80.0, b=20.0)
    assert one.rounds(1, a=80.0, b=20.0)


def test_the_two_are_compared_for_some_seconds_and_no_longer():
    """A queue takes its time to build."""
    one = World()
    one.carries()
    one.rounds(ENOUGH, a=20.0, b=60.0)
    one.rounds(int(WATCHED) - SAMPLES, a=20.0, b=80.0)
    seen = one.burden()
    assert BELIEVED * 49.0 < seen < BELIEVED * 60.0
    one.rounds(10, a=20.0, b=200.0)
    assert one.burden() == pytest.approx(seen, abs=0.1)


@pytest.mark.parametrize(("b", "burden"), [(20.0, 30.0), (80.0, 60.0)])
def test_what_was_known_before_counts_as_much_as_what_is_seen_now(b, burden):
    one = World(learned=60.0)
    one.carries()
    one.rounds(int(LAG + WATCHED), a=20.0, b=b)
    assert one.burden() == pytest.approx(burden, abs=0.5)


def test_among_others_a_queue_is_taken_as_it_is():
    """It is not of this gateway's making alone."""
    one = queued()
    assert one.own.queues(one.b, one.network.now)
    one.own.configure(lone=False)
    assert not one.own.queues(one.b, one.network.now)
    assert not one.own.quiet(one.b, one.network.now)


def test_while_the_traffic_is_on_its_way_it_counts_as_if_it_were_there():
    one = World(learned=60.0)
    assert one.burden(0.0) == pytest.approx(60.0)
    assert one.burden(0.0, later=LAG + PERIODS) == 0.0


def learned(burden):
    own = OwnLoad()
    own.restore(Learned(burden, RATE, 0.0, burden))
    return own


def test_what_was_learned_fades_to_a_half_in_a_day():
    own = learned(60.0)
    assert [own.burden(RATE, days * MEMORY) for days in (0, 1, 2)] == pytest.approx([60.0, 30.0, 15.0])


@pytest.mark.parametrize(
    ("rate", "burden"),
    [(0.0, 0.0), (LARGE - 1.0, 0.0), (RATE / 8.0, 15.0), (RATE / 2.0, 60.0), (RATE, 60.0), (9.0 * RATE, 60.0)],
)
def test_less_traffic_adds_less_and_more_no_more_than_was_seen(rate, burden):
    assert learned(60.0).burden(rate, 0.0) == pytest.approx(burden)


def test_without_anything_learned_nothing_is_added():
    assert OwnLoad().burden(RATE, 0.0) == 0.0
    assert not OwnLoad().look(0.0)


QUEUE = [22.0, 80.0, 140.0, 60.0, 21.0, 100.0, 20.5, 30.0, 150.0, 90.0, 25.0, 60.0]
"""RTTs of b, which takes 20 ms, in ms: nothing stands in its queue now and then, 50 ms on average."""


def queued():
    one = World()
    one.carries()
    for rtt in QUEUE:
        one.rounds(1, a=20.0, b=rtt)
    return one


def test_of_a_queue_that_comes_and_goes_little_is_there_all_the_time():
    burden, _, _, standing = queued().own.learned
    assert BELIEVED * 40.0 < burden < BELIEVED * 60.0
    assert standing < 10.0
    one = World()
    one.carries()
    one.rounds(10, a=20.0, b=80.0)
    assert one.own.learned.standing == pytest.approx(BELIEVED * 60.0, abs=0.1)


def test_the_path_in_use_is_judged_by_its_lowest_rtt_and_what_its_queue_holds_on_average():
    one = queued()
    assert one.judged() == pytest.approx(20.5 + one.holds(), abs=0.01)
    one.rounds(1, a=20.0, b=200.0)
    assert one.judged() == pytest.approx(20.5 + one.holds(), abs=0.01)
    one.rounds(int(WINDOW) + 1, a=20.0, b=60.5)  # it does not empty any more: that is not our own doing
    assert one.judged() == pytest.approx(60.5 + one.holds(), abs=0.01)


def test_it_tells_by_how_much_the_lowest_rtt_moved():
    one = queued()
    one.rounds(1, a=20.0, b=20.0)
    assert one.own.moved == pytest.approx(-0.5, abs=0.01)
    one.rounds(int(WINDOW), a=20.0, b=60.0)
    assert one.own.moved == 0.0
    one.rounds(1, a=20.0, b=70.0)
    assert one.own.moved == pytest.approx(40.0, abs=0.01)


def test_the_lowest_of_all_probes_of_a_round_counts():
    one = queued()
    for rtt in (20.0, 70.0):
        one.network.now += 0.5
        one.network.hear(B, rtt)
        one.own.heard(one.b)
    one.own.look(one.network.now)
    assert one.own.moved == pytest.approx(-0.5, abs=0.01)
    assert one.judged() == pytest.approx(20.0 + one.holds(), abs=0.01)


def test_only_where_much_traffic_makes_a_queue_is_the_path_in_use_probed_more_often():
    one = queued()
    assert one.own.queues(one.b, one.network.now)
    one.carries(MUCH - 1.0)
    assert not one.own.queues(one.b, one.network.now + LONGEST)
    assert not OwnLoad().queues(one.b, one.network.now)


def test_what_is_far_more_than_the_queue_ever_holds_is_not_its_doing():
    one = queued()
    one.rounds(1, a=20.0, b=1900.0)
    assert one.judged() == pytest.approx(1900.0 + one.holds() - BOUND * one.holds(), abs=0.01)


def test_jitter_that_such_a_queue_makes_does_not_count():
    network = Network(A)
    for second in range(100):
        network.now = float(second)
        network.hear(A, 20.0 + 40.0 * (second % 2))
    path, queue = network.paths[A], OwnQueue(0.0)
    queue.look(path)
    jitter = path.legs[0].jitter
    assert jitter > 10.0
    assert [leg.jitter for leg in queue.quiet(path, 10.0)] == [pytest.approx(jitter - 10.0)]
    assert [leg.jitter for leg in queue.quiet(path, 1000.0)] == [0.0]


def test_each_family_of_a_path_is_judged_by_its_own_lowest_rtt():
    network = Network()
    path, queue = network.add(A, legs=2), OwnQueue(0.0)
    for second, (four, six) in enumerate([(60.0, 30.0), (20.0, 70.0), (50.0, 80.0)], 1):
        for leg, rtt in enumerate((four, six)):
            path.answered(rtt, float(second), leg, float(second))
        queue.look(path)
    assert [leg.last_rtt for leg in queue.quiet(path, 10.0)] == [30.0, 40.0]


def test_nothing_is_taken_off_a_path_without_large_traffic_or_one_that_was_not_watched():
    one = queued()
    assert not one.own.quiet(one.a, one.network.now)
    one.carries(LARGE - 1.0)
    assert not one.own.quiet(one.b, one.network.now + LONGEST)
    still = World()
    still.carries()
    still.rounds(10, a=20.0, b=80.0)
    assert not still.own.quiet(still.b, still.network.now)


def test_after_the_kernel_fell_over_to_another_path_the_old_one_tells_nothing_of_it():
    one = queued()
    one.a.carried(RATE)
    one.own.heard(one.a)
    assert not one.own.quiet(one.b, one.network.now)
