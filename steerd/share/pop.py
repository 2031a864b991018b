"""What a PoP says of itself: `pop/POP/state`, retained."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from steerd.config.settings import MqttSettings
from steerd.core.events import BackboneLink
from steerd.share.messages import JSON, ZLIB, LinkReport, PopReport, RefusedError, decode
from steerd.share.mqtt.session import SAY_AGAIN, Session
from steerd.share.topics import pop_state

RETAINED_WITHIN: Final = 0.5
"""Seconds after connecting in which what is retained of an earlier run comes, if anything is."""

_MICROS_MAX: Final = 10**9
_DEFLATED: Final = b"x"
"""What zlib's format begins with, and no JSON."""


class PopStatus(NamedTuple):
    """The PoP as it is now. ``load`` from 0 to 1, read ``age`` seconds ago (None: not known); ``capacity`` in bytes a
    second; ``links``: those that were measured."""

    accepting: bool
    load: float | None = None
    age: float = 0.0
    capacity: float | None = None
    links: Sequence[BackboneLink] = ()


class PopMember:
    """As `steerd.share.mqtt.session.Member`: says each ``settings.publish_interval`` what ``status`` is, and at once
    when it accepts traffic, or no longer does. ``epoch``: when it started, in s since 1970.

    It has no will: that an agent died, or the broker lost it, says nothing of the PoP. What it said of load and links
    fades at the gateways by itself.
    """

    def __init__(self, settings: MqttSettings, status: Callable[[], PopStatus], *, epoch: int) -> None:
        self._settings = settings
        self._status = status
        self._seq = 0
        self._due = self._said_at = 0.0
        self._accepting: bool | None = None  # as said last
        self.epoch = epoch
        self.name = f"steerd-agent-{settings.gateway}"
        self.topic = pop_state(settings.tenant, settings.gateway)
        self.filters: Sequence[str] = ()

    def state(self, *, online: bool, reason: str | None = None) -> None:
        """Nothing: `publish` says all, once what is retained was heard."""

    def lives(self, payload: bytes) -> bool:
        """Whether what is retained is our own. If the clock went back since an earlier run, or another agent speaks for
        this PoP, gateways would take ours for old: it has to begin after that."""
        kind = ZLIB if payload[:1] == _DEFLATED else JSON
        try:
            said = decode(PopReport, payload, kind)
        except RefusedError:
            said = None
        if said is not None and said.epoch == self.epoch and said.seq <= self._seq:
            return True
        if said is not None:
            self.epoch = max(self.epoch, said.epoch + 1)
        self._due = min(self._due, self._said_at + SAY_AGAIN)
        return False

    def take(self, topic: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        """Nothing but its own topic is subscribed to."""

    async def publish(self, session: Session, *, anew: bool) -> float:
        """As `Member.publish`."""
        now, status = asyncio.get_running_loop().time(), self._status()
        if anew:
            self._due = now + RETAINED_WITHIN
        if now >= self._due or (self._accepting is not None and status.accepting is not self._accepting):
            self._seq += 1
            self._said_at, self._accepting = now, status.accepting
            self._due = now + self._settings.publish_interval
            await session.publish(self.topic, self._report(status), retain=True)
        return self._due

    def _report(self, status: PopStatus) -> PopReport:
        return PopReport(
            pop=self._settings.gateway,
            epoch=self.epoch,
            seq=self._seq,
            accepting=status.accepting,
            load_ppm=None if status.load is None else _ppm(status.load),
            age_ms=0 if status.load is None else round(1e3 * max(0.0, status.age)),
            capacity=None if status.capacity is None else round(8.0 * status.capacity),
            links=[_link(one) for one in status.links] or None,
            interval_ms=round(1e3 * self._settings.publish_interval),
        )


def _link(link: BackboneLink) -> LinkReport:
    rtt = max(0, min(_MICROS_MAX, round(1e3 * link.rtt)))
    return LinkReport(to=link.to, rtt_us=rtt, loss_ppm=_ppm(link.loss))


def _ppm(ratio: float) -> int:
    return round(1e6 * min(1.0, max(0.0, ratio)))
