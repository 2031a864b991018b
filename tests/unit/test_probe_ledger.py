"""The outcomes of a probe, told apart, with literal times."""

from steerd.core.events import Outcome
from steerd.probe.outcomes.ledger import CAPACITY, Egress, Flight, Ledger

PATIENCE = 0.1
TIMEOUT = 1.0


def send(
    ledger: Ledger[str], number: int = 1, at: float = 100.0, patience: float = PATIENCE, queues: int = 1
) -> Flight[str]:
    egress = Egress(queues)
    flight = Flight(number, "fra1/wg0", 0x1234, at, 0, patience, TIMEOUT, egress)
    ledger.sent(flight)
    return flight


def judged(ledger: Ledger[str], now: float) -> list[tuple[int, Outcome]]:
    return [(flight.number, outcome) for flight, outcome in ledger.judge(now)]


def test_an_answer_in_time_is_a_reply_and_the_next_a_duplicate():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = send(ledger)
    assert judged(ledger, 100.05) == []
    assert ledger.answered(flight) is Outcome.REPLY
    assert ledger.answered(flight) is Outcome.DUPLICATE
    assert judged(ledger, 102.0) == []
    assert ledger.waiting == 0


def test_no_answer_is_overdue_then_lost():
    ledger: Ledger[str] = Ledger(lambda _: None)
    send(ledger)
    assert judged(ledger, 100.095) == []
    assert judged(ledger, 100.1) == [(1, Outcome.OVERDUE)]
    assert judged(ledger, 100.995) == []
    assert judged(ledger, 101.0) == [(1, Outcome.LOST)]
    assert ledger.waiting == 0


def test_an_answer_to_an_overdue_probe_is_a_reply():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = send(ledger)
    assert judged(ledger, 100.5) == [(1, Outcome.OVERDUE)]
    assert ledger.answered(flight) is Outcome.REPLY
    assert judged(ledger, 101.0) == []


def test_an_answer_to_a_lost_probe_is_late_then_duplicate():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = send(ledger)
    judged(ledger, 101.0)
    assert ledger.answered(flight) is Outcome.LATE
    assert ledger.answered(flight) is Outcome.DUPLICATE


def test_every_lost_probe_was_overdue_first_even_with_no_patience_left():
    for patience in (TIMEOUT, 5 * TIMEOUT):
        ledger: Ledger[str] = Ledger(lambda _: None)
        send(ledger, patience=patience)
        assert judged(ledger, 100.995) == []
        assert judged(ledger, 101.0) == [(1, Outcome.OVERDUE), (1, Outcome.LOST)]


def test_both_verdicts_at_once_after_a_long_time():
    ledger: Ledger[str] = Ledger(lambda _: None)
    send(ledger)
    assert judged(ledger, 103.0) == [(1, Outcome.OVERDUE), (1, Outcome.LOST)]


def test_an_error_is_told_once_and_settles_nothing():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = send(ledger)
    assert ledger.erred(flight) is Outcome.ERROR
    assert ledger.erred(flight) is None
    assert judged(ledger, 101.0) == [(1, Outcome.OVERDUE), (1, Outcome.LOST)]
    other = send(ledger, 2, 101.0)
    ledger.answered(other)
    assert ledger.erred(other) is None


def test_closed_probes_are_never_heard_of_again():
    ledger: Ledger[str] = Ledger(lambda _: None)
    answered, lost, overdue, waiting = (send(ledger, n, 99.0 + n / 2) for n in (1, 2, 4, 5))
    ledger.answered(answered)
    assert judged(ledger, 101.5) == [(2, Outcome.OVERDUE), (2, Outcome.LOST), (4, Outcome.OVERDUE)]
    assert ledger.close(lambda _: True) == [overdue, waiting]
    assert [ledger.answered(flight) for flight in (answered, lost, overdue, waiting)] == [None] * 4
    assert judged(ledger, 110.0) == []
    assert ledger.waiting == 0


def test_only_the_probes_concerned_are_closed():
    ledger: Ledger[str] = Ledger(lambda _: None)
    one, two = send(ledger, 1), send(ledger, 2)
    assert ledger.close(lambda flight: flight is one) == [one]
    assert ledger.answered(two) is Outcome.REPLY


def test_a_probe_is_forgotten_some_seconds_after_its_timeout():
    ledger: Ledger[str] = Ledger(lambda _: None)
    send(ledger)
    judged(ledger, 105.9)
    assert ledger.find(1) is not None
    judged(ledger, 106.1)
    assert ledger.find(1) is None


def test_memory_is_bounded():
    ledger: Ledger[str] = Ledger(lambda _: None)
    for number in range(CAPACITY + 100):
        send(ledger, number)
    judged(ledger, 100.0)
    assert ledger.find(99) is None
    assert ledger.find(100) is not None
    assert ledger.waiting == CAPACITY


def waits(flight: Flight[str], left_after: float | None) -> Flight[str]:
    """The flight entered our own queue at once, and left it so many seconds later (None: not yet)."""
    flight.queued(1)
    if left_after is not None:
        flight.left(max(1, round(left_after * 1e9)))
    return flight


def test_patience_and_timeout_count_from_when_the_probe_left_this_machine():
    ledger: Ledger[str] = Ledger(lambda _: None)
    waits(send(ledger), 0.5)
    assert judged(ledger, 100.55) == []
    assert judged(ledger, 100.6) == [(1, Outcome.OVERDUE)]
    assert judged(ledger, 101.4) == []
    assert judged(ledger, 101.5) == [(1, Outcome.LOST)]
    assert ledger.waiting == 0


def test_a_probe_in_our_own_queue_is_not_judged_and_one_that_never_left_is_local():
    settled = []
    ledger: Ledger[str] = Ledger(settled.append)
    flight = waits(send(ledger), None)
    assert judged(ledger, 100.9) == []
    assert judged(ledger, 101.0) == [(1, Outcome.LOCAL)]
    assert (ledger.waiting, settled) == (0, [flight])
    assert ledger.answered(flight) is None


def test_what_never_left_is_judged_where_departures_were_never_seen():
    """A kernel before 6.13 stamps a tunnel's outer packet, which tells nothing of the probe in it."""
    ledger: Ledger[str] = Ledger(lambda _: None)
    waits(send(ledger, queues=0), None)
    assert judged(ledger, 100.1) == [(1, Outcome.OVERDUE)]
    assert judged(ledger, 101.0) == [(1, Outcome.LOST)]


def test_a_probe_that_a_tunnel_keeps_is_judged_and_one_in_the_uplinks_queue_is_not():
    """A tunnel without a session keeps its packets: they enter its device, but never the queue of the uplink."""
    ledger: Ledger[str] = Ledger(lambda _: None)
    waits(send(ledger, 1, queues=2), None)
    waits(waits(send(ledger, 2, queues=2), None), None)
    assert judged(ledger, 100.1) == [(1, Outcome.OVERDUE)]
    assert dict(judged(ledger, 101.0)) == {1: Outcome.LOST, 2: Outcome.LOCAL}


def test_how_many_queues_there_are_is_learned_from_what_leaves():
    ledger: Ledger[str] = Ledger(lambda _: None)
    first = send(ledger, queues=0)
    assert not waits(first, None).queueing
    waits(first, 0.01)
    assert first.egress.queues == 2


def test_a_probe_that_left_its_queue_late_is_judged_from_then_on():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = waits(send(ledger), None)
    assert judged(ledger, 100.3) == []
    waits(flight, 0.35)
    assert judged(ledger, 100.44) == []
    assert judged(ledger, 100.5) == [(1, Outcome.OVERDUE)]


def test_who_is_told_of_an_overdue_probe_may_say_that_it_never_left():
    ledger: Ledger[str] = Ledger(lambda _: None)
    flight = send(ledger, patience=5.0)
    for judgement in ledger.judge(101.0):
        assert judgement == (flight, Outcome.OVERDUE)
        ledger.unsent(flight)
    assert ledger.waiting == 0
    assert judged(ledger, 105.0) == []
