"""How many packets the leak guard has dropped: the kernel's own counters, read without `nft`."""

import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from steerd.config.settings import Guard, RoutePolicy
from steerd.core.settings import PolicyId
from steerd.net.netlink import attributes

_RECENT: Final = 60.0
"""Seconds that a remark looks back."""

# linux/netfilter/nf_tables.h
_CHAIN, _EXPRESSIONS = 2, 4
_ELEMENT, _NAME, _DATA, _PACKETS = 1, 1, 2, 2
_NESTED: Final = 0x8000
_U64: Final = struct.Struct("!Q")
_HEADER: Final = 4  # struct nfgenmsg


class Counted(NamedTuple):
    """Packets by chain, since the table was put there for the ``time``th time."""

    time: int
    packets: Mapping[str, int]


def decode(rules: Iterable[bytes]) -> dict[str, int]:
    """The packets that the rules of each chain have counted, of a dump of rules."""
    found: dict[str, int] = {}
    for body in rules:
        values = {kind & ~_NESTED: value for kind, value in attributes(body, _HEADER)}
        chain = values.get(_CHAIN, b"").rstrip(b"\0").decode(errors="replace")
        for kind, expression in attributes(values.get(_EXPRESSIONS, b""), 0):
            if kind & ~_NESTED == _ELEMENT:
                found[chain] = found.get(chain, 0) + _counted(expression)
    return found


def _counted(expression: bytes) -> int:
    parts = {kind & ~_NESTED: value for kind, value in attributes(expression, 0)}
    if parts.get(_NAME) != b"counter\0":
        return 0
    counts = {kind & ~_NESTED: value for kind, value in attributes(parts.get(_DATA, b""), 0)}
    packets = counts.get(_PACKETS, b"")
    return int(_U64.unpack(packets)[0]) if len(packets) == _U64.size else 0


class Drops:
    """``total``: of each policy since the daemon began; ``read`` gives what is counted now. What is dropped between the
    last look and a change of the table goes uncounted. Times in seconds of one clock."""

    def __init__(self, read: Callable[[], Counted]) -> None:
        self.total: Counter[PolicyId] = Counter()
        self._read = read
        self._before = Counted(0, {})
        self._recent: deque[tuple[float, PolicyId, int]] = deque()

    def look(self, policies: Sequence[RoutePolicy], now: float) -> None:
        """Read the counters of these policies' guards. Raises `OSError`."""
        found = self._read()
        for policy in policies:
            chain = f"guard_{policy.order}"
            if policy.guard is Guard.OFF:
                continue
            before = self._before.packets.get(chain, 0) if found.time == self._before.time else 0
            new = max(0, found.packets.get(chain, 0) - before)
            self.total[policy.policy] += new
            if new:
                self._recent.append((now, policy.policy, new))
        self._before = found
        while self._recent and self._recent[0][0] <= now - _RECENT:
            self._recent.popleft()

    def remarks(self) -> tuple[str, ...]:
        """What was dropped in the last minute, a line for each policy."""
        counts: Counter[PolicyId] = Counter()
        for _, policy, count in self._recent:
            counts[policy] += count
        return tuple(
            f"the leak guard dropped {count} packets of policy {policy} in the last minute: they would have left by no "
            f"path of it"
            for policy, count in sorted(counts.items())
        )
