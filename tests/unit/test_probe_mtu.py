"""The search for the largest packet that gets through, against every kind of way, with every answer and none."""

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.probe.mtu.search import TRIES, Found, Search

SMALL, RTT, TIMEOUT = 84, 0.02, 1.0


@dataclass
class Way:
    """A way that carries ``mtu`` bytes. A router ``at`` a size sends back what it says of larger packets; ``lost`` are
    the numbers of those packets, from 0 on, that go missing whatever their size."""

    mtu: int = 1500
    routers: tuple[tuple[int, int], ...] = ()  # larger than the first: an error that names the second
    dead: bool = False
    lost: frozenset[int] = frozenset()
    rtt: float = RTT
    sent: list[tuple[float, int]] = field(default_factory=list)

    def search(self, *, device=1500, least=576, known=None, timeout=TIMEOUT):
        """The search to its end; what it found, and when."""
        search = Search(device=device, small=SMALL, least=least, timeout=timeout, known=known)
        now, answers = 100.0, []
        for _ in range(1000):
            for size in search.due(now):
                number = len(self.sent)
                self.sent.append((now - 100.0, size))
                router = next(((over, limit) for over, limit in self.routers if size > over), None)
                if number in self.lost:
                    continue
                if router and not self.dead:
                    answers.append((now + self.rtt, size, router[1]))
                elif size <= self.mtu and not self.dead:
                    answers.append((now + self.rtt, size, None))
            if search.over:
                assert search.due(now) == ()
                assert search.wake_at == inf
                return search.found, now - 100.0
            answers.sort()
            if answers and answers[0][0] <= search.wake_at:
                now, size, limit = answers.pop(0)
                if limit is None:
                    search.answered(size, self.rtt, now)
                else:
                    search.too_big(size, limit, now)
            else:
                now = max(now, search.wake_at)
        raise AssertionError("it never ends")

    @property
    def large(self):
        return [size for _, size in self.sent if size != SMALL]


def test_what_is_sound_costs_one_large_packet_and_a_small_one():
    way = Way()
    assert way.search() == (Found(1500, told=False), pytest.approx(RTT))
    assert way.sent == [(0.0, 1500), (0.0, SMALL)]


def test_a_black_hole_is_found_to_the_byte_and_soon():
    way = Way(mtu=1380)
    found, took = way.search()
    assert found == Found(1380, told=False)
    assert took < 8.0
    assert len(way.large) <= 40
    assert way.large.count(1500) == 2 * TRIES  # once more before it is called so
    assert {size for size in way.large if way.large.count(size) > TRIES} == {1500}


def test_the_minute_after_only_confirms():
    way = Way(mtu=1380)
    found, took = way.search(known=Found(1380, told=False))
    assert found == Found(1380, told=False)
    assert way.large == [*[1500] * TRIES, 1380, *[1381] * TRIES, *[1500] * TRIES]
    assert took < 3.0


def test_a_black_hole_that_ended_is_over_with_the_first_answer():
    way = Way()
    assert way.search(known=Found(1380, told=False))[0] == Found(1500, told=False)
    assert len(way.sent) == 2


def test_nothing_is_said_of_a_way_that_does_not_answer():
    way = Way(dead=True)
    found, took = way.search()
    assert found is None
    assert took == pytest.approx(TRIES * TIMEOUT)
    assert way.sent == [(at, size) for at in (0.0, 1.0, 2.0) for size in (1500, SMALL)]


def test_with_one_small_echo_of_three_silence_says_nothing():
    """Places 1, 3 and 5 are those of the small ones."""
    assert Way(mtu=1380, lost=frozenset({1, 3})).search()[0] is None
    assert Way(mtu=1380, lost=frozenset({1})).search()[0] == Found(1380, told=False)


@pytest.mark.parametrize("lost", [{0}, {0, 2}])
def test_a_large_one_that_is_merely_lost_is_asked_again(lost):
    way = Way(lost=frozenset(lost))
    assert way.search()[0] == Found(1500, told=False)
    assert set(way.large) == {1500}


def test_three_that_were_merely_lost_make_no_black_hole():
    way = Way(lost=frozenset({0, 2, 4}))
    assert way.search()[0] == Found(1500, told=False)


def test_what_was_answered_too_late_counts():
    search = Search(device=1500, small=SMALL, least=576, timeout=TIMEOUT)
    assert search.due(0.0) == (1500, SMALL)
    search.answered(SMALL, RTT, RTT)
    now = 0.0
    while search.due(now) != (576,):
        now = max(search.wake_at, now)
        if now >= search.wake_at:
            search.answered(SMALL, RTT, now)
    search.answered(1500, now, now + 0.01)
    assert search.found == Found(1500, told=False)


def test_a_router_that_says_so_is_asked_no_more_than_needed():
    way = Way(mtu=1400, routers=((1400, 1400),))
    found, took = way.search()
    assert found == Found(1400, told=True)
    assert way.large == [1500, 1400, 1401]
    assert took == pytest.approx(3 * RTT)


def test_a_router_that_names_no_size():
    assert Way(mtu=1400, routers=((1400, 0),)).search()[0] == Found(1400, told=True)


def test_routers_one_after_the_other():
    assert Way(mtu=1300, routers=((1450, 1450), (1300, 1300))).search()[0] == Found(1300, told=True)


def test_a_black_hole_behind_a_router_that_says_more():
    """Who listens to the router sends 1450 bytes, and those vanish."""
    assert Way(mtu=1380, routers=((1450, 1450),)).search()[0] == Found(1380, told=False)


def test_a_router_behind_a_black_hole():
    """The full size vanishes before anybody could say so of it."""
    way = Way(mtu=1300)
    way.routers = ((1450, 0), (1300, 1300))
    search = Search(device=1500, small=SMALL, least=576, timeout=TIMEOUT)
    now = 0.0
    for _ in range(1000):
        for size in search.due(now):
            if size == SMALL or size <= 1300:
                search.answered(size, RTT, now)
            elif size <= 1450:
                search.too_big(size, 1300, now)
        if search.over:
            break
        now = search.wake_at
    assert search.found == Found(1300, told=False)


def test_a_router_that_lies_is_not_believed():
    """It names less than what gets through: one byte more is tried, and what gets through is what counts."""
    search = Search(device=1500, small=SMALL, least=576, timeout=TIMEOUT)
    now = 0.0
    for _ in range(1000):
        for size in search.due(now):
            if size > 1400:
                search.too_big(size, 600, now)
            else:
                search.answered(size, RTT, now)
        if search.over:
            break
        now = search.wake_at
    assert search.found == Found(1400, told=True)


def test_what_was_told_before_holds_while_the_size_is_the_same():
    """Routers limit how many errors they send."""
    assert Way(mtu=1400).search(known=Found(1400, told=True))[0] == Found(1400, told=True)
    assert Way(mtu=1399).search(known=Found(1400, told=True))[0] == Found(1399, told=False)


def test_a_router_that_says_so_of_everything_says_nothing():
    search = Search(device=1500, small=SMALL, least=576, timeout=TIMEOUT)
    now = 0.0
    for _ in range(1000):
        for size in search.due(now):
            search.too_big(size, 68, now)
        if search.over:
            break
        now = search.wake_at
    assert search.over
    assert search.found is None


def test_a_machine_that_does_not_send_says_nothing():
    search = Search(device=1500, small=SMALL, least=576, timeout=TIMEOUT)
    assert search.due(0.0)
    search.give_up()
    assert (search.over, search.found, search.due(10.0)) == (True, None, ())
    search.answered(1500, RTT, 11.0)
    search.too_big(1500, 1400, 11.0)
    assert search.found is None


def test_a_slow_way_is_waited_for():
    way = Way(mtu=1380, rtt=0.6)
    assert way.search()[0] == Found(1380, told=False)
    assert Way(rtt=0.6).search()[0] == Found(1500, told=False)


ways = st.tuples(st.integers(100, 9000), st.integers(100, 9000), st.booleans(), st.sampled_from([576, 1280]))


@given(ways, st.none() | st.tuples(st.integers(84, 9000), st.booleans()))
def test_whatever_the_way_carries_is_found_in_few_packets(way, before):
    mtu, device, tells, least = way
    known = None if before is None else Found(*before)
    one = Way(mtu=mtu, routers=((mtu, mtu),) if tells else ())
    found, took = one.search(device=device, least=least, known=known)
    assert found is not None
    assert found.mtu == min(mtu, device)
    assert found.told == (mtu < device and (tells or known == Found(mtu, told=True)))
    assert len(one.large) <= 60
    assert took <= 20.0


@given(ways, st.frozensets(st.integers(0, 40)))
def test_loss_makes_no_size_pass_that_does_not(way, lost):
    mtu, device, tells, least = way
    one = Way(mtu=mtu, routers=((mtu, mtu),) if tells else (), lost=lost)
    found, _ = one.search(device=device, least=least)
    assert found is None or found.mtu <= min(mtu, device)
