"""A thin layer over aiomqtt: one connection, with everything that steerd asks of it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from steerd.config.settings import MqttSettings
from steerd.share.credentials import Credentials, read
from steerd.share.messages import INFLATED_MAX, JSON, Message, encode

KEEPALIVE: Final = 20
TIMEOUT: Final = 10.0
"""How long the broker may take to confirm anything, in seconds."""
POSTED_WITHIN: Final = 20.0
"""How long all of `post` may take, in seconds."""
WILL_DELAY: Final = 5
"""Seconds that the broker holds the will back, for a gateway that reconnects meanwhile. The session outlives it, or its
end would publish the will (MQTT 5, 3.1.3.2.2)."""
_TOPICS_MAX: Final = 4096
_AROUND: Final = 64
"""Bytes of a PUBLISH beside topic and payload, at most: header, lengths, content type, expiry, packet id."""


class LatestPerTopic(asyncio.Queue[aiomqtt.Message]):
    """Holds the latest message of each topic, so that no sender can make it grow without bound."""

    _queue: dict[str, aiomqtt.Message]

    def _init(self, maxsize: int) -> None:  # noqa: ARG002
        self._queue = {}

    def _put(self, item: aiomqtt.Message) -> None:
        topic = str(item.topic)
        if topic in self._queue or len(self._queue) < _TOPICS_MAX:
            self._queue[topic] = item

    def _get(self) -> aiomqtt.Message:
        return self._queue.pop(next(iter(self._queue)))


class BrokerConnection:
    """One connection, with packets no larger than the broker takes (MQTT 5, 3.2.2.3.6). `refuse` gets the source,
    `broker`, a reason and the topic for each publication that is too large, or that the broker forbids."""

    def __init__(self, client: aiomqtt.Client, refuse: Callable[[str, str, str], None]) -> None:
        self._client = client
        self._refuse = refuse
        self._packet_max: int | None = None
        self._forbidden = ""
        self.messages: AsyncIterator[aiomqtt.Message] = client.messages
        self._watch()

    async def subscribe(self, *filters: str) -> None:
        """Subscribe with QoS 1; retained messages come at once, each time."""
        await self._client.subscribe([(one, 1) for one in filters])

    async def publish(
        self, topic: str, message: Message | bytes, *, qos: int, retain: bool, expiry: float | None = None
    ) -> bool:
        """Publish `message`, as bytes JSON, for `expiry` seconds. False: the broker forbids it, which it tells for QoS
        1 only. MqttError: the connection broke, or the broker does not confirm."""
        payload, kind = (message, JSON) if isinstance(message, bytes) else encode(message)
        wanted: dict[str, Any] = {"ContentType": kind}
        if expiry is not None:
            wanted["MessageExpiryInterval"] = max(1, ceil(expiry))
        if self._packet_max is not None and len(payload) + len(topic.encode()) + _AROUND > self._packet_max:
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
) -> AsyncIterator[BrokerConnection]:
    """Connect as a new client, and disconnect at the end. `will` is published to its topic, retained, when the
    connection breaks. MqttError: the broker does not answer, or refuses."""
    last_will = None
    if will is not None:
        payload, kind = encode(will[1])
        about = _properties(PacketTypes.WILLMESSAGE, ContentType=kind, WillDelayInterval=WILL_DELAY)
        last_will = aiomqtt.Will(will[0], payload, 1, True, about)
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5,
        username=settings.username,
        password=credentials.password,
        tls_context=credentials.context,
        keepalive=KEEPALIVE,
        timeout=TIMEOUT,
        queue_type=LatestPerTopic,
        clean_start=True,
        properties=_properties(
            PacketTypes.CONNECT, MaximumPacketSize=2 * INFLATED_MAX, SessionExpiryInterval=2 * WILL_DELAY
        ),
        will=last_will,
    )
    connection = BrokerConnection(client, refuse)
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        # The attempt goes on in a thread that nobody can stop: close the connection that it makes.
        entering.add_done_callback(lambda done: done.cancelled() or done.exception() or client._client.disconnect())  # noqa: SLF001
        raise
    try:
        yield connection
    finally:
        try:
            await client.__aexit__(None, None, None)
        finally:
            ended = client._disconnected  # noqa: SLF001
            if ended.done() and not ended.cancelled():
                ended.exception()  # retrieved, or asyncio logs that nobody did


async def post(settings: MqttSettings, topic: str, payload: bytes, expiry: float) -> None:
    """Publish JSON once, as a client that is no gateway, retained for `expiry` seconds; returns when the broker has
    confirmed it. MqttError, OSError: the broker does not answer, or refuses the connection. TimeoutError: not within
    `POSTED_WITHIN`. PermissionError: the broker forbids the topic."""
    refused: list[str] = []
    async with asyncio.timeout(POSTED_WITHIN):
        name = f"steerctl-{secrets.token_hex(8)}"
        credentials = await read(settings)
        async with connected(settings, credentials, name, lambda _, reason, __: refused.append(reason)) as connection:
            await connection.publish(topic, payload, qos=1, retain=True, expiry=expiry)
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
