"""The files that authenticate us to the broker: read for each attempt, as they may change at any time."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from steerd.config.file import files
from steerd.config.settings import MqttSettings

_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """`context` is None without TLS. `digest` tells whether any of the files changed."""

    password: str | None
    context: ssl.SSLContext | None
    digest: bytes


async def read(settings: MqttSettings) -> Credentials:
    """Read them, in a thread: certificates take 50 ms. OSError, ValueError: a file is unreadable or malformed."""
    return await asyncio.to_thread(_read, settings)


def _content(file: Path) -> str:
    try:
        return files.text(file, _MOST)
    except UnicodeDecodeError:
        raise ValueError(f"{file}: must be UTF-8 text") from None
    except files.UnfitError as error:
        raise ValueError(f"{file}: {error}") from None


def _read(settings: MqttSettings) -> Credentials:
    password = None
    if settings.password_file is not None:
        password = _content(settings.password_file).partition("\n")[0].rstrip("\r")
    others = [file and _content(file) for file in (settings.ca, settings.cert, settings.key)]
    digest = hashlib.sha256(repr((password, others)).encode()).digest()
    if not settings.tls:
        return Credentials(password, None, digest)
    context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
    if settings.cert is not None and settings.key is not None:
        # With an empty pass phrase: else OpenSSL asks for one at the terminal, and waits.
        context.load_cert_chain(settings.cert, settings.key, password="")
    return Credentials(password, context, digest)
