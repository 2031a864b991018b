"""Our bytes as pyroute2 reads them, and its bytes as we do."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nlsocket import NetlinkSocket  # noqa: F401  (registers the decoders)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from steerd.net import netlink
from steerd.route.kernel import listing, watch
from steerd.route.kernel.codec import link as link_codec
from steerd.route.kernel.codec import nexthop as nexthop_codec
from steerd.route.kernel.codec import route as route_codec
from steerd.route.kernel.codec import rule as rule_codec
from steerd.route.model import prefixes
from steerd.route.model.objects import MAIN, Action, Group, Kind, Nexthop, Routes, RouteType, Rule

PROTOCOL = 210
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def decoded(family: int, bodies, names, protocol: int) -> listing.Found:
    """From single messages."""
    taken = listing.Listing(family, names)
    for body in bodies:
        taken.take(body)
    return taken.found(protocol)


def whole(message: netlink.Message) -> bytes:
    return netlink.HEADER.pack(16 + len(message.body), message.type, message.flags, 1, 0) + message.body


def read_by_pyroute2(kind, data: bytes):
    found = kind(data)
    found.decode()
    return found


def written_by_pyroute2(kind, fields: dict, attributes: list) -> bytes:
    message = kind()
    message.update(fields)
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data)[16:]


def prefixes_of(family: int):
    width = 32 if family == 4 else 128

    def mask(pair):
        address, length = pair
        kept = address >> (width - length) << (width - length) if length else 0
        return kept.to_bytes(width // 8) + bytes((length,))

    return st.tuples(st.integers(0, 2**width - 1), st.integers(0, width)).map(mask)


families = st.sampled_from([4, 6])


@given(families.flatmap(lambda family: st.tuples(st.just(family), st.lists(prefixes_of(family), min_size=1))))
def test_routes(drawn):
    family, entries = drawn
    packed = prefixes.join(entries)
    for kind in (
        Kind(family, 4200, 1024, RouteType.UNICAST, nexthop=42_000_001),
        Kind(family, 4300, 1024, RouteType.UNICAST, device="eth0"),
        Kind(family, 7, 5, RouteType.UNICAST, device="eth0", via={4: "192.0.2.1", 6: "2001:db8::1"}[family]),
        Kind(family, 4200, 0xFFFFFFFF, RouteType.UNREACHABLE),
        Kind(family, 4200, 1024, RouteType.THROW),
    ):
        messages = list(route_codec.add(Routes(kind, packed), PROTOCOL, {"eth0": 3}))
        seen = []
        for message in messages:
            assert message.flags == netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
            found = read_by_pyroute2(rtmsg, whole(message))
            assert (found["family"], found["proto"], found["type"]) == (FAMILY[family], PROTOCOL, kind.type)
            assert found.get_attr("RTA_TABLE") == kind.table
            assert found.get_attr("RTA_PRIORITY") == kind.metric
            assert found.get_attr("RTA_GATEWAY") == (kind.via or None)
            assert found.get_attr("RTA_OIF") == (3 if kind.device else None)
            address = found.get_attr("RTA_DST")
            seen.append((socket.inet_pton(FAMILY[family], address) if address else b"", found["dst_len"]))
        assert [a + bytes((n,)) if n else prefixes.DEFAULT[family] for a, n in seen] == prefixes.split(family, packed)
        # And back, by the fast way (the kernel's order of attributes) or the slow one.
        ours, foreign = decoded(family, [one.body for one in messages], {3: "eth0"}, PROTOCOL)
        assert ours == {kind: packed}
        assert foreign == []


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("order", [1, -1])
def test_routes_by_pyroute2(family, order):
    prefix, via = {4: ("10.1.0.0", "192.0.2.1"), 6: ("2001:db8::", "2001:db8::1")}[family]
    attributes = [("RTA_TABLE", 4200), ("RTA_DST", prefix), ("RTA_PRIORITY", 7), ("RTA_OIF", 9), ("RTA_GATEWAY", via)]
    fields = {"family": FAMILY[family], "dst_len": 32, "proto": 99, "type": 1, "table": 252, "scope": 0}
    body = written_by_pyroute2(rtmsg, fields, attributes[::order])
    found = decoded(family, [body, body], {9: "eth9"}, 99)
    kind = Kind(family, 4200, 7, RouteType.UNICAST, device="eth9", via=via)
    entry = socket.inet_pton(FAMILY[family], prefix) + b"\x20"
    assert found.ours == {kind: entry * 2}
    assert decoded(family, [body], {}, PROTOCOL).foreign == [(99, kind._replace(device="if9"))]


def listed(family: int, kind: Kind, packed: bytes) -> list[netlink.Message]:
    """As the kernel does: the table before the destination."""
    found = []
    for message in route_codec.add(Routes(kind, packed), PROTOCOL, {"eth0": 3}):
        head, rest = message.body[:12], message.body[12:]
        end = {4: 8, 6: 20}[family] if message.body[1] else 0
        found.append(message._replace(body=head + rest[end : end + 8] + rest[:end] + rest[end + 8 :]))
    return found


@given(
    families.flatmap(lambda family: st.tuples(st.just(family), st.lists(prefixes_of(family), min_size=1, max_size=40))),
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2]), min_size=40, max_size=40),
    st.integers(0, 3),
)
def test_routes_taken_by_the_datagram_are_those_taken_one_by_one(drawn, more, shift):
    family, entries = drawn
    kinds = [
        Kind(family, 4200, 1024, RouteType.UNICAST, nexthop=42_000_001),
        Kind(family, 4200, 0xFFFFFFFF, RouteType.UNREACHABLE),
        Kind(family, 4200, 1024, RouteType.UNICAST, device="eth0"),
    ]
    messages = [
        message
        for entry, number in zip(entries, more, strict=False)
        # Mostly a route and its shadow; now and then not.
        for kind in ([kinds[0], kinds[1]], [kinds[1]], [kinds[2], kinds[1]])[number]
        for message in listed(family, kind, entry)
    ][shift:]
    datagram = b"".join(
        netlink.HEADER.pack(16 + len(body), route_codec.RTM_NEWROUTE, 2, 7, 1) + body for _, _, body in messages
    )
    taken = listing.Listing(family, {3: "eth0"})
    at = taken.take_many(datagram)
    for *_, body in netlink.frames(datagram, at):
        taken.take(body)
    assert taken.found(PROTOCOL) == decoded(family, [one.body for one in messages], {3: "eth0"}, PROTOCOL)


@pytest.mark.parametrize("family", [4, 6])
def test_a_route_and_its_shadow_over_and_over_are_taken_at_once(family):
    packed = b"".join(bytes((20, n, *bytes({4: 2, 6: 14}[family]), 16)) for n in range(100))
    ways = listed(family, Kind(family, 4200, 1024, RouteType.UNICAST, nexthop=42_000_001), packed)
    shadows = listed(family, Kind(family, 4200, 0xFFFFFFFF, RouteType.UNREACHABLE), packed)
    datagram = b"".join(whole(one) for pair in zip(ways, shadows, strict=True) for one in pair)
    taken = listing.Listing(family, {})
    assert taken.take_many(datagram) == len(datagram)
    assert list(taken.found(PROTOCOL).ours.values()) == [packed, packed]
    # Another message among them, or one cut short: nothing is taken that was not looked at.
    for place in (16 + 5, 16 + 7, len(datagram) // 2 & ~3 | 1, len(datagram) - 1):
        spoilt = bytearray(datagram)
        spoilt[place] ^= 0xFF
        taken = listing.Listing(family, {})
        at = taken.take_many(bytes(spoilt))
        for *_, body in netlink.frames(bytes(spoilt), at):
            taken.take(body)
        one_by_one = [body for *_, body in netlink.frames(bytes(spoilt))]
        assert taken.found(PROTOCOL) == decoded(family, one_by_one, {}, PROTOCOL)
    for end in (0, 8, 20, 60, 130, len(datagram) - 4):
        listing.Listing(family, {}).take_many(datagram[:end])


RULES = [
    Rule(4, 4200, Action.LOOKUP, 254, mark=0x51, mask=0xFFFFFFFF),
    Rule(6, 4201, Action.LOOKUP, 4301, mark=0x1000000, mask=0xFF000000),
    Rule(4, 4202, Action.LOOKUP, 254, suppress=0),
    Rule(6, 4230, Action.GOTO, 4299, iif="lo"),
    Rule(4, 4231, Action.LOOKUP, 4200, iif="lo", invert=True),
    Rule(4, 4232, Action.LOOKUP, 4200, source="192.168.1.0/24", iif="eth1"),
    Rule(6, 4232, Action.LOOKUP, 70000, source="2001:db8::/32"),
    Rule(4, 4299, Action.NOP),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules(rule):
    message = rule_codec.add(rule, PROTOCOL)
    found = read_by_pyroute2(fibmsg, whole(message))
    assert found["family"] == FAMILY[rule.family]
    assert found["action"] == rule.action
    assert bool(found["flags"] & 2) == rule.invert
    assert found.get_attr("FRA_PRIORITY") == rule.priority
    assert found.get_attr("FRA_PROTOCOL") == PROTOCOL
    assert found.get_attr("FRA_IIFNAME") == (rule.iif or None)
    assert found.get_attr("FRA_FWMARK") == (rule.mark or None)
    assert found.get_attr("FRA_FWMASK") == (rule.mask or None)
    assert found.get_attr("FRA_SUPPRESS_PREFIXLEN") == rule.suppress
    assert found.get_attr("FRA_TABLE") == (rule.target if rule.action == Action.LOOKUP else None)
    assert found.get_attr("FRA_GOTO") == (rule.target if rule.action == Action.GOTO else None)
    source = found.get_attr("FRA_SRC")
    assert (f"{source}/{found['src_len']}" if source else "") == rule.source
    assert rule_codec.decode([message.body]) == [(PROTOCOL, rule)]
    assert rule_codec.remove(rule, PROTOCOL).body == message.body


def test_a_rule_with_more_than_we_ever_set_is_none_of_those_we_want():
    attributes = [("FRA_PRIORITY", 4231), ("FRA_TABLE", 4200), ("FRA_PROTOCOL", PROTOCOL), ("FRA_IP_PROTO", 6)]
    body = written_by_pyroute2(fibmsg, {"family": socket.AF_INET, "action": 1}, attributes)
    ((protocol, rule),) = rule_codec.decode([body])
    assert protocol == PROTOCOL
    assert rule.other
    assert rule._replace(other=()) == Rule(4, 4231, Action.LOOKUP, 4200)
    # It can still be removed, by all that it has.
    again = read_by_pyroute2(fibmsg, whole(rule_codec.remove(rule, PROTOCOL)))
    assert again.get_attr("FRA_IP_PROTO") == 6


def test_nexthops_and_groups():
    # pyroute2 has no decoder for these: the kernel itself is the oracle, in the lab tests.
    for nexthop in (Nexthop(5, 4, "eth0"), Nexthop(6, 4, "eth0", "192.0.2.1"), Nexthop(7, 6, "eth0", "fe80::1")):
        message = nexthop_codec.add_nexthop(nexthop, 3, PROTOCOL)
        assert nexthop_codec.decode([message.body], {3: "eth0"}) == [(PROTOCOL, nexthop)]
    group = Group(8, ((5, 255), (6, 1)))
    assert nexthop_codec.decode([nexthop_codec.add_group(group, PROTOCOL).body], {}) == [(PROTOCOL, group)]
    replaced = nexthop_codec.replace_group(group, PROTOCOL)
    assert not replaced.flags & netlink.NLM_F_CREATE  # a group made anew would have no routes


@pytest.mark.parametrize(
    ("flags", "up"),
    [(0x1 | 0x40 | 0x10000, True), (0x1 | 0x40, False), (0x1 | 0x10000, False), (0x40 | 0x10000, False), (0, False)],
)
def test_devices(flags, up):
    info = {"attrs": [("IFLA_INFO_SLAVE_KIND", "vrf")]}
    fields = {"index": 4, "flags": flags}
    plain = written_by_pyroute2(ifinfmsg, fields, [("IFLA_IFNAME", "eth4")])
    enslaved = written_by_pyroute2(ifinfmsg, fields, [("IFLA_IFNAME", "eth5"), ("IFLA_LINKINFO", info)])
    found = link_codec.decode([plain, enslaved])
    assert (found["eth4"].index, found["eth4"].up, found["eth4"].vrf) == (4, up, False)
    assert found["eth5"].vrf


def test_errors_come_with_the_kernels_words():
    text = b"Nexthop has invalid gateway\0"
    body = struct.pack("=i", -22) + netlink.HEADER.pack(16, 24, 0, 1, 0) + netlink.attribute(1, text)
    assert netlink.words(22, netlink.NLM_F_ACK_TLVS, body) == "Nexthop has invalid gateway"
    assert netlink.words(22, 0, body) == "Invalid argument"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_framing(data):
    list(netlink.frames(data))
    list(netlink.attributes(data, 0))


@pytest.mark.parametrize(
    ("kind", "port", "offset", "value", "passes"),
    [
        (route_codec.RTM_NEWROUTE, 0, 5, PROTOCOL, True),
        (route_codec.RTM_DELROUTE, 7, 5, PROTOCOL, True),
        (route_codec.RTM_DELROUTE, 7, 5, 99, False),
        (route_codec.RTM_NEWROUTE, 1234, 5, PROTOCOL, False),
        (route_codec.RTM_NEWROUTE, 0, 4, MAIN, True),
        (route_codec.RTM_NEWROUTE, 0, 4, MAIN - 1, False),
        (nexthop_codec.RTM_NEWNEXTHOP, 0, 2, PROTOCOL, True),
        (nexthop_codec.RTM_DELNEXTHOP, 0, 2, 99, False),
        (link_codec.RTM_NEWLINK, 0, 5, 0, True),
        (rule_codec.RTM_DELRULE, 0, 5, 0, True),
        (rule_codec.RTM_DELRULE, 1234, 5, 0, False),
    ],
)
def test_the_filter_keeps_what_concerns_us(kind, port, offset, value, passes):
    body = bytearray(20)
    body[offset] = value
    message = netlink.HEADER.pack(36, kind, 0, 1, port) + bytes(body)
    assert bool(run_bpf(watch.program(PROTOCOL, 1234), message)) == passes


def run_bpf(program: bytes, packet: bytes) -> int:
    """What the kernel does with a classic BPF program, as far as ours uses it."""
    steps = list(struct.iter_unpack("=HBBI", program))
    loads = {0x20: "!I", 0x28: "!H", 0x30: "!B"}
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code in loads:
            accumulator = struct.unpack_from(loads[code], packet, value)[0]
        elif code == 0x15:
            at += if_true if accumulator == value else if_false
        else:
            return value
