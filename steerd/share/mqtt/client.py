"""A thin layer over aiomqtt: one connection, with everything that steerd asks of it."""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from steerd.config.settings import MqttSettings
from steerd.share.messages import JSON, Message, encode
from steerd.share.mqtt.credentials import Credentials, read
from steerd.share.mqtt.flow import STEERING, Flow
from steerd.share.mqtt.framing import PACKET_MAX, UNREADABLE, BrokenError
from steerd.share.mqtt.link import Link, linked
from steerd.share.mqtt.quiet import LIBRARIES

KEEPALIVE: Final = 20
TIMEOUT: Final = 10.0
"""How long the broker may take to confirm anything, in seconds."""
POSTED_WITHIN: Final = 20.0
"""How long all of `post` may take, in seconds."""
WILL_DELAY: Final = 5
"""Seconds that the broker holds the will back, for a gateway that reconnects meanwhile. The session outlives it, or its
end would publish the will (MQTT 5, 3.1.3.2.2)."""
_MESSAGE: Final = 1 << 10
"""Bytes of a message beside topic and payload, about: its objects, its properties."""
_AROUND: Final = 64
"""Bytes of a PUBLISH beside topic and payload, at most: header, lengths, content type, expiry, packet id."""
_EXPIRY_MAX: Final = (1 << 32) - 1


class LatestPerTopic(asyncio.Queue[aiomqtt.Message]):
    """Holds the latest message of each topic, and ``most`` bytes in all, so that no sender can make it grow.
    `refuse` as that of a `BrokerConnection`."""

    _queue: dict[str, aiomqtt.Message]

    def __init__(self, refuse: Callable[[str, str, str], None], most: int, maxsize: int = 0) -> None:
        self._refuse = refuse
        self._most = most
        self._bytes = 0
        super().__init__(maxsize)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002
        self._queue = {}

    def _put(self, item: aiomqtt.Message) -> None:
        topic = str(item.topic)
        if topic in self._queue:
            self._bytes -= _size(self._queue.pop(topic))
        if self._bytes + _size(item) > self._most:
            self._refuse("broker", "too much at once", topic)
        else:
            self._queue[topic] = item
            self._bytes += _size(item)

    def _get(self) -> aiomqtt.Message:
        item = self._queue.pop(next(iter(self._queue)))
        self._bytes -= _size(item)
        return item


def _size(message: aiomqtt.Message) -> int:
    return len(message.payload) + len(str(message.topic)) + _MESSAGE


class BrokerConnection:
    """One connection, with packets no larger than the broker takes (MQTT 5, 3.2.2.3.6). `refuse` gets the source,
    `broker`, a reason and the topic for each publication that is too large, or that the broker forbids."""

    def __init__(self, client: aiomqtt.Client, refuse: Callable[[str, str, str], None]) -> None:
        self._client = client
        self._refuse = refuse
        self._packet_max: int | None = None
        self._forbidden = ""
        self.messages = client.messages
        self._watch()

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Subscribe; retained messages come at once, each time."""
        await self._client.subscribe([(one, qos) for one in filters])

    async def publish(
        self, topic: str, message: Message | tuple[bytes, str], *, qos: int, retain: bool, expiry: float | None = None
    ) -> bool:
        """Publish `message`, or payload and content type, for `expiry` seconds. False: the broker forbids it, which it
        tells for QoS 1 only. MqttError: the connection broke, or the broker does not confirm."""
        payload, kind = message if isinstance(message, tuple) else encode(message)
        wanted: dict[str, Any] = {"ContentType": kind}
        if expiry is not None:
            wanted["MessageExpiryInterval"] = min(_EXPIRY_MAX, max(1, ceil(expiry)))
        if self._packet_max is not None and _packet(topic, payload) > self._packet_max:
            self._refuse("broker", "packet too large", topic)
            return False
        self._forbidden = ""
        properties = _properties(PacketTypes.PUBLISH, **wanted)
        await self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if self._forbidden:
            self._refuse("broker", self._forbidden, topic)
        return not self._forbidden

    def _watch(self) -> None:
        """aiomqtt hides what the CONNACK allows, and what a PUBACK forbids."""
        paho: Any = self._client._client  # noqa: SLF001
        accepted, confirmed = paho.on_connect, paho.on_publish

        def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any = None) -> None:
            self._packet_max = getattr(properties, "MaximumPacketSize", None)
            accepted(client, userdata, flags, reason, properties)

        def on_publish(client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                self._forbidden = f"publish: {reason.getName().lower()}"
            confirmed(client, userdata, mid, reason, properties)

        paho.on_connect, paho.on_publish = on_connect, on_publish


@contextlib.asynccontextmanager
async def connected(
    settings: MqttSettings,
    credentials: Credentials,
    identifier: str,
    refuse: Callable[[str, str, str], None],
    *,
    will: tuple[str, Message] | None = None,
    flow: Flow = STEERING,
) -> AsyncIterator[BrokerConnection]:
    """Connect as a new client, and disconnect at the end. `will` is published to its topic, retained, when the
    connection breaks. MqttError, OSError: the broker does not answer, or refuses. BrokenError: it misbehaves."""
    last_will = None
    if will is not None:
        payload, kind = encode(will[1])
        about = _properties(PacketTypes.WILLMESSAGE, ContentType=kind, WillDelayInterval=WILL_DELAY)
        last_will = aiomqtt.Will(will[0], payload, 1, True, about)
    queue: Any = functools.partial(LatestPerTopic, refuse, flow.waiting)
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5,
        username=settings.username,
        password=credentials.password,
        keepalive=KEEPALIVE,
        timeout=TIMEOUT,
        queue_type=queue,
        logger=LIBRARIES,
        clean_start=True,
        properties=_properties(PacketTypes.CONNECT, MaximumPacketSize=PACKET_MAX, SessionExpiryInterval=2 * WILL_DELAY),
        will=last_will,
    )
    connection = BrokerConnection(client, refuse)
    async with linked(settings.host, settings.port, credentials.context, refuse, flow, within=TIMEOUT) as link:
        try:
            async with _entered(client, link):
                yield connection
        except (aiomqtt.MqttError, OSError) as error:
            why = _why(client, link, refuse)
            if why is None:
                raise
            raise why from error


def _why(client: aiomqtt.Client, link: Link, refuse: Callable[[str, str, str], None]) -> Exception | None:
    """What ended the connection, where aiomqtt says only that it ended."""
    ended = client._disconnected  # noqa: SLF001
    cause = ended.exception() if ended.done() and not ended.cancelled() else None
    if link.broken is None and cause is not None and not isinstance(cause, aiomqtt.MqttError):
        refuse("broker", UNREADABLE, str(cause))
        return BrokenError(UNREADABLE)
    return link.broken or (cause if isinstance(cause, aiomqtt.MqttError) else None)


@contextlib.asynccontextmanager
async def _entered(client: aiomqtt.Client, link: Link) -> AsyncIterator[None]:
    """Have the client speak over this link, from CONNECT to DISCONNECT."""
    aio: Any = client
    paho: Any = aio._client  # noqa: SLF001
    paho._create_socket = lambda: link.inner  # noqa: SLF001
    # After an exception aiomqtt leaves the socket open, and paho the packet in its way: the loop finds it for ever.
    aio._disconnected.add_done_callback(lambda _: paho._sock_close())  # noqa: SLF001
    # Here, where nothing of it can block, not in a thread of its own that nobody could stop.
    connect, aio._client_connect = aio._client_connect, lambda: None  # noqa: SLF001
    connect()
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.wait({entering, link.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not entering.done() and not aio._connected.done():  # noqa: SLF001
            raise ConnectionResetError("the broker closed the connection")
        await entering
        try:
            yield
        finally:
            await client.__aexit__(None, None, None)
    finally:
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        paho._sock_close()  # noqa: SLF001
        for future in (aio._connected, aio._disconnected):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, or asyncio logs that nobody did


def receivable(topic: str, payload: bytes) -> bool:
    """Whether gateways take a packet as large as this one."""
    return _packet(topic, payload) <= PACKET_MAX


def _packet(topic: str, payload: bytes) -> int:
    return len(payload) + len(topic.encode()) + _AROUND


async def post(settings: MqttSettings, topic: str, payload: bytes, expiry: float, kind: str = JSON) -> None:
    """Publish once what is of this content type, as a client that is no gateway, retained for `expiry` seconds; returns
    when the broker has confirmed it. MqttError, OSError: the broker does not answer, or refuses the connection.
    TimeoutError: not within `POSTED_WITHIN`. PermissionError: the broker forbids the topic."""
    refused: list[str] = []
    async with asyncio.timeout(POSTED_WITHIN):
        name = f"steerctl-{secrets.token_hex(8)}"
        credentials = await read(settings)
        async with connected(settings, credentials, name, lambda _, reason, __: refused.append(reason)) as connection:
            await connection.publish(topic, (payload, kind), qos=1, retain=True, expiry=expiry)
    if refused:
        raise PermissionError(refused[0])


def content_type(message: aiomqtt.Message) -> str | None:
    """The content type that its sender gave."""
    return getattr(message.properties, "ContentType", None)


def _properties(packet: int, **values: Any) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
