"""The session with the broker: kept up for ever, and of no consequence to steering while it is down."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from math import inf
from typing import Any, Final

import aiomqtt
from pydantic import ValidationError

from steerd import __version__
from steerd.config.settings import MqttSettings
from steerd.core.effects import Switched
from steerd.core.events import PopState
from steerd.core.views import View
from steerd.share.client import Connection, connected, content_type
from steerd.share.credentials import read
from steerd.share.messages import GatewayState, SwitchEvent, score, switch_event
from steerd.share.orders import Orders
from steerd.share.reports import Reports
from steerd.share.topics import Topics

_log = logging.getLogger(__name__)

BACKOFF: Final = (2.0, 120.0)
NOBODY: Final = 3.0
"""The longest wait in seconds while nobody answers: asking again costs the broker nothing then, and it shall know all
within 5 s of its return."""

PATIENT: Final = 600.0
"""For so many seconds what the broker refuses itself (a certificate, a password) is asked for as often: somebody may be
mending it. Then ever more rarely. One that puts another client of our name in our place is not pressed at all."""

SAY_AGAIN: Final = 3.0
"""Seconds until what the broker did not take, or somebody else contradicted, is said again."""

_TAKEN_OVER: Final = 142  # MQTT 5, 3.14.2.1
EVENT_EXPIRY: Final = 3600.0
SCORE_INTERVALS: Final = 3
_EVENTS_MAX: Final = 256
_FAREWELL: Final = 3.0


class Share:
    """Publishes `state`, `score` and `event`; hands on what the configuration's PoPs say.

    `snapshot` is asked for the view each publish interval. The callbacks are called on the event loop:
    `refuse` with source, reason and what it was, `on_connected` with every change, `on_message` with `in` or `out`.
    `draw` gives numbers from 0 to 1. `backoff` is the first and the longest bound of the wait before another attempt,
    in seconds. `orders` takes the fleet's orders (None: no key is trusted); `on_orders` is called after a new one.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        epoch: int,
        pops: Collection[str],
        snapshot: Callable[[], View],
        on_pop_state: Callable[[PopState], None],
        refuse: Callable[[str, str, str], None],
        on_connected: Callable[[bool], None],
        on_message: Callable[[str], None],
        orders: Orders | None = None,
        on_orders: Callable[[], None] = lambda: None,
        draw: Callable[[], float],
        wall: Callable[[], float] = time.time,
        backoff: tuple[float, float] = BACKOFF,
    ) -> None:
        self._settings = settings
        self._epoch = epoch
        self._snapshot = snapshot
        self._refuse = refuse
        self._on_connected = on_connected
        self._on_message = on_message
        self._draw = draw
        self._wall = wall
        self._backoff = backoff
        self._topics = Topics(settings.tenant, settings.region, settings.gateway)
        self._reports = Reports(self._topics, pops, on_pop_state, refuse)
        self._orders = orders
        self._on_orders = on_orders
        self._policies = frozenset[str]() if orders is None else orders.policies
        self._seq = 0
        self._events: deque[tuple[float, SwitchEvent]] = deque(maxlen=_EVENTS_MAX)
        self._wake = asyncio.Event()
        self._subscribe_again = False
        self._unsaid = False  # whether our own state is not, or may not be, what the broker has
        self._forbidden = False  # whether the broker did not let us say what we said last
        self._digest = b""  # of the files with which the present session began
        self._renew = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason = "stopped"
        self._running = False
        self._connected = False

    def fact(self, switched: Switched) -> None:
        """Queues an event. While the broker is away the latest 256 of the last hour are kept."""
        now = self._wall()
        event = switch_event(
            switched, gateway=self._settings.gateway, epoch=self._epoch, seq=self._next(), ts_ms=int(now * 1000)
        )
        self._events.append((now, event))
        self._wake.set()

    def watch(self, pops: Collection[str], policies: Collection[str] = ()) -> None:
        """The configuration's PoPs or policies changed: what was said of new ones before is fetched again."""
        names = frozenset(pops), frozenset(policies)
        if names != (self._reports.pops, self._policies):
            self._reports.pops, self._policies = names
            if self._orders is not None:
                self._orders.pops, self._orders.policies = names
            self._subscribe_again = True
            self._wake.set()

    async def renew(self) -> None:
        """The files for TLS, or the password, may be new: then a new session takes the place of the present one. With
        files that are no good it stays."""
        try:
            credentials = await read(self._settings)
        except (OSError, ValueError) as error:
            _log.warning("MQTT: the session stays with the old credentials: %s", error)
        else:
            if credentials.digest != self._digest:
                self._renew.set()

    async def run(self) -> None:
        """Connects, and connects again, until `stop`."""
        self._running = True
        loop = asyncio.get_running_loop()
        attempt, failing_since = 0, inf
        try:
            while not self._stopping.is_set():
                self._renew.clear()
                begun = loop.time()
                error = await self._attempt()
                first, longest = self._backoff
                if loop.time() - begun > longest:
                    attempt, failing_since = 0, inf
                failing_since = min(failing_since, loop.time())
                if loop.time() - failing_since < PATIENT and not _taken_over(error):
                    longest = min(longest, NOBODY)
                bound = min(longest, first * 2.0**attempt, NOBODY if nobody_there(error) else longest)
                attempt = min(attempt + 1, 30)
                if error is not None:
                    _log.log(logging.WARNING if attempt == 1 else logging.DEBUG, "MQTT: %s", error)
                    # All of it is drawn ("full jitter"), so that a fleet that lost its broker comes back spread.
                    await self._stopped_or_renewed(self._draw() * bound)
        finally:
            self._ended.set()

    async def stop(self, reason: str = "stopped") -> None:
        """Says good-bye, with the reason, and disconnects; takes some seconds at most."""
        self._reason = reason
        self._stopping.set()
        if self._running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * _FAREWELL):
                    await self._ended.wait()

    async def _attempt(self) -> Exception | None:
        """One session, from connecting to its end; the error that ended it, None when we stop."""
        session = asyncio.create_task(self._session())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._connected:  # there is somebody to say good-bye to
                await asyncio.wait({session}, timeout=_FAREWELL)
        finally:
            await _end({session, stopping})
        if session.cancelled():
            return None
        error = session.exception()
        if error is not None and not isinstance(error, aiomqtt.MqttError | OSError | ValueError):
            _log.error("the MQTT session failed", exc_info=error)
        return error if isinstance(error, Exception) else None

    async def _stopped_or_renewed(self, seconds: float) -> None:
        waiting = {asyncio.ensure_future(one.wait()) for one in (self._stopping, self._renew)}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(waiting)

    async def _session(self) -> None:
        will = self._topics.state, self._state(online=False, reason="connection lost")
        identifier = f"steerd-{self._settings.gateway}"
        credentials = await read(self._settings)
        self._digest = credentials.digest
        async with connected(self._settings, credentials, identifier, self._refuse, will=will) as connection:
            self._set_connected(True)
            _log.info("MQTT: connected to %s:%d", self._settings.host, self._settings.port)
            try:
                await self._say(connection, self._state(online=True))
                await self._until_stopped(connection)
                if self._stopping.is_set():  # else it goes on with new credentials: nobody leaves
                    await self._say(connection, self._state(online=False, reason=self._reason))
            finally:
                self._set_connected(False)

    async def _until_stopped(self, connection: Connection) -> None:
        work = (self._receive(connection), self._publish(connection), self._stopping.wait(), self._renew.wait())
        tasks: set[asyncio.Task[Any]] = {asyncio.ensure_future(one) for one in work}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(tasks)

    async def _receive(self, connection: Connection) -> None:
        await self._subscribe(connection)
        async for message in connection.messages:
            self._on_message("in")
            topic, kind = str(message.topic), content_type(message)
            if topic == self._topics.state:
                self._own_state(message.payload)
            elif self._orders is None or not self._topics.of_orders(topic):
                self._reports.take(topic, message.payload, kind, retained=message.retain)
            elif self._orders.take(topic, message.payload, kind):
                self._on_orders()

    async def _subscribe(self, connection: Connection) -> None:
        """Also again: what is retained comes once more then."""
        orders = self._topics.orders if self._orders is not None else ()
        await connection.subscribe(self._topics.state, self._topics.pop_states, *orders)

    def _own_state(self, payload: bytes) -> None:
        """The will of a connection that was cut before may come after our birth: then we say again that we live."""
        with contextlib.suppress(ValidationError):
            if GatewayState.model_validate_json(payload).online:
                return
        self._unsaid = True
        self._wake.set()

    async def _publish(self, connection: Connection) -> None:
        """That we live, and events, at once; the score each interval, and as soon as the broker lets us speak again."""
        loop = asyncio.get_running_loop()
        score_at = say_at = loop.time()
        while True:
            self._wake.clear()
            if self._unsaid and loop.time() >= say_at:
                score_at = loop.time() if self._forbidden else score_at
                say_at = loop.time() + SAY_AGAIN
                await self._say(connection, self._state(online=True))
            await self._publish_events(connection)
            if self._subscribe_again:
                self._subscribe_again = False
                await self._subscribe(connection)
            if loop.time() >= score_at:
                score_at = loop.time() + self._settings.publish_interval
                await self._publish_score(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(score_at, say_at) if self._unsaid else score_at):
                    await self._wake.wait()

    async def _say(self, connection: Connection, state: GatewayState) -> None:
        self._unsaid = False  # before: who contradicts meanwhile is heard
        taken = await connection.publish(self._topics.state, state, qos=1, retain=True)
        self._allowed(taken)
        self._on_message("out")

    async def _publish_events(self, connection: Connection) -> None:
        while self._events:
            queued = self._events[0]
            left = queued[0] + EVENT_EXPIRY - self._wall()
            if left > 0:
                taken = await connection.publish(self._topics.event, queued[1], qos=1, retain=False, expiry=left)
                self._allowed(taken)
                self._on_message("out")
            if self._events and self._events[0] is queued:  # else it made room for newer ones meanwhile
                self._events.popleft()

    async def _publish_score(self, connection: Connection) -> None:
        ts_ms = int(self._wall() * 1000)
        message = score(self._snapshot(), gateway=self._settings.gateway, seq=self._next(), ts_ms=ts_ms)
        expiry = SCORE_INTERVALS * self._settings.publish_interval
        await connection.publish(self._topics.score, message, qos=0, retain=True, expiry=expiry)
        self._on_message("out")

    def _allowed(self, taken: bool) -> None:
        """The broker's rules may be mended any time, and it does not tell: our state is what finds out."""
        self._unsaid = self._unsaid or not taken
        self._forbidden = not taken

    def _set_connected(self, connected: bool) -> None:
        self._connected = connected
        self._on_connected(connected)

    def _state(self, *, online: bool, reason: str | None = None) -> GatewayState:
        return GatewayState(
            gw=self._settings.gateway, epoch=self._epoch, online=online, version=__version__, reason=reason
        )

    def _next(self) -> int:
        self._seq += 1
        return self._seq


def _taken_over(error: Exception | None) -> bool:
    return isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", error.rc) == _TAKEN_OVER


def nobody_there(error: Exception | None) -> bool:
    """Whether no broker spoke to us: nothing listens, no way there, no answer. aiomqtt tells by what it hides."""
    if isinstance(error, aiomqtt.MqttCodeError) or not isinstance(error, aiomqtt.MqttError | OSError):
        return False
    hidden = error if isinstance(error, OSError) else error.__context__
    if isinstance(hidden, OSError):
        return not isinstance(hidden, ssl.SSLError)
    return "timed out" in str(error)


async def _end(tasks: AbstractSet[asyncio.Task[Any]]) -> None:
    """Cancels until it is heard: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes together with
    what it waits for."""
    running = tasks
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.1)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did
