"""How many answers a source gets. Pure: time is an argument.

Each session has a limit, and its address another: many honest gateways, or paths of one, may be behind one NAT. Where
an address asks for more than its limit, its sessions are refused in turn: as long as it is less than twice as much,
none is refused twice in a row, which a prober would take for a dead path.
"""

from collections import Counter, OrderedDict
from typing import Final, NamedTuple, TypeVar

IDLE: Final = 900.0
"""Seconds after which what is silent is forgotten (REFWAIT of RFC 8762, section 4)."""
CAPACITY: Final = 10_000
"""Sessions, and sources with a limit, remembered at most; the one that was silent longest goes first."""
RATE: Final = 100.0
"""Answers a second to one session, and twice as many at once."""
SHARED: Final = 10
"""So many times as much goes to all sessions of one address."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Session(NamedTuple):
    """Who asks, and where: addresses packed, the session's identifier (0: none)."""

    source: bytes
    port: int
    local: bytes
    ssid: int


class Recent(OrderedDict[Key, tuple[float, Value]]):
    """A bounded table that forgets what was not put for `IDLE` seconds."""

    def recall(self, key: Key, now: float) -> Value | None:
        """What was put; None: nothing, or it is forgotten."""
        found = self.get(key)
        return None if found is None or found[0] + IDLE < now else found[1]

    def put(self, key: Key, value: Value, now: float) -> None:
        """Remember, as the latest."""
        self[key] = now, value
        self.move_to_end(key)
        while len(self) > CAPACITY or next(iter(self.values()))[0] + IDLE < now:
            self.popitem(last=False)


class Allowance:
    """``rate`` is answers a second to one session. ``refused`` counts packets above the limits since `forget`, by
    packed source address and the limit that they met."""

    def __init__(self, rate: float) -> None:
        self.refused: Counter[tuple[bytes, float]] = Counter()
        self._rate = rate
        self._sessions: Recent[Session, tuple[float, float, bool]] = Recent()
        self._sources: Recent[bytes, tuple[float, float]] = Recent()

    def granted(self, session: Session, now: float) -> bool:
        """Whether this packet is answered."""
        most, shared = 2 * self._rate, self._rate * SHARED
        known = self._sessions.recall(session, now)
        own, since, passed_over = known or (most, now, False)
        own = min(most, own + (now - since) * self._rate)
        all_own, all_since = self._sources.recall(session.source, now) or (2 * shared, now)
        all_own = min(2 * shared, all_own + (now - all_since) * shared)
        if own < 1.0:
            return self._refuse(session.source, self._rate)
        # Whose turn it is gets an answer on credit.
        if all_own < (1.0 - 2 * shared if passed_over else 1.0):
            if known:
                self._sessions.put(session, (own, now, True), now)
            return self._refuse(session.source, shared)
        self._sessions.put(session, (own - 1.0, now, False), now)
        self._sources.put(session.source, (all_own - 1.0, now), now)
        return True

    def forget(self) -> None:
        """Count anew."""
        self.refused.clear()

    def _refuse(self, source: bytes, limit: float) -> bool:
        if (source, limit) in self.refused or len(self.refused) < CAPACITY:
            self.refused[source, limit] += 1
        return False
