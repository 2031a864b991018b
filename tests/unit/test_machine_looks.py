"""A configuration against readings of a machine, each with one thing wrong: what is found, and its cure. Tables."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from steerd.cli.verbs.live import text
from steerd.config.gateway.load import load
from steerd.config.settings import MqttSettings
from steerd.core.views import Finding as Said
from steerd.machine.answers import Answers
from steerd.machine.check import findings
from steerd.machine.finding import By, Severity, run, warning, worst_first
from steerd.machine.record import (
    IpsecPolicy,
    Listener,
    Machine,
    Nftables,
    Process,
    QuickFile,
    Reachability,
    Reserved,
    Sockets,
    Unread,
)
from steerd.net.wireguard.device import Device as WireGuard
from steerd.net.wireguard.device import Peer
from steerd.route.around.networkd import Removes
from steerd.route.claim import claims
from steerd.route.kernel.main_table import DefaultRoute, Main
from steerd.route.model import prefixes
from steerd.route.model.leads import Lead
from steerd.route.model.objects import FULL_MASK, Action, Device, Foreign, Kind, RouteType, Rule, Seen, State
from steerd.status.snapshot import Underlay

FILE = """\
[[pop]]
name = "fra1"
paths = [{ dev = "wg-fra1", uplink = "wan", target = "10.64.1.1" }]
[[pop]]
name = "ams1"
paths = [{ dev = "wg-ams1", uplink = "wan", target = "10.64.2.1" }]
[[pop]]
name = "lte1"
paths = [{ dev = "lte", via = "192.0.2.129", target = "198.51.100.1", target6 = "2001:db8:1::1", via6 = "auto" }]
[[policy]]
name = "users"
prefixes = ["0.0.0.0/0", "::/0"]
"""
OWN = FILE + "own_traffic = true\n"
BYPASS = OWN + '[route]\nbypass_mark = "0x51"\n'
DEVICES = {
    one.name: one
    for one in (
        Device(1, "lo", up=True),
        Device(2, "lan", up=True, hardware="02:00:00:00:00:02"),
        Device(3, "wan", up=True, hardware="02:00:00:00:00:03"),
        Device(4, "lte", up=True, hardware="02:00:00:00:00:04"),
        Device(5, "wg-fra1", up=True),
        Device(6, "wg-ams1", up=True),
        Device(7, "br0", up=True, hardware="02:00:00:00:00:07", bridge=True),
    )
}


def lead(*devices, family=4, via=""):
    return Lead(family, RouteType.UNICAST, 0, devices, via, attached=not via)


def packed(*texts, family=4):
    return prefixes.pack(family, texts)


MAIN = Main(
    {lead("lan"): packed("10.77.0.0/24"), lead("wan"): packed("192.0.2.0/25"), lead("lte"): packed("192.0.2.128/25")},
    (
        DefaultRoute(4, "wan", "192.0.2.2", 0, 16),
        DefaultRoute(6, "lte", "fe80::1", 0, 9),
        DefaultRoute(4, "lte", "192.0.2.129", 100, 16),
    ),
    DEVICES,
)
ADDRESSES = {
    name: [ip_interface(one) for one in some]
    for name, some in {
        "lo": ("127.0.0.1/8", "::1/128"),
        "lan": ("10.77.0.1/24", "fd77::1/64"),
        "wan": ("192.0.2.1/25",),
        "lte": ("192.0.2.130/25",),
        "wg-fra1": ("10.64.1.2/24",),
        "wg-ams1": ("10.64.2.2/24",),
    }.items()
}
EVERYTHING = frozenset({bytes(5), bytes(17)})


def tunnel(name, endpoint, mark=0, allowed=EVERYTHING):
    return WireGuard(name, mark, {"KEY=": Peer("KEY=", 990.0, endpoint=endpoint, allowed=allowed)})


TWO_PEERS = WireGuard(
    "wg-fra1",
    0x51,
    {
        "KEY=": Peer("KEY=", 990.0, endpoint="203.0.113.1", allowed=EVERYTHING),
        "OTHER=": Peer("OTHER=", 990.0, endpoint="203.0.113.3"),
    },
)
HEALTHY = Machine(
    main=MAIN,
    enabled=frozenset(DEVICES),
    addresses=ADDRESSES,
    sysctls={(p, "all", "forwarding"): "1" for p in ("ipv4", "ipv6")},
    wireguard={
        "wg-fra1": tunnel("wg-fra1", "203.0.113.1", mark=0x51),
        "wg-ams1": tunnel("wg-ams1", "203.0.113.2", mark=0x51),
    },
    nftables=Nftables(refusals={"guard": None, "pin": None, "clamp": None, "ingress": None, "log": None}),
    now=1000.0,
)
ANSWERS = Answers({"fra1/wg-fra1": {0}, "ams1/wg-ams1": {0}, "lte1/lte": {0, 1}})


@pytest.fixture
def configured(tmp_path):
    def configured(text):
        file = tmp_path / "steerd.toml"
        file.write_text(text)
        return load(file)

    return configured


def changed(**changes):
    return replace(HEALTHY, **changes)


def device(name, **changes):
    return changed(main=replace(MAIN, devices={**DEVICES, name: replace(DEVICES[name], **changes)}))


def without(name):
    devices = {one: found for one, found in DEVICES.items() if one != name}
    return changed(main=replace(MAIN, devices=devices))


def sysctls(**values):
    named = {tuple(key.split("__")): value for key, value in values.items()}
    return changed(sysctls={**HEALTHY.sysctls, **named})


def chain(text):
    listing = f"table inet filter {{\n\tchain forward {{\n\t\t{text}\n\t}}\n}}\n"
    return changed(nftables=replace(HEALTHY.nftables, forwarding={"inet filter": listing}))


def ruled(*rules, **tables):
    led = {(4, int(number.removeprefix("t"))): leads for number, leads in tables.items()}
    return changed(rules=[(0, one) for one in rules], tables=led)


def wireguard(name="wg-fra1", endpoint="203.0.113.1", **changes):
    return changed(wireguard={**HEALTHY.wireguard, name: tunnel(name, endpoint, **{"mark": 0x51, **changes})})


QUICK = QuickFile("/etc/wireguard/wg-fra1.conf")
QUICK_RULE = Rule(4, 32765, Action.LOOKUP, 51820, mark=51820, mask=FULL_MASK, invert=True)
HALVES = frozenset(prefixes.split(4, packed("0.0.0.0/1", "128.0.0.0/1"))) | {bytes(17)}
FEWER = frozenset({bytes(5)})
MARKED = Rule(4, 100, Action.NOP, mark=0x01000000, mask=0xFF000000)
LOOKUP = Rule(4, 100, Action.LOOKUP, 100)
WITH_HALVES = {**MAIN.leads, lead("wan", via="192.0.2.2"): packed("0.0.0.0/1", "128.0.0.0/1")}
NETWORKD = "printf x >/etc/systemd/networkd.conf.d/steerd.conf"
PORTS = [Listener("::", 9911, 7), Listener("127.0.0.1", 9912, 8)]
WAN = {lead("wan", via="192.0.2.2"): bytes(5)}
MANAGED = {"managed": {"wg-fra1"}, "programs": {"NetworkManager"}}
DROPS = "type filter hook forward priority filter; policy drop;"
SED = "sed -i '/^ *\\[Interface\\]/a Table = off' /etc/wireguard/wg-fra1.conf"
DOCKER = f"""\
table ip filter {{
\tchain DOCKER-USER {{
\t\tcounter return
\t}}

\tchain FORWARD {{
\t\t{DROPS}
\t\tjump DOCKER-USER
\t}}
}}
"""
LTE = 'dev = "lte", via = "192.0.2.129"'
OVER = FILE.replace('dev = "wg-fra1"', 'dev = "wg-fra1", over = "wan"')

CASES = {
    "healthy": (FILE, HEALTHY, []),
    # devices
    "missing": (FILE, without("wg-fra1"), [("device-missing", "path fra1/wg-fra1, dev", None)]),
    "missing, but wg-quick's": (
        FILE,
        replace(without("wg-fra1"), quick={"wg-fra1": QuickFile("/etc/wireguard/wg-fra1.conf", "off")}),
        [("device-missing", "path fra1/wg-fra1, dev", "wg-quick up wg-fra1")],
    ),
    "missing, and its file is elsewhere": (
        FILE,
        replace(without("wg-fra1"), quick={"wg-fra1": QuickFile("/srv/tunnels/wg-fra1.conf", "off")}),
        [("device-missing", "path fra1/wg-fra1, dev", "wg-quick up /srv/tunnels/wg-fra1.conf")],
    ),
    "missing, and wg-quick would make routes": (
        FILE,
        replace(without("wg-fra1"), quick={"wg-fra1": QUICK}),
        [("device-missing", "path fra1/wg-fra1, dev", f"{SED} && wg-quick up wg-fra1")],
    ),
    "spelled wrong": (
        FILE.replace('"wg-fra1"', '"wg-fra"'),
        HEALTHY,
        [("device-missing", "path fra1/wg-fra, dev", 'dev = "wg-fra1"')],
    ),
    "off": (
        FILE,
        replace(device("wg-fra1", up=False), enabled=frozenset()),
        [("device-down", "path fra1/wg-fra1, dev", "ip link set wg-fra1 up")],
    ),
    "no carrier": (FILE, device("lte", up=False), [("device-down", "path lte1/lte, dev", None)]),
    "a port": (FILE, device("lte", master=7), [("device-is-a-port", "path lte1/lte, dev", 'dev = "br0"')]),
    "no IPv6": (
        FILE,
        sysctls(**{"ipv6__wg-fra1__disable_ipv6": "1"}),
        [("ipv6-off", "path fra1/wg-fra1, dev", "sysctl -w net.ipv6.conf.wg-fra1.disable_ipv6=0")],
    ),
    "input": (
        FILE + 'iif = ["br0", "lna"]\n',
        HEALTHY,
        [("input-missing", "policy users, iif", 'iif = ["br0", "lan"]')],
    ),
    "source": (
        FILE.replace('target = "10.64.1.1"', 'target = "10.64.1.1", source = "10.9.9.9"'),
        HEALTHY,
        [("source-missing", "path fra1/wg-fra1, source", 'source = "10.64.1.2"')],
    ),
    # next hops
    "off the link": (
        FILE.replace(LTE, 'dev = "lte", via = "192.0.2.3"'),
        HEALTHY,
        [("next-hop-off-link", "path lte1/lte, via", 'via = "192.0.2.129"')],
    ),
    "itself": (
        FILE.replace(LTE, 'dev = "lte", via = "192.0.2.130"'),
        HEALTHY,
        [("next-hop-is-own", "path lte1/lte, via", 'via = "192.0.2.129"')],
    ),
    "nobody": (
        FILE.replace(LTE, 'dev = "lte", via = "192.0.2.140"'),
        changed(neighbours={("lte", "192.0.2.140"): Reachability.FAILED}),
        [("next-hop-silent", "path lte1/lte, via", 'via = "192.0.2.129"')],
    ),
    "nobody, and no other": (
        FILE,
        changed(neighbours={("lte", "192.0.2.129"): Reachability.INCOMPLETE}),
        [("next-hop-silent", "path lte1/lte, via", None)],
    ),
    "no route to learn from": (
        FILE,
        changed(main=replace(MAIN, defaults=MAIN.defaults[:1])),
        [("next-hop-unknown", "path lte1/lte, via6", None)],
    ),
    # WireGuard
    "halves are all": (FILE, wireguard(allowed=HALVES), []),
    "IPv6 is not allowed": (
        FILE,
        wireguard(allowed=FEWER),
        [("allowed-ips", "policy users, prefixes", "wg set wg-fra1 peer KEY= allowed-ips 0.0.0.0/0,::/0")],
    ),
    "nor is what the policy leaves out": (
        FILE + 'except = ["128.0.0.0/1"]\n',
        wireguard(allowed=frozenset(prefixes.split(4, packed("0.0.0.0/1"))) | {bytes(17)}),
        [],
    ),
    "the target is not allowed": (
        FILE.replace("0.0.0.0/0", "198.18.0.0/15"),
        wireguard(allowed=frozenset(prefixes.split(4, packed("198.18.0.0/15"))) | {bytes(17)}),
        [
            (
                "allowed-ips-target",
                "path fra1/wg-fra1, target",
                "wg set wg-fra1 peer KEY= allowed-ips 10.64.1.1/32,198.18.0.0/15,::/0",
            )
        ],
    ),
    "no peer": (
        FILE,
        changed(wireguard={**HEALTHY.wireguard, "wg-fra1": WireGuard("wg-fra1")}),
        [("peer-missing", "path fra1/wg-fra1, dev", None)],
    ),
    "a name to follow and nobody to tell": (
        FILE.replace('dev = "lte",', 'dev = "lte", endpoint = "lte1.example.net:51820",').replace(
            'dev = "wg-fra1",', 'dev = "wg-fra1", endpoint = "fra1.example.net:51820",'
        ),
        HEALTHY,
        [("endpoint-unused", "path lte1/lte, endpoint", None)],
    ),
    "a name to follow and two peers": (
        FILE.replace('dev = "wg-fra1",', 'dev = "wg-fra1", endpoint = "fra1.example.net:51820",').replace(
            '"10.64.1.1"', '"fra1.example.net"'
        ),
        changed(wireguard={**HEALTHY.wireguard, "wg-fra1": TWO_PEERS}),
        [("endpoint-unused", "path fra1/wg-fra1, endpoint", None)],
    ),
    "its mark is ours": (
        FILE,
        wireguard(mark=0x01000051),
        [("mark-is-steerds", "route.mark", "wg set wg-fra1 fwmark 0x51")],
    ),
    "into itself": (
        OWN,
        HEALTHY,
        [("tunnel-into-itself", "policy users, own_traffic", 'route.bypass_mark = "0x51"')],
    ),
    "into itself, one of two": (
        BYPASS,
        wireguard(mark=0),
        [("tunnel-into-itself", "policy users, own_traffic", "wg set wg-fra1 fwmark 0x51")],
    ),
    "into itself, without a mark": (
        OWN,
        changed(wireguard={name: replace(one, mark=0) for name, one in HEALTHY.wireguard.items()}),
        [("tunnel-into-itself", "policy users, own_traffic", 'route.management = ["203.0.113.1", "203.0.113.2"]')],
    ),
    "past itself": (BYPASS, HEALTHY, []),
    "main knows the far ends": (
        OWN,
        changed(main=replace(MAIN, leads={**MAIN.leads, lead("wan", via="192.0.2.2"): packed("203.0.113.0/24")})),
        [],
    ),
    "wg-quick's next": (
        FILE,
        changed(quick={"wg-fra1": QUICK}),
        [("wg-quick-table", "device wg-fra1", SED)],
    ),
    "wg-quick's": (
        FILE,
        replace(
            wireguard(mark=51820),
            quick={"wg-fra1": QUICK},
            rules=[(0, QUICK_RULE)],
            tables={(4, 51820): {lead("wg-fra1"): bytes(5)}},
        ),
        [("wg-quick-table", "device wg-fra1", f"wg-quick down wg-fra1 && {SED} && wg-quick up wg-fra1")],
    ),
    "wg-quick's, told not to": (FILE, changed(quick={"wg-fra1": QuickFile("f", "off")}), []),
    # paths that are one
    "one uplink": (
        FILE.replace(' uplink = "wan",', ""),
        changed(underlays={one: Underlay("203.0.113.1", "wan", 254) for one in ("wg-fra1", "wg-ams1")}),
        [("uplink-shared", "paths ams1/wg-ams1, fra1/wg-fra1", 'uplink = "wan"')],
    ),
    "an uplink that is not there": (
        FILE.replace('uplink = "wan"', 'uplink = "wwan0"', 1) + '[[uplink]]\nname = "wwan0"\ncap = "1GB"\n',
        HEALTHY,
        [("uplink-missing", "uplink wwan0, name", None)],
    ),
    "an uplink that a tunnel does not name": (
        FILE.replace('"wg-ams1", uplink = "wan"', '"wg-ams1"') + '[[uplink]]\nname = "wan"\ncap = "1GB"\n',
        changed(underlays={"wg-ams1": Underlay("203.0.113.1", "wan", 254)}),
        [("uplink-unnamed", "path ams1/wg-ams1, uplink", 'uplink = "wan"')],
    ),
    "one far end": (
        FILE,
        wireguard("wg-ams1", "203.0.113.1"),
        [("same-endpoint", "path ams1/wg-ams1, dev", None)],
    ),
    "one path": (
        FILE.replace('dev = "wg-ams1", uplink = "wan", target = "10.64.2.1"', 'dev = "wg-fra1", target = "10.64.1.1"'),
        HEALTHY,
        [("paths-are-one", "path ams1/wg-fra1", None)],
    ),
    # forwarding
    "IPv6": (
        FILE,
        sysctls(ipv6__all__forwarding="0"),
        [("not-forwarded", "policy users", "sysctl -w net.ipv6.conf.all.forwarding=1")],
    ),
    "only the LAN's": (
        FILE,
        sysctls(ipv4__lan__forwarding="0"),
        [("not-forwarded", "policy users", "sysctl -w net.ipv4.conf.lan.forwarding=1")],
    ),
    "strict": (
        FILE,
        sysctls(ipv4__all__rp_filter="0", ipv4__lte__rp_filter="1"),
        [("rp-filter-strict", "path lte1/lte, dev", "sysctl -w net.ipv4.conf.lte.rp_filter=2")],
    ),
    "strict, and nothing is pinned": (FILE + 'flows = "move"\n', sysctls(ipv4__lte__rp_filter="1"), []),
    "a chain that accepts": (FILE, chain(f'{DROPS}\n\t\tiifname "lan" accept'), []),
    "Docker's chain": (
        FILE,
        changed(nftables=replace(HEALTHY.nftables, forwarding={"ip filter": DOCKER})),
        [("chain-drops", "policy users", None)],
    ),
    "a chain that may accept": (
        FILE,
        chain(f'{DROPS}\n\t\tiifname "lan" tcp dport 443 accept'),
        [("chain-drops", "policy users", None)],
    ),
    # routes and rules of others
    "halves": (
        FILE,
        changed(main=replace(MAIN, leads=WITH_HALVES)),
        [
            (
                "main-takes",
                "policy users, prefixes",
                "ip route del 0.0.0.0/1 dev wan && ip route del 128.0.0.0/1 dev wan",
            )
        ],
    ),
    "before": (FILE, ruled(LOOKUP, t100=WAN), [("rule-before", "policy users", "ip rule del priority 100 lookup 100")]),
    "strongSwan": (
        FILE,
        ruled(Rule(4, 220, Action.LOOKUP, 220), t220={lead("wan"): packed("198.18.0.0/24")}),
        [("rule-before", "policy users, except", 'except = ["198.18.0.0/24"]')],
    ),
    "Tailscale": (
        FILE + 'except = ["10.0.0.0/8"]\n',
        ruled(Rule(4, 5270, Action.LOOKUP, 52), t52={lead("wan"): packed("100.64.0.7/32")}),
        [("rule-after", "policy users, except", 'except = ["10.0.0.0/8", "100.64.0.7/32"]')],
    ),
    "IPsec": (
        FILE,
        changed(ipsec=[IpsecPolicy(4, "0.0.0.0/0", "198.18.0.0/24"), IpsecPolicy(4, "0.0.0.0/0", "1.0.0.0/8", True)]),
        [("ipsec-takes", "policy users, except", 'except = ["198.18.0.0/24"]')],
    ),
    # numbers
    "FRR": (
        FILE,
        changed(reserved=Reserved(Seen(State(), DEVICES, Foreign(routes=((186, Kind(4, 4205, 20, 1)),))))),
        [("numbers-taken", "route.table", "route.table = 5200")],
    ),
    "a rule among ours": (
        FILE,
        replace(
            ruled(Rule(4, 4250, Action.NOP), Rule(4, 4150, Action.NOP)),
            reserved=Reserved(Seen(State(), DEVICES, Foreign(rules=((0, Rule(4, 4250, Action.NOP)),)))),
        ),
        [("numbers-taken", "route.rule_priority", "route.rule_priority = 4000")],
    ),
    "a rule with our marks": (
        FILE,
        replace(
            ruled(MARKED),
            reserved=Reserved(Seen(State(), DEVICES, Foreign(rules=((0, MARKED),)))),
        ),
        [("numbers-taken", "route.mark", "ip rule del fwmark 0x1000000/0xff000000 priority 100 nop")],
    ),
    "nftables": (
        FILE,
        changed(reserved=Reserved(table="there is a table inet steerd: choose another")),
        [("numbers-taken", "route.nft_table", "Choose another.")],
    ),
    # neighbours
    "networkd": (
        FILE,
        changed(networkd=Removes(NETWORKD)),
        [
            (
                "networkd-removes",
                "systemd-networkd",
                f"mkdir -p /etc/systemd/networkd.conf.d && {NETWORKD} && systemctl restart systemd-networkd",
            )
        ],
    ),
    "an old networkd": (
        FILE,
        changed(networkd=Removes(old=252)),
        [("networkd-nexthops", "systemd-networkd", "route.nexthop_objects = false")],
    ),
    "an old networkd, without nexthops": (
        FILE + "[route]\nnexthop_objects = false\n",
        changed(networkd=Removes(old=252)),
        [],
    ),
    "NetworkManager": (FILE, changed(**MANAGED), [("networkmanager-has-it", "device wg-fra1", None)]),
    "NetworkManager's uplink": (FILE, changed(**MANAGED | {"managed": {"lte", "wan"}}), []),
    "NetworkManager's remains": (FILE, changed(**MANAGED | {"programs": set()}), []),
    # tunnels that are led over an uplink
    "led over an uplink": (OVER, wireguard(mark=0x101), []),
    "led over an uplink, by another's mark": (
        OVER,
        HEALTHY,
        [("not-led-over", "path fra1/wg-fra1, over", "wg set wg-fra1 fwmark 0x101")],
    ),
    "led over an uplink without a default route": (
        OVER.replace('over = "wan"', 'over = "lan"'),
        wireguard(mark=0x101),
        [("not-led-over", "path fra1/wg-fra1, over", None)],
    ),
    "led over a strict uplink": (
        OVER,
        replace(
            wireguard(mark=0x101), sysctls={**HEALTHY.sysctls, ("ipv4", "wan", "rp_filter"): "1"}
        ),
        [("not-led-over", "path fra1/wg-fra1, over", "sysctl -w net.ipv4.conf.wan.rp_filter=2")],
    ),
    "led over an uplink, but no tunnel of WireGuard's": (
        OVER,
        changed(wireguard={"wg-ams1": HEALTHY.wireguard["wg-ams1"]}),
        [("not-led-over", "path fra1/wg-fra1, over", None)],
    ),
    # tools
    "no nft": (
        FILE,
        changed(nftables=Nftables(there=False)),
        [("nft-missing", "policies", "apt install nftables")],
    ),
    "no nft, and the guard is insisted on": (
        FILE + "leak_guard = true\n",
        changed(nftables=Nftables(there=False)),
        [("nft-missing", "policy users", "apt install nftables")],
    ),
    "no connection marks": (
        FILE,
        changed(nftables=replace(HEALTHY.nftables, refusals={"guard": None, "pin": "nft: no ct"})),
        [("nft-refuses", "policies", None)],
    ),
    "no clients kept whole": (
        FILE + 'flows = "client"\n',
        changed(nftables=replace(HEALTHY.nftables, refusals={"guard": None, "pin": None, "client": "nft: no fib"})),
        [("nft-refuses", "policy users", None)],
    ),
    "unread": (FILE, changed(unread=(Unread("nftables", "no"),)), [("not-looked-at", "this check", None)]),
    # where metrics are served
    "metrics elsewhere": (
        FILE + '[export]\nlisten = "192.0.2.9:9911"\n',
        HEALTHY,
        [("metrics-address", "export.listen", 'export.listen = "127.0.0.1:9911"')],
    ),
    "metrics at a port in use": (
        FILE,
        changed(sockets=Sockets(PORTS, (), {7: Process(5, "x", 0)})),
        [("metrics-port", "export.listen", 'export.listen = "127.0.0.1:9913"')],
    ),
    "no room for the socket": (
        FILE,
        changed(sockets=Sockets(blocked="/run/steerd is no folder")),
        [("control-socket", "control.socket", None)],
    ),
    "no room for another socket": (
        FILE + '[control]\nsocket = "/etc/passwd/s"\n',
        changed(sockets=Sockets(blocked="/etc/passwd is no folder")),
        [("control-socket", "control.socket", 'control.socket = "/run/steerd/control.sock"')],
    ),
    "metrics of who knows whom": (
        FILE,
        changed(sockets=Sockets(PORTS, blocked="x is no folder"), capable=frozenset()),
        [("control-socket", "control.socket", None)],
    ),
    "metrics of our own": (
        FILE,
        changed(sockets=Sockets([Listener("127.0.0.1", 9911, 7)], (), {7: Process(5, "steerd", 0)}, daemon=5)),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("file", "machine", "expected"), CASES.values(), ids=CASES)
def test_what_is_found_where_and_its_cure(configured, file, machine, expected):
    found = findings(configured(file), machine, ANSWERS)
    assert [(one.id, one.place) for one in found] == [(id_, place) for id_, place, _ in expected]
    for one, (_, _, cure) in zip(found, expected, strict=True):
        assert one.cure.text == cure if cure else one.cure.by in (By.DO, By.RUN)
        assert one.what.endswith("."), one
        assert one.why.endswith("."), one


def test_another_steerd_is_one_finding_unless_it_is_this_configurations_own_or_nobody_may_say(configured):
    config = configured(FILE)
    taken = [(one, 7) for one in claims(config.route)]
    holder = Process(9, "steerd", 0)

    def found(**sockets):
        return findings(config, changed(sockets=Sockets((), taken, **sockets)), ANSWERS)

    (one,) = found(holders={7: holder}, daemon=3)
    assert (one.id, one.severity, one.cure.text) == ("second-steerd", Severity.ERROR, "kill 9")
    assert "process 9" in one.what
    assert found(holders={7: holder}, daemon=9) == []
    assert found(holders={}) == []
    assert found(holders={7: holder._replace(user=1000)}) == []


SILENT = Answers({"ams1/wg-ams1": {0}, "lte1/lte": {0, 1}})
HALF = {**ANSWERS.answered, "lte1/lte": {0}}
PLACE = "path fra1/wg-fra1, target"


def said(path, words):
    return {path: {Said.LOCAL: words}}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (SILENT, ("target-silent", "warning", PLACE)),
        (replace(SILENT, answered={}), ("target-silent", "error", PLACE)),
        (replace(SILENT, said=said("fra1/wg-fra1", "a firewall (EPERM)")), ("target-unsent", "warning", PLACE)),
        (
            replace(SILENT, said={"fra1/wg-fra1": {Said.CAPTIVE: "10.64.1.1 redirects: a captive portal"}}),
            ("target-wrong", "warning", PLACE),
        ),
        (
            replace(ANSWERS, answered=HALF, said=said("lte1/lte", "no route (ENETUNREACH)")),
            ("target-unmeasured", "warning", "path lte1/lte, target6"),
        ),
        (Answers(refused="no raw sockets"), ("probing-impossible", "error", "probe")),
    ],
)
def test_targets_that_do_not_answer(configured, answers, expected):
    first = findings(configured(FILE), HEALTHY, answers)[0]
    assert (first.id, first.severity, first.place) == expected


def test_who_answers_in_the_place_of_a_silent_target_is_its_cure(configured):
    answers = replace(SILENT, others={"fra1/wg-fra1": ["10.64.1.3"]})
    (one,) = findings(configured(FILE), HEALTHY, answers)
    assert one.cure.text == 'target = "10.64.1.3"'


def test_one_of_several_targets_that_does_not_answer_is_told_alone(configured):
    three = FILE.replace('target = "10.64.1.1"', 'targets = ["10.64.1.1", "10.64.1.3", "10.64.1.4"]')
    answers = replace(
        ANSWERS, answered={**ANSWERS.answered, "fra1/wg-fra1": {0, 2}}, others={"fra1/wg-fra1": ["10.64.1.9"]}
    )
    (one,) = findings(configured(three), HEALTHY, answers)
    assert (one.id, one.severity, one.place) == ("target-silent", "warning", "path fra1/wg-fra1, targets")
    assert one.what.startswith("10.64.1.3 ")
    assert "quorum" in one.why
    assert one.cure.text == 'targets = ["10.64.1.1", "10.64.1.9", "10.64.1.4"]'


def test_a_method_that_only_icmp_answers_for_and_a_target_that_is_this_machine(configured):
    tcp = FILE.replace('target = "10.64.1.1"', 'target = "10.64.1.1", method = "tcp"')
    (one,) = findings(configured(tcp), HEALTHY, replace(SILENT, others={"fra1/wg-fra1": ["10.64.1.1"]}))
    assert (one.place, one.cure.text) == ("path fra1/wg-fra1, method", 'method = "icmp"')
    own = FILE.replace("10.64.1.1", "10.64.1.2")
    (one,) = findings(configured(own), HEALTHY, replace(SILENT, others={"fra1/wg-fra1": ["10.64.1.1"]}))
    assert (one.id, one.severity, one.cure.text) == ("target-is-own", "error", 'target = "10.64.1.1"')


def test_a_silent_tunnel_without_a_session_is_told_by_its_keys(configured):
    never = {**HEALTHY.wireguard, "wg-fra1": WireGuard("wg-fra1", 0x51, {"K": Peer("K", 0.0, allowed=EVERYTHING)})}
    (one,) = findings(configured(FILE), changed(wireguard=never), SILENT)
    assert "WireGuard has no session with its peer" in one.what
    assert "`wg show wg-fra1`" in one.cure.text


def test_why_targets_are_silent_is_not_told_where_the_path_is_known_to_be_broken(configured):
    silent = replace(ANSWERS, answered={**ANSWERS.answered, "lte1/lte": set()})
    broken = changed(neighbours={("lte", "192.0.2.129"): Reachability.FAILED})
    assert [one.id for one in findings(configured(FILE), broken, silent)] == ["next-hop-silent"]


def test_the_broker_that_cannot_be_reached_is_a_warning(configured):
    broker = MqttSettings("192.0.2.9", 1883, False, "t", "g", "r", None, None, None, None, None, 10.0)
    config = replace(configured(FILE), mqtt=broker)
    (one,) = findings(config, HEALTHY, replace(ANSWERS, broker="Connection refused"))
    assert (one.id, one.severity) == ("broker-unreachable", "warning")
    assert "192.0.2.9:1883 cannot be reached: Connection refused" in one.what


def test_what_a_shell_would_obey_in_a_name_is_quoted():
    assert run("ip link set $(reboot) up", "true").text == "ip link set '$(reboot)' up && true"


def test_errors_come_first_and_what_one_command_cures_is_told_once():
    late = warning("b", "x", "X.", "Y.", run("true"))
    error = replace(late, severity=Severity.ERROR, id="c", cure=run("false"))
    assert worst_first([late, replace(late, id="d"), error]) == [error, late]


def test_no_cure_is_wrapped_and_each_command_has_a_line(configured):
    machine = changed(quick={"wg-fra1": QUICK}, networkd=Removes("printf x >y"))
    lines = list(text("steerd.toml", findings(configured(FILE), machine, ANSWERS)))
    assert f"  run: {SED}" in lines
    at = next(place for place, line in enumerate(lines) if line.startswith("  run: mkdir"))
    assert lines[at + 1 : at + 3] == ["       printf x >y &&", "       systemctl restart systemd-networkd"]
