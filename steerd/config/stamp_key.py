"""The key that STAMP packets are signed with, as a file holds it."""

from pathlib import Path
from typing import Final

from steerd.config.file import files
from steerd.config.file.problem import Report

SHORTEST: Final = 16
"""Bytes of a key, at least: as many as there are of a signature."""

LONGEST: Final = 4096
"""Bytes of its file."""


class KeyFileError(Exception):
    """A key file cannot be used. The message is one line that names the file, and nothing of what it holds."""


def read_key(path: Path) -> bytes:
    """The key in ``path``: two hexadecimal digits a byte, white space around them. Raises `KeyFileError`."""
    try:
        text = files.content(path, LONGEST)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot read the key: {error.strerror}") from None
    except files.UnfitError as error:
        raise KeyFileError(f"{path}: {error}") from None
    try:
        return parsed(text)
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None


def parsed(text: bytes) -> bytes:
    """The key that is written so. ValueError: it is none, and why, with nothing of what is written."""
    try:
        # Without the white space that fromhex() would pass over between bytes.
        key = bytes.fromhex(b"?".join(text.split()).decode("ascii"))
    except ValueError:
        raise ValueError("a key is written in hexadecimal digits, two for each byte") from None
    if len(key) < SHORTEST:
        raise ValueError(f"the key has {len(key)} bytes, and needs {SHORTEST} at least")
    return key


def check(key: str, written: str | None, folder: Path, report: Report) -> None:
    """The file at ``key`` may come before it is needed; what is no key will never be one."""
    if written is None or (file := files.located(written, folder)) is None:
        return
    try:
        parsed(files.content(file, LONGEST))
    except OSError:
        report.absent(key, written, file)
    except ValueError as error:
        report.error(key, str(file), str(error))
