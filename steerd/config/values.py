"""The kinds of values a configuration has. Each checks what was written and says what is allowed instead."""

import re
import socket
from base64 import b64decode, b64encode
from typing import Annotated

from pydantic import BeforeValidator

from steerd.config.methods import MAX_PAYLOAD
from steerd.config.prefixes import pack, unpack
from steerd.config.settings import AUTO
from steerd.text import rates
from steerd.text.durations import HOW, parse, show

_NFT_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_DEVICE = re.compile(r'[^\s/:"*\\]{1,15}')
"""What the kernel allows, but for what would mean something else within a rule of nftables."""
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):(\d{1,5})", re.ASCII)
_PRICE = re.compile(r"(\S+) +for +(\S+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_MARK = 0xFFFFFFFF
_MARK_BITS = range(2, 17)
_BROKER = re.compile(r"(mqtts?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?", re.ASCII)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_MAX_HOST = 253
_LEAST_RATE, _MOST_RATE = 1.0, 1.25e11
_AUTOMATIC = f'"{AUTO}", for that of the main table\'s default route through the device'
_MAPPED = bytes(10) + b"\xff\xff"
_DSCP = {
    **{f"CS{n}": 8 * n for n in range(8)},
    **{f"AF{n}{drop}": 8 * n + 2 * drop for n in range(1, 5) for drop in range(1, 4)},
    "VA": 44,
    "EF": 46,
}


def _seconds(value: object, low: float, high: float) -> float:
    try:
        seconds = parse(value)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise ValueError(f"must be a duration from {show(low)} to {show(high)}: {HOW}")
    return seconds


def duration(low: float, high: float) -> BeforeValidator:
    """Seconds, from a duration between `low` and `high`."""
    return BeforeValidator(lambda value: _seconds(value, low, high))


def duration_or_never(low: float, high: float) -> BeforeValidator:
    """As `duration`; 0 is never."""

    def check(value: object) -> float:
        try:
            return parse(value) and _seconds(value, low, high)
        except ValueError:
            raise ValueError(f'must be "0s" (never) or a duration from {show(low)} to {show(high)}: {HOW}') from None

    return BeforeValidator(check)


def milliseconds(low: float, high: float) -> BeforeValidator:
    """As `duration` (the bounds in seconds), in ms."""
    return BeforeValidator(lambda value: round(_seconds(value, low, high) * 1000.0, 9))


def integer(low: int, high: int) -> BeforeValidator:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return BeforeValidator(check)


def number(low: float, high: float) -> BeforeValidator:
    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return BeforeValidator(check)


def name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError('must be a name: a letter or digit, then up to 62 letters, digits, ".", "_" or "-"')
    return value


def nft_table(value: object) -> str:
    if not isinstance(value, str) or not _NFT_TABLE.fullmatch(value):
        raise ValueError('must be the name of a table of nftables: a letter, then up to 31 letters, digits or "_"')
    return value


def device(value: object) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value) or value in {".", ".."} or _CONTROL.search(value):
        raise ValueError('must be the name of a network device, of at most 15 characters, such as "wg0"')
    return value


def path_text(value: object) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError("must be the path of a file or folder")
    return value


def _numeric(value: object, family: socket.AddressFamily) -> str | None:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, value)) if isinstance(value, str) else None
    except (OSError, ValueError):
        return None


def via(value: object) -> str:
    if value == AUTO:
        return AUTO
    if (address := _numeric(value, socket.AF_INET)) is None:
        raise ValueError(f'must be the IPv4 address of a next hop, such as "192.0.2.1", or {_AUTOMATIC}')
    return address


def via6(value: object) -> str:
    if value == AUTO:
        return AUTO
    if (address := _numeric(value, socket.AF_INET6)) is None:
        raise ValueError(f'must be the IPv6 address of a next hop, such as "fe80::1", or {_AUTOMATIC}')
    return address


def alone(raw: bytes) -> bool:
    """Whether a packed address, of either family, is one that one machine answers on, beyond the link."""
    if len(raw) == 4:
        return 0 < raw[0] < 224
    local = raw[0] == 0xFE and raw[1] & 0xC0 == 0x80
    return any(raw) and raw[0] != 0xFF and not local and not raw.startswith(_MAPPED)


def host(value: object) -> str | None:
    """A host name as RFC 1123 has it, in lower case; None: it is none. What ends in a number would be read as an
    IPv4 address by every resolver."""
    if not isinstance(value, str) or len(value) > _MAX_HOST:
        return None
    labels = value.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        return None
    return value.lower()


def is_address(text: str) -> bool:
    """Whether a checked target is an address, and not the name of one."""
    return any(_numeric(text, family) for family in (socket.AF_INET, socket.AF_INET6))


def _answering(value: object, family: socket.AddressFamily, allowed: str) -> str | None:
    address = _numeric(value, family)
    if address and not alone(socket.inet_pton(family, address)):
        raise ValueError(allowed)
    return address


def target(value: object) -> str:
    address = _answering(value, socket.AF_INET, "must be an address that one machine answers on")
    if (found := address or host(value)) is None:
        raise ValueError('must be an IPv4 address such as "192.0.2.1", or a host name')
    return found


def target6(value: object) -> str:
    address = _answering(value, socket.AF_INET6, "must be an address that one machine answers on, beyond the link")
    if (found := address or host(value)) is None:
        raise ValueError('must be an IPv6 address such as "2001:db8::1", or a host name')
    return found


def source(value: object) -> str:
    allowed = 'must be an IPv4 address of this gateway, such as "192.0.2.1"'
    if (address := _answering(value, socket.AF_INET, allowed)) is None:
        raise ValueError(allowed)
    return address


def source6(value: object) -> str:
    allowed = 'must be an IPv6 address of this gateway, such as "2001:db8::1", that is known beyond the link'
    if (address := _answering(value, socket.AF_INET6, allowed)) is None:
        raise ValueError(allowed)
    return address


def dscp(value: object) -> int:
    """A code point of 6 bits, from its number or its name."""
    known = _DSCP.get(value.upper()) if isinstance(value, str) else value
    if not isinstance(known, int) or isinstance(known, bool) or not 0 <= known <= 63:
        raise ValueError('must be a number from 0 to 63, or one of "EF", "VA", "CS0" to "CS7", "AF11" to "AF43"')
    return known


def rate(value: object) -> float:
    """Bytes a second."""
    try:
        found = rates.parse(value)
    except ValueError:
        found = -1.0
    if not _LEAST_RATE <= found <= _MOST_RATE:
        span = f"from {rates.show(_LEAST_RATE)} to {rates.show(_MOST_RATE)}"
        raise ValueError(f"must be a rate {span}: {rates.HOW}")
    return found


def prefix(value: object) -> str:
    """A prefix in its shortest text; an address alone means itself."""
    if not isinstance(value, str):
        raise ValueError('must be a prefix such as "192.0.2.0/24" or "2001:db8::/32"')  # noqa: TRY004
    return unpack(pack(value))


def mark(value: object) -> int:
    """32 bits of a packet mark, from a number or text such as `0xff000000`."""
    try:
        bits = int(value, 0) if isinstance(value, str) and len(value) <= 34 else value
    except ValueError:
        bits = None
    if not isinstance(bits, int) or isinstance(bits, bool) or not 0 <= bits <= _MAX_MARK:
        raise ValueError('must be 32 bits, such as "0xff000000"')
    return bits


def mark_mask(value: object) -> int:
    """A mark with one run of 2 to 16 bits set."""
    mask = mark(value)
    run = mask >> ((mask & -mask).bit_length() - 1) if mask else 0
    if run & (run + 1) or run.bit_length() not in _MARK_BITS:
        raise ValueError('must be one run of 2 to 16 bits, such as "0xff000000" (8 bits: at most 255 paths)')
    return mask


def marked(value: object) -> tuple[int, int]:
    """A packet mark and the bits of it that count, from `0x10/0xff`, as `ip rule` takes it."""
    words = value.split("/") if isinstance(value, str) else []
    try:
        wanted, counts = map(mark, words)
    except ValueError:
        wanted, counts = 1, 0
    if wanted & ~counts or not counts:
        raise ValueError(
            'must be a mark and its mask, such as "0x10/0xff", with no bit of the mark outside of the mask'
        )
    return wanted, counts


def percent(value: object) -> float:
    """A ratio, from `10%`."""
    text = value.strip().removesuffix("%") if isinstance(value, str) and value.strip().endswith("%") else ""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text, re.ASCII) or float(text) > 100:
        raise ValueError('must be a percentage from "0%" to "100%"')
    return float(text) / 100


def switch_price(value: object) -> float:
    """The price of a switch in ms*s, from `10ms for 10s`."""
    try:
        if not isinstance(value, str) or not (match := _PRICE.fullmatch(value.strip())):
            raise ValueError  # noqa: TRY301
        better, for_long = parse(match[1]), parse(match[2])
        if not (0.0001 <= better <= 10 and 0.01 <= for_long <= 86400):
            raise ValueError  # noqa: TRY301
    except ValueError:
        raise ValueError('must be a gain in delay and how long it takes to pay, such as "10ms for 10s"') from None
    return round(better * 1000 * for_long, 9)


def listen(value: object) -> tuple[str, int]:
    """Host and port."""
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    host = match[1].strip("[]") if match else ""
    known = host == "localhost" or any(_numeric(host, family) for family in (socket.AF_INET, socket.AF_INET6))
    if not match or not known or int(match[2]) > 65535:
        raise ValueError('must be an address and a port, such as "127.0.0.1:9911" or "[::1]:9911"')
    return host, int(match[2])


def trusted_key(value: object) -> tuple[str, str]:
    """An Ed25519 public key in base64, and the name written behind it."""
    key, _, name = (value if isinstance(value, str) else "").strip().partition(" ")
    try:
        whole = len(b64decode(key, validate=True)) == 32
    except ValueError:
        whole = False
    name = name.strip()
    if not whole or len(name) > 64 or not name.isprintable():
        raise ValueError('must be a public key as `steerctl keygen` prints it, with a name if you like: "KEY alice"')
    return key, name


def peer(value: object) -> str:
    """A WireGuard public key: base64 of 32 bytes, in the one way that `wg` writes it."""
    try:
        raw = b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError("must be the public key of a WireGuard peer, as `wg show` prints it")
    return b64encode(raw).decode()


def broker(value: object) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is spoken."""
    match = _BROKER.fullmatch(value) if isinstance(value, str) else None
    port = int(match[3] or _PORTS[match[1]]) if match else 0
    if not match or not 0 < port <= 65535:
        raise ValueError('must be "mqtt://HOST[:PORT]", or "mqtts://HOST[:PORT]" for TLS')
    return match[2].strip("[]"), port, match[1] == "mqtts"


Name = Annotated[str, BeforeValidator(name)]
Device = Annotated[str, BeforeValidator(device)]
FilePath = Annotated[str, BeforeValidator(path_text)]
Interval = Annotated[float, duration(0.01, 3600)]
Timeout = Annotated[float, duration(0.01, 60)]
Patience = Annotated[float, duration(0, 3600)]
Port = Annotated[int, integer(1, 65535)]
PayloadSize = Annotated[int, integer(28, MAX_PAYLOAD)]
CodePoint = Annotated[int, BeforeValidator(dscp)]
Rate = Annotated[float, BeforeValidator(rate)]
Weight = Annotated[float, number(0, 100)]
PrefixText = Annotated[str, BeforeValidator(prefix)]
