"""Lines of text for people: at most 100 columns, wrapped, cut, or aligned."""

from collections.abc import Iterator, Sequence
from typing import Final

WIDTH: Final = 100


def printable(text: str) -> str:
    """``text`` on one line and without what a terminal would obey: such characters as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """As `printable`, of text that is meant to have lines and tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def wrapped(text: str, first: str = "") -> list[str]:
    """Lines of at most 100 columns; those after the first are indented. ``first``: what the first begins with."""
    done: list[str] = []
    for word in text.split():
        if done and len(done[-1]) + 1 + len(word) <= WIDTH:
            done[-1] += f" {word}"
        else:
            done.append(f"{first if not done else '  ' + ' ' * len(first)}{word}")
    return [cut(line) for line in done]


def cut(line: str) -> str:
    """A line, as much of it as there is room for."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """An indented table. ``right``: all columns but the first are figures, and none of them is cut."""
    sides = [right and at > 0 for at in range(len(rows[0]))] if rows else []
    lines = [f"  {line}".rstrip() for line in _columns(rows, sides)]
    return lines if right else [cut(line) for line in lines]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose lines are cut where they do not fit. A header that begins with `>` aligns its column to the
    right."""
    names = [name.lstrip(">") for name in header]
    return [cut(line) for line in _columns([names, *rows], [name.startswith(">") for name in header])]


def _columns(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """Columns as wide as they need; ``right``: which are aligned to that side."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            text.rjust(width) if to_right else text.ljust(width) for text, width, to_right in cells
        ).rstrip()
