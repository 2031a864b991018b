"""The files that authenticate us to the broker: read for each attempt, as they may change at any time."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass

from steerd.config.settings import MqttSettings


@dataclass(frozen=True, slots=True)
class Credentials:
    """`context` is None without TLS. `digest` tells whether any of the files changed."""

    password: str | None
    context: ssl.SSLContext | None
    digest: bytes


async def read(settings: MqttSettings) -> Credentials:
    """Read them, in a thread: certificates take 50 ms. OSError, ValueError: a file is unreadable or malformed."""
    return await asyncio.to_thread(_read, settings)


def _read(settings: MqttSettings) -> Credentials:
    password = None
    if settings.password_file is not None:
        password = settings.password_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    files = [file and file.read_bytes() for file in (settings.ca, settings.cert, settings.key)]
    digest = hashlib.sha256(repr((password, files)).encode()).digest()
    if not settings.tls:
        return Credentials(password, None, digest)
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.cert is not None and settings.key is not None:
        # With an empty pass phrase: else OpenSSL asks for one at the terminal, and waits.
        context.load_cert_chain(settings.cert, settings.key, password="")
    return Credentials(password, context, digest)
