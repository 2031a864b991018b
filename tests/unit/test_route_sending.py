"""What devices are handed and what they send, by their own counters."""

from collections.abc import Mapping

from steerd.route.observed.sending import Sending


def silent(*looks: tuple[Mapping[str, int], Mapping[str, int]]) -> frozenset[str]:
    sending = Sending()
    sending.look({}, {"a": 1000, "b": 1000})
    for handed, totals in looks:
        sending.look(handed, totals)
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
