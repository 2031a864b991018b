"""Numbers that other software on a gateway is known to use. Sharing them is a warning, not an error."""

from steerd.config.file.problem import Report
from steerd.config.gateway.document import Route
from steerd.config.route_settings import POLICY_TABLES

PRIORITIES = 100
_MAIN_TABLES = range(253, 256)
_TABLES = ((52, 52, "tailscale"),)
_RULES = ((1000, 3000, "mwan3"), (5210, 5270, "tailscale"))
_PROTOCOLS = (
    (8, 17, "routing daemons and DHCP clients"),
    (18, 18, "keepalived"),
    (42, 42, "babeld"),
    (84, 84, "Open/R"),
    (99, 99, "ovn"),
    (186, 198, "FRR"),
)
_MARKS = ((0x00003F00, "mwan3"), (0x00FF0000, "tailscale"))
_NEXTHOPS = ((1, 1 << 24, "FRR's zebra, counting up,"), (250_000_000, 2**32, "FRR's daemons"))
_NEXTHOP_IDS = 1 << 20


def check(route: Route, capacity: int, report: Report) -> None:
    """Reports where `[route]` meets the kernel's own numbers (error) or other software's (warning)."""
    last = route.table + POLICY_TABLES + capacity
    if route.table <= _MAIN_TABLES[-1] and last >= _MAIN_TABLES[0]:
        report.error("route.table", route.table, f"must keep {route.table} to {last} off the kernel's 253 to 255")
    if last >= 2**32:
        report.error("route.table", route.table, f"must leave room for {POLICY_TABLES + capacity} tables below 2^32")
    if route.bypass_mark & route.mark:
        report.error("route.bypass_mark", f"{route.bypass_mark:#x}", f"must share no bit with mark {route.mark:#x}")
    _warn(report, "route.table", (route.table, last), _TABLES)
    _warn(report, "route.rule_priority", (route.rule_priority, route.rule_priority + PRIORITIES - 1), _RULES)
    _warn(report, "route.protocol", (route.protocol, route.protocol), _PROTOCOLS)
    _warn(report, "route.nexthop_base", (route.nexthop_base, route.nexthop_base + _NEXTHOP_IDS), _NEXTHOPS)
    for mask, whose in _MARKS:
        if route.mark & mask:
            report.warn("route.mark", f"{route.mark:#x} has bits of {mask:#x}, which {whose} uses")


def _warn(report: Report, key: str, ours: tuple[int, int], theirs: tuple[tuple[int, int, str], ...]) -> None:
    first, last = ours
    for low, high, whose in theirs:
        if first <= high and last >= low:
            taken = str(first) if first == last else f"{first} to {last}"
            report.warn(key, f"{taken} meets {low if low == high else f'{low} to {high}'}, which {whose} uses")
