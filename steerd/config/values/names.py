"""What things are called: devices, tables, files, keys and who they belong to."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator

_NFT_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_PATH = re.compile(r"[^\x00-\x1f\x7f]+")
_DEVICE = re.compile(r'(?!\.\.?$)[^\s/:"*\\\x00-\x1f\x7f]{1,15}')
_DEVICE_BYTES = 15
"""What the kernel allows, without what means something else within a rule of nftables."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _text(pattern: re.Pattern[str], allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"must be {allowed}")
        return value

    return check


name = _text(_NAME, 'a name: a letter or digit, then up to 62 letters, digits, ".", "_" or "-"')
nft_table = _text(_NFT_TABLE, 'the name of a table of nftables: a letter, then up to 31 letters, digits or "_"')
path_text = _text(_PATH, "the path of a file or folder")


def device(value: object) -> str:
    """The name of a network device."""
    if not isinstance(value, str) or not _DEVICE.fullmatch(value) or len(value.encode()) > _DEVICE_BYTES:
        raise ValueError(f'must be the name of a network device, of at most {_DEVICE_BYTES} bytes, such as "wg0"')
    return value


def trusted_key(value: object) -> tuple[str, str]:
    """An Ed25519 public key in base64, and the name written behind it."""
    key, _, rest = (value if isinstance(value, str) else "").strip().partition(" ")
    owner = rest.strip()
    if _key(key) is None or len(owner) > 64 or not owner.isprintable():
        raise ValueError('must be a public key as `steerctl keygen` prints it, with a name if you like: "KEY alice"')
    return key, owner


def peer(value: object) -> str:
    """A WireGuard public key: base64 of 32 bytes, in the one way that `wg` writes it."""
    if (raw := _key(value)) is None:
        raise ValueError("must be the public key of a WireGuard peer, as `wg show` prints it")
    return b64encode(raw).decode()


def _key(value: object) -> bytes | None:
    """The 32 bytes that this is in base64; None: it is no such thing."""
    try:
        raw = b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        return None
    return raw if len(raw) == 32 else None


Name = Annotated[str, BeforeValidator(name)]
Device = Annotated[str, BeforeValidator(device)]
FilePath = Annotated[str, BeforeValidator(path_text)]
