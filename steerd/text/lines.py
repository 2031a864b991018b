"""Lines of text for people: wrapped, cut, or aligned."""

from collections.abc import Iterator, Sequence
from typing import Final

WIDTH: Final = 100


class Coloured(str):
    """Lines with colours of ours, in which a terminal obeys nothing else."""

    __slots__ = ()


def printable(text: str) -> str:
    """``text`` on one line and without what a terminal would obey: such characters as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """As `printable`, of text that is meant to have lines and tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def wrapped(text: str, first: str = "", width: int = WIDTH) -> list[str]:
    """Lines of at most ``width`` columns; those after the first are indented. ``first``: what the first begins with."""
    done: list[str] = []
    for word in text.split():
        if done and len(done[-1]) + 1 + len(word) <= width:
            done[-1] += f" {word}"
        else:
            done.append(f"{first if not done else '  ' + ' ' * len(first)}{word}")
    return [cut(line, width) for line in done]


def cut(line: str, width: int = WIDTH) -> str:
    """A line, as much of it as there is room for."""
    return line if len(line) <= width else line[: width - 1] + "…"


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """An indented table. ``right``: all columns but the first are figures, and none of them is cut."""
    sides = [right and at > 0 for at in range(len(rows[0]))] if rows else []
    lines = [f"  {line}".rstrip() for line in _columns(rows, sides)]
    return lines if right else [cut(line) for line in lines]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = WIDTH) -> list[str]:
    """A table whose lines are cut where they do not fit. A header that begins with `>` aligns its column to the
    right. ``width``: None, and nothing is cut."""
    names = [name.lstrip(">") for name in header]
    lines = _columns([names, *rows], [name.startswith(">") for name in header])
    return list(lines) if width is None else [cut(line, width) for line in lines]


def fitting(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int, spare: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Of a table as many columns as fit: those named in ``spare`` go first, in that order."""
    kept = list(range(len(header)))
    widths = [max(map(len, column)) for column in zip([name.lstrip(">") for name in header], *rows, strict=True)]
    for name in spare:
        if sum(widths[at] + 2 for at in kept) - 2 > width:
            kept = [at for at in kept if header[at].lstrip(">") != name]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _columns(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """Columns as wide as they need; ``right``: which are aligned to that side."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            text.rjust(width) if to_right else text.ljust(width) for text, width, to_right in cells
        ).rstrip()
