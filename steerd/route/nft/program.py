"""Running `nft`, whatever it does: for so long, and to print so much."""

import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Final

MOST: Final = 64 << 20
"""Bytes that it may print: a table with a million prefixes takes half of it."""
_READ: Final = 1 << 16

_PROGRAM: Final = "nft"
_USUAL_PLACES: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"


class EndlessError(Exception):
    """It printed more than `MOST` bytes."""


def find_nft() -> str | None:
    """Where `nft` is, also outside of a service's PATH, which may lack the folders of system programs."""
    return shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path=_USUAL_PLACES)


def output(command: Sequence[str], given: bytes, within: float) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error of a command that is ``given`` this to read. TimeoutExpired: it did
    not end within so many seconds. EndlessError. Neither leaves it running."""
    end = time.monotonic() + within
    with os.fdopen(os.memfd_create("nft"), "wb+") as file:
        file.write(given)
        file.seek(0)
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                printed, errors = _printed(process, end, within)
                return process.wait(max(0.0, end - time.monotonic())), printed, errors
            except BaseException:
                process.kill()
                raise


def _printed(process: subprocess.Popen[bytes], end: float, within: float) -> tuple[bytes, bytes]:
    found: dict[int, bytearray] = {}
    with selectors.PollSelector() as streams:
        for stream in (process.stdout, process.stderr):
            assert stream is not None  # noqa: S101 (both were asked for)
            found[streams.register(stream, selectors.EVENT_READ).fd] = bytearray()
        while streams.get_map():
            ready = streams.select(max(0.0, end - time.monotonic()))
            if not ready and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(process.args, within)
            for key, _ in ready:
                data = os.read(key.fd, _READ)
                found[key.fd] += data
                if not data:
                    streams.unregister(key.fileobj)
                if len(found[key.fd]) > MOST:
                    raise EndlessError
    printed, errors = found.values()
    return bytes(printed), bytes(errors)
