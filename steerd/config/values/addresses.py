"""Addresses, prefixes, host names, and who listens there."""

import re
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from steerd.config.prefixes import pack, unpack
from steerd.config.route_settings import AUTO

_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):(\d{1,5})", re.ASCII)
_BROKER = re.compile(r"(mqtts?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?", re.ASCII)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_MAX_HOST = 253
_AUTOMATIC = f'"{AUTO}", for that of the main table\'s default route through the device'
_LOOPBACK = bytes(15) + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"
_OURSELVES = {"::1", "localhost", "localhost."}
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _numeric(value: object, family: socket.AddressFamily) -> str | None:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, value)) if isinstance(value, str) else None
    except (OSError, ValueError):
        return None


def alone(raw: bytes) -> bool:
    """Whether a packed address of either family can be one machine's, beyond the link."""
    if len(raw) == 4:
        return 0 < raw[0] < 224
    local = raw[0] == 0xFE and raw[1] & 0xC0 == 0x80
    return any(raw) and raw[0] != 0xFF and not local and not raw.startswith(_MAPPED)


def far(raw: bytes) -> bool:
    """Whether a packed address of either family can be another machine's, beyond the link."""
    return alone(raw) and not (len(raw) == 4 and (raw[0] == 127 or raw[:2] == b"\xa9\xfe")) and raw != _LOOPBACK


def host(value: object) -> str | None:
    """A host name (RFC 1123) in lower case; None: it is none, as is what ends in a number like an IPv4 address."""
    if not isinstance(value, str) or len(value) > _MAX_HOST:
        return None
    labels = value.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        return None
    return value.lower()


def is_address(text: str) -> bool:
    """Whether a checked target is an address, and not the name of one."""
    return any(_numeric(text, family) for family in _FAMILIES)


def _next_hop(family: socket.AddressFamily, what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value == AUTO:
            return AUTO
        if (address := _numeric(value, family)) is None:
            raise ValueError(f"must be the {what}, or {_AUTOMATIC}")
        return address

    return check


via = _next_hop(socket.AF_INET, 'IPv4 address of a next hop, such as "192.0.2.1"')
via6 = _next_hop(socket.AF_INET6, 'IPv6 address of a next hop, such as "fe80::1"')


def _target(family: socket.AddressFamily, what: str, beyond: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        address = _numeric(value, family)
        if address and not alone(socket.inet_pton(family, address)):
            raise ValueError(f"must be an address that one machine answers on{beyond}")
        if (found := address or host(value)) is None:
            raise ValueError(f"must be an {what}, or a host name")
        if found in _OURSELVES or found.startswith("127."):
            raise ValueError("must be beyond this machine, which would answer itself whatever becomes of the path")
        return found

    return check


target = _target(socket.AF_INET, 'IPv4 address such as "192.0.2.1"', "")
target6 = _target(socket.AF_INET6, 'IPv6 address such as "2001:db8::1"', ", beyond the link")


def any_target(value: object) -> str:
    """A target of either family; a name is one of IPv4."""
    return (target6 if isinstance(value, str) and ":" in value else target)(value)


def _source(family: socket.AddressFamily, allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        address = _numeric(value, family)
        if address is None or not alone(socket.inet_pton(family, address)):
            raise ValueError(f"must be an {allowed}")
        return address

    return check


source = _source(socket.AF_INET, 'IPv4 address of this gateway, such as "192.0.2.1"')
source6 = _source(socket.AF_INET6, 'IPv6 address of this gateway, such as "2001:db8::1", that is known beyond the link')


def prefix(value: object) -> str:
    """A prefix in its shortest text; an address alone means itself."""
    if not isinstance(value, str):
        raise ValueError('must be a prefix such as "192.0.2.0/24" or "2001:db8::/32"')  # noqa: TRY004
    return unpack(pack(value))


def listen(value: object) -> tuple[str, int]:
    """Host and port."""
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    host = match[1].strip("[]") if match else ""
    known = host == "localhost" or any(_numeric(host, family) for family in _FAMILIES)
    if not match or not known or int(match[2]) > 65535:
        raise ValueError('must be an address and a port, such as "127.0.0.1:9911" or "[::1]:9911"')
    return host, int(match[2])


def endpoint(value: object) -> tuple[str, int]:
    """Host, which may be an address, and port, as WireGuard writes them."""
    written, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bare = written.strip("[]")
    address = next((found for family in _FAMILIES if (found := _numeric(bare, family))), None)
    known = address if address and (":" in address) is written.startswith("[") else host(written)
    if known is None or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError('must be a host and a port, such as "fra1.example.net:51820"')
    if known in _OURSELVES or (address and not far(ip_address(address).packed)):
        raise ValueError("must be beyond this machine and its link, where no far end moves")
    return known, int(port)


def broker(value: object) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is spoken."""
    match = _BROKER.fullmatch(value) if isinstance(value, str) else None
    port = int(match[3] or _PORTS[match[1]]) if match else 0
    if not match or not 0 < port <= 65535:
        raise ValueError('must be "mqtt://HOST[:PORT]", or "mqtts://HOST[:PORT]" for TLS')
    return match[2].strip("[]"), port, match[1] == "mqtts"


def query(value: object) -> str:
    """What a resolver is asked for: a host name, or the root."""
    if (name := "." if value == "." else host(value)) is None:
        raise ValueError('must be a host name, or "." for the name servers of the root')
    return name


def page(value: object) -> str:
    """What a probe asks for: nothing is encrypted there, or it could not be told who answers."""
    if not web(value).startswith("http://"):
        raise ValueError('must begin with "http://": a captive portal is known by what it answers without TLS')
    return web(value)


def web(value: object) -> str:
    """An address of the web that says no secrets."""
    wrong = 'must be "http://HOST[:PORT]/PATH" or "https://...", without a user or a password'
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(wrong)
    parts = urlsplit(value)
    try:
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if parts.scheme not in {"http", "https"} or not named or "@" in parts.netloc or parts.fragment:
        raise ValueError(wrong)
    return value


PrefixText = Annotated[str, BeforeValidator(prefix)]
