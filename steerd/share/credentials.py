"""The files that show the broker who we are: read whole for each attempt, for they may change at any time."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from steerd.config.settings import MqttSettings


@dataclass(frozen=True, slots=True)
class Credentials:
    """`context` is None without TLS. `digest` tells whether any of the files changed."""

    password: str | None
    context: ssl.SSLContext | None
    digest: bytes


async def read(settings: MqttSettings) -> Credentials:
    """Beside the event loop: the system's certificates alone take 50 ms. OSError, ValueError: a file cannot be read, or
    is not what it should be."""
    return await asyncio.to_thread(_read, settings)


def _read(settings: MqttSettings) -> Credentials:
    password = None
    if settings.password_file is not None:
        password = settings.password_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    files = (settings.ca, settings.cert, settings.key)
    digest = hashlib.sha256(repr((password, [_content(file) for file in files])).encode()).digest()
    if not settings.tls:
        return Credentials(password, None, digest)
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.cert is not None and settings.key is not None:
        # No pass phrase: or OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(settings.cert, settings.key, password="")
    return Credentials(password, context, digest)


def _content(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()
