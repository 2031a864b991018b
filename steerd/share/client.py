"""A thin layer over aiomqtt: one connection attempt, with everything that steerd asks of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from steerd.config.settings import MqttSettings
from steerd.share.messages import INFLATED_MAX, JSON, Message, encode

KEEPALIVE: Final = 20
TIMEOUT: Final = 10.0
"""How long the broker may take to confirm anything, in seconds."""
WILL_DELAY: Final = 5
"""Seconds that the broker keeps the will back: who is back by then was never away. The session outlives it, or the
will would go out with the session's end (MQTT 5, 3.1.3.2.2)."""
_TOPICS_MAX: Final = 4096


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


async def connection(
    settings: MqttSettings,
    identifier: str,
    on_refused: Callable[[str, str], None],
    *,
    will: tuple[str, Message] | None = None,
) -> aiomqtt.Client:
    """A client, not connected yet: a new one for each attempt, with the password and the certificates as they are
    now. `will` is published to its topic, retained, when the connection breaks. OSError: a file cannot be read."""
    password, context = await asyncio.to_thread(_secrets, settings)
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V5,
        username=settings.username,
        password=password,
        tls_context=context,
        keepalive=KEEPALIVE,
        timeout=TIMEOUT,
        queue_type=LatestPerTopic,
        clean_start=True,
        properties=_properties(
            PacketTypes.CONNECT, MaximumPacketSize=2 * INFLATED_MAX, SessionExpiryInterval=2 * WILL_DELAY
        ),
        will=None if will is None else _will(*will),
    )
    _watch_refusals(client, on_refused)
    return client


@contextlib.asynccontextmanager
async def connected(client: aiomqtt.Client) -> AsyncIterator[None]:
    """Connects, and disconnects at the end. MqttError: the broker is not there, or refuses."""
    entering = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        # The attempt goes on in a thread that nobody can stop: what still comes of it is closed.
        entering.add_done_callback(lambda done: done.cancelled() or done.exception() or client._client.disconnect())  # noqa: SLF001
        raise
    try:
        yield
    finally:
        try:
            await client.__aexit__(None, None, None)
        finally:
            ended = client._disconnected  # noqa: SLF001
            if ended.done() and not ended.cancelled():
                ended.exception()  # looked at, or asyncio complains that nobody did


def _will(topic: str, message: Message) -> aiomqtt.Will:
    payload, kind = encode(message)
    properties = _properties(PacketTypes.WILLMESSAGE, ContentType=kind, WillDelayInterval=WILL_DELAY)
    return aiomqtt.Will(topic, payload, 1, True, properties)


async def publish(
    client: aiomqtt.Client,
    topic: str,
    message: Message | bytes,
    *,
    qos: int,
    retain: bool,
    expiry: float | None = None,
) -> None:
    """`message` or, as bytes, JSON; `expiry` in seconds. MqttError: the connection broke, or the broker does not
    confirm."""
    payload, kind = (message, JSON) if isinstance(message, bytes) else encode(message)
    wanted: dict[str, Any] = {"ContentType": kind}
    if expiry is not None:
        wanted["MessageExpiryInterval"] = max(1, ceil(expiry))
    properties = _properties(PacketTypes.PUBLISH, **wanted)
    await client.publish(topic, payload, qos=qos, retain=retain, properties=properties)


def content_type(message: aiomqtt.Message) -> str | None:
    return getattr(message.properties, "ContentType", None)


def _secrets(settings: MqttSettings) -> tuple[str | None, ssl.SSLContext | None]:
    """Reads files, and the system's certificates take 50 ms: not for the event loop."""
    password = None
    if settings.password_file is not None:
        password = settings.password_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    if not settings.tls:
        return password, None
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.cert is not None and settings.key is not None:
        context.load_cert_chain(settings.cert, settings.key)
    return password, context


def _properties(packet: int, **values: Any) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def _watch_refusals(client: aiomqtt.Client, on_refused: Callable[[str, str], None]) -> None:
    """A publication that the broker's access rules forbid raises nothing: only its PUBACK tells."""
    paho: Any = client._client  # noqa: SLF001
    confirmed = paho.on_publish

    def look(client_: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if reason_code.is_failure:
            on_refused("broker", f"publish: {reason_code.getName().lower()}")
        confirmed(client_, userdata, mid, reason_code, properties)

    paho.on_publish = look
