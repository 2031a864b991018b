"""Which paths a policy may use, and in which order: what it forbids, drain, hard pin, health, soft pin, cost."""

import pytest

from steerd.core.policy.drains_and_pins import POP
from steerd.core.states import PathState
from tests.unit.networks import Network, heard

A, B, C = "a/w", "b/w", "c/w"


def usual(**rest):
    """Three paths of three PoPs, of which a is the cheapest and in use."""
    network = heard(Network(A, B, C, now=10.0, **rest), a=20.0, b=30.0, c=40.0)
    network.wanted = A
    return network


def why(network, name):
    return network.eligible().excluded(name)


def ranked(network):
    eligible = network.eligible()
    usable = [path for path in network.paths.values() if eligible.excluded(path.id) is None]
    return [path.pop for path in sorted(usable, key=eligible.rank)]


def test_nothing_speaks_against_a_path_that_answers():
    assert [why(usual(), name) for name in (A, B, C)] == [None] * 3


def test_each_exclusion_says_why():
    network = usual(forbidden={C: "region us is not among de, fr"})
    network.drains.add("b", "operator", None)
    assert why(network, C) == "region us is not among de, fr"
    assert why(network, B) == "b is drained (operator)"
    network.drains.remove("b", "operator")
    network.pinned("a", hard=True)
    assert why(network, B) == "the policy is pinned to a"
    network.pin = None
    network.refused[B] = "No such device"
    assert why(network, B) == "the kernel refused it: No such device"
    network.refused.clear()
    network.kill(B)
    assert why(network, B).startswith("down: 3 probes in a row unanswered")
    network.paths[A].link(False, 10.0)
    assert why(network, A).startswith("absent: its device is down")
    network.add("d/w")
    assert why(network, "d/w") == "nothing heard yet"


def test_the_order_of_precedence():
    """What comes first in it is told first."""
    network = usual(forbidden={C: "test"})
    for name in (B, C):
        network.kill(name)
        network.refused[name] = "busy"
    network.pinned("a", hard=True)
    network.drains.add("b", "operator", None)
    network.drains.add("c", "operator", None)
    assert why(network, C) == "test"
    assert why(network, B) == "b is drained (operator)"
    network.drains.remove("b", "operator")
    assert why(network, B) == "the policy is pinned to a"
    network.pinned("b", hard=True)
    assert why(network, B).startswith("down")


def test_what_only_doubts_a_path_excludes_nothing():
    network = usual()
    network.miss(B)
    network.paths[C].tunnel("no handshake", 10.0)
    assert (why(network, B), why(network, C)) == (None, None)
    assert network.paths[B].health.state is PathState.SUSPECT


@pytest.mark.parametrize("origin", [POP, "signed by alice"])
def test_an_order_from_afar_ranks_a_pop_last_and_forbids_nothing(origin):
    network = usual()
    network.drains.add("b", origin, None)
    assert why(network, B) is None
    assert network.eligible().passed_over(B) == f"b is to be left ({origin})"
    assert ranked(network) == ["a", "c", "b"]
    network.wanted = B
    assert network.eligible().passed_over(B) is None  # it is there already


def test_a_hard_pin_holds_while_its_pop_may_be_used():
    network = usual()
    network.pinned("b", hard=True)
    assert [network.eligible().pin_allows(path) for path in network.paths.values()] == [False, True, False]
    network.drains.add("b", "operator", None)
    assert [network.eligible().pin_allows(path) for path in network.paths.values()] == [True] * 3
    network.drains.remove("b", "operator")
    network.kill(B)
    assert not network.eligible().pin_allows(network.paths[A])  # it stays, dead or not
    network.pinned("gone", hard=True)
    assert network.eligible().pin_allows(network.paths[A])


def test_a_soft_pin_ranks_and_does_not_forbid():
    network = usual()
    network.pinned("c")
    assert ranked(network) == ["c", "a", "b"]
    network.kill(C)
    assert ranked(network) == ["a", "b"]


def test_while_the_pinned_pop_may_be_used_no_price_leads_away_from_it():
    network = usual()
    network.pinned("c")
    opened = [network.eligible().open(path) for path in network.paths.values()]
    assert opened == [False, False, True]
    network.kill(C)
    assert [network.eligible().open(path) for path in network.paths.values()] == [True, True, False]


def test_a_pin_is_followed_back_only_to_a_path_that_is_trusted():
    network = usual()
    network.pinned("c")
    assert network.eligible().pinned(up=True)
    network.miss(C)
    assert network.eligible().pinned()
    assert not network.eligible().pinned(up=True)
    network.pin = None
    assert not network.eligible().pinned()


def test_who_answers_and_is_trusted_ranks_before_who_is_cheap():
    network = usual()
    network.miss(A)
    assert ranked(network) == ["b", "c", "a"]
    network.hear(A, 20.0)
    assert ranked(network) == ["a", "b", "c"]
    network.paths[A].health.restore(length=8.0, age=0.0, left=5.0, now=12.0)
    assert ranked(network) == ["b", "c", "a"]  # in hold-down


def test_a_path_in_recovery_ranks_before_one_that_does_not_answer():
    network = usual()
    network.kill(A)
    network.now = 13.0
    network.hear(A, 20.0)
    assert network.paths[A].health.state is PathState.RECOVERING
    network.miss(B)
    assert ranked(network) == ["c", "a", "b"]


def test_it_is_hopeless_only_when_no_path_might_answer():
    network = usual()
    network.add("d/w")
    for name in (A, B, C):
        network.kill(name)
    assert not network.eligible().hopeless()  # d was not heard yet
    network.kill("d/w")
    assert network.eligible().hopeless()
    network.pinned("gone", hard=True)
    network.now = 14.0
    network.hear(B, 30.0)
    assert not network.eligible().hopeless()
    network.drains.add("b", "operator", None)
    assert network.eligible().hopeless()


def test_another_path_to_move_to_answers_and_is_wanted_by_nobody_to_be_left():
    network = usual()
    assert network.eligible().undrained()
    network.drains.add("b", POP, None)
    network.kill(C)
    assert not network.eligible().undrained()


def test_the_silence_of_the_choice_begins_with_its_first_unanswered_probe():
    network = usual()
    assert network.eligible().silent_since() == float("-inf")
    network.miss(A, 2)
    assert network.eligible().silent_since() == 11.0
    network.wanted = None
    assert network.eligible().silent_since() == float("-inf")
