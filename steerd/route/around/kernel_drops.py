"""What the kernel itself says that it dropped, and why: its counters in /proc, of this network namespace. They count
for everybody, so they are no proof; together with packets of a policy that went nowhere meanwhile they are a reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steerd.config.family import IPV4, IPV6

PROC: Final = Path("/proc")
_MODULES: Final = Path("/sys/module")
_TOO_LARGE: Final = (
    "some are too large for the device that they are to leave by (`nstat -az {}`): their senders are told so, unless "
    "something drops that ICMP"
)
_NO_ROUTE: Final = "the kernel finds no route for some (`nstat -az {}`)"
_FULL: Final = "conntrack drop"
_MARTIANS: Final = "martians"
_REASONS: Final = {
    (IPV4, "TcpExtIPReversePathFilter"): (
        "rp_filter drops what comes in by another device than the answer would leave by "
        "(`nstat -az TcpExtIPReversePathFilter`): 2 (loose) lets it through"
    ),
    (IPV4, "IpExtInNoRoutes"): _NO_ROUTE.format("IpExtInNoRoutes"),
    (IPV6, "Ip6InNoRoutes"): _NO_ROUTE.format("Ip6InNoRoutes"),
    (IPV4, "IpFragFails"): _TOO_LARGE.format("IpFragFails"),
    (IPV6, "Ip6FragFails"): _TOO_LARGE.format("Ip6FragFails"),
    (IPV4, _MARTIANS): (
        "the kernel takes some for martians (`lnstat -c 1 -f rt_cache`): by some rule's routes their source is this "
        "gateway itself, or no host may have their addresses (net.ipv4.conf.all.log_martians = 1 logs them)"
    ),
}
_LEGACY: Final = {IPV4: ("ip_tables_names", "iptable_"), IPV6: ("ip6_tables_names", "ip6table_")}
"""Where the kernel lists the tables of legacy iptables in use here, and how the modules begin that have them."""
_IPSEC: Final = "Xfrm"
_HELD: Final = 60.0
_NEARLY: Final = 0.9
"""Of its most connections the table has, and drops: it is full. It also drops where two packets race to be first."""


class KernelDrops:
    """Nothing was dropped at first. ``proc``: where the counters are."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._before: Mapping[str, int] = {}
        self._full_at = -_HELD

    def reasons(self, now: float) -> dict[int, list[str]]:
        """Why packets were dropped since the last call, in words, by family. ``now`` in seconds."""
        counted = {
            **_pairs(self._read("netstat")),
            **_pairs(self._read("snmp")),
            **_lines(self._read("snmp6")),
            **_lines(self._read("xfrm_stat")),
            _FULL: _column(self._read("stat/nf_conntrack"), "drop"),
            _MARTIANS: sum(_column(self._read("stat/rt_cache"), f"in_martian_{end}") for end in ("src", "dst")),
        }
        grown = [name for name, count in counted.items() if count > self._before.get(name, count)]
        self._before = counted
        if _FULL in grown and self._limit("count") >= _NEARLY * self._limit("max"):
            self._full_at = now
        found: dict[int, list[str]] = {IPV4: [], IPV6: []}
        for (family, name), words in _REASONS.items():
            if name in grown:
                found[family].append(words)
        if by_ipsec := [name for name in grown if name.startswith(_IPSEC)]:
            names = ", ".join(by_ipsec)
            words = f"IPsec drops some ({names} in /proc/net/xfrm_stat): `ip xfrm policy` lists what it is about"
            found = {family: [*lines, words] for family, lines in found.items()}
        return found

    def remarks(self, now: float) -> tuple[str, ...]:
        """What is dropped before any policy's packets are counted, of the last minute."""
        if now >= self._full_at + _HELD:
            return ()
        words = (
            f"conntrack's table is full ({self._limit('max')} connections), and drops the packets of new ones before "
            "they are steered or counted (`conntrack -S`): raise net.netfilter.nf_conntrack_max"
        )
        return (words,)

    def _limit(self, name: str) -> int:
        return int(self._text(f"sys/net/netfilter/nf_conntrack_{name}") or 0)

    def _read(self, name: str) -> str:
        return self._text(f"thread-self/net/{name}")

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""


def legacy_tables(family: int) -> tuple[str, ...]:
    """The tables that legacy iptables has, whose chains `nft` does not show. Who may not read which are in use here is
    told those that were ever loaded on this machine."""
    listed, prefix = _LEGACY[family]
    try:
        return tuple(sorted((PROC / "thread-self/net" / listed).read_text().split()))
    except PermissionError:
        return tuple(sorted(one.name.removeprefix(prefix) for one in _MODULES.glob(f"{prefix}*")))
    except OSError:
        return ()


def legacy_words(family: int) -> list[str]:
    """That there are such tables, and how to look into them; nothing: there are none."""
    program = "iptables-legacy" if family == IPV4 else "ip6tables-legacy"
    tables = legacy_tables(family)
    if not tables:
        return []
    words = (
        f"{program} has tables ({', '.join(tables)}), whose chains may drop or mark packets, and steerd does not see: "
        f"`{program} -t {tables[0]} -L -v -n` shows them"
    )
    return [words]


def _pairs(page: str) -> dict[str, int]:
    """Counters that are named in one line and counted in the next."""
    lines = [line.split() for line in page.splitlines()]
    return {
        words[0].rstrip(":") + key: int(value)
        for words, values in zip(lines[::2], lines[1::2], strict=False)
        for key, value in zip(words[1:], values[1:], strict=False)
    }


def _lines(page: str) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in page.splitlines() if len(words := line.split()) == 2}


def _column(page: str, name: str) -> int:
    """The sum of a column of hexadecimal figures, a line for each processor."""
    head, *rows = [line.split() for line in page.splitlines()] or [[]]
    return sum(int(row[head.index(name)], 16) for row in rows if name in head and len(row) == len(head))
