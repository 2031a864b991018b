"""What comes over wires, and what the kernel, `nft` and programs that serve WireGuard say."""

import struct
from collections.abc import Iterator

from steerd.config.family import IPV4, IPV6
from steerd.net import icmp
from steerd.net.netlink import attribute, attributes, frames
from steerd.net.wireguard import uapi
from steerd.net.wireguard.device import WireGuardError
from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv
from steerd.probe.wire import echo
from steerd.reflect.reflector import Question, Reflector
from steerd.route.kernel.codec import link, nexthop, route, rule
from steerd.route.kernel.listing import Listing
from steerd.route.model.objects import FULL_MASK, Action, Group, Kind, Nexthop, Routes, RouteType, Rule
from steerd.route.nft import counted, examples, foreign
from steerd.trace.process import messages
from tests.fuzz.target import Target

_COOKIE = bytes(range(16))
_STAMP_KEY = bytes(range(16))
_NAMES = {1: "lo", 2: "wg0", 3: "wg1"}
_NUMBERS = {name: number for number, name in _NAMES.items()}


def _icmp(data: bytes) -> None:
    for family in (IPV4, IPV6):
        echo.read(family, data)
        echo.read(family, memoryview(data))
        messages.read(family, data)
        at = icmp.start(family, data)
        if at is not None and (error := icmp.error(family, data, at)):
            icmp.quoted_echo(family, error.quoted, error.limit)
        icmp.quoted_echo(family, data)
        echo.number_in(data, _COOKIE[: echo.TAG_SIZE])


def _echoes() -> Iterator[bytes]:
    for family in (IPV4, IPV6):
        asked = echo.echo_request(echo.head(family, 0x1234, _COOKIE), _COOKIE, 7)
        outer = {IPV4: b"\x45\0\0\x54\0\0\0\0\x40\x01\0\0\xc0\0\2\1\xc0\0\2\2", IPV6: b""}[family]
        inner = outer or b"\x60\0\0\0\0\x40\x3a\x40" + bytes(32)
        yield outer + bytes((icmp.ECHO_REPLY[family],)) + asked[1:]
        yield inner + asked
        for kind, code in ((icmp.UNREACHABLE[family], 4), (icmp.ERRORS[family][1], 0)):
            yield outer + struct.pack("!BBHHH", kind, code, 0, 0, 1280) + inner + asked


def _stamped(data: bytes) -> None:
    if not data:
        return
    for key in (None, _STAMP_KEY):
        stamp.read_sender(data, key)
        if reflected := stamp.read_reflected(data, key):
            stamp.nanoseconds(reflected.timestamp)
            stamp.ErrorEstimate.read(reflected.error if isinstance(reflected.error, int) else 0)
        tlv.reflect(data, key, 1, 2)
        tlv.split(data)
        reflector = Reflector(key=key, ports=(862,))
        for _ in range(2):
            answer = reflector.answer(Question(data, bytes(4), 862 + data[0], bytes(4), 64, 10**18), 1.0, 10**18)
            assert answer is None or len(answer) <= len(data)  # it never sends more than it got


def _stamps() -> Iterator[bytes]:
    for key in (None, _STAMP_KEY):
        for tlvs in (b"", tlv.padding(60, signed=key is not None)):
            yield stamp.pack(stamp.SenderPacket(7, stamp.ntp(10**18), stamp.UNSYNCHRONIZED, 5, tlvs), key)


def _netlink(data: bytes) -> None:
    """As each reader takes it. A message may raise anything: boundaries end it there. It may not take long."""
    datagram = data[1:]
    for _kind, _flags, _number, body in frames(datagram):
        for decode in (
            lambda body: link.decode([body]),
            link.decode_address,
            link.address_device,
            lambda body: nexthop.decode([body], _NAMES),
            lambda body: nexthop.decode_buckets([body]),
            route.decode_lookup,
            lambda body: rule.decode([body]),
            lambda body: counted.decode([body]),
            lambda body: counted.counters([body]),
            examples.decode,
            lambda body: list(attributes(body, 0)),
        ):
            try:
                decode(body)
            except Exception:  # noqa: BLE001
                continue
    listing = Listing(IPV6 if data[:1] > b"\x7f" else IPV4, _NAMES)
    at = listing.take_many(datagram)
    assert 0 <= at <= len(datagram)
    for _kind, _flags, _number, body in frames(datagram, at):
        listing.take(body)
    listing.found(210)


def _heard() -> Iterator[bytes]:
    kind = Kind(IPV4, 4200, 1024, RouteType.UNICAST, 42_000_000, "", "")
    prefixes = b"".join(bytes((10, 0, n, 0, 24)) for n in range(6))
    said = [
        *route.add(Routes(kind, prefixes), 210, _NUMBERS),
        rule.add(Rule(IPV4, 4200, 7, FULL_MASK, Action.LOOKUP, 4200), 210),
        nexthop.add_nexthop(Nexthop(42_000_000, IPV4, "wg0", "192.0.2.1"), 2, 210),
        nexthop.add_group(Group(42_000_001, ((42_000_000, 255),), 64, 0), 210),
    ]
    device = (
        struct.pack("=BBHiII", 0, 0, 1, 2, 0x11043, 0) + attribute(3, b"wg0\0") + attribute(4, struct.pack("=I", 1420))
    )
    said_too = [(16, device), (20, struct.pack("=BBBBI", 2, 24, 0, 0, 2) + attribute(1, b"\xc0\0\2\1"))]
    packed = [(one.type, one.body) for one in said] + said_too
    for family in (b"\0", b"\xff"):
        yield family + b"".join(
            struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + bytes(-len(body) % 4) for kind, body in packed
        )


def _nft(data: bytes) -> None:
    text = data.decode(errors="replace")
    for family in (IPV4, IPV6):
        foreign.passes(text, foreign.Packet(family, "lan0", "wg0"))


def _uapi(data: bytes) -> None:
    for act in (uapi.decode, uapi.check):
        try:
            act("wg0", data)
        except (WireGuardError, ValueError):
            continue


_TABLE = b"""table inet fw {
\tchain f {
\t\ttype filter hook forward priority filter; policy drop;
\t\tct state vmap { established : accept, related : accept }
\t\tiifname "lan*" oifname { "wg0", "wg1" } meta nfproto ipv4 counter packets 3 bytes 4 jump inner
\t\tip6 daddr fe80::/10 reject with icmpx admin-prohibited
\t\tct state new log prefix "x" goto inner
\t}

\tchain inner {
\t\toif != "wg0" return
\t\tcomment "y" accept
\t}
}
"""
_DEVICE = b"""private_key=%(secret)s
fwmark=51820
public_key=%(key)s
endpoint=[fe80::7%%eth0]:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=500000000
tx_bytes=1
persistent_keepalive_interval=25
allowed_ip=10.64.1.1/32
allowed_ip=2001:2::/48
errno=0

""" % {b"secret": b"73" * 32, b"key": b"01" * 32}

TARGETS = (
    Target("icmp-packet", _icmp, _echoes),
    Target("stamp-packet", _stamped, _stamps),
    Target("netlink", _netlink, _heard, (Exception,)),
    Target("nft-listing", _nft, lambda: (_TABLE,)),
    Target("wireguard-uapi", _uapi, lambda: (_DEVICE,)),
)
