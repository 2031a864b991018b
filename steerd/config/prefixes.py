"""Prefixes, packed: 200,000 of them are two byte strings, not objects."""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from steerd.config.file import files
from steerd.config.file.problem import Report
from steerd.config.route_settings import Prefixes

MOST: Final = 1_000_000
"""Prefixes of one policy: some 200 MB while they are read."""
_V4, _V6 = 5, 17
_HOST_BITS = {width: [(1 << (width - length)) - 1 for length in range(width + 1)] for width in (32, 128)}
_LENGTH = [bytes([length]) for length in range(129)]
_REPORTED = 10


def pack(text: str) -> bytes:
    """One prefix (or address) as address and length: 5 bytes for IPv4, 17 for IPv6. ValueError says what is wrong."""
    address, slash, length = text.partition("/")
    family, width = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    try:
        raw = socket.inet_pton(family, address)
    except (OSError, ValueError):
        raise ValueError('must be a prefix such as "192.0.2.0/24" or "2001:db8::/32"') from None
    if not slash:
        return raw + _LENGTH[width]
    bits = int(length) if length.isascii() and length.isdigit() and len(length) <= 3 else width + 1
    if bits > width:
        raise ValueError(f"must have a length from 0 to {width} after the slash")
    host = int.from_bytes(raw) & _HOST_BITS[width][bits]
    if host:
        network = (int.from_bytes(raw) ^ host).to_bytes(width // 8)
        raise ValueError(f'has bits set beyond its length: write "{socket.inet_ntop(family, network)}/{bits}"')
    return raw + _LENGTH[bits]


def unpack(packed: bytes) -> str:
    """The text of one packed prefix."""
    family = socket.AF_INET if len(packed) == _V4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, packed[:-1])}/{packed[-1]}"


def each(prefixes: Prefixes) -> Iterator[bytes]:
    """Every packed prefix, IPv4 first."""
    for data, size in ((prefixes.v4, _V4), (prefixes.v6, _V6)):
        for at in range(0, len(data), size):
            yield data[at : at + size]


def count(prefixes: Prefixes) -> int:
    """Of both families."""
    return len(prefixes.v4) // _V4 + len(prefixes.v6) // _V6


def has_default(prefixes: Prefixes) -> bool:
    """Whether a default route is among them, of either family: sorted, it is the first."""
    return prefixes.v4.startswith(bytes(_V4)) or prefixes.v6.startswith(bytes(_V6))


def joined(packed: Iterable[bytes]) -> Prefixes:
    """Sorted, without duplicates, by family."""
    unique = packed if isinstance(packed, set) else set(packed)
    return Prefixes(
        v4=b"".join(sorted([one for one in unique if len(one) == _V4])),
        v6=b"".join(sorted([one for one in unique if len(one) == _V6])),
    )


def covered(packed: bytes, by: set[bytes]) -> bool:
    """Whether one of `by` contains this prefix, or is it."""
    width = (len(packed) - 1) * 8
    address = int.from_bytes(packed[:-1])
    return any(
        (address & ~_HOST_BITS[width][length]).to_bytes(width // 8) + _LENGTH[length] in by
        for length in range(packed[-1], -1, -1)
    )


class Written(NamedTuple):
    """Prefixes as they were written: a list at `key`, by place, or a whole file, which is not kept as lines."""

    key: str
    file: Path | None
    text: list[tuple[int, str]] | str

    def each(self) -> Iterator[tuple[int, str]]:
        """Line (or place in the list) and prefix."""
        if not isinstance(self.text, str):
            yield from self.text
            return
        for at, line in enumerate(_lines(self.text), 1):
            if text := line.partition("#")[0].strip():
                yield at, text


def _lines(text: str) -> Iterator[str]:
    """One after the other: of a large file all of them at once, or a `StringIO`, take several times its size."""
    begins = 0
    while (ends := text.find("\n", begins)) >= 0:
        yield text[begins:ends]
        begins = ends + 1
    yield text[begins:]


@dataclass(slots=True)
class PrefixList:
    """A set of prefixes, of which each can be named as it was written. ``late``: a file of it cannot be read now, or
    not to its end."""

    written: list[Written] = field(default_factory=list)
    packed: set[bytes] = field(default_factory=set)
    late: bool = False

    def add(self, key: str, texts: Iterable[str | None], report: Report) -> None:
        """Takes in the list at `key`; reports what is no prefix. None stands for an entry reported before."""
        self._take(Written(key, None, [(at, text) for at, text in enumerate(texts) if text is not None]), report)

    def add_file(self, key: str, file: Path, report: Report) -> None:
        """Takes in a file with one prefix a line (`#` starts a comment); reports what cannot be read."""
        try:
            text = files.text(file)
        except OSError as error:
            self.late = True
            report.late(key, file, error)
            return
        except ValueError as error:
            wanted = str(error) if isinstance(error, files.UnfitError) else "must be a text file, one prefix a line"
            report.error(key, str(file), wanted)
            return
        self._take(Written(key, file, text), report)

    def _take(self, written: Written, report: Report) -> None:
        self.written.append(written)
        key, file, _ = written
        wrong = 0
        for at, text in written.each():
            if len(self.packed) >= MOST:
                report.error(key, None, f"must be at most {MOST:,} prefixes", file)
                return
            try:
                self.packed.add(pack(text))
            except ValueError as error:
                wrong += 1
                if wrong <= _REPORTED:
                    report.error(f"line {at}" if file else f"{key}[{at}]", text, str(error), file)
        if wrong > _REPORTED:
            report.error(key, None, f"{wrong - _REPORTED} more of these", file)

    def place(self, packed: bytes) -> str:
        """Where this prefix was written first."""
        for written in self.written:
            for at, text in written.each():
                try:
                    if pack(text) == packed:
                        return f"{written.file} line {at}" if written.file else f"{written.key}[{at}]"
                except ValueError:
                    continue
        return ""
