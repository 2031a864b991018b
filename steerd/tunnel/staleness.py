"""From readings of a WireGuard peer to whether its tunnel is stale. Pure.

The times are WireGuard's own (https://www.wireguard.com/papers/wireguard.pdf, section 6). A session that carries
traffic is renewed after 120 s, and carries nothing once it is older than `REJECT_AFTER`. A peer that receives data and
has none to send answers with a keepalive after 10 s; a sender that hears nothing for 10 + 5 s starts a handshake, again
every 5 s until it is answered.
"""

from typing import Final

from steerd.net.wireguard.device import Peer

REJECT_AFTER: Final = 180.0
SILENCE: Final = 15.0
"""KEEPALIVE_TIMEOUT + REKEY_TIMEOUT: when WireGuard itself gives a session up. At 10 s the keepalive of a peer that
only receives may still be on its way."""
REKEY: Final = 5.0
KEEPALIVE_BYTES: Final = 32
"""Of a packet without content, which asks for no answer."""


class Staleness:
    """One peer, read regularly. ``now`` is monotonic, ``wall`` Unix time, both in seconds."""

    def __init__(self) -> None:
        self._peer: Peer | None = None
        self._read_at = 0.0
        self._handshake_at: float | None = None
        self._unanswered_since: float | None = None  # data was sent, and nothing came since
        self._unsettled_since: float | None = None  # data was sent without a session that could carry it

    def take(self, peer: Peer, now: float, wall: float) -> None:
        """One more reading."""
        before, elapsed = self._peer, now - self._read_at
        self._peer, self._read_at = peer, now
        if before is None or peer.key != before.key or peer.tx < before.tx or peer.rx < before.rx:
            # The first reading, or the device was made anew: what was sent before is not known.
            self._handshake_at = now - max(0.0, wall - peer.handshake) if peer.handshake else None
            self._unanswered_since = self._unsettled_since = None
            return
        if peer.handshake != before.handshake:
            # It was between the two readings, whatever the wall clock says.
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
        """Seconds since the latest handshake; None: there was none."""
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
    """The most bytes of keepalives in ``elapsed`` seconds: one that answers data, and the persistent ones."""
    return KEEPALIVE_BYTES * (1 + (int(elapsed // keepalive) + 1 if keepalive else 0))
