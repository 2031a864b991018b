"""The key that STAMP packets are signed with, as a file holds it."""

from pathlib import Path
from typing import Final

SHORTEST: Final = 16
"""Bytes of a key, at least: as many as there are of a signature."""

_LONGEST = 4096  # bytes read of the file


class KeyFileError(Exception):
    """A key file cannot be used. The message is one line that names the file, and nothing of what it holds."""


def read_key(path: Path) -> bytes:
    """The key in ``path``: two hexadecimal digits a byte, white space around them. Raises `KeyFileError`."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).strip()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot read the key: {error.strerror}") from None
    try:
        # Without the white space that fromhex() would pass over between bytes.
        key = bytes.fromhex(b"?".join(text.split()).decode("ascii"))
    except ValueError:
        raise KeyFileError(f"{path}: a key is written in hexadecimal digits, two for each byte") from None
    if len(key) < SHORTEST:
        raise KeyFileError(f"{path}: the key has {len(key)} bytes, and needs {SHORTEST} at least")
    return key
