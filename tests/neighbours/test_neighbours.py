"""Real neighbours on the gateway: nobody's objects change, no packet is lost, what cannot be had is said in words."""

import re
from typing import Any

import pytest

from steerd.lab.enclosure import run
from tests.neighbours.neighbours import NEIGHBOURS, Order

pytestmark = [pytest.mark.neighbours, pytest.mark.lab, pytest.mark.broker]

BY_STEERD = {"beside", "switch", "reload", "crash"}
STANDS = {"switch", "reload", "crash", "looks again", "comes"}
"""The neighbour is there after these steps, and has been long enough for steerd to have said so."""


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_beside(name: str) -> None:
    found: dict[str, Any] = run("tests.neighbours.scene:beside", name, timeout=300.0)
    neighbour, steps = NEIGHBOURS[name], found["steps"]

    def each(what: str, among: set[str]) -> dict[str, Any]:
        return {step: steps[step][what] for step in steps if step in among}

    # Nobody's objects change: what steerd does, it does to its own alone; and what comes again is as it was.
    same = BY_STEERD | ({"looks again", "comes"} if Order.FIRST in neighbour.orders else set())
    assert not any(each("foreign", same).values()), steps
    assert found["left"] == [[], []]
    # What the neighbour's routes lead to is reached.
    assert all(each("reached", steps.keys()).values()), steps
    # Users' packets go by paths or not at all; they are lost only where the neighbour takes them, or what is steerd's.
    assert not any(each("leaked", steps.keys()).values()), steps
    lost = each("tail" if neighbour.removes else "lost", steps.keys())
    for family in {4, 6} - neighbour.takes:
        assert not any(one[str(family)] for one in lost.values()), (lost, found["log"])
    # What the neighbour takes comes back when it goes.
    assert not any(each("tail", {"goes"})["goes"].values()), steps
    assert found["admin"] or neighbour.silent
    assert not any(found["nested"].values())
    # What cannot be had is told; and that it can, once it can.
    for step, said in each("words", STANDS).items():
        for pattern in neighbour.says:
            assert any(re.search(pattern, line) for line in said), (step, pattern, said)
    assert "Traceback" not in found["log"]


def test_a_hundred_thousand_routes_from_a_bgp_neighbour_cost_users_no_packet() -> None:
    found = run("tests.neighbours.scene:bgp", timeout=300.0)
    assert found["kept"] == []
    assert (found["lost"], found["leaked"]) == (0, 0)
    assert "Traceback" not in found["log"]
