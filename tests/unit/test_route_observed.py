"""What counted packets say of a policy: where they went, and when that is an error."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerd.core.settings import PolicyId
from steerd.route.observed.ledger import ENOUGH, RECENT, Ledger, words
from steerd.route.observed.where import Seen, Ways, Where, places

P = PolicyId("users")
KEY = (P, 4)
WAYS = {KEY: Ways(frozenset({"a"}), frozenset({"a", "b"}))}


def looks(*seen: Seen, ways=WAYS, every: int = 1, apart: float = 5.0) -> Ledger:
    ledger = Ledger()
    for at, one in enumerate(seen):
        ledger.look({KEY: one}, ways, at * apart, (at + 1) * apart, every=every)
    return ledger


def seen(*, nowhere: int = 0, guard: int = 0, here: int = 0, own: Counter | None = None, **left: int) -> Seen:
    return Seen(sum(left.values()) + nowhere + guard + here, here, Counter(left), guard, own or Counter())


def wrong(ledger: Ledger) -> list[str]:
    return [words(one) for one in ledger.wrong(P)]


def test_each_device_is_the_choices_another_paths_or_none():
    found = places(seen(a=5, b=3, wan=2, guard=4), WAYS[KEY])
    assert found == {
        (Where.CHOICE, "a"): 5,
        (Where.PATH, "b"): 3,
        (Where.ASTRAY, "wan"): 2,
        (Where.GUARD, ""): 4,
    }


def test_what_came_and_neither_left_nor_was_for_this_machine_went_nowhere():
    ledger = looks(seen(a=5, here=7, guard=1, nowhere=3))
    assert ledger.total[P, 4, Where.NOWHERE, ""] == 3


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (seen(a=60, wan=40), "some of its IPv4 packets leave by wan, which is no path of the policy's"),
        (seen(wan=40), "most of its IPv4 packets leave by wan, which is no path of the policy's"),
        (seen(other=40), "most of its IPv4 packets leave by another device, which is no path of the policy's"),
        (seen(a=60, nowhere=40), "some of its IPv4 packets go nowhere: they come in, and do not leave"),
        (
            seen(guard=40),
            "most of its IPv4 packets are dropped by the leak guard: they would leave by no path of the policy's",
        ),
    ],
)
def test_it_is_an_error_when_two_spans_in_a_row_are_wrong_and_none_after_two_that_are_right(one, said):
    assert wrong(looks(one)) == []
    assert wrong(looks(one, one)) == [said]
    assert wrong(looks(one, one, seen(a=100))) == []


def test_a_switch_a_few_stragglers_and_traces_are_no_error():
    few = seen(a=990, wan=9)
    assert wrong(looks(seen(b=50), seen(a=20, b=80))) == []
    assert wrong(looks(few, few)) == []
    assert wrong(looks(seen(a=15, wan=5), seen(a=16, wan=4))) == []  # fewer than ten
    assert wrong(looks(seen(wan=50), seen(a=50), seen(wan=50))) == []


def test_a_policy_that_is_to_go_nowhere_does_as_it_should():
    blocked = {KEY: Ways(frozenset(), frozenset({"a"}))}
    assert wrong(looks(seen(nowhere=50), seen(guard=50), ways=blocked)) == []


def test_what_a_program_here_binds_to_a_device_is_shown_and_no_error():
    own = seen(own=Counter(wan=50))
    assert wrong(looks(own, own)) == []
    assert looks(own).recent(P)[1] == {4: {(Where.ASTRAY, "wan"): 50}}


def test_few_packets_are_put_together_until_there_are_enough():
    ledger = looks(*(seen(wan=ENOUGH // 4) for _ in range(7)))
    assert wrong(ledger) == []
    assert wrong(looks(*(seen(wan=ENOUGH // 4) for _ in range(8)))) != []


def test_what_is_past_tells_nothing_of_now():
    ledger = looks(seen(wan=50), seen(wan=50))
    ledger.look({}, WAYS, 10.0, 10.0 + RECENT)
    assert wrong(ledger) == []
    assert ledger.recent(P) == (0.0, {})


def test_a_policy_that_is_gone_is_forgotten_and_its_total_stays():
    ledger = looks(seen(wan=50), seen(wan=50))
    ledger.look({}, {}, 10.0, 15.0)
    assert wrong(ledger) == []
    assert ledger.total[P, 4, Where.ASTRAY, "wan"] == 100


@given(st.lists(st.integers(-30, 9), max_size=40))
def test_counters_that_are_read_one_after_the_other_make_nothing_disappear(skews):
    """A packet that one counter has seen and the next has not yet is counted there with the next look."""
    ledger, late = Ledger(), 0
    for at, skew in enumerate(skews):
        ledger.look({KEY: Seen(1000 + skew - late, 0, Counter(a=1000))}, WAYS, at, at + 1)
        late = skew
    assert ledger.total[P, 4, Where.NOWHERE, ""] <= max([0, *skews])
    assert wrong(ledger) == []


def test_of_samples_what_may_be_chance_is_no_error():
    chance = Seen(64_000, 0, Counter(a=60_000))
    assert wrong(looks(chance, chance, every=64)) == []
    assert wrong(looks(seen(nowhere=64_000), seen(nowhere=64_000), every=64)) != []
    assert wrong(looks(seen(a=64_000, wan=6_400), seen(a=64_000, wan=6_400), every=64)) != []


def test_drops_of_the_guard_are_told_in_all_and_of_the_last_minute():
    ledger = looks(seen(guard=3), seen(guard=2))
    assert ledger.dropped() == ledger.dropped_lately() == {P: 5}
    ledger.look({}, WAYS, 10.0, 66.0)
    assert ledger.dropped_lately() == {P: 2}
    assert ledger.dropped() == {P: 5}
