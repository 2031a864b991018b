"""Reading a file as text: compression by content, lines of bounded length, and errors as `Malformed`."""

import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from steerd.replay.imports.sample import Malformed
from steerd.replay.trace.reading import uncompressed

LINE_MAX: Final = 64 << 10  # characters; the tools that write lines stay far below
HEAD: Final = 64 << 10  # bytes, uncompressed, that a format is recognised by


class Text:
    """A text that is read once, by lines or in pieces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.line = 0  # the last that `lines` gave

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line, numbered from 1, without its end. Raises `Malformed`: it is too long, or has NUL in it."""
        readline = self._stream.readline
        while line := readline(LINE_MAX):
            self.line += 1
            if "\0" in line:
                raise Malformed(self.line, "is binary: text was expected")
            if len(line) >= LINE_MAX:
                raise Malformed(self.line, f"a line of more than {LINE_MAX} characters")
            yield self.line, line.rstrip("\r\n")

    def read(self, size: int) -> str:
        """The next characters, at most so many; empty at the end."""
        return self._stream.read(size)


@contextmanager
def opened(file: Path) -> Iterator[Text]:
    """The file's text, decompressed by content. Raises `Malformed`: not UTF-8, or damaged; `OSError`."""
    text: Text | None = None
    try:
        with file.open("rb") as raw:
            # utf-8-sig: without the mark that some editors begin a file with.
            text = Text(TextIOWrapper(_plain(raw), encoding="utf-8-sig", newline="\n"))
            yield text
    except UnicodeDecodeError:
        raise Malformed(text.line + 1 if text else 1, "must be UTF-8 text") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise Malformed(text.line + 1 if text else 1, f"cannot be read: {error}") from None


def head(file: Path) -> str:
    """How a regular file begins; empty for a pipe, which can be read only once, and for what cannot be read."""
    try:
        if not file.is_file():
            return ""
        with file.open("rb") as raw:
            return _plain(raw).read(HEAD).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return ""


def _plain(raw: BufferedReader) -> gzip.GzipFile | lzma.LZMAFile | BufferedReader:
    magic = raw.peek(6)[:6]
    return uncompressed(raw, ".gz" if magic.startswith(b"\x1f\x8b") else ".xz" if magic == b"\xfd7zXZ\0" else "")
