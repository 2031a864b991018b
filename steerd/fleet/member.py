"""The fleet service at the broker: it hears everybody, and publishes what each region's gateways measured."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError

from steerd import __version__
from steerd.config.fleet.settings import FleetSettings
from steerd.fleet.drains import Drains
from steerd.fleet.heard import Heard
from steerd.fleet.rollup import rolled_up
from steerd.share.messages import RefusedError, Rollup, ServiceState
from steerd.share.mqtt.session import Session
from steerd.share.topics import FleetTopics

EXPIRY: Final = 3.0
"""A rollup is kept by the broker for so many intervals."""


class FleetMember:
    """As `steerd.share.mqtt.session.Member`. ``epoch``: when this service started, in s since 1970."""

    def __init__(
        self,
        settings: FleetSettings,
        heard: Heard,
        drains: Drains,
        refuse: Callable[[str, str, str], None],
        *,
        epoch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._heard = heard
        self._drains = drains
        self._refuse = refuse
        self._epoch = epoch
        self._clock = clock
        self._topics = FleetTopics(settings.mqtt.tenant, settings.name, settings.regions)
        self._seq = 0
        self._due = 0.0
        self.name = f"steerd-fleet-{settings.name}"
        self.topic = self._topics.state

    @property
    def filters(self) -> Sequence[str]:
        return *self._topics.filters, *(self._topics.orders if self._settings.mqtt.trusted_keys else ())

    def state(self, *, online: bool, reason: str | None = None) -> ServiceState:
        return ServiceState(
            name=self._settings.name, epoch=self._epoch, online=online, version=__version__, reason=reason
        )

    def lives(self, payload: bytes) -> bool:
        try:
            return ServiceState.model_validate_json(payload).online
        except ValidationError:
            return False

    def take(self, topic: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        said = self._topics.said(topic)
        if said is None:
            return
        if said.kind != "ctl":
            self._heard.take(said, topic, payload, kind, retained=retained)
            return
        try:
            self._drains.take(said, payload)
        except RefusedError as refused:
            self._refuse("order", refused.reason, topic)

    async def publish(self, session: Session, *, anew: bool) -> float:
        """As `Member.publish`: each region's rollup, when it is due. The broker forgets it unless another follows."""
        loop = asyncio.get_running_loop()
        if anew:
            # What the broker has kept comes first: a rollup of the first few who spoke would be a wrong one.
            self._due = loop.time() + self._settings.rollup_interval
        if loop.time() < self._due:
            return self._due
        self._due = loop.time() + self._settings.rollup_interval
        if not self._settings.inventory:
            return self._due
        now = self._clock()
        for region in self._heard.regions:
            if paths := rolled_up(self._heard.of_region(region), now, self._settings.stale_after):
                self._seq += 1
                rollup = Rollup(region=region, epoch=self._epoch, seq=self._seq, paths=paths)
                expiry = EXPIRY * self._settings.rollup_interval
                await session.publish(self._topics.rollup(region), rollup, qos=0, retain=True, expiry=expiry)
        return self._due
