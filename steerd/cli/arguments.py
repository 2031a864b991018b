"""Arguments of commands that are more than a word or a number."""

import math
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


def endpoint(text: str) -> tuple[str, int]:
    """``ADDR:PORT`` with a numeric address, an IPv6 one in brackets."""
    from ipaddress import IPv6Address, ip_address

    written, _, port = text.rpartition(":")
    bracketed = written.startswith("[") and written.endswith("]")
    try:
        address = ip_address(written[1:-1] if bracketed else written)
    except ValueError:
        address = None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if address is None or isinstance(address, IPv6Address) != bracketed or not 0 <= number < 1 << 16:
        raise ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, as 192.0.2.1:862 or [2001:db8::1]:862")
    return str(address), number


def network(text: str) -> "IPv4Network | IPv6Network":
    """A prefix, or a single address."""
    from ipaddress import ip_network

    try:
        return ip_network(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a prefix: {error}") from None


def rate(text: str) -> float:
    """A number a second, above zero."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def duration(text: str) -> float:
    """Seconds, from `250ms`, `2s`, `5m`, `1h`, `1d` or a number of seconds."""
    from steerd.text.durations import parse

    try:
        return float(text) if text.replace(".", "", 1).isdigit() else parse(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None


def price(text: str) -> float:
    """What a switch costs, in ms*s, from `10ms for 10s`."""
    from steerd.config.values.quantities import switch_price

    try:
        return switch_price(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
