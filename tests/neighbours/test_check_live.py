"""Real neighbours on the gateway: `check --live` names what is in steerd's way, touches none of it, and the cures that
are commands or keys leave nothing of it."""

import pytest

from steerd.lab.enclosure import run
from tests.neighbours.neighbours import NEIGHBOURS

pytestmark = [pytest.mark.neighbours, pytest.mark.lab, pytest.mark.broker]

FOUND = {
    "networkd": {"networkd-removes", "networkd-nexthops"},
    "networkd, told so": {"networkd-nexthops"},
    "networkd, told so, and no nexthops": set(),
    "FRR": set(),
    "BIRD": set(),
    "babeld": set(),
    "keepalived": set(),
    "NetworkManager": set(),
    # It takes the tunnels' own packets, too, as long as steerd's rule for `bypass_mark` is not there. So does mwan3.
    "wg-quick": {"rule-after", "target-silent"},
    "wg-quick, started last": {"rule-after", "target-silent"},
    "OpenVPN": {"main-takes"},
    "Tailscale": {"rule-after"},
    "strongSwan": {"rule-before"},
    "Docker": set(),
    "Docker that turned forwarding on": {"chain-drops"},
    "firewalld": {"chain-drops"},
    "mwan3": {"rule-before"},
    "mwan3, of all traffic": {"rule-before", "target-silent"},
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_what_a_neighbour_has_in_the_way_is_named_and_cured(name: str) -> None:
    found = run("tests.neighbours.live:looked", name, timeout=200.0)
    assert {one["id"] for one in found["findings"]} == FOUND[name], found["findings"]
    assert found["touched"] == []
    errors = {one["id"] for one in found["findings"] if one["severity"] == "error"}
    assert found["code"] == (69 if errors else 0)
    told = [one["id"] for one in found["findings"] if one["by"] == "do"]
    assert [one["id"] for one in found["left"]] == told, found["left"]
