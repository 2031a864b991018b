"""JSON values out of a text of any size, one at a time: a day of irtt is 100 MB, of which each probe has 1 KB."""

import json
from collections.abc import Iterator
from typing import Any, Final

from steerd.replay.imports.sample import Malformed
from steerd.replay.imports.text import Text

CHUNK: Final = 64 << 10
VALUE_MAX: Final = 64 << 20
"""Characters of one value that is held as a whole."""

UNSURE: Final = 16  # characters before the end of what was read, in which an error may be only that the rest is missing

Line = int


class _Scanner:
    def __init__(self, text: Text, begin: str = "") -> None:
        self._read = text.read
        self._buffer = begin
        self._at = 0
        self._lines = 1  # the line that the buffer begins in
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def line(self, at: int | None = None) -> Line:
        """The number of the line at this place of the buffer; None: at the next value."""
        return self._lines + self._buffer.count("\n", 0, self._at if at is None else at)

    def peek(self) -> str:
        """The next character that is no blank, which stays; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                character = self._buffer[self._at]
                if character not in " \t\r\n":
                    return character
                self._at += 1
            if not self._more(CHUNK):
                return ""

    def take(self, wanted: str) -> None:
        """The next character must be this one. Raises `Malformed`."""
        if (found := self.peek()) != wanted:
            raise self._error(f"{wanted!r} is missing")
        self._at += len(found)

    def value(self) -> Any:
        """The next value. Raises `Malformed`."""
        self.peek()
        while True:
            try:
                found, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                unsure = error.pos >= len(self._buffer) - UNSURE
                if self._ended or not (unsure or error.msg.startswith("Unterminated")):
                    what = "the JSON is cut short" if self._ended and unsure else f"not JSON: {error.msg}"
                    raise Malformed(self.line(error.pos), what) from None
            except RecursionError:
                raise self._error("not JSON of this kind: nested too deeply") from None
            except ValueError:  # an integer of thousands of digits
                raise self._error("a number with too many digits") from None
            else:
                # A number that ends where the buffer does may go on.
                if end < len(self._buffer) or self._ended:
                    self._at = end
                    return found
            if len(self._buffer) - self._at > VALUE_MAX:
                raise self._error(f"one JSON value of more than {VALUE_MAX >> 20} MiB")
            self._more(max(CHUNK, len(self._buffer) - self._at))

    def _more(self, size: int) -> bool:
        piece = self._read(size)
        self._lines += self._buffer.count("\n", 0, self._at)
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        self._ended = not piece
        return bool(piece)

    def _error(self, what: str) -> Malformed:
        ended = self._at >= len(self._buffer) and self._ended
        return Malformed(self.line(), "the JSON is cut short" if ended else what)


def values(text: Text, begin: str = "") -> Iterator[tuple[Line, Any]]:
    """The elements of the list that the text is, or its values one by one (JSON lines); ``begin``: what was read of it
    before. Raises `Malformed`: no JSON."""
    scanner = _Scanner(text, begin)
    if scanner.peek() == "[":
        scanner.take("[")
        yield from _elements(scanner)
        if scanner.peek():
            raise Malformed(scanner.line(), "something follows the JSON list")
        return
    while scanner.peek():
        line = scanner.line()
        yield line, scanner.value()


def members(text: Text, listed: str) -> Iterator[tuple[Line, str, Any]]:
    """The object's members by key, those of the list ``listed`` one by one. Raises `Malformed`: no JSON object."""
    scanner = _Scanner(text)
    scanner.take("{")
    first = True
    while scanner.peek() != "}":
        if not first:
            scanner.take(",")
        first = False
        line = scanner.line()
        key = scanner.value()
        if not isinstance(key, str):
            raise Malformed(line, "not JSON: a key must be text")
        scanner.take(":")
        line = scanner.line()
        if key == listed and scanner.peek() == "[":
            scanner.take("[")
            for at, element in _elements(scanner):
                yield at, key, element
        else:
            yield line, key, scanner.value()


def _elements(scanner: _Scanner) -> Iterator[tuple[Line, Any]]:
    first = True
    while scanner.peek() != "]":
        if not first:
            scanner.take(",")
            scanner.peek()
        first = False
        line = scanner.line()
        yield line, scanner.value()
    scanner.take("]")
