"""The daemon's part in its fleet: its state shared over MQTT, and the orders that come from there."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from steerd.config.change import StageChange, Swap
from steerd.config.settings import Config
from steerd.core.effects import Switched
from steerd.core.events import Hints, Order, Verb
from steerd.core.policy.drains_and_pins import POP, spoken, withdrawal
from steerd.daemon.driver import Driver
from steerd.daemon.tasks import Tasks
from steerd.faults import Boundary
from steerd.probe.wire.clock import ClockWatch, realtime_offset
from steerd.share.refusals import Refusals
from steerd.web.metrics import Metrics

if TYPE_CHECKING:
    from steerd.share.gateway import Share
    from steerd.share.orders import Orders

log = logging.getLogger("steerd")

LOOK: Final = 30.0
"""Seconds between two looks at what the orders say now."""
GLANCE: Final = 2.0
"""Seconds between two looks whether the clock was set: then they are looked at sooner."""


class Fleet:
    """``kept`` is what was remembered of earlier orders, by topic; ``remember`` is called when that has changed, and
    ``on_catalogue`` with a provider's catalogue, as `Share` has it. What may fail on its own goes to ``tasks``."""

    def __init__(
        self, config: Config, driver: Driver, metrics: Metrics, tasks: Tasks, *, kept: Mapping[str, str]
    ) -> None:
        self.remember: Callable[[], None] = lambda: None
        self.on_catalogue: Callable[[str, bytes, str | None], None] = lambda *_: None
        self.connected = False
        self._config = config
        self._driver = driver
        self._metrics = metrics
        self._tasks = tasks
        self._kept = kept
        self._refuse = Refusals(metrics.refused)
        self._share: Share | None = None
        self._orders: Orders | None = None
        self._task: asyncio.Task[None] | None = None
        driver.facts.listen(Switched, self._switched)

    def read_orders(self) -> None:
        """What the fleet ordered before, by those whose keys are trusted now."""
        self._kept = self.kept()
        self._orders, mqtt = None, self._config.mqtt
        if mqtt is None or not mqtt.trusted_keys:
            return
        from steerd.share.orders import REASONS, Orders  # noqa: PLC0415 (and cryptography only for those who trust a key)
        from steerd.share.signing import signers  # noqa: PLC0415
        from steerd.share.topics import Topics  # noqa: PLC0415

        self._metrics.refusals("order", REASONS)
        self._orders = Orders(
            Topics(mqtt.tenant, mqtt.region, mqtt.gateway),
            signers(dict(mqtt.trusted_keys)),
            pops=self._pops(),
            policies=self._policies(),
            refuse=self._refuse,
            kept=self._kept,
        )

    def follow_orders(self) -> None:
        """Tell the engine what the fleet's orders are now. Those that end do so on the engine's own clock."""
        memory, now = self._driver.memory(), time.monotonic()
        due = withdrawal(memory) if self._orders is None else self._orders.due(memory, now)
        for order in due:
            self._driver.order(order)
        self.remember()

    def kept(self) -> Mapping[str, str]:
        """Of the fleet's orders what a restart is not to forget, by topic."""
        return self._kept if self._orders is None else self._orders.keep()

    def start(self) -> None:
        """Begin to share, if a broker is configured; after `read_orders`."""
        if self._config.mqtt is None:
            return
        from steerd.share import hints, reports  # noqa: PLC0415 (gateways without a broker do not pay for it)
        from steerd.share.gateway import Share  # noqa: PLC0415
        from steerd.share.mqtt import framing, link  # noqa: PLC0415

        self._metrics.refusals("pop", reports.REASONS)
        self._metrics.refusals("region", hints.REASONS)
        self._metrics.refusals("broker", (*framing.REASONS, link.PASSED_OVER))
        self._share = Share(
            self._config.mqtt,
            epoch=self._driver.engine.epoch,
            pops=self._pops(),
            snapshot=self._driver.view,
            on_pop_state=self._driver.feed,
            on_hints=self._driver.feed,
            refuse=self._refuse,
            orders=self._orders,
            on_orders=self.follow_orders,
            listed=self._listed(),
            on_catalogue=self.on_catalogue,
            on_connected=self._on_connected,
            on_message=self._metrics.mqtt_message,
            draw=random.random,
        )
        self._task = asyncio.create_task(Boundary("mqtt").keep(self._share.run), name="steerd-share")

    async def follow(self) -> None:
        """Orders begin and end while nobody speaks, and what came before its time is right when the clock is set: look
        every so often, for ever."""
        looked_at = time.monotonic()
        watch = ClockWatch(looked_at, realtime_offset())
        while True:
            await asyncio.sleep(GLANCE)
            now = time.monotonic()
            if watch.stepped(now, realtime_offset()) or now - looked_at >= LOOK:
                looked_at = now
                if self._share is not None:
                    self._share.look()
                self.follow_orders()

    async def prepare(self, config: Config) -> StageChange:
        """Nothing of it can be refused: the broker is not asked."""
        return Swap(self.configure, self._config, config)

    async def configure(self, config: Config) -> None:
        """Take up another configuration; another broker, or other keys, mean another connection."""
        old, self._config = self._config, config
        if config.mqtt != old.mqtt:
            await self.stop()
            if _source(config) != _source(old):
                self._forget()
            self.read_orders()
            self.start()
        elif self._share is not None:
            self._share.watch(self._pops(), self._policies(), self._listed())
            self._tasks.spawn(self._share.renew())

    async def stop(self) -> None:
        """Say good-bye to the broker. Safe to repeat."""
        if self._share is not None and self._task is not None:
            await self._share.stop()
            self._task.cancel()  # it may be waiting to begin again after a failure
            with suppress(asyncio.CancelledError):
                await self._task
        self._share = self._task = None

    def _forget(self) -> None:
        """Nobody is left, at this broker, who could take back what PoPs said at the one before it."""
        for pop in sorted(spoken(self._driver.memory()) & self._pops()):
            self._driver.feed(Order(Verb.UNDRAIN, pop, origin=POP))
        self._driver.feed(Hints())

    def _switched(self, fact: Switched) -> None:
        if self._share is not None:
            self._share.fact(fact)

    def _on_connected(self, connected: bool) -> None:
        self.connected = connected
        self._metrics.mqtt_connected(connected)

    def _listed(self) -> str | None:
        """The catalogue that is followed at the broker."""
        catalogue = self._config.catalogue
        return catalogue.name if catalogue is not None and catalogue.topic else None

    def _pops(self) -> set[str]:
        return {path.pop for path in self._config.core.paths}

    def _policies(self) -> set[str]:
        return {policy.policy for policy in self._config.core.policies}


def _source(config: Config) -> tuple[str, int, str] | None:
    """Whose word PoPs' reports are: that of a tenant at a broker."""
    mqtt = config.mqtt
    return None if mqtt is None else (mqtt.host, mqtt.port, mqtt.tenant)
