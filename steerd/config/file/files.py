"""Files that the configuration names: where they are, whether they are there, and what is in them."""

import os
import stat
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

from steerd.config.file.problem import Report

MOST: Final = 64 << 20
"""Bytes of a file that somebody writes."""

_CREDENTIALS = "${CREDENTIALS_DIRECTORY}/"


class UnfitError(ValueError):
    """What is there is no file to be read. The message says what must be there."""


def content(file: Path, most: int = MOST) -> bytes:
    """What the file holds, without the byte order mark that some editors begin it with. OSError: it cannot be read
    now. UnfitError: it is a device, a pipe or the like, or larger than ``most`` bytes."""
    # Not to wait for who writes into a FIFO.
    with open(file, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise UnfitError("must be a file, and no device or pipe")
        data = opened.read(most + 1)
    if len(data) > most:
        raise UnfitError(f"must be at most {most >> 20} MiB" if most >> 20 else f"must be at most {most} bytes")
    return data.removeprefix(BOM_UTF8)


def text(file: Path, most: int = MOST) -> str:
    """As `content`, of a text file. UnicodeDecodeError: it is none."""
    return content(file, most).decode()


def located(written: str | None, folder: Path) -> Path | None:
    """Relative to the configuration's folder, or among the unit's credentials (systemd.exec(5), LoadCredential=)."""
    if written is None:
        return None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and written.startswith(_CREDENTIALS):
        return Path(credentials) / written.removeprefix(_CREDENTIALS)
    return folder / written


def missing(key: str, written: str | None, folder: Path, report: Report) -> None:
    """Warns of a file that is not there: it may come before it is needed."""
    file = located(written, folder)
    if file and not os.path.exists(file):  # noqa: PTH110 (Path.exists raises when a folder may not be searched)
        report.absent(key, written or "", file)
