"""What `steerd init` makes of readings of a machine: tables, and the files in `tests/golden/init`.

When a change is meant::

    STEERD_GOLDEN=write make test TESTS=tests/unit/test_init.py

writes them anew; read them aloud before they are committed: is each line of use to whoever edits the file?
"""

import os
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from steerd.config.file.problem import ConfigError
from steerd.config.gateway.load import load
from steerd.machine import draft, quick
from steerd.machine.answers import Answers
from steerd.machine.check import findings
from steerd.machine.record import Machine, Unread
from steerd.machine.ways import Ways, hidden, ways
from steerd.net.wireguard.device import Device as WireGuard
from steerd.net.wireguard.device import Peer
from steerd.route.kernel.main_table import DefaultRoute, Main
from steerd.route.model.objects import Device
from steerd.status.snapshot import Underlay
from tests.unit.test_machine_looks import HEALTHY

GOLDEN = Path(__file__).parents[1] / "golden" / "init"
BOTH = "0.0.0.0/0, ::/0"
MAC = "02:00:00:00:00:02"


def file(name, allowed=BOTH, address="10.64.1.2/24", own="Table = off\nFwMark = 0x51\n", dns=""):
    dns = f"DNS = {dns}\n" if dns else ""
    text = f"[Interface]\nAddress = {address}\n{own}{dns}[Peer]\nAllowedIPs = {allowed}\n"
    return {name: quick.parse(f"/etc/wireguard/{name}.conf", text)}


def machine(*devices, quick=(), defaults=((4, "wan"),), up=True, **changes):
    """With a WAN, a LAN, Docker, and WireGuard ``devices``: (name, addresses, prefixes of the peer)."""
    plain = ("lo", "wan", "lan", "docker0", "ppp0")
    names = (*plain, *(name for name, *_ in devices))
    found = {
        name: Device(place, name, up=up or name in plain, hardware=MAC if name in plain[1:4] else "")
        for place, name in enumerate(names, 1)
    }
    addresses = {
        "lo": ["127.0.0.1/8", "::1/128"],
        "wan": ["198.51.100.2/24"],
        "lan": ["10.77.0.1/24"],
        "docker0": ["172.17.0.1/16"],
        **{name: list(some) for name, some, _ in devices},
    }
    return replace(
        HEALTHY,
        main=Main({}, tuple(DefaultRoute(family, name, "", 0, 16) for family, name in defaults), found),
        enabled=frozenset(found),
        addresses={name: [ip_interface(one) for one in some] for name, some in addresses.items()},
        underlays={name: Underlay("203.0.113.1", "wan", 254) for name, *_ in devices},
        wireguard={
            name: WireGuard(name, 0x51, {"KEY=": Peer("KEY=", 990.0, endpoint=f"203.0.113.{at}", allowed=some)})
            for at, (name, _, some) in enumerate(devices, 1)
        },
        quick={name: one for some in quick for name, one in some.items()},
        **changes,
    )


def allowed(*texts):
    return quick.parse("f", f"[Interface]\nTable=off\n[Peer]\nAllowedIPs = {','.join(texts)}\n").allowed[0]


EVERY = allowed(BOTH)
FRA1 = ("wg-fra1", ["10.64.1.2/24", "fd64:1::2/64"], EVERY)
AMS1 = ("wg-ams1", ["10.64.2.2/24", "fd64:2::2/64"], EVERY)
TWELVE = [(f"wg-pop{n}", [f"10.64.{n}.2/24"], EVERY) for n in range(1, 13)]


def written(machine, folder, heard=lambda _: True, session="", only=None, refused=""):
    """The file, of targets that are heard, and its ways."""
    found = ways(machine, only)
    targets = {}
    if tried := draft.tried(found):
        name = folder / "tried.toml"
        name.write_text(tried)
        config = load(name)
        answers = {
            path.path: {place for place, one in enumerate(path.targets) if heard(one.address)}
            for path in config.probe.paths
        }
        targets = draft.chosen(found, config, Answers(answers, refused=refused))
    return draft.text(found, targets, session), found


CASES = {
    "two tunnels": (machine(FRA1, AMS1), {"session": "192.0.2.7"}),
    "two tunnels of files, not up": (
        machine(quick=[file("wg-fra1"), file("wg-ams1", address="10.64.2.2/24", dns="10.64.2.53, corp.example")]),
        {"heard": lambda _: False},
    ),
    "one is silent": (machine(FRA1, AMS1), {"heard": lambda one: "64:2" not in one and "64.2" not in one}),
    "IPv6 alone": (machine(("wg6", ["fd64:1::2/64"], allowed("::/0")), defaults=((6, "wan"),)), {}),
    "IPv4 alone, and there is IPv6": (machine(("wg4", ["10.64.1.2/24"], EVERY), defaults=((4, "wan"), (6, "wan"))), {}),
    "one with IPv6, one without": (machine(FRA1, ("wg-ams1", ["10.64.2.2/24"], EVERY)), {}),
    "no tunnel, two uplinks": (machine(defaults=((4, "wan"), (6, "wan"), (4, "ppp0"))), {}),
    "nothing names a target": (machine(FRA1, ("wg-ams1", ["10.64.2.2/32"], EVERY)), {}),
    "names that are none": (
        machine(*((name, ["10.64.1.2/24"], EVERY) for name in ("wg-1", "wg@fra", "wg_fra", "wg-", "tun-é1"))),
        {},
    ),
    "several marks": (machine(quick=[file("wg-fra1"), file("wg-ams1", own="Table = off\n")]), {}),
    "twelve": (machine(*TWELVE), {}),
    "left out": (
        machine(
            FRA1,
            ("office", ["10.9.0.1/24"], allowed("10.9.0.0/16")),
            quick=[
                {"torn": quick.parse("/etc/wireguard/torn.conf", "\x00\xff[[[=\n")},
                {"bom": quick.parse("/etc/wireguard/bom.conf", "\ufeff[Interface]\nTable = off\n")},
            ],
        ),
        {},
    ),
    "nobody may probe": (machine(FRA1), {"heard": lambda _: False, "refused": "no raw sockets"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_as_it_was_meant_and_passes_check(case, tmp_path):
    given, options = CASES[case]
    text, found = written(given, tmp_path, **options)
    golden = GOLDEN / f"{case.replace(',', '').replace(' ', '-')}.toml"
    if os.environ.get("STEERD_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
    assert all(len(line) <= 120 for line in text.splitlines())
    target = tmp_path / "steerd.toml"
    target.write_text(text)
    if case == "nothing names a target":
        with pytest.raises(ConfigError, match=r'target: found "AN ADDRESS BEHIND wg-ams1"; must be an IPv4 address'):
            load(target)
        return
    config = load(target)
    assert config.warnings == ()
    assert {path.pop for path in config.core.paths} == {way.pop for way in found.found}


def test_what_was_just_written_has_nothing_in_its_way_on_the_machine_that_it_was_written_on(tmp_path):
    for case in ("two tunnels", "IPv6 alone", "one with IPv6, one without", "twelve"):
        given, options = CASES[case]
        text, _ = written(given, tmp_path, **options)
        target = tmp_path / "steerd.toml"
        target.write_text(text)
        config = load(target)
        heard = Answers({path.path: set(range(len(path.targets))) for path in config.probe.paths})
        assert findings(config, given, heard) == [], case


def test_a_file_for_two_tunnels_is_short_and_is_the_one_in_the_docs(tmp_path):
    page = (GOLDEN.parents[2] / "docs" / "init.md").read_text()
    assert written(*CASES["two tunnels"][:1], tmp_path, **CASES["two tunnels"][1])[0] in page
    assert len(written(CASES["two tunnels"][0], tmp_path)[0].splitlines()) <= 60


@pytest.mark.parametrize(
    ("name", "addresses", "peer", "dns", "targets"),
    [
        ("its far end", ["10.64.1.2/24"], EVERY, "", ["10.64.1.1"]),
        ("its far end, being the first", ["10.64.1.1/24"], EVERY, "", ["10.64.1.2"]),
        ("two addresses in all", ["10.64.1.1/31"], EVERY, "", ["10.64.1.0"]),
        ("named hosts first", ["10.64.1.2/24"], EVERY | allowed("10.0.0.9/32"), "", ["10.0.0.9", "10.64.1.1"]),
        ("itself is none", ["10.64.1.2/32"], EVERY | allowed("10.64.1.2/32"), "10.64.1.2", []),
        ("its resolver", ["10.64.1.2/32"], EVERY, "corp.example, 10.64.0.1", ["10.64.0.1"]),
        ("of its families alone", ["10.64.1.2/32"], EVERY, "2001:db8::53, 9.9.9.9", ["9.9.9.9"]),
        ("no loopback, no group", ["10.64.1.2/32"], EVERY, "127.0.0.53, 224.0.0.1, 0.0.0.0", []),
        ("both families", ["10.64.1.2/32", "fd64::2/64"], EVERY, "9.9.9.9", ["9.9.9.9", "fd64::1"]),
        ("IPv6 of the link alone is none", ["10.64.1.2/24", "fe80::2/64"], EVERY, "", ["10.64.1.1"]),
        ("at most four", ["10.64.1.2/24"], EVERY | allowed(*(f"10.0.0.{n}" for n in range(1, 9))), "",
         ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
    ],
)  # fmt: skip
def test_what_may_answer_behind_a_tunnel(name, addresses, peer, dns, targets):
    given = machine(("wg-fra1", addresses, peer), quick=[file("wg-fra1", address="", dns=dns)])
    assert list(ways(given).found[0].targets) == targets, name


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (("office", ["10.9.0.1/24"], allowed("10.9.0.0/16")), "hold no default route"),
        (("half", ["10.9.0.1/24"], allowed("0.0.0.0/1")), "hold no default route"),
        (("wg6", ["10.9.0.1/24"], allowed("::/0")), "no address of the family"),
        (("wg:0", ["10.9.0.1/24"], EVERY), "must be the name of a network device"),
    ],
)
def test_tunnels_that_cannot_carry_everything_are_left_out_with_the_reason(device, why):
    found = ways(machine(device))
    assert found.found == ()
    assert why in found.left[0]


def test_two_halves_are_a_default_route_too():
    assert ways(machine(("wg0", ["10.9.0.1/24"], allowed("0.0.0.0/1,128.0.0.0/1")))).found[0].families == (4,)


def test_a_device_with_several_peers_or_none_is_left_out():
    given = machine(FRA1)
    for peers, why in (({}, "it has no peer"), ({key: Peer(key, allowed=EVERY) for key in "ab"}, "it has 2 peers")):
        found = ways(replace(given, wireguard={"wg-fra1": WireGuard("wg-fra1", 0, peers)}))
        assert (found.found, why in found.left[0]) == ((), True)


def test_files_that_are_named_are_taken_and_nothing_else():
    only = file("wg-par1", address="10.64.3.2/24")
    found = ways(machine(FRA1, quick=[file("wg-ams1")]), only)
    assert [(way.pop, way.up, way.uplink) for way in found.found] == [("par1", False, "wan")]
    assert ways(machine(defaults=((4, "wan"), (4, "ppp0"))), {"torn": quick.parse("torn.conf", "")}).found == ()


def test_uplinks_are_taken_where_it_is_sure_that_there_is_no_tunnel():
    two = {"defaults": ((4, "wan"), (4, "ppp0"))}
    assert [way.pop for way in ways(machine(**two)).found] == ["wan", "ppp0"]
    for unread in (Unread("WireGuard devices", "x"), Unread("wg-quick's files in /etc/wireguard", "x")):
        found = ways(machine(**two, unread=(unread,)))
        assert (found.found, hidden(machine(unread=(unread,)))) == ((), [f"{unread.what} (x)"])
    assert ways(machine(FRA1, **two)).found[0].pop == "fra1"
    assert ways(machine()) == Ways((), (), ("lan",), frozenset({4}))
    assert ways(Machine()) == Ways(())


def test_the_mark_is_that_of_the_file_since_wg_quick_sets_another_for_its_own_rules():
    given = machine(FRA1, quick=[file("wg-fra1", own="")])
    assert ways(given).found[0].mark == 0
    assert ways(machine(FRA1)).found[0].mark == 0x51
    assert quick.parse("f", "[Interface]\nFwMark = off\n").mark == 0


@pytest.mark.parametrize(
    ("peers", "known"),
    [
        ("[Peer]\nEndpoint = Fra1.example.net:51820\n", "fra1.example.net:51820"),
        ("[Peer]\nEndpoint = 203.0.113.1:51820\n", ""),  # never looked up
        ("[Peer]\nEndpoint = [2001:db8::1]:51820\n", ""),
        ("[Peer]\nEndpoint = fra1.example.net\n", ""),
        ("[Peer]\r\nendpoint=FRA1.example.net.:51820  # Frankfurt\r\n", "fra1.example.net.:51820"),
        ("[Peer]\nEndpoint = größe.example.net:51820\n", ""),  # getaddrinfo as wg calls it knows none either
        ("[Peer]\nEndpoint = xn--gre-6ka8l.example.net:51820\n", "xn--gre-6ka8l.example.net:51820"),
        ("[Peer]\nEndpoint = fra1.example.net:wireguard\n", ""),
        ("[Peer]\nEndpoint = localhost:4567\n", ""),  # what wraps WireGuard's packets here does not move
        ("[Peer]\nEndpoint = fra1.example.net:51820\n[Peer]\n", ""),
        ("[Peer]\n", ""),
    ],
)
def test_an_endpoint_that_is_a_name_is_written_down_since_wireguard_forgets_it(peers, known, tmp_path):
    one = quick.parse("f", f"[Interface]\nTable = off\n{peers}AllowedIPs = 0.0.0.0/0\n")
    assert one.endpoint == known
    text, _ = written(machine(FRA1, quick=[{"wg-fra1": one}]), tmp_path)
    assert (f'endpoint = "{known}"' in text) is bool(known)
    assert ("endpoint" in text) is bool(known)


def test_lans_are_what_has_hosts_and_is_no_way_out_and_no_container():
    assert ways(machine(FRA1)).inputs == ("lan",)
    given = machine(FRA1)
    ports = {**given.main.devices, "lan": replace(given.main.devices["lan"], master=9)}
    assert ways(replace(given, main=replace(given.main, devices=ports))).inputs == ()
    narrow = {**given.addresses, "lan": [ip_interface("192.0.2.1/30"), ip_interface("fe80::1/64")]}
    assert ways(replace(given, addresses=narrow)).inputs == ()


def test_devices_that_a_file_cannot_name_are_in_none(tmp_path):
    given = machine(FRA1)
    devices = {**given.main.devices, 'a"b': Device(9, 'a"b', up=True, hardware=MAC), "w n": Device(10, "w n", up=True)}
    addresses = {**given.addresses, 'a"b': [ip_interface("10.78.0.1/24")]}
    given = replace(given, main=replace(given.main, devices=devices), addresses=addresses)
    given = replace(given, underlays={"wg-fra1": Underlay("203.0.113.1", "w n", 254)})
    text, found = written(given, tmp_path)
    assert (found.inputs, "uplink" in text) == (("lan",), False)


def test_who_may_not_see_all_tunnels_is_told_so_in_the_file(tmp_path):
    given = machine(unread=(Unread("WireGuard devices", "CAP_NET_ADMIN is missing"),))
    text, _ = written(given, tmp_path, only=file("wg-fra1"))
    assert "# Left out: WireGuard devices (CAP_NET_ADMIN is missing)\n" in text


def test_of_targets_those_that_answer_are_taken_the_likeliest_of_each_family(tmp_path):
    given = machine(("wg-fra1", ["10.64.1.2/24", "fd64::2/64"], EVERY | allowed("10.0.0.9/32")))
    for heard, line in (
        ({"10.0.0.9", "10.64.1.1", "fd64::1"}, 'target = "10.0.0.9", target6 = "fd64::1"'),
        ({"10.64.1.1"}, 'target = "10.64.1.1" }'),
        ({"fd64::1"}, 'uplink = "wan", target6 = "fd64::1"'),
        (set(), 'target = "10.0.0.9", target6 = "fd64::1"'),
    ):
        assert line in written(given, tmp_path, heard.__contains__)[0]
