"""Orders that come at a wrong time, or too many of them: what is good is taken in the end, and nothing else."""

import pytest

from steerd.core.events import Verb
from steerd.core.memory import DrainMemory, Memory
from steerd.share.orders import BURST, CHANGES, CHANGES_WITHIN
from steerd.share.signing import public_text, sign, signers
from tests.unit.test_share_orders import ALICE, ALICES, BOB, GOOD, MALLORY, WALL, Fleet, changed, order


def test_a_clock_that_was_ahead_once_brings_no_earlier_order_back():
    early, late = sign(ALICE, order()), sign(ALICE, order(at=10, drained=False))
    fleet = Fleet()
    fleet.wall += 10
    assert fleet.send(late)
    fleet.wall += 40 * 86400
    kept = fleet.orders.keep()
    fleet.wall -= 40 * 86400
    for one in (fleet, Fleet(kept=kept)):
        assert not one.send(early)
        assert one.refused == {"replayed": 1}


def test_a_key_that_was_taken_out_and_comes_back_brings_no_earlier_order_back():
    early, late = sign(ALICE, order()), sign(BOB, order(at=10, drained=False))
    fleet = Fleet()
    fleet.wall += 10
    assert fleet.send(late)
    without_bob = Fleet(kept=fleet.orders.keep(), trusted=signers({public_text(ALICE.verify_key): "alice"}))
    again = Fleet(kept=without_bob.orders.keep())
    assert not again.send(early)
    assert again.refused == {"replayed": 1}


@pytest.mark.parametrize(("off", "reason"), [(-86_400, "not yet valid"), (86_400, "expired")])
def test_an_order_that_comes_while_our_clock_is_wrong_is_taken_when_it_is_set(off, reason):
    fleet = Fleet()
    fleet.wall += off
    assert [fleet.send(GOOD) for _ in range(3)] == [False] * 3
    assert fleet.refused == {reason: 1}
    assert not fleet.orders.look()
    assert fleet.due() == []
    fleet.wall = WALL + 5
    assert fleet.orders.look()
    assert not fleet.orders.look()
    assert [(one.verb, one.subject) for one in fleet.due()] == [(Verb.DRAIN, "fra1")]
    assert fleet.refused == {reason: 1}


def test_an_order_for_later_is_taken_when_its_time_comes_and_nothing_forged_takes_its_place():
    fleet, later = Fleet(), order(at=3600, nbf_ms=int((WALL + 3600) * 1000))
    assert not fleet.send(sign(ALICE, later))
    for n in range(3):
        fleet.send(changed(GOOD, b'"exp_ms":', b'"exp_ms":%d' % (n + 1)))
    fleet.wall += 3601
    assert fleet.orders.look()
    assert len(fleet.due()) == 1


def test_while_our_clock_is_behind_what_is_in_force_stays_so():
    fleet = Fleet()
    assert fleet.send(GOOD)
    there = Memory(drains=(DrainMemory("fra1", 7200.0, ALICES),))
    fleet.wall -= 86_400
    assert fleet.due(there) == []
    fleet.wall += 86_400
    assert fleet.due(there) == []


def test_whoever_sends_orders_to_and_fro_moves_traffic_a_few_times_a_minute_only():
    fleet = Fleet()
    for n in range(40):
        fleet.wall += 1
        fleet.send(sign(ALICE, order(at=n + 1, drained=n % 2 == 0)))
    assert fleet.refused == {"too many": 40 - CHANGES}
    assert fleet.orders.missed
    fleet.clock += CHANGES_WITHIN
    fleet.wall += 1
    assert fleet.send(sign(ALICE, order(at=41)))


def test_a_flood_is_not_verified():
    fleet = Fleet()
    forged = [changed(GOOD, b'"exp_ms":', b'"exp_ms":%d' % n) for n in range(1, 1000)]
    for one in forged:
        fleet.send(one)
    assert fleet.refused == {"signature": BURST, "too many": 999 - BURST}
    assert fleet.orders.missed
    fleet.clock += 1
    assert fleet.send(GOOD)


def test_a_flood_in_the_name_of_one_key_keeps_no_other_from_being_heard():
    fleet = Fleet()
    for n in range(1, 1000):
        fleet.send(changed(GOOD, b'"exp_ms":', b'"exp_ms":%d' % n))
        fleet.send(sign(MALLORY, order(at=-n)))
    assert fleet.refused == {"signature": BURST, "too many": 999 - BURST, "unknown key": 999}
    assert fleet.send(sign(BOB, order()))
