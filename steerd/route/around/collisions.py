"""What of others stands in our way, in words that name it and say what to do. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import POLICY_TABLES, RouteSettings
from steerd.route.model import numbers
from steerd.route.model.objects import FULL_MASK, Kind, Rule, Seen
from steerd.route.wanted import commands

_RESERVED_TABLES = {0: "unspec", 253: "default", 254: "main", 255: "local"}
_IP = {IPV4: "ip", IPV6: "ip -6"}


class Collision(NamedTuple):
    """What stands in the way, and what mends it; ``command`` does so at once (empty: none does), ``key`` of the
    configuration is what it is about."""

    key: str
    what: str
    cure: str
    command: str = ""

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self.what}: {self.cure}"


def collision(settings: RouteSettings, seen: Seen) -> str | None:
    """The first reason not to start, or None."""
    found = next(collisions(settings, seen), None)
    return found.words if found else None


def collisions(settings: RouteSettings, seen: Seen) -> Iterator[Collision]:
    """All of them."""
    used = _used(settings)
    for number, name in _RESERVED_TABLES.items():
        if number in used:
            yield Collision("route.table", f"table {number} is the kernel's own ({name})", "choose another route.table")
    for path in settings.paths:
        device = seen.devices.get(path.device)
        if device and device.vrf:
            yield Collision(
                f"path {path.path}, dev",
                f"path {path.path}: device {path.device} belongs to a VRF, whose rules come before ours",
                "take it out of the VRF, or give the path another device",
                f"ip link set {path.device} nomaster",
            )
    yield from strange_routes(settings, seen.foreign.routes)
    band = numbers.priorities(settings)
    for protocol, rule in seen.foreign.rules:
        if rule.priority in band:
            yield Collision(
                "route.rule_priority",
                f"rule '{commands.rule(rule)}' of protocol {protocol} stands within steerd's priorities "
                f"{band[0]} to {band[-1]}",
                "choose another route.rule_priority, or remove it",
                f"{_IP[rule.family]} rule del {commands.rule(rule)}",
            )
    for protocol, rule in seen.foreign.rules:
        if _uses_our_bits(rule, settings):
            yield Collision(
                "route.mark",
                f"rule '{commands.rule(rule)}' of protocol {protocol} uses mark bits of steerd's "
                f"{settings.mark_mask:#x}",
                "choose another route.mark, or remove it",
                f"{_IP[rule.family]} rule del {commands.rule(rule)}",
            )


def strange_routes(settings: RouteSettings, routes: Iterable[tuple[int, Kind]]) -> Iterator[Collision]:
    """Routes of others, with their protocols, in tables of ours."""
    used = _used(settings)
    for protocol, kind in routes:
        if kind.table in used:
            family = "IPv6" if kind.family == IPV6 else "IPv4"
            yield Collision(
                "route.table",
                f"table {kind.table} holds {family} routes of protocol {protocol}, which are not steerd's "
                f"(protocol {settings.protocol})",
                "choose another route.table, or remove them",
                f"{_IP[kind.family]} route flush table {kind.table} proto {protocol}",
            )


def _used(settings: RouteSettings) -> set[int]:
    return {*range(settings.table, settings.table + POLICY_TABLES), *(path.table for path in settings.paths)}


def _uses_our_bits(rule: Rule, settings: RouteSettings) -> bool:
    if not rule.mask or rule.mark == settings.bypass_mark != 0:
        return False
    if rule.mark & rule.mask & settings.mark_mask:
        return True
    # A full mask with a value that leaves our bits at zero (WireGuard's FwMark) only compares with them.
    return bool(rule.mask & settings.mark_mask) and rule.mask != FULL_MASK
