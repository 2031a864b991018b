"""A stateful STAMP Session-Reflector (RFC 8762, section 4.3): what is answered to whom. Pure: time is an argument.

An answer is as long as its question, so that the reflector amplifies no attack, and answers are rate-limited
(`steerd.reflect.allowance`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, NamedTuple

from steerd.probe.stamp import packet as stamp
from steerd.probe.stamp import tlv as stamp_tlv
from steerd.reflect.allowance import RATE, Allowance, Recent, Session

_PRIVILEGED: Final = 1024

Network = IPv4Network | IPv6Network


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


class Reflector:
    """Makes the answers. ``received`` packets were either ``reflected`` or ``dropped``, by the reason; ``allowance``
    has who was refused for asking too often."""

    def __init__(
        self, *, key: bytes | None, allowed: Sequence[Network] = (), rate: float = RATE, ports: Collection[int] = ()
    ) -> None:
        """``key`` must have signed packets; ``allowed`` are sources (empty: all); ``rate`` is answers a second to one
        session; ``ports`` are our own."""
        self.received = 0
        self.reflected = 0
        self.dropped: Counter[DropReason] = Counter()
        self._key = key
        self.allowance = Allowance(rate)
        self._ports = frozenset(ports)
        self._allowed = [(net.max_prefixlen // 8, int(net.netmask), int(net.network_address)) for net in allowed]
        self._sessions: Recent[Session, int] = Recent()

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
        session = _session(question, asked)
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
        return asked if self.allowance.granted(_session(question, asked), now) else DropReason.RATE


def _session(question: Question, asked: stamp.SenderPacket) -> Session:
    return Session(question.source, question.port, question.local, asked.ssid)
