"""Broken WireGuard tunnels, one fault each, cured by what `check --live` says, with traffic through them."""

from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from tests.lab import wireguard
from tests.lab.live import FILE, check, cure, shell
from tests.lab.waiting import until
from tests.lab.wireguard import POPS, SERVICE, Network

pytestmark = [pytest.mark.lab, pytest.mark.wireguard]

QUICK = Path("/etc/wireguard")


def arrives(network: Network) -> None:
    """A LAN host's datagrams come to a PoP, from now on."""
    before = {pop: len(network.seen(pop)) for pop in POPS}
    until(lambda: any(len(network.seen(pop)) > before[pop] + 5 for pop in POPS), what="datagrams at a PoP")


def tunnels() -> Any:
    found: dict[str, Any] = {}
    network = Network(devices=True)
    FILE.write_text(network.config(interval="200ms"))
    peers = {pop: network.keys[pop].public for pop in POPS}
    found["before"] = check()
    network.run_daemon(FILE.read_text())
    network.traffic("lan", SERVICE, 0.05)
    until(wireguard.all_up)
    arrives(network)
    found["beside"] = check()
    pop = str(wireguard.choice()).split("/")[0]
    target, of_peer = f"10.64.{POPS.index(pop) + 1}.1/32", f"wg set wg-{pop} peer {peers[pop]} allowed-ips"
    found["cures"] = {
        "allowed-ips": f"{of_peer} {target},198.18.0.0/15",
        "allowed-ips-target": f"{of_peer} {target},198.18.0.0/15",
        "mark-is-steerds": f"wg set wg-{pop} fwmark 0x0",
    }
    for name, broken in {
        "allowed-ips": f"{of_peer} {target}",
        "allowed-ips-target": f"{of_peer} 198.18.0.0/15",
        "mark-is-steerds": f"wg set wg-{pop} fwmark 0x01000000",
    }.items():
        shell(broken)
        found[name] = [check()]
        for finding in found[name][0][1]:
            cure(finding)
        arrives(network)
        until(wireguard.all_up)
        found[name].append(check())
    return found


def test_allowed_ips_that_do_not_hold_what_is_sent_and_a_mark_that_is_steerds_are_named_and_cured() -> None:
    found = run(f"{__name__}:tunnels")
    assert (found["before"], found["beside"]) == ([0, []], [0, []])
    for name, text in found["cures"].items():
        (code, findings), after = found[name]
        assert (code, [(one["id"], one["cure"]) for one in findings]) == (69, [(name, text)])
        assert after == [0, []], name


def itself() -> Any:
    """A policy for everything, the gateway's own packets too: those of the tunnels among them."""
    found: dict[str, Any] = {}
    network = Network(devices=True)
    for pop in POPS:
        wireguard.wg("gw", "set", f"wg-{pop}", "peer", network.keys[pop].public, "allowed-ips", "0.0.0.0/0")
        wireguard.wg("gw", "set", f"wg-{pop}", "fwmark", "0x51")
    # The PoPs are behind routers, as on the Internet: main reaches them by its default route alone.
    for number, pop in enumerate(POPS, 1):
        near, far = f"192.0.2.{4 * number + 1}", f"192.0.2.{4 * number + 2}"
        namespaces.ip(f"addr add 203.0.113.{number}/32 dev lo\nroute add default via {near}", pop)
        wireguard.wg(
            "gw", "set", f"wg-{pop}", "peer", network.keys[pop].public, "endpoint", f"203.0.113.{number}:51820"
        )
        if number == 1:
            namespaces.ip(f"route add default via {far}", "gw")
    # All others by the first one's router, which leads on.
    namespaces.sysctl("fra1", ipv4__ip_forward=1)
    config = network.config(interval="200ms").replace('"198.18.0.0/15"', '"0.0.0.0/0"')
    config = config.replace('flows = "move"', 'flows = "move"\nown_traffic = true\npops = ["fra1"]')
    config = config.replace('[[pop]]\nname = "ams1"', "#").split("#")[0]
    FILE.write_text(config)
    found["broken"] = check()
    daemon = network.run_daemon(config)
    until(lambda: wireguard.choice() is not None)
    # wireguard-go remembers by which device its peer was heard last, until its own socket is another.
    shell("wg set wg-fra1 listen-port 51899")
    network.traffic("lan", SERVICE, 0.05)
    until(lambda: wireguard.path("fra1")["state"] == "down")
    daemon.terminate()
    daemon.wait(60)
    for finding in found["broken"][1]:
        cure(finding)
    found["cured"] = check()
    # The tunnel anew, as who cures it would: what came through it within itself has each end take the other's inner
    # address for its outer one, and wireguard-go lets them go round for ever.
    for namespace, device, key, endpoint, routes in (
        ("fra1", "p-fra1", network.own["wg-fra1"].public, "192.0.2.5:51899", ("10.64.0.0/24", "10.77.0.0/24")),
        ("gw", "wg-fra1", network.keys["fra1"].public, "203.0.113.1:51820", ("10.64.1.1",)),
    ):
        namespaces.ip(f"link set {device} down", namespace)
        wireguard.wg(namespace, "set", device, "peer", key, "endpoint", endpoint)
        namespaces.ip("\n".join([f"link set {device} up", *(f"route add {r} dev {device}" for r in routes)]), namespace)
    network.run_daemon(FILE.read_text())
    until(wireguard.all_up)
    arrives(network)
    found["beside"] = check()
    return found


def test_a_policy_that_steers_the_tunnels_own_packets_into_the_tunnel_is_named_and_a_key_keeps_it_from_that() -> None:
    found = run(f"{__name__}:itself")
    code, findings = found["broken"]
    assert (code, [one["id"] for one in findings]) == (69, ["tunnel-into-itself"])
    assert (findings[0]["by"], findings[0]["cure"]) == ("set", 'route.bypass_mark = "0x51"')
    # What the former daemon left behind still leads the tunnel's packets into it.
    assert [one["id"] for one in found["cured"][1]] == ["target-silent"]
    assert found["beside"] == [0, []]


def quick() -> Any:
    """A tunnel that wg-quick has made, with a default route of its own."""
    found: dict[str, Any] = {}
    network = Network(devices=True)
    FILE.write_text(network.config(interval="200ms"))
    shell(f"mount -t tmpfs tmpfs {QUICK}")  # of the lab's own
    private = network.own["wg-fra1"].file.read_text().strip()
    (QUICK / "wg-fra1.conf").write_text(f"""\
[Interface]
PrivateKey = {private}
ListenPort = 51821
Address = 10.64.0.1/30

[Peer]
PublicKey = {network.keys["fra1"].public}
Endpoint = 192.0.2.6:51820
AllowedIPs = 0.0.0.0/0
""")
    (QUICK / "wg-fra1.conf").chmod(0o600)
    found["not up"] = check()
    shell("ip link del wg-fra1")
    until(lambda: not Path("/run/wireguard/wg-fra1.sock").exists())
    found["missing"] = check()
    shell("wg-quick up wg-fra1")
    shell("ip route add 10.64.1.1 dev wg-fra1")
    found["up"] = check()
    found["own packets"] = shell("ip route get 203.0.113.9").split()[2]
    for finding in found["up"][1]:
        cure(finding)
    shell("ip route add 10.64.1.1 dev wg-fra1")
    found["cured"] = check()
    found["rules"] = shell("ip rule")
    network.run_daemon(FILE.read_text())
    network.traffic("lan", SERVICE, 0.05)
    until(wireguard.all_up)
    arrives(network)
    found["beside"] = check()
    return found


def test_a_tunnel_of_wg_quicks_without_table_off_is_named_and_its_cure_takes_its_routes_away() -> None:
    if not QUICK.is_dir():
        pytest.skip("wireguard-tools has made no /etc/wireguard")
    found = run(f"{__name__}:quick")
    code, findings = found["not up"]
    assert (code, [one["id"] for one in findings]) == (0, ["wg-quick-table"])
    code, findings = found["missing"]
    assert (code, [one["id"] for one in findings]) == (69, ["device-missing"])
    # It would take the machine's own default route as it is.
    assert findings[0]["cure"].endswith("a Table = off' /etc/wireguard/wg-fra1.conf && wg-quick up wg-fra1")
    code, findings = found["up"]
    assert (code, [one["id"] for one in findings]) == (69, ["wg-quick-table"])
    assert found["own packets"] == "wg-fra1"
    assert found["cured"] == [0, []]
    assert "51820" not in found["rules"]
    assert found["beside"] == [0, []]
