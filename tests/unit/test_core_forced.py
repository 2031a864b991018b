"""Forced moves: when a policy has to leave, whatever that costs, and where to."""

import pytest

from steerd.core.policy import failover
from steerd.core.policy.drains_and_pins import POP
from steerd.core.states import Reason
from tests.unit.networks import Network, heard

A, B, C = "a/w", "b/w", "c/w"


def usual(**rest):
    network = heard(Network(A, B, C, now=10.0, **rest), a=20.0, b=30.0, c=40.0)
    network.wanted = A
    return network


def forced(network):
    return failover.forced(network.eligible())


def target(network, reason):
    found = failover.target(network.eligible(), reason)
    return found and found.id


def nobody(_path):
    return False


def test_a_path_that_answers_may_stay():
    network = usual()
    network.miss(A, 2)
    assert forced(network) is None


def test_what_forces_a_policy_to_leave():
    for reason, happens in {
        Reason.DOWN: lambda one: one.kill(A),
        Reason.ABSENT: lambda one: one.paths[A].link(False, 10.0),
        Reason.DRAIN: lambda one: one.drains.add("a", "operator", None),
        Reason.PIN: lambda one: one.pinned("b", hard=True),
        Reason.POLICY: lambda one: one.forbidden.update({A: "region"}),
    }.items():
        network = usual()
        happens(network)
        assert forced(network) is reason


def test_a_soft_pin_forces_once_its_pop_is_trusted():
    network = usual()
    network.pinned("b")
    assert forced(network) is Reason.PIN
    network.miss(B)
    assert forced(network) is None


def test_an_order_from_afar_forces_while_there_is_another():
    network = usual()
    network.drains.add("a", POP, None)
    assert forced(network) is Reason.DRAIN
    for name in (B, C):
        network.kill(name)
    assert forced(network) is None
    network.drains.add("a", "operator", None)
    assert forced(network) is Reason.DRAIN


def test_a_drain_is_told_before_the_health_of_the_path():
    network = usual()
    network.kill(A)
    network.drains.add("a", "operator", None)
    assert forced(network) is Reason.DRAIN


def test_the_first_by_rank_is_taken():
    network = usual()
    assert target(network, Reason.DRAIN) == B
    network.kill(B)
    assert target(network, Reason.DRAIN) == C
    network.kill(C)
    assert target(network, Reason.DRAIN) is None


def test_a_silent_path_is_left_only_for_one_that_answered_a_probe_sent_since():
    network = usual()
    network.now = 20.0
    network.kill(A)
    assert target(network, Reason.DOWN) is None
    assert target(network, Reason.DRAIN) == B
    network.hear(C, 40.0)
    assert target(network, Reason.DOWN) == C


def test_a_better_path_whose_answer_is_on_the_way_is_awaited_for_a_quarter_of_a_second():
    network = usual()
    network.now = 20.0
    network.kill(A)
    network.hear(C, 40.0)

    def awaits(ignore_below=2.0):
        return failover.awaits(network.eligible(), network.paths[C], Reason.DOWN, ignore_below=ignore_below)

    assert awaits()
    assert not awaits(ignore_below=10.0)
    network.now = 20.0 + failover.AWAITED - 0.01
    assert awaits()
    network.now = 20.0 + failover.AWAITED
    assert not awaits()
    network.now = 20.1
    network.miss(B)
    assert not awaits()


def test_nobody_is_awaited_when_the_choice_is_not_silent():
    network = usual()
    assert not failover.awaits(network.eligible(), network.paths[C], Reason.DRAIN, ignore_below=2.0)


def test_when_nothing_on_the_uplink_answers_the_fault_is_on_this_side():
    network = usual(uplinks={A: "wan", B: "wan", C: "lte"})
    network.kill(A)
    assert not failover.local_outage(network.eligible(), Reason.DOWN)
    network.kill(B)
    assert failover.local_outage(network.eligible(), Reason.DOWN)
    assert not failover.local_outage(network.eligible(), Reason.ABSENT)


def test_one_path_alone_on_its_uplink_tells_nothing_of_it():
    network = usual()
    network.kill(A)
    assert not failover.local_outage(network.eligible(), Reason.DOWN)


def test_the_runner_up_is_on_another_uplink_if_there_is_one():
    network = usual(uplinks={A: "wan", B: "wan", C: "lte"})

    def second(shares=nobody):
        return failover.second(network.eligible(), network.paths[A], shares)

    assert second() == C
    assert second(lambda id_: id_ == C) == B
    network.miss(C)
    assert second() == B
    network.drains.add("b", POP, None)
    assert second() is None


@pytest.mark.parametrize(
    ("happens", "serves"),
    [
        (lambda _: None, True),
        (lambda one: one.miss(B), True),
        (lambda one: one.kill(B), False),
        (lambda one: one.drains.add("b", POP, None), False),
        (lambda one: one.pinned("a", hard=True), False),
        (lambda one: setattr(one, "wanted", B), False),
        (lambda one: one.paths.pop(B), False),
    ],
)
def test_a_runner_up_is_kept_as_long_as_it_can_do_its_work(happens, serves):
    network = usual()
    happens(network)
    assert failover.serves(network.eligible(), B, nobody) is serves


def test_a_runner_up_that_shares_or_is_none_does_not_serve():
    eligible = usual().eligible()
    assert not failover.serves(eligible, B, lambda id_: id_ == B)
    assert not failover.serves(eligible, None, nobody)


def test_one_that_was_adopted_and_not_heard_yet_may_stay():
    network = usual()
    network.add("d/w")
    assert failover.serves(network.eligible(), "d/w", nobody)
