"""What is read of a machine, without a configuration, against what was set up with `ip` and `nft`."""

import subprocess
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.machine.reading import neighbours, read
from steerd.machine.record import IpsecPolicy, Reachability
from steerd.route.model.objects import RouteType

pytestmark = [pytest.mark.lab, pytest.mark.nft]

SETUP = """
link add name wan type veth peer name far
link set wan up
link set far up
addr add 192.0.2.1/24 dev wan
addr add 2001:db8::1/64 dev wan nodad
neigh add 192.0.2.9 dev wan nud failed
neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 nud permanent dev wan
route add default via 192.0.2.254 dev wan metric 7
route add 198.51.100.0/24 via 192.0.2.254 table 52
rule add priority 5270 lookup 52
xfrm policy add dir out src 10.0.0.0/8 dst 10.9.0.0/16 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel
xfrm policy add dir in src 10.9.0.0/16 dst 10.0.0.0/8 tmpl src 192.0.2.2 dst 192.0.2.1 proto esp mode tunnel
"""


def reading() -> Any:
    namespaces.ip(SETUP)
    chain = (
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }"
    )
    subprocess.run(["nft", chain], check=True)
    machine = read()
    (table,) = ({*leads} for key, leads in machine.tables.items() if key == (4, 52))
    return {
        "devices": {name: one.up for name, one in machine.main.devices.items()},
        "enabled": sorted(machine.enabled),
        "addresses": sorted(map(str, machine.addresses["wan"])),
        "neighbours": [machine.neighbours.get(("wan", f"192.0.2.{last}")) for last in (9, 8, 7)],
        "again": neighbours(machine.main).get(("wan", "192.0.2.9")),
        "defaults": [(one.family, one.device, one.via, one.metric) for one in machine.main.defaults],
        "rules": [rule.priority for _, rule in machine.rules if rule.target == 52],
        "table": [(lead.type, lead.devices, lead.via) for lead in table],
        "ipsec": machine.ipsec,
        "forwarding": machine.sysctl("ipv4", "wan", "forwarding"),
        "chains": {name: "FORWARD" in text for name, text in machine.nftables.forwarding.items()},
        "refused": [use for use, words in machine.nftables.refusals.items() if words],
        "uplinks": sorted(machine.uplinks),
        "unread": machine.unread,
    }


def test_a_machine_is_read_as_it_is() -> None:
    found = run(f"{__name__}:reading")
    assert {name: found["devices"][name] for name in ("wan", "far", "lo")} == {"wan": True, "far": True, "lo": True}
    assert found["enabled"] == ["far", "lo", "wan"]
    assert found["addresses"][:2] == ["192.0.2.1/24", "2001:db8::1/64"]
    assert found["neighbours"] == [Reachability.FAILED, Reachability.PERMANENT, None]
    assert found["again"] == Reachability.FAILED
    assert found["rules"] == [5270]
    assert found["ipsec"] == [list(IpsecPolicy(4, "10.0.0.0/8", "10.9.0.0/16"))]
    assert found["forwarding"] in ("0", "1")
    assert found["chains"] == {"ip filter": True}
    assert found["refused"] == []
    assert found["unread"] == []
    assert found["defaults"] == [[4, "wan", "192.0.2.254", 7]]
    assert found["uplinks"] == ["wan"]
    assert found["table"] == [[RouteType.UNICAST, ["wan"], "192.0.2.254"]]
