"""What the kernel itself says that it dropped, and why: its counters in /proc, of this network namespace. They count
for everybody, so they are no proof; together with packets of a policy that went nowhere meanwhile they are a reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steerd.config.settings import IPV4, IPV6

_NET: Final = Path("/proc/thread-self/net")
_REASONS: Final = {
    (IPV4, "TcpExtIPReversePathFilter"): (
        "rp_filter drops what comes in by another device than the answer would leave by "
        "(`nstat -az TcpExtIPReversePathFilter`): 2 (loose) lets it through"
    ),
    (IPV4, "IpExtInNoRoutes"): "the kernel finds no route for some (`nstat -az IpExtInNoRoutes`)",
    (IPV6, "Ip6InNoRoutes"): "the kernel finds no route for some (`nstat -az Ip6InNoRoutes`)",
}
_TABLES: Final = {IPV4: "ip_tables_names", IPV6: "ip6_tables_names"}


class KernelDrops:
    """Nothing was dropped at first."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] = {}

    def reasons(self) -> dict[int, list[str]]:
        """Why packets were dropped since the last call, in words, by family."""
        now = {**_pairs("netstat"), **_lines("snmp6")}
        found: dict[int, list[str]] = {IPV4: [], IPV6: []}
        for (family, name), words in _REASONS.items():
            if now.get(name, 0) > self._before.get(name, now.get(name, 0)):
                found[family].append(words)
        self._before = now
        return found


def filters_by_iptables(family: int) -> bool:
    """Whether legacy iptables has a table of filters, whose rules `nft` does not show."""
    return "filter" in _read(_TABLES[family]).split()


def _pairs(name: str) -> dict[str, int]:
    """Counters that are named in one line and counted in the next."""
    lines = [line.split() for line in _read(name).splitlines()]
    return {
        words[0].rstrip(":") + key: int(value)
        for words, values in zip(lines[::2], lines[1::2], strict=False)
        for key, value in zip(words[1:], values[1:], strict=False)
    }


def _lines(name: str) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in _read(name).splitlines() if len(words := line.split()) == 2}


def _read(name: str) -> str:
    try:
        return (_NET / name).read_text()
    except OSError:
        return ""
