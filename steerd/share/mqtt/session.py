"""The session with the broker: connected again for ever. Steering does not need it."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import Any, Final, Protocol

import aiomqtt

from steerd.config.settings import MqttSettings
from steerd.faults import Boundary
from steerd.share.messages import Message
from steerd.share.mqtt.client import BrokerConnection, connected, content_type
from steerd.share.mqtt.credentials import read
from steerd.share.mqtt.flow import STEERING, Flow
from steerd.share.mqtt.framing import BrokenError
from steerd.share.refusals import SAID_EVERY
from steerd.text.seldom import Seldom, more

_log = logging.getLogger(__name__)

BACKOFF: Final = (2.0, 120.0)
NOBODY: Final = 3.0
"""The longest wait in seconds while nobody answers: an attempt costs the broker nothing then, and it learns all within
5 s of its return."""
PATIENT: Final = 600.0
"""For so many seconds steerd tries as often when the broker itself refuses (a certificate, a password), as somebody may
be mending it; then it backs off. If another client connects under the same name, it backs off at once."""
SAY_AGAIN: Final = 3.0
"""Seconds until what the broker refused, or somebody else contradicted, is published again."""

_HOPELESS: Final = (129, 130, 142, 156, 157)
"""Malformed packet, protocol error, session taken over, use another server, server moved (MQTT 5, 3.14.2.1)."""
_FAREWELL: Final = 3.0


class Member(Protocol):
    """Whose session it is: what it says of itself, what it hears, and what else it has to say."""

    @property
    def name(self) -> str:
        """Its client identifier."""

    @property
    def topic(self) -> str:
        """Where its own state is, retained."""

    @property
    def filters(self) -> Sequence[str]:
        """What else it subscribes to."""

    def state(self, *, online: bool, reason: str | None = None) -> Message:
        """Its state when it comes, or when it goes, with the reason; its will is such a state, too."""

    def lives(self, payload: bytes) -> bool:
        """Whether this payload, received at `topic`, says that it is online."""

    def take(self, topic: str, payload: bytes, kind: str | None, *, retained: bool) -> None:
        """A message of this content type, from one of the `filters`."""

    async def publish(self, session: "Session", *, anew: bool) -> float:
        """Publish what is due, by `Session.publish`; ``anew``: the broker may have missed what was published before.
        Returns when more will be due, by the loop's clock."""


class Session:
    """Connects ``member``, again and again, until it is stopped.

    On the event loop it calls `refuse` with source, reason and what it was, `on_connected` with every change,
    `on_message` with `in` or `out`. `draw` gives numbers from 0 to 1. `backoff` is the first and the longest bound of
    the wait before another attempt, in seconds.
    """

    def __init__(
        self,
        settings: MqttSettings,
        member: Member,
        *,
        refuse: Callable[[str, str, str], None],
        on_connected: Callable[[bool], None],
        on_message: Callable[[str], None],
        draw: Callable[[], float],
        backoff: tuple[float, float] = BACKOFF,
        flow: Flow = STEERING,
    ) -> None:
        self._settings = settings
        self._flow = flow
        self._member = member
        self._messages, self._faults = Boundary("mqtt message"), Boundary("mqtt")
        self._refuse = refuse
        self._on_connected = on_connected
        self._on_message = on_message
        self._draw = draw
        self._backoff = backoff
        self._seldom = Seldom(SAID_EVERY)
        self._wake = asyncio.Event()
        self._subscribe_again = False
        self._unsaid = False  # whether the broker may have another state of ours
        self._forbidden = False  # whether the broker refused our last publication
        self._digest = b""  # of the files with which the present session began
        self._renew = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason = "stopped"
        self._running = False
        self._connection: BrokerConnection | None = None
        self.wake = self._wake.set  # to be called when there is something to publish

    def subscribe(self) -> None:
        """Subscribe again soon, to other filters, or for what is retained."""
        self._subscribe_again = True
        self._wake.set()

    async def publish(
        self, topic: str, message: Message, *, qos: int = 1, retain: bool = False, expiry: float | None = None
    ) -> None:
        """Within `Member.publish`; as `steerd.share.mqtt.client.BrokerConnection.publish`."""
        if self._connection is None:
            return
        taken = await self._connection.publish(topic, message, qos=qos, retain=retain, expiry=expiry)
        if qos:
            # The broker's rules may be mended any time, and it does not tell: our state is what finds out.
            self._unsaid = self._unsaid or not taken
            self._forbidden = not taken
        self._on_message("out")

    async def renew(self) -> None:
        """The files for TLS, or the password, may have changed: then begin a new session, if they can be used."""
        try:
            credentials = await read(self._settings)
        except (OSError, ValueError) as error:
            _log.warning("MQTT: the session keeps its old credentials: %s", error)
        else:
            if credentials.digest != self._digest:
                self._renew.set()

    async def run(self) -> None:
        """Connect, again and again, until `stop`."""
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
                hopeless = _hopeless(error)
                if loop.time() - failing_since < PATIENT and not hopeless:
                    longest = min(longest, NOBODY)
                bound = min(longest, first * 2.0**attempt, NOBODY if nobody_there(error) else longest)
                attempt = min(attempt + 1, 30)
                if error is not None:
                    _log.log(logging.WARNING if attempt == 1 else logging.DEBUG, "MQTT: %s", error)
                    # All of it is drawn ("full jitter"), so that a fleet that lost its broker reconnects spread out.
                    await self._stopped_or_renewed(self._draw() * bound)
        finally:
            self._ended.set()

    async def stop(self, reason: str = "stopped") -> None:
        """Publish that we go offline, with the reason, and disconnect; takes some seconds at most."""
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
            if self._connection:  # time to publish that we go offline
                await asyncio.wait({session}, timeout=_FAREWELL)
        finally:
            await _end({session, stopping})
        error = None if session.cancelled() else session.exception()
        if error is not None and not isinstance(error, aiomqtt.MqttError | OSError | ValueError):
            self._faults.tell(error, "the session failed")
        return error if isinstance(error, Exception) else None

    async def _stopped_or_renewed(self, seconds: float) -> None:
        waiting = {asyncio.ensure_future(one.wait()) for one in (self._stopping, self._renew)}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(waiting)

    async def _session(self) -> None:
        will = self._member.topic, self._member.state(online=False, reason="connection lost")
        credentials = await read(self._settings)
        self._digest = credentials.digest
        joined = connected(self._settings, credentials, self._member.name, self._refuse, will=will, flow=self._flow)
        async with joined as connection:
            self._connection = connection
            self._on_connected(True)
            unsaid = self._seldom.said("connected")
            if unsaid is not None:  # a broker may end each session at once
                _log.info("MQTT: connected to %s:%d%s", self._settings.host, self._settings.port, more(unsaid))
            try:
                await self._say(online=True)
                await self._until_stopped(connection)
                if self._stopping.is_set():  # else the next session has new credentials
                    await self._say(online=False, reason=self._reason)
            finally:
                self._connection = None
                self._on_connected(False)

    async def _until_stopped(self, connection: BrokerConnection) -> None:
        work = (self._receive(connection), self._publish(connection), self._stopping.wait(), self._renew.wait())
        tasks: set[asyncio.Task[Any]] = {asyncio.ensure_future(one) for one in work}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(tasks)

    async def _receive(self, connection: BrokerConnection) -> None:
        await connection.subscribe(self._member.topic, *self._member.filters, qos=self._flow.qos)
        loop = asyncio.get_running_loop()
        async for message in connection.messages:
            began = loop.time()
            self._on_message("in")
            with self._messages:
                topic, payload = str(message.topic), message.payload
                if topic != self._member.topic:
                    self._member.take(topic, payload, content_type(message), retained=message.retain)
                elif not self._member.lives(payload):
                    # The will of an earlier, broken connection may come after we said that we are online.
                    self._unsaid = True
                    self._wake.set()
            await asyncio.sleep(self._flow.rest * (loop.time() - began))
            if not connection.messages:
                await asyncio.sleep(self._flow.pace)  # of what comes meanwhile, the latest of each topic is looked at

    async def _publish(self, connection: BrokerConnection) -> None:
        """Publish our state at once when the broker may have another, and whatever the member has to say."""
        loop = asyncio.get_running_loop()
        say_at = loop.time()
        anew = True
        while True:
            self._wake.clear()
            if self._unsaid and loop.time() >= say_at:
                anew = anew or self._forbidden
                say_at = loop.time() + SAY_AGAIN
                await self._say(online=True)
            if self._subscribe_again:
                self._subscribe_again = False
                await connection.subscribe(self._member.topic, *self._member.filters, qos=self._flow.qos)
            more_at = await self._member.publish(self, anew=anew)
            anew = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(more_at, say_at) if self._unsaid else more_at):
                    await self._wake.wait()

    async def _say(self, *, online: bool, reason: str | None = None) -> None:
        self._unsaid = False  # before it is published: a contradiction meanwhile counts
        await self.publish(self._member.topic, self._member.state(online=online, reason=reason), retain=True)


def _hopeless(error: Exception | None) -> bool:
    """Whether another attempt soon would end in the same way."""
    if isinstance(error, BrokenError):
        return True
    return isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", error.rc) in _HOPELESS


def nobody_there(error: Exception | None) -> bool:
    """Whether no broker answered. aiomqtt's errors have the cause as their context."""
    if isinstance(error, aiomqtt.MqttCodeError) or not isinstance(error, aiomqtt.MqttError | OSError):
        return False
    cause = error if isinstance(error, OSError) else error.__context__
    return not isinstance(cause, ssl.SSLError) if isinstance(cause, OSError) else "timed out" in str(error)


async def _end(tasks: AbstractSet[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes together with what
    it waits for."""
    running = tasks
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.1)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs that nobody did
