"""A stateful STAMP Session-Reflector (RFC 8762, section 4.3): what is answered to whom. Pure: time is an argument.

An answer is as long as its question, so that the reflector amplifies no attack, and answers are rate-limited by source.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple, TypeVar

from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv as stamp_tlv

IDLE: Final = 900.0
"""Seconds after which a silent session is forgotten (REFWAIT of RFC 8762, section 4)."""
CAPACITY: Final = 10_000
"""Sessions, and sources with a limit, remembered at most; the one that was silent longest goes first."""
RATE: Final = 100.0
"""Answers a second to one source address, and twice as many at once."""

_PRIVILEGED: Final = 1024

Network = IPv4Network | IPv6Network
Key = TypeVar("Key")
Value = TypeVar("Value")


class DropReason(StrEnum):
    """Why a packet was not answered."""

    NOT_ALLOWED = "not-allowed"
    PORT = "source-port"
    SHORT = "short"
    UNAUTHENTICATED = "unauthenticated"
    RATE = "rate"
    TRUNCATED = "too-long"
    GROUP = "not-unicast"
    LOCAL = "not-sent"


class Question(NamedTuple):
    """A packet as it came: addresses packed, the hop limit it had left, CLOCK_REALTIME in ns."""

    data: bytes
    source: bytes
    port: int
    local: bytes
    ttl: int
    received_ns: int


class _Recent(OrderedDict[Key, tuple[float, Value]]):
    """A bounded table that forgets what was not put for `IDLE` seconds."""

    def recall(self, key: Key, now: float) -> Value | None:
        found = self.get(key)
        return None if found is None or found[0] + IDLE < now else found[1]

    def put(self, key: Key, value: Value, now: float) -> None:
        self[key] = now, value
        self.move_to_end(key)
        while len(self) > CAPACITY or next(iter(self.values()))[0] + IDLE < now:
            self.popitem(last=False)


class Reflector:
    """Makes the answers. ``received`` packets were either ``reflected`` or ``dropped``, by the reason."""

    def __init__(
        self, *, key: bytes | None, allowed: Sequence[Network] = (), rate: float = RATE, ports: Collection[int] = ()
    ) -> None:
        """``key`` must have signed packets; ``allowed`` are sources (empty: all); ``rate`` is answers a second to one
        address; ``ports`` are our own."""
        self.received = 0
        self.reflected = 0
        self.dropped: Counter[DropReason] = Counter()
        self._key = key
        self._rate = rate
        self._ports = frozenset(ports)
        self._allowed = [(net.max_prefixlen // 8, int(net.netmask), int(net.network_address)) for net in allowed]
        self._sessions: _Recent[tuple[bytes, int, bytes, int], int] = _Recent()
        self._tokens: _Recent[bytes, tuple[float, float]] = _Recent()

    @property
    def sessions(self) -> int:
        """How many are remembered."""
        return len(self._sessions)

    def answer(self, question: Question, now: float, sent_ns: int) -> bytes | None:
        """The packet to send back, or None. ``now`` is monotonic, in seconds; ``sent_ns`` CLOCK_REALTIME."""
        asked = self._asked(question, now)
        if isinstance(asked, DropReason):
            self.refuse(asked)
            return None
        session = question.source, question.port, question.local, asked.ssid
        sequence = self._sessions.recall(session, now) or 0
        self._sessions.put(session, (sequence + 1) & 0xFFFFFFFF, now)
        self.received += 1
        self.reflected += 1
        return stamp.pack(
            stamp.ReflectedPacket(
                sequence,
                stamp.ntp(sent_ns),
                stamp.UNSYNCHRONIZED,
                asked.ssid,
                stamp.ntp(question.received_ns),
                asked.sequence,
                asked.timestamp,
                asked.error,
                question.ttl,
                stamp_tlv.reflect(asked.tlvs, self._key, asked.sequence, sequence),
            ),
            self._key,
        )

    def refuse(self, reason: DropReason) -> None:
        """Count a packet that gets no answer."""
        self.received += 1
        self.dropped[reason] += 1

    def unsent(self) -> None:
        """The last answer could not be sent."""
        self.reflected -= 1
        self.dropped[DropReason.LOCAL] += 1

    def _asked(self, question: Question, now: float) -> stamp.SenderPacket | DropReason:
        source = int.from_bytes(question.source), len(question.source)
        if self._allowed and not any((source[0] & mask, source[1]) == (net, size) for size, mask, net in self._allowed):
            return DropReason.NOT_ALLOWED
        # Another reflector, or a name server, would answer the answer, and so on for ever.
        if question.port < _PRIVILEGED or question.port in self._ports:
            return DropReason.PORT
        if len(question.data) < (stamp.BASE_SIGNED if self._key else stamp.BASE):
            return DropReason.SHORT
        asked = stamp.read_sender(question.data, self._key)
        if asked is None:
            return DropReason.UNAUTHENTICATED
        # Last, so that forged packets do not use up the tokens of the true source.
        return asked if self._granted(question.source, now) else DropReason.RATE

    def _granted(self, source: bytes, now: float) -> bool:
        """Take a token of this source; the bucket holds those of two seconds."""
        most = 2 * self._rate
        tokens, since = self._tokens.recall(source, now) or (most, now)
        tokens = min(most, tokens + (now - since) * self._rate)
        granted = tokens >= 1.0
        self._tokens.put(source, (tokens - granted, now), now)
        return granted
