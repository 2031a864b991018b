"""From readings of a WireGuard peer to whether its tunnel is stale. Pure.

The times are WireGuard's own (https://www.wireguard.com/papers/wireguard.pdf, section 6). A session that carries
traffic is renewed after 120 s, and what is older than `REJECT_AFTER` carries nothing any more. Who receives data and
has nothing to say answers with a keepalive after 10 s; who sent and received nothing for 10 + 5 s takes the session
for dead. A handshake that is not answered is tried again after 5 s.
"""

from typing import Final

from steerd.net.wireguard.device import Peer

REJECT_AFTER: Final = 180.0
SILENCE: Final = 15.0
"""KEEPALIVE_TIMEOUT + REKEY_TIMEOUT: only then WireGuard itself gives a session up. After 10 s alone a peer that does
nothing but receive has just sent its keepalive, and may be suspected for it."""
REKEY: Final = 5.0

KEEPALIVE_BYTES: Final = 32
"""What a packet without content counts for: it asks for no answer."""


class Staleness:
    """One peer, as it is read again and again. ``now`` is monotonic, ``wall`` Unix time, both in seconds."""

    def __init__(self) -> None:
        self._peer: Peer | None = None
        self._read_at = 0.0
        self._handshake_at: float | None = None
        self._unanswered_since: float | None = None  # something was sent, and nothing came since
        self._unsettled_since: float | None = None  # something was sent without a session that could carry it

    def take(self, peer: Peer, now: float, wall: float) -> None:
        """One more reading."""
        before, elapsed = self._peer, now - self._read_at
        self._peer, self._read_at = peer, now
        if before is None or peer.key != before.key or peer.tx < before.tx or peer.rx < before.rx:
            # The first, or the device was made anew: what was sent before is not known.
            self._handshake_at = now - max(0.0, wall - peer.handshake) if peer.handshake else None
            self._unanswered_since = self._unsettled_since = None
            return
        if peer.handshake != before.handshake:
            # Between the two readings, whatever was done to the wall clock meanwhile.
            self._handshake_at = now - min(elapsed, max(0.0, wall - peer.handshake)) if peer.handshake else None
            self._unsettled_since = None
        asked = peer.tx - before.tx > _idle_bytes(peer.keepalive, elapsed)
        if peer.rx > before.rx:
            self._unanswered_since = None
        elif asked and self._unanswered_since is None:
            self._unanswered_since = now
        if asked and self._unsettled_since is None and not self._in_session(now):
            self._unsettled_since = now

    def age(self, now: float) -> float | None:
        """How long ago the latest handshake was, in seconds; None: there was none."""
        return None if self._handshake_at is None else now - self._handshake_at

    def why(self, now: float) -> str:
        """In words, why the tunnel is stale; empty: it is not."""
        age = self.age(now)
        latest = "no handshake yet" if age is None else f"latest handshake {age:.0f} s ago"
        if self._unsettled_since is not None and now - self._unsettled_since >= REKEY and not self._in_session(now):
            return f"WireGuard: {latest}, and none succeeds"
        if self._unanswered_since is not None and (silent := now - self._unanswered_since) >= SILENCE:
            return f"WireGuard: sent for {silent:.0f} s and nothing came back, {latest}"
        return ""

    def _in_session(self, now: float) -> bool:
        age = self.age(now)
        return age is not None and age <= REJECT_AFTER


def _idle_bytes(keepalive: int, elapsed: float) -> int:
    """How much may have been sent in ``elapsed`` seconds that asks for no answer: the keepalive that answers what came
    in, and those of the persistent interval (0: off)."""
    persistent = int(elapsed // keepalive) + 1 if keepalive else 0
    return KEEPALIVE_BYTES * (1 + persistent)
