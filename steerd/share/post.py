"""One publication, by a client that is no gateway."""

import asyncio
import secrets

from steerd.config.settings import MqttSettings
from steerd.share.client import connected
from steerd.share.credentials import read


async def post(settings: MqttSettings, topic: str, payload: bytes, expiry: float, *, within: float = 20.0) -> None:
    """Publish JSON, retained, for `expiry` seconds; returns when the broker has confirmed it. MqttError, OSError: the
    broker does not answer, or refuses the connection. TimeoutError: not within so many seconds. PermissionError: the
    broker forbids the topic."""
    refused: list[str] = []
    async with asyncio.timeout(within):
        name = f"steerctl-{secrets.token_hex(8)}"
        credentials = await read(settings)
        async with connected(settings, credentials, name, lambda _, reason, __: refused.append(reason)) as connection:
            await connection.publish(topic, payload, qos=1, retain=True, expiry=expiry)
    if refused:
        raise PermissionError(refused[0])
