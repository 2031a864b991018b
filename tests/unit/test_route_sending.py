"""What devices are handed and what they send, by their own counters."""

from collections.abc import Mapping

from steerd.route.observed.sending import Sending


def silent(*looks: tuple[Mapping[str, int], Mapping[str, int]], every: int = 1) -> frozenset[str]:
    sending = Sending()
    sending.look({}, {"a": 1000, "b": 1000}, 0.0)
    for at, (handed, totals) in enumerate(looks, 1):
        sending.look(handed, totals, 5.0 * at, every=every)
    return sending.silent


def test_a_device_that_sends_next_to_nothing_twice_in_a_row_is_silent_until_it_sends():
    stuck = ({"a": 100, "b": 100}, {"a": 1005, "b": 1110})
    again = ({"a": 100, "b": 100}, {"a": 1010, "b": 1220})
    assert silent(stuck) == frozenset()
    assert silent(stuck, again) == {"a"}
    assert silent(stuck, again, ({"a": 100}, {"a": 1110, "b": 1220})) == frozenset()
    assert silent(stuck, again, ({}, {"a": 1010, "b": 1220})) == {"a"}  # nothing new: still


def test_few_packets_are_put_together_and_what_a_queue_drops_is_not_silence():
    few = [({"a": 9}, {"a": 1000}) for _ in range(6)]
    assert silent(*few) == {"a"}
    assert silent(*few[:3]) == frozenset()
    assert silent(({"a": 100}, {"a": 1020}), ({"a": 100}, {"a": 1040})) == frozenset()


def test_a_device_that_was_made_again_or_is_gone_tells_nothing():
    assert silent(({"a": 100}, {"a": 3}), ({"a": 100}, {"a": 103})) == frozenset()
    assert silent(({"a": 100}, {}), ({"a": 100}, {})) == frozenset()
    assert silent(({"a": 100}, {"a": 1000}), ({"a": 100}, {"a": 1000}), ({}, {"b": 1})) == frozenset()


def test_of_samples_as_many_are_needed_and_what_was_seen_a_minute_ago_tells_nothing_of_now():
    one = ({"a": 64}, {"a": 1003})  # a sample of three packets that were sent
    two = ({"a": 64}, {"a": 1006})
    assert silent(one, two) == {"a"}
    assert silent(one, two, every=64) == frozenset()
    stuck = [({"a": 100}, {"a": 1000})] * 2
    quiet = ({}, {"a": 1000})
    assert silent(*stuck, *[quiet] * 11) == {"a"}
    assert silent(*stuck, *[quiet] * 12) == frozenset()
