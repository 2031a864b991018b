"""What a gateway says to its fleet, and hears from it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from pydantic import ValidationError

from steerd import __version__
from steerd.config.settings import MqttSettings
from steerd.core.effects import Switched
from steerd.core.events import Hints, PopState
from steerd.core.views import View
from steerd.share.hints import Rollups
from steerd.share.messages import GatewayState, SwitchEvent, score, switch_event
from steerd.share.mqtt.session import BACKOFF, Session
from steerd.share.orders import Orders
from steerd.share.reports import Reports
from steerd.share.topics import Topics, catalogue

EVENT_EXPIRY: Final = 3600.0
SCORE_INTERVALS: Final = 3
_EVENTS_MAX: Final = 256


class Share:
    """Publishes `state`, `score` and `event`; passes on what the configuration's PoPs report.

    `snapshot` gives the view for each score. `orders` takes the fleet's orders (None: no key is trusted); `on_orders`
    is called after a new one. `listed` names the provider's catalogue that is followed here, if one is: `on_catalogue`
    gets topic, payload and content type of each, unread. The other callbacks, `draw` and `backoff` are those of a
    `Session`. `events` wait for the broker to take them, each with when it was decided by `clock`, which is monotonic:
    `wall` may be set meanwhile.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        epoch: int,
        pops: Collection[str],
        snapshot: Callable[[], View],
        on_pop_state: Callable[[PopState], None],
        on_hints: Callable[[Hints], None] = lambda _: None,
        refuse: Callable[[str, str, str], None],
        on_connected: Callable[[bool], None],
        on_message: Callable[[str], None],
        orders: Orders | None = None,
        on_orders: Callable[[], None] = lambda: None,
        listed: str | None = None,
        on_catalogue: Callable[[str, bytes, str | None], None] = lambda *_: None,
        draw: Callable[[], float],
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        backoff: tuple[float, float] = BACKOFF,
    ) -> None:
        self._settings = settings
        self._epoch = epoch
        self._snapshot = snapshot
        self._wall = wall
        self._clock = clock
        self._topics = Topics(settings.tenant, settings.region, settings.gateway)
        self._reports = Reports(self._topics, pops, on_pop_state, refuse, wall)
        self._rollups = Rollups(self._topics, settings.region, on_hints, refuse, clock)
        self._orders = orders
        self._on_orders = on_orders
        self._catalogue = self._listed(listed)
        self._on_catalogue = on_catalogue
        self._policies: Collection[str] = orders.policies if orders else frozenset()
        self.events: deque[tuple[float, SwitchEvent]] = deque(maxlen=_EVENTS_MAX)
        self._score_at = 0.0
        self.seq = 0
        """Messages numbered so far."""
        self.name = f"steerd-{settings.gateway}"
        self.topic = self._topics.state
        self._session = session = Session(
            settings, self, refuse=refuse, on_connected=on_connected, on_message=on_message, draw=draw, backoff=backoff
        )
        self.run, self.stop, self.renew = session.run, session.stop, session.renew

    def fact(self, switched: Switched) -> None:
        """Queue an event. While the broker is away the latest 256 of the last hour are kept."""
        gateway, ts_ms = self._settings.gateway, int(self._wall() * 1000)
        event = switch_event(switched, gateway=gateway, epoch=self._epoch, seq=self._next(), ts_ms=ts_ms)
        self.events.append((self._clock(), event))
        self._session.wake()

    def watch(self, pops: Collection[str], policies: Collection[str] = (), listed: str | None = None) -> None:
        """The configuration's PoPs or policies changed, or the catalogue: what is retained of new ones is fetched
        again."""
        names, topic = (frozenset(pops), frozenset(policies)), self._listed(listed)
        if (names, topic) != ((self._reports.pops, self._policies), self._catalogue):
            self._catalogue = topic
            self._reports.pops, self._policies = names
            if self._orders is not None:
                self._orders.pops, self._orders.policies = names
            self._session.subscribe()

    def look(self) -> None:
        """The clock may have been set: what was said at a wrong time may be right now."""
        self._reports.look()
        self._rollups.look()
        if self._orders is not None:
            if self._orders.missed:
                self._orders.missed = False
                self._session.subscribe()
            if self._orders.look():
                self._on_orders()

    # As `steerd.share.mqtt.session.Member`

    @property
    def filters(self) -> Sequence[str]:
        orders = self._topics.orders if self._orders is not None else ()
        return self._topics.pop_states, self._topics.rollup, *orders, *([self._catalogue] if self._catalogue else ())

    def state(self, *, online: bool, reason: str | None = None) -> GatewayState:
        gateway = self._settings.gateway
        return GatewayState(gw=gateway, epoch=self._epoch, online=online, version=__version__, reason=reason)

    def lives(self, payload: bytes) -> bool:
        try:
            return GatewayState.model_validate_json(payload).online
        except ValidationError:
            return False

    def take(self, topic: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        if topic == self._rollups.topic:
            self._rollups.take(payload, kind)
        elif self._topics.of_catalogues(topic):
            if topic == self._catalogue:  # else it was asked for before a reload
                self._on_catalogue(topic, payload, kind)
        elif self._orders is None or not self._topics.of_orders(topic):
            self._reports.take(topic, payload, kind, retained=retained)
        elif self._orders.take(topic, payload, kind):
            self._on_orders()

    async def publish(self, session: Session, *, anew: bool) -> float:
        """As `Member.publish`: events at once, the score each interval."""
        loop = asyncio.get_running_loop()
        while self.events:
            queued = self.events[0]
            left = queued[0] + EVENT_EXPIRY - self._clock()
            if left > 0:
                await session.publish(self._topics.event, queued[1], expiry=left)
            if self.events and self.events[0] is queued:  # else newer ones took its place meanwhile
                self.events.popleft()
        if anew or loop.time() >= self._score_at:
            self._score_at = loop.time() + self._settings.publish_interval
            ts_ms = int(self._wall() * 1000)
            message = score(self._snapshot(), gateway=self._settings.gateway, seq=self._next(), ts_ms=ts_ms)
            expiry = SCORE_INTERVALS * self._settings.publish_interval
            await session.publish(self._topics.score, message, qos=0, retain=True, expiry=expiry)
        return self._score_at

    def _listed(self, name: str | None) -> str | None:
        return None if name is None else catalogue(self._topics.tenant, name)

    def _next(self) -> int:
        self.seq += 1
        return self.seq
